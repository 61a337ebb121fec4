"""Bodies in MuJoCo and MuJoCo Warp behind one interface. Knows no task and no network."""
