"""Whole states of training on disk, by Orbax; written beside their place and renamed, so that none is half there."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol, TypeVar

import jax
import orbax.checkpoint as ocp
from jax import Array

from .errors import TrainingError

KEPT = 2
"""Checkpoints that are kept; older ones are removed once a newer one is whole."""


class Countable(Protocol):
    """A tree of arrays that tells how many iterations have been made."""

    @property
    def iterations(self) -> Array:
        """Iterations made."""
        ...


StateT = TypeVar("StateT", bound=Countable)
LearnedT = TypeVar("LearnedT")


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: Where they are, one folder each, named by the number of iterations.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def latest(self) -> int | None:
        """Number of the newest, or None."""
        if not self._folder.is_dir():
            return None
        numbers = [int(path.name) for path in self._folder.iterdir() if path.name.isdigit()]
        return max(numbers, default=None)

    def save(self, state: Countable, facts: dict[str, Any]) -> int:
        """Write a state and what else has to be known to go on.

        Returns:
            Its number.
        """
        number = int(state.iterations)
        if number != self.latest():
            with _manager(self._folder) as manager:
                manager.save(
                    number,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardSave(_named(state)),  # pyright: ignore[reportCallIssue]
                        facts=ocp.args.JsonSave(facts),  # pyright: ignore[reportCallIssue]
                    ),
                )
                manager.wait_until_finished()
        return number

    def restore(self, like: StateT) -> tuple[StateT, dict[str, Any]]:
        """Read the newest.

        Args:
            like: A state of the same shapes, such as the trainer begins with.

        Raises:
            TrainingError: There is none, or it is damaged or of another shape.
        """
        number = self.latest()
        if number is None:
            raise TrainingError(f"there is no checkpoint in {self._folder}")
        flat = _named(like)
        shapes = {name: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding) for name, x in flat.items()}
        try:
            with _manager(self._folder) as manager:
                found: Any = manager.restore(
                    number,
                    args=ocp.args.Composite(
                        state=ocp.args.StandardRestore(shapes),  # pyright: ignore[reportCallIssue]
                        facts=ocp.args.JsonRestore(),  # pyright: ignore[reportCallIssue]
                    ),
                )
        except (ValueError, KeyError, OSError, json.JSONDecodeError) as error:
            raise TrainingError(f"the checkpoint {self._folder / str(number)} cannot be read: {error}") from error
        for name, shape in shapes.items():
            if found.state[name].shape != shape.shape:
                raise TrainingError(f"the checkpoint has {name} of shape {found.state[name].shape}, not {shape.shape}")
        put = lambda path, leaf: found.state.get(jax.tree_util.keystr(path), leaf)  # noqa: E731
        return jax.tree_util.tree_map_with_path(put, like), dict(found.facts)

    def learned(self, like: LearnedT) -> LearnedT:
        """Read what the newest one's run has learned, and nothing else of it.

        Args:
            like: What a trainer of the same algorithm begins with, its state's `learner`.

        Raises:
            TrainingError: There is none, or it is damaged, or its networks are of another shape.
        """
        number = self.latest()
        if number is None:
            raise TrainingError(f"there is no checkpoint in {self._folder}")
        here = jax.sharding.SingleDeviceSharding(jax.local_devices()[0])  # wherever the other run was
        try:
            with _quiet(), ocp.StandardCheckpointer() as reader:
                path = self._folder / str(number) / "state"
                there: Any = reader.metadata(path).item_metadata
                shapes = {n: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=here) for n, x in there.tree.items()}
                found: Any = reader.restore(path, shapes)
        except (ValueError, KeyError, AttributeError, OSError) as error:
            raise TrainingError(f"the checkpoint {self._folder / str(number)} cannot be read: {error}") from error

        def taken(path: tuple[Any, ...], leaf: Array) -> Array:
            name = f".learner{jax.tree_util.keystr(path)}"
            there = found.get(name)
            if there is None or there.shape != leaf.shape:
                was = "none" if there is None else f"of shape {there.shape}"
                raise TrainingError(
                    f"the other run's {name[9:]} is {was}; here it is of shape {leaf.shape}: set the same sizes"
                )
            return jax.device_put(there.astype(leaf.dtype), leaf.sharding)

        return jax.tree_util.tree_map_with_path(taken, like)


def _named(state: Countable) -> dict[str, Any]:
    """Every array by its path in the tree: a plain dictionary, whatever classes the tree is made of.

    Arrays that hold nothing, such as a queue of no delay, are left out; Orbax does not take them.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(state)
    return {jax.tree_util.keystr(path): leaf for path, leaf in leaves if leaf.size}


@contextmanager
def _manager(folder: Path) -> Iterator[ocp.CheckpointManager]:
    options = ocp.CheckpointManagerOptions(max_to_keep=KEPT, enable_async_checkpointing=False)
    with _quiet(), ocp.CheckpointManager(folder, options=options) as manager:
        yield manager


@contextmanager
def _quiet() -> Iterator[None]:
    """Orbax tells much that is of no use at a terminal."""
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)
