"""Where the retargeter computes."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from musclemap.errors import MusclemapError


class DeviceError(MusclemapError):
    """JAX has no device of the kind asked for."""


class DeviceMemoryError(MusclemapError):
    """The device's memory does not suffice; the message says which number to lower."""


_FULL = ("resource_exhausted", "out of memory", "failed to allocate")
"""What JAX and Warp say, both in a RuntimeError, where memory does not suffice."""


@contextmanager
def told_memory(what: str, lower: str) -> Iterator[None]:
    """Say which number to lower where memory does not suffice.

    Args:
        what: What it should hold.
        lower: Options and settings that make it less.

    Raises:
        DeviceMemoryError: It does not.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error).lower() for word in _FULL):
            raise
        raise DeviceMemoryError(f"the device's memory does not hold {what}: lower {lower}") from error


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
        hint = "; a GPU needs its driver, 580 or newer, and: pip install 'musclemap[gpu]'" if kind == "gpu" else ""
        raise DeviceError(f"JAX finds no {kind}; it has: {there}{hint}") from error


def share_gpu_memory() -> None:
    """Have JAX take a GPU's memory as it needs it, as MuJoCo Warp needs some too; to be called before JAX is used.

    A value that the environment has already stands. Changes this process's environment, so only a program calls it.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def keep_compilations() -> Path | None:
    """Let JAX keep what it compiles from one run to the next, in the system's folder for temporary files.

    A folder named by the environment variable JAX_COMPILATION_CACHE_DIR is used instead, by JAX itself. Changes JAX's
    configuration for this process, so only a program calls it, never a library.

    Returns:
        The folder, or None where one that is ours alone cannot be had (what lies there is run as code).
    """
    import jax

    given: str | None = getattr(jax.config, "jax_compilation_cache_dir", None)
    if given:
        return Path(given)
    folder = private_folder("compiled")
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder


def private_folder(what: str) -> Path | None:
    """A folder of this user for what takes long to make, among the system's temporary files.

    Args:
        what: Part of its name.

    Returns:
        The folder, or None where one that is ours alone cannot be had.
    """
    folder = Path(tempfile.gettempdir()) / f"musclemap-{what}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        result = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(result.st_mode) or result.st_uid != os.getuid() or result.st_mode & 0o022:
        return None
    return folder
