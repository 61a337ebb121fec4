"""A whole study and its figures beside those expected."""
