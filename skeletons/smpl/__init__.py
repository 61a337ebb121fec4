"""The source: joints of the SMPL family, body-model files and the mean skeleton. Imports nothing of other folders."""
