"""Complete training states on disk, written to a temporary folder and renamed, so that none is ever incomplete."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import jax
from jax import Array

from musclemap.backup import rename_to_backup
from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.files import shown
from musclemap.imitation.errors import TrainingError
from musclemap.reason_codes import ReasonCode

from .array_store import read_arrays, write_arrays
from .checkpoint_files import MAX_OVERHEAD, check_contents, new_folder, publish, remove, write_contents

NUM_KEPT = 2
"""Number of checkpoints to keep; older ones are removed after a new one is complete."""

MAX_DIGITS = 9
"""Largest number of digits in a checkpoint's number, which is a 32-bit integer."""

MAX_BYTES = 2**32
"""Largest checkpoint of another run, whose number of worlds is unknown [B]; 8192 worlds of MyoFullBody take 0.2 GB."""

MAX_REASON_LENGTH = 150
"""Number of characters of a library's error message that are shown."""

STATE = "state"


class Countable(Protocol):
    """A tree of arrays with the number of completed iterations."""

    @property
    def iterations(self) -> Array:
        """Number of completed iterations."""
        ...


StateT = TypeVar("StateT", bound=Countable)
TreeT = TypeVar("TreeT")


@dataclass(frozen=True, kw_only=True)
class Restored(Generic[TreeT]):
    """State read from a checkpoint.

    Attributes:
        tree: The state, or a part of it.
        seconds: Training time so far [s].
        number: Number of the checkpoint: its completed iterations.
        damaged: Numbers of newer checkpoints that cannot be read, each with the reason.
    """

    tree: TreeT
    seconds: float
    number: int
    damaged: dict[int, str]


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: Folder with one subfolder per checkpoint, named by the number of iterations. Other files are left alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def numbers(self) -> list[int]:
        """Numbers of all checkpoints, newest last; they may turn out to be unreadable."""
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if _is_checkpoint(path))

    def latest(self) -> int | None:
        """Number of the newest checkpoint, or None."""
        return max(self.numbers(), default=None)

    def save(self, state: Countable, *, seconds: float, software: str) -> int:
        """Write a state and remove all but the newest `NUM_KEPT` checkpoints. Existing checkpoints are not overwritten.

        Args:
            state: The state.
            seconds: Training time so far [s].
            software: Version of this package.

        Returns:
            Number of the checkpoint.
        """
        number = int(state.iterations)
        if number not in self.numbers():
            folder = new_folder(self._folder)
            write_arrays(folder / STATE, _arrays_by_path(state))
            write_contents(folder, {"seconds": seconds, "musclemap": software})
            publish(folder, self._folder / str(number))
        for outdated in self.numbers()[:-NUM_KEPT]:
            remove(self._folder / str(outdated))
        return number

    def restore(self, like: StateT) -> Restored[StateT]:
        """Read the newest readable checkpoint.

        Args:
            like: A state with the expected shapes, such as the trainer's initial one.

        Raises:
            TrainingError: If no checkpoint can be read.
        """
        return self._restore_newest(lambda number: self._restore_tree(number, like, prefix="", iterations=number))

    def restore_learner(self, like: TreeT) -> Restored[TreeT]:
        """Read only the learner's state from the newest readable checkpoint.

        Args:
            like: Initial learner's state of a trainer with the same algorithm.

        Raises:
            TrainingError: If no checkpoint can be read, or its networks have other shapes.
        """
        return self._restore_newest(lambda number: self._restore_tree(number, like, prefix=".learner"))

    def set_aside(self, number: int) -> Path:
        """Rename a damaged checkpoint so that it no longer counts; returns its new path."""
        return rename_to_backup(self._folder / str(number))

    def _restore_newest(self, read: Callable[[int], tuple[TreeT, float]]) -> Restored[TreeT]:
        """Apply `read` to the newest readable checkpoint."""
        damaged: dict[int, str] = {}
        for number in reversed(self.numbers()):
            result = attempt(lambda number=number: read(number))
            if not isinstance(result, Failure):
                return Restored(tree=result[0], seconds=result[1], number=number, damaged=damaged)
            if result.code is ReasonCode.OUT_OF_MEMORY:
                raise result.error
            damaged[number] = result.message if result.expected else _shorten(result.message)
        if not damaged:
            raise TrainingError(f"there is no checkpoint in {self._folder}")
        reasons = "; ".join(f"{number}: {why}" for number, why in damaged.items())
        raise TrainingError(f"no checkpoint in {self._folder} can be read: {reasons}")

    def _restore_tree(
        self, number: int, like: TreeT, *, prefix: str, iterations: int | None = None
    ) -> tuple[TreeT, float]:  # fmt: skip
        folder, arrays_like = self._folder / str(number), _arrays_by_path(like, prefix=prefix)
        limit = 2 * sum(array.nbytes for array in arrays_like.values()) + MAX_OVERHEAD  # compression may add bytes
        seconds = _seconds(check_contents(folder, limit=limit if iterations is not None else max(limit, MAX_BYTES)))
        arrays = read_arrays(folder / STATE, arrays_like)
        if iterations is not None and int(arrays[".iterations"]) != iterations:
            raise FileError(f"it holds iteration {int(arrays['.iterations'])}, but its name says {iterations}")
        get = lambda path, leaf: arrays.get(prefix + jax.tree_util.keystr(path), leaf)  # noqa: E731
        return jax.tree_util.tree_map_with_path(get, like), seconds


def _shorten(text: str) -> str:
    """Shorten a library's message, which can fill a page."""
    return text if len(text) <= MAX_REASON_LENGTH else f"{text[:MAX_REASON_LENGTH]}..."


def _is_checkpoint(path: Path) -> bool:
    name = path.name
    if not (name.isascii() and name.isdigit() and len(name) <= MAX_DIGITS and str(int(name)) == name):
        return False
    return not path.is_symlink() and path.is_dir() and any(path.iterdir())


def _arrays_by_path(tree: Any, *, prefix: str = "") -> dict[str, Array]:
    """All arrays by their path in the tree, independent of the tree's classes.

    Empty arrays, such as the queue for a latency of 0, are left out because Orbax cannot store them.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): leaf for path, leaf in leaves if leaf.size}


def _seconds(facts: dict[str, Any]) -> float:
    value = facts.get("seconds")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise FileError(f"its time is {shown(value)}, not a number of seconds")
    return float(value)
