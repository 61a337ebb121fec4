"""Settings of tracking."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class TrackingConfig:
    """Settings of the search for excitations; gains follow.

    Attributes:
        seed: Seed of all random numbers.
        seconds: Computing time per clip [s].
        samples: Variants simulated per fragment; 1 for feedback alone.
        kept: Variants kept after each fragment.
    """

    seed: int = 0
    seconds: float = 600.0
    samples: int = 40
    kept: int = 8
