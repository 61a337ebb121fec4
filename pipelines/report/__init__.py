"""One page about a converted archive: totals, distributions, every source, and each clip's curves, for a browser."""
