"""Compute devices: selection, memory errors, the compilation cache."""

import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from musclemap.errors import MusclemapError


class DeviceError(MusclemapError):
    """JAX has no device of the requested kind."""


class DeviceMemoryError(MusclemapError):
    """The device has too little memory; the message says which settings to lower."""


_GPU_HINT = "; a GPU needs driver 580 or newer, and: pip install 'musclemap[gpu]'"

_OUT_OF_MEMORY = ("resource_exhausted", "out of memory", "failed to allocate")
"""Parts of the messages of the RuntimeError that JAX and Warp raise if memory is exhausted."""


@contextmanager
def explain_memory_error(what: str, lower: str) -> Iterator[None]:
    """Turn an out-of-memory error into one that says which settings to lower.

    Args:
        what: What the device needs memory for.
        lower: Options and settings that reduce it.

    Raises:
        DeviceMemoryError: If the device has too little memory.
    """
    try:
        yield
    except (RuntimeError, MemoryError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error).lower() for word in _OUT_OF_MEMORY):
            raise
        raise DeviceMemoryError(f"the device has too little memory for {what}: lower {lower}") from error


def refuse_missing_gpu(kind: str | None) -> None:
    """Refuse "gpu" where JAX has no support for any, without importing JAX.

    Raises:
        DeviceError: If so.
    """
    if kind == "gpu" and find_spec("jax_plugins") is None and not entry_points(group="jax_plugins"):
        raise DeviceError(f"JAX finds no gpu; available: cpu{_GPU_HINT}")


def choose_device(kind: str | None = None) -> Any:
    """Return the first JAX device of a kind, "cpu" or "gpu"; None selects JAX's default, a GPU if it can use one.

    Raises:
        DeviceError: If there is no such device; the message lists the available kinds.
    """
    import jax

    if kind is None:
        return jax.devices()[0]
    try:
        return jax.devices(kind)[0]
    except RuntimeError as error:
        available = ", ".join(sorted({device.platform for device in jax.devices()}))
        raise DeviceError(
            f"JAX finds no {kind}; available: {available}{_GPU_HINT if kind == 'gpu' else ''}"
        ) from error


def disable_gpu_preallocation() -> None:
    """Make JAX allocate GPU memory on demand, because MuJoCo Warp needs some too. Call before JAX is used.

    A value that is already set in the environment is kept. Changes the environment of this process, so only programs
    call it, never a library.
    """
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")


def enable_compilation_cache() -> Path | None:
    """Make JAX cache compiled code between runs, in the system's temporary folder.

    If the environment variable JAX_COMPILATION_CACHE_DIR is set, JAX uses that folder instead. Changes JAX's
    configuration for this process, so only programs call it, never a library.

    Returns:
        The folder, or None if no folder that is private to this user can be created (its files are run as code).
    """
    import jax

    configured: str | None = getattr(jax.config, "jax_compilation_cache_dir", None)
    if configured:
        return Path(configured)
    folder = private_folder("compiled")
    if folder is not None:
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    return folder


def private_folder(what: str) -> Path | None:
    """Create a cache folder that is private to this user, in the system's temporary folder.

    Args:
        what: Part of the folder's name.

    Returns:
        The folder, or None if it cannot be created or another user owns it or can write to it.
    """
    folder = Path(tempfile.gettempdir()) / f"musclemap-{what}-{os.getuid()}"
    try:
        folder.mkdir(mode=0o700, exist_ok=True)
        status = folder.lstat()
    except OSError:
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.getuid() or status.st_mode & 0o022:
        return None
    return folder
