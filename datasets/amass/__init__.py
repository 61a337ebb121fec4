"""Makes motions of arrays of the SMPL family, as programs lay them out, and checks their frames and rate.

Imports only `datasets` and `skeletons`.
"""
