"""Imitation of the tracking controller: labels, student, trainer. Must not access files."""
