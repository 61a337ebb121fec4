"""Bodies: target bodies with reduced coordinates and kinematics, and the SMPL family as source.

Imports only the modules directly under `musclemap`.
"""
