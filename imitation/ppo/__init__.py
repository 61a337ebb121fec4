"""Proximal policy optimisation: networks, loss, trainer. Knows no file."""
