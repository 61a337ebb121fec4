"""Dask clusters and worker processes that convert an archive. Imports `convert`, never the other way round."""
