"""Reads HDF5 clip files in a separate process, within limits; knows what a clip file may contain, not what it means.

Imports only `datasets`.
"""
