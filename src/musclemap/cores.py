"""Processor cores that this process may use."""

import os


def available_cores() -> list[int]:
    """Numbers of the cores that this process may run on; macOS does not restrict processes, so there all of them."""
    if hasattr(os, "sched_getaffinity"):
        return sorted(os.sched_getaffinity(0))
    return list(range(os.cpu_count() or 1))


def pin_to_cores(cores: list[int]) -> None:
    """Let this process run on these cores only, where the system can do that: not on macOS."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, cores)
