"""Readers and writers for the formats of other programs: LocoMuJoCo, mjlab, BVH, OpenSim, CSV.

Imports only `datasets` and `skeletons`.
"""
