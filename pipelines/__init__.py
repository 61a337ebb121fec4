"""Workflows that combine the packages: convert, train, validate, pack, export, report and view."""
