"""Name and largest size of a policy file, for code that moves such files without reading them. Imports nothing."""

POLICY = "policy.safetensors"
"""Name of the policy file in a run folder."""

MAX_BYTES = 5 * 2**27
"""Largest file [B]: 168 million weights, more than the widest networks that the settings allow."""
