"""Checks of finished clips: geometry, forces, muscles, verdict. Does not import the solver."""
