"""One pass over files of an archive, in whatever process has them. Knows no cluster."""
