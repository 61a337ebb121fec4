"""The source skeleton: joints of the SMPL family, readers of body-model files, and the mean skeleton.

Imports only the modules directly under `musclemap`.
"""
