"""Motions of OpenSim: storage files, and what their coordinates mean."""
