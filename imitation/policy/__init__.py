"""Policies as files, as functions and as Gymnasium environments. Must not import any trainer."""
