"""Reads motions in the AMASS layouts and checks whether their frame rate is plausible.

Imports only `datasets` and `skeletons`.
"""
