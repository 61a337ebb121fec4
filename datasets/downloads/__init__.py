"""Data that others prepared: what there is, and bringing it here whole or not at all."""
