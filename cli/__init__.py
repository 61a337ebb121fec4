"""Command-line programs, one file per command. They parse options, call a pipeline and print; nothing imports them."""
