"""The fit: cost terms, frame and window solvers, refits. Imports `targets`, and nothing that reads or writes files."""
