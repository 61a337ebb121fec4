"""Descriptions of bodies: the SMPL family as source, MyoFullBody as target, and reduced coordinates."""
