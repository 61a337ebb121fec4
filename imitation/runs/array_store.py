"""Arrays by name in a folder, by Orbax: read by the shapes that are expected, not by those that the files claim."""

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

NOISY = ("absl", "asyncio", "jax", "orbax")
"""Loggers of libraries that report one damaged file many times, with tracebacks. What they know is in the exception."""

AFTER_FAILURE = 0.3
"""Time for reads under way to end after one of them has failed [s]."""


def write_arrays(folder: Path, arrays: Mapping[str, Array]) -> None:
    """Write arrays into a folder, which is made.

    Args:
        folder: Must not be there.
        arrays: By name, none of size 0, which Orbax does not take.
    """
    with _quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as store:
        store.save(folder, args=ocp.args.PyTreeSave(dict(arrays)))  # pyright: ignore[reportCallIssue]


def read_arrays(folder: Path, like: Mapping[str, Array]) -> dict[str, Array]:
    """Read some of the arrays of a folder.

    Nothing is allocated before names, types, shapes and chunks of the stored arrays were compared with those expected.

    Args:
        folder: As `write_arrays` has left it.
        like: Arrays by name, whose shapes, types and devices those that are read will have.

    Raises:
        TrainingError: One is missing or of another shape or type.
        Exception: Whatever Orbax raises on damaged files.
    """
    shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for name, x in like.items()}
    with _quiet(), ocp.Checkpointer(ocp.PyTreeCheckpointHandler()) as store:
        stored: Any = store.metadata(folder).item_metadata
        if stored is None:
            raise TrainingError(f"{folder.name} has no index of its arrays, or a damaged one")
        for name, shape in shapes.items():
            _check(name, stored.tree.get(name), shape)
        how = {
            name: ocp.ArrayRestoreArgs(sharding=shape.sharding, global_shape=shape.shape, dtype=shape.dtype)
            for name, shape in shapes.items()
        }
        args: Any = ocp.args.PyTreeRestore(item=shapes, restore_args=how, partial_restore=True)  # pyright: ignore[reportCallIssue]
        return dict(store.restore(folder, args=args))


def _check(name: str, stored: Any, shape: jax.ShapeDtypeStruct) -> None:
    if stored is None:
        raise TrainingError(f"it has no {name}")
    if tuple(stored.shape) != shape.shape:
        here = f"here it is of shape {shape.shape}: set the same sizes"
        raise TrainingError(f"its {name} is of shape {tuple(stored.shape)}; {here}")
    if stored.dtype != shape.dtype:
        raise TrainingError(f"its {name} is of type {stored.dtype}, not {shape.dtype}")
    chunk = stored.storage.chunk_shape if stored.storage is not None else None
    if chunk is not None and any(part > max(size, 1) for part, size in zip(chunk, shape.shape, strict=True)):
        raise TrainingError(f"its {name} is stored in chunks of shape {tuple(chunk)}, larger than itself")


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence the libraries' logs while a checkpoint is read or written.

    After a failure other reads of the same checkpoint are still under way in threads of the library. Each reports, as
    an exception that nobody can catch, that nobody waits for it any more; so they are waited for.
    """
    loggers = [logging.getLogger(name) for name in NOISY]
    before, hook = [logger.disabled for logger in loggers], sys.unraisablehook
    for logger in loggers:
        logger.disabled = True
    sys.unraisablehook = lambda unraisable: None
    try:
        yield
    except BaseException:
        for _ in range(3):
            time.sleep(AFTER_FAILURE / 3)
            gc.collect()  # a task that failed is reported when it is collected
        raise
    finally:
        sys.unraisablehook = hook
        for logger, disabled in zip(loggers, before, strict=True):
            logger.disabled = disabled
