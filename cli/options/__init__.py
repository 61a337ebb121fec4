"""Command-line options, declared as types: one module per command, and `shared` for several. Imports no pipeline."""
