"""Writers and readers of other programs' formats. Import `datasets` and `skeletons` only."""
