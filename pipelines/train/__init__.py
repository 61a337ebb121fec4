"""A data set to a policy, and a policy to its evaluation. Imports `imitation`."""
