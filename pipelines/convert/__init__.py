"""Conversion of motion files to clips within one process. Must not import `cluster`."""
