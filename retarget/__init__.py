"""Retargeting of source motions to configurations of the target body: targets, solver, checks."""
