"""Muscle excitations by which a simulated body follows a clip."""
