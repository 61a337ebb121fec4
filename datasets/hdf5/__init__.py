"""Reading HDF5 in a process of its own, within limits. Knows what a clip file may hold, not what it means."""
