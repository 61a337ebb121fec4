"""Options that several commands have."""

from enum import StrEnum


class Device(StrEnum):
    """Where to compute."""

    cpu = "cpu"
    gpu = "gpu"
