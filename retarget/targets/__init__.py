"""Targets of the fit from a source motion: proportions, contacts, landmarks. Imports neither solver nor checks."""
