"""The folder of a training run: its settings, what it learns from, its figures, checkpoints and policy."""

import io
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.folder_lock import locked
from musclemap.datasets.manifest import strict_json

from .checkpoints import Checkpoints
from .errors import TrainingError
from .policy_file import POLICY
from .worlds import Suspect

FACTS = "run.json"
FIT = "muscles.json"
EARLIER = "from.json"
"""What the policy had learned from before this run, where it did not begin with nothing."""


class RunFolder:
    """A folder that this process alone writes to. Made by `open_run`.

    Attributes:
        root: The folder.
        checkpoints: Its checkpoints.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = Checkpoints(root / "checkpoints")

    @property
    def policy(self) -> Path:
        """The policy's file."""
        return self.root / POLICY

    def forget(self) -> None:
        """Leave the folder as if no run had begun in it: for one that did not come to its first step."""
        (self.root / FACTS).unlink()

    def keep_earlier(self, dataset: Mapping[str, Any]) -> None:
        """Note what the policy that this run begins with has learned from."""
        write_atomically(self.root / EARLIER, (strict_json(dict(dataset)) + "\n").encode())

    def keep_fit(self, muscles: Mapping[str, Any]) -> None:
        """Write down how well each muscle's length is known."""
        write_atomically(self.root / FIT, (json.dumps(dict(muscles), indent=1) + "\n").encode())

    def earlier(self) -> dict[str, Any] | None:
        """What was noted, or None."""
        path = self.root / EARLIER
        return json.loads(path.read_text("utf-8")) if path.is_file() else None

    def keep_suspect(self, suspect: Suspect, *, iteration: int, clip: str) -> Path:
        """Write down a world whose physics went bad: the state before, and the excitations that led there."""
        path = self.root / "bad" / f"{iteration:08}.npz"
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in suspect.physics._asdict().items()}
        arrays |= {"ctrl": np.asarray(suspect.ctrl), "frame": np.asarray(suspect.frame), "clip": np.array(clip)}
        image = io.BytesIO()
        np.savez(image, **arrays)
        write_atomically(path, image.getvalue())
        return path


@contextmanager
def open_run(root: Path, facts: Mapping[str, Any], *, resume: bool) -> Iterator[RunFolder]:
    """Take hold of a run's folder.

    Args:
        root: The folder; it is made.
        facts: What the run is: settings, body, clips. A run is only gone on with where these are the same.
        resume: Whether to go on with a run that is there.

    Raises:
        TrainingError: There is a run already and it was not asked to go on; or it is another; or none; or another
            process is at it. The message names what differs.
    """
    path = root / FACTS
    try:
        with locked(root):
            for folder in (root, root / "bad"):
                remove_leftovers(folder, deep=False)
            if path.is_file():
                if not resume:
                    raise TrainingError(f"{root} holds a run already; --resume goes on with it, or give another --run")
                _compare(root, json.loads(path.read_text("utf-8")), json.loads(strict_json(dict(facts))))
            elif resume:
                raise TrainingError(f"there is no run in {root} to go on with")
            write_atomically(path, (strict_json(dict(facts)) + "\n").encode())
            yield RunFolder(root)
    except BlockingIOError as error:
        raise TrainingError(f"another process is training in {root}; wait for it, or give another --run") from error


def _compare(root: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> None:
    before, now = dict(_leaves(old)), dict(_leaves(new))
    other = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if other:
        told = "; ".join(f"{name} was {before.get(name)!r}, is {now.get(name)!r}" for name in other[:5])
        more = f"; and {len(other) - 5} more" if len(other) > 5 else ""
        raise TrainingError(f"{root} holds a run of other settings: {told}{more}. Give the same, or another --run")


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree
