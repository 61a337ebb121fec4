"""Summary metrics of a study and their comparison with expected values."""
