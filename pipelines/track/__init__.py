"""Tracking of the clips of a data set: which ones, in which process, and what is kept."""
