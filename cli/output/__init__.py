"""Output of the commands: text, tables, progress. Removes control codes. Imports no pipeline."""
