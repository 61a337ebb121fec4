"""Learning to track reference clips. Empty until the trainer lands."""
