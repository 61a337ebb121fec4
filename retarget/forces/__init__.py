"""Forces of a motion: what it requires, which parts of the body bear, the ground reaction, passive torques and the
dynamics of muscle activation. Knows nothing of the solver or the checks."""
