"""Generates the built-in motions from published figures, without recorded data.

Imports only `datasets` and `skeletons`.
"""
