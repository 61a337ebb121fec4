"""Built-in motions, made without any data. Imports `datasets` and `skeletons` only."""
