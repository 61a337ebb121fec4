"""Time-varying linear-quadratic regulator around a tracked motion: excitations that lead a disturbed body back."""
