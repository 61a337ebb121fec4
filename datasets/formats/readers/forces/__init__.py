"""Measured ground forces: force plates of C3D files, and OpenSim's tables of ground reaction beside a motion."""
