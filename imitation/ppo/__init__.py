"""Proximal policy optimisation: networks, loss, trainer. Must not access files."""
