"""Optical markers: marker sets, files, and the fit of a skeleton of the SMPL family to their positions."""
