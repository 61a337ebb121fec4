"""Command-line programs. Thin: they parse, call a pipeline and print."""
