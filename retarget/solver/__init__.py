"""The fit: cost terms, frame and window solvers, refits. Imports `targets`; knows no clip and no file."""
