"""Bundles of clips that can be passed on: chosen, split, described, with the hash of every file."""
