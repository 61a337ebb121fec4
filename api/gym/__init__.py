"""The tracking task as a Gymnasium environment with pictures."""
