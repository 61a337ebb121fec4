"""Policies as files, as functions and as environments. Imports no trainer."""
