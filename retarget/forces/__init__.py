"""Forces of a motion: what it requires, which parts of the body bear, and the ground reaction. Knows nothing of the
solver or the checks."""
