"""Where the retargeter computes."""

from typing import Any

from musclemap.skeletons.errors import MusclemapError


class DeviceError(MusclemapError):
    """JAX has no device of the kind asked for."""


def choose_device(kind: str | None = None) -> Any:
    """First JAX device of a kind, "cpu" or "gpu"; None takes what JAX prefers, a GPU where it can use one.

    Raises:
        DeviceError: There is none; the message lists what there is.
    """
    import jax

    if kind is None:
        return jax.devices()[0]
    try:
        return jax.devices(kind)[0]
    except RuntimeError as error:
        there = ", ".join(sorted({device.platform for device in jax.devices()}))
        hint = "; a GPU needs its driver and: pip install 'musclemap[gpu]'" if kind == "gpu" else ""
        raise DeviceError(f"JAX finds no {kind}; it has: {there}{hint}") from error
