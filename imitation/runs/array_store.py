"""Named arrays in a folder, stored by Orbax. Names, dtypes, shapes and chunks are checked before any array is read."""

import gc
import logging
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jax
import orbax.checkpoint as ocp
from jax import Array

from musclemap.imitation.errors import TrainingError

NOISY_LOGGERS = ("absl", "asyncio", "jax", "orbax")
"""Loggers of libraries that report a damaged file many times with tracebacks; the exception tells enough."""

FAILURE_WAIT = 0.3
"""Time that concurrent reads get to finish after one has failed [s]."""


def write_arrays(folder: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays into a new folder.

    Args:
        folder: Must not exist.
        arrays: Arrays by name. Empty arrays are not allowed, because Orbax cannot store them.
    """
    with _silenced_logs(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as store:
        store.save(folder, args=ocp.args.PyTreeSave(dict(arrays)))  # pyright: ignore[reportCallIssue]


def read_arrays(folder: Path, like: Mapping[str, Array]) -> dict[str, Array]:
    """Read some of the arrays in a folder.

    Nothing is allocated before the names, dtypes, shapes and chunks of the stored arrays match the expected ones.

    Args:
        folder: Written by `write_arrays`.
        like: Arrays by name with the expected shapes, dtypes and devices.

    Raises:
        TrainingError: If an array is missing or has another shape or dtype.
        Exception: Any exception that Orbax raises on damaged files.
    """
    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for name, x in like.items()}
    with _silenced_logs(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as store:
        stored: Any = store.metadata(folder).item_metadata
        if stored is None:
            raise TrainingError(f"the index of arrays in {folder.name} is missing or damaged")
        for name, shape in shapes.items():
            _check_array(name, stored.tree.get(name), shape)
        restore_args = {
            name: ocp.ArrayRestoreArgs(sharding=shape.sharding, global_shape=shape.shape, dtype=shape.dtype)
            for name, shape in shapes.items()
        }
        args: Any = ocp.args.PyTreeRestore(  # pyright: ignore[reportCallIssue]
            item=shapes, restore_args=restore_args, partial_restore=True
        )
        return dict(store.restore(folder, args=args))


def _check_array(name: str, stored: Any, shape: jax.ShapeDtypeStruct) -> None:
    if stored is None:
        raise TrainingError(f"it has no {name}")
    if tuple(stored.shape) != shape.shape:
        expected = f"this run needs {shape.shape}: set the same sizes"
        raise TrainingError(f"its {name} has shape {tuple(stored.shape)}; {expected}")
    if stored.dtype != shape.dtype:
        raise TrainingError(f"its {name} has type {stored.dtype}, not {shape.dtype}")
    chunk = stored.storage.chunk_shape if stored.storage is not None else None
    if chunk is not None and any(part > max(size, 1) for part, size in zip(chunk, shape.shape, strict=True)):
        raise TrainingError(f"its {name} is stored in chunks of shape {tuple(chunk)}, larger than the array")


@contextmanager
def _silenced_logs() -> Iterator[None]:
    """Silence the libraries' logs while a checkpoint is read or written.

    After a failure, other reads of the same checkpoint may still run in Orbax's threads. Each would report, as an
    exception that cannot be caught, that nothing awaits it any more. Waiting for these reads avoids the reports.
    """
    loggers = [logging.getLogger(name) for name in NOISY_LOGGERS]
    disabled_before, unraisable_hook = [logger.disabled for logger in loggers], sys.unraisablehook
    for logger in loggers:
        logger.disabled = True
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    except BaseException:
        for _ in range(3):
            time.sleep(FAILURE_WAIT / 3)
            gc.collect()  # failed tasks report when they are garbage-collected
        raise
    finally:
        sys.unraisablehook = unraisable_hook
        for logger, disabled in zip(loggers, disabled_before, strict=True):
            logger.disabled = disabled
