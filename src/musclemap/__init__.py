"""Human motion capture to reference clips for muscle-driven bodies, and policies that track them."""

__version__ = "0.2.0"
