"""Motions in the AMASS layouts, and whether their frame rate can be true. Imports `datasets` and `skeletons` only."""
