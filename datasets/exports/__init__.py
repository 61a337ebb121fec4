"""Clips in the formats of other programs, and readers of these formats where clips are made from them."""
