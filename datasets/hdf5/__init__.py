"""Writes HDF5 files of clips and tracks, and reads them in a separate process, within limits.

Imports only `datasets`.
"""
