"""Skeletons of sources: their joints are mapped to the SMPL family's, their rotations to its rest pose."""
