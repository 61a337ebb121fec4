"""Dask clusters and worker processes that convert an archive. May import `convert`; `convert` must not import this."""
