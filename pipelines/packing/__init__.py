"""Bundles for publication: selected clips, split into train, val and test, with licences and hashes of all files."""
