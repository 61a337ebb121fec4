"""Whole-clip refinement of a fit so that the ground can explain its motion."""
