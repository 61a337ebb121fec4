"""Whole states of training on disk; written beside their place and renamed, so that none is half there."""

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
from .checkpoint_files import SPARE, check_contents, give_name, new_folder, remove, write_contents

KEPT = 2
"""Checkpoints that are kept; older ones are removed once a newer one is whole."""

MAX_DIGITS = 9
"""Digits of a checkpoint's number, which is counted in 32 bits."""

MAX_BYTES = 2**32
"""Largest checkpoint of another run, whose number of worlds is not known here [B]; 8192 of MyoFullBody take 0.2 GB."""

LONGEST_REASON = 150
"""Letters that are shown of a library's error."""

STATE = "state"


class Countable(Protocol):
    """A tree of arrays that tells how many iterations have been made."""

    @property
    def iterations(self) -> Array:
        """Iterations made."""
        ...


StateT = TypeVar("StateT", bound=Countable)
TreeT = TypeVar("TreeT")


@dataclass(frozen=True, kw_only=True)
class Restored(Generic[TreeT]):
    """What was read from a checkpoint.

    Attributes:
        tree: The state, or a part of it.
        seconds: Time that the run had taken [s].
        number: Of the checkpoint: iterations made.
        damaged: Newer checkpoints that cannot be read: their numbers, and why.
    """

    tree: TreeT
    seconds: float
    number: int
    damaged: dict[int, str]


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: Where they are, one folder each, named by the number of iterations. Whatever else lies there is left
            alone.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder.resolve()

    def numbers(self) -> list[int]:
        """Numbers of all that there are, the newest last; whether they can be read is not known yet."""
        if not self._folder.is_dir():
            return []
        return sorted(int(path.name) for path in self._folder.iterdir() if _is_checkpoint(path))

    def latest(self) -> int | None:
        """Number of the newest, or None."""
        return max(self.numbers(), default=None)

    def save(self, state: Countable, *, seconds: float, software: str) -> int:
        """Write a state, and remove all but the newest `KEPT`. One that is there already is not written again.

        Args:
            state: The state.
            seconds: Time that the run has taken [s].
            software: Version that writes.

        Returns:
            Its number.
        """
        number = int(state.iterations)
        if number not in self.numbers():
            folder = new_folder(self._folder)
            write_arrays(folder / STATE, _named(state))
            write_contents(folder, {"seconds": seconds, "musclemap": software})
            give_name(folder, self._folder / str(number))
        for older in self.numbers()[:-KEPT]:
            remove(self._folder / str(older))
        return number

    def restore(self, like: StateT) -> Restored[StateT]:
        """Read the newest that can be read.

        Args:
            like: A state of the same shapes, such as the trainer begins with.

        Raises:
            TrainingError: There is none.
        """
        return self._newest(lambda number: self._tree(number, like, prefix="", iterations=number))

    def learned(self, like: TreeT) -> Restored[TreeT]:
        """Read what the newest one's run has learned, and nothing else of it.

        Args:
            like: What a trainer of the same algorithm begins with, its state's `learner`.

        Raises:
            TrainingError: There is none that can be read, or its networks are of another shape.
        """
        return self._newest(lambda number: self._tree(number, like, prefix=".learner"))

    def set_aside(self, number: int) -> Path:
        """Rename a damaged checkpoint, so that it is no longer the newest; returns where it is."""
        return rename_to_backup(self._folder / str(number))

    def _newest(self, read: Callable[[int], tuple[TreeT, float]]) -> Restored[TreeT]:
        """The newest that can be read."""
        damaged: dict[int, str] = {}
        for number in reversed(self.numbers()):
            result = attempt(lambda number=number: read(number))
            if not isinstance(result, Failure):
                return Restored(tree=result[0], seconds=result[1], number=number, damaged=damaged)
            if result.code is ReasonCode.OUT_OF_MEMORY:
                raise result.error
            damaged[number] = result.message if result.expected else _beginning(result.message)
        if not damaged:
            raise TrainingError(f"there is no checkpoint in {self._folder}")
        message = "; ".join(f"{number}: {why}" for number, why in damaged.items())
        raise TrainingError(f"no checkpoint in {self._folder} can be read: {message}")

    def _tree(
        self, number: int, like: TreeT, *, prefix: str, iterations: int | None = None
    ) -> tuple[TreeT, float]:  # fmt: skip
        folder, named = self._folder / str(number), _named(like, prefix=prefix)
        limit = 2 * sum(array.nbytes for array in named.values()) + SPARE  # what does not compress grows a little
        seconds = _seconds(check_contents(folder, limit=limit if iterations is not None else max(limit, MAX_BYTES)))
        arrays = read_arrays(folder / STATE, named)
        if iterations is not None and int(arrays[".iterations"]) != iterations:
            raise FileError(f"it is of iteration {int(arrays['.iterations'])}, not {iterations} as its name says")
        put = lambda path, leaf: arrays.get(prefix + jax.tree_util.keystr(path), leaf)  # noqa: E731
        return jax.tree_util.tree_map_with_path(put, like), seconds


def _beginning(text: str) -> str:
    """The beginning of what a library says, which can be a page long."""
    return text if len(text) <= LONGEST_REASON else f"{text[:LONGEST_REASON]}..."


def _is_checkpoint(path: Path) -> bool:
    name = path.name
    if not (name.isascii() and name.isdigit() and len(name) <= MAX_DIGITS and str(int(name)) == name):
        return False
    return not path.is_symlink() and path.is_dir() and any(path.iterdir())


def _named(tree: Any, *, prefix: str = "") -> dict[str, Array]:
    """Every array by its path in the tree: a plain dictionary, whatever classes the tree is made of.

    Arrays that hold nothing, such as a queue of no delay, are left out; Orbax does not take them.
    """
    leaves, _ = jax.tree_util.tree_flatten_with_path(tree)
    return {prefix + jax.tree_util.keystr(path): leaf for path, leaf in leaves if leaf.size}


def _seconds(facts: dict[str, Any]) -> float:
    value = facts.get("seconds")
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise FileError(f"its time is {shown(value)}, not a number of seconds")
    return float(value)
