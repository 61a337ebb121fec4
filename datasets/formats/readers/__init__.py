"""Readers of motion files: one per file format, chosen by content.

Imports only `datasets` and `skeletons`.
"""
