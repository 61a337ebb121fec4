"""Training of a policy on a data set, and its evaluation. Builds on `imitation`."""
