"""The folder of a training run: its settings, what it learns from, its figures, checkpoints and policy."""

import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.backup import rename_to_backup
from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.folder_lock import locked
from musclemap.datasets.manifest import strict_json
from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.files import read_json_object
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.policy.policy_file import POLICY, load_policy, write_policy
from musclemap.imitation.policy.training_clips import check_dataset
from musclemap.imitation.task.worlds import NanGuard

from .checkpoints import Checkpoints
from .run_facts import check_same, read_facts

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

    def policy_steps(self) -> int | None:
        """Control steps of the policy that is in the folder; None if there is none.

        Raises:
            PolicyError: There is one that cannot be read.
        """
        return int(load_policy(self.policy).facts["steps"]) if os.path.lexists(self.policy) else None

    def save_policy(self, *, steps: int, **policy: Any) -> str:
        """Write the policy, unless the one in the folder has more steps.

        A file that cannot be read as a policy is kept under another name: how many steps it has is not known.

        Args:
            steps: Control steps of the policy.
            policy: Arguments of `write_policy`.

        Returns:
            A sentence about what was kept, or "".
        """
        there, message = attempt(self.policy_steps), ""
        if isinstance(there, Failure):
            kept = rename_to_backup(self.policy)
            message = f"{self.policy} could not be read and is kept as {kept.name} ({there.message})"
        elif there is not None and there > steps:
            return f"{self.policy} has {there:,} steps and stays until the run has as many"
        write_policy(self.policy, steps=steps, **policy)
        return message

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
        """What was noted, or None.

        Raises:
            TrainingError: The note is damaged; without it the policy's file would not name all clips learned from.
        """
        path = self.root / EARLIER
        if not os.path.lexists(path):
            return None
        try:
            noted = read_json_object(path)
            check_dataset(noted, where=str(path))
        except FileError as error:
            raise TrainingError(f"what the run began with cannot be read: {error}") from error
        return noted

    def keep_nan_dump(self, nan_guard: NanGuard, *, iteration: int, clip: str) -> Path:
        """Write down a world whose physics went bad: the state before, and the excitations that led there."""
        path = self.root / "bad" / f"{iteration:08}.npz"
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in nan_guard.physics._asdict().items()}
        arrays |= {"ctrl": np.asarray(nan_guard.ctrl), "frame": np.asarray(nan_guard.frame), "clip": np.array(clip)}
        image = io.BytesIO()
        np.savez(image, **arrays)
        write_atomically(path, image.getvalue())
        return path


@contextmanager
def open_run(root: Path, facts: Mapping[str, Any], *, resume: bool) -> Iterator[tuple[RunFolder, list[str]]]:
    """Take hold of a run's folder.

    Args:
        root: The folder; it is made.
        facts: What the run is: settings, body, clips. A run resumes only where these are the same.
        resume: Whether to resume the run that is there.

    Yields:
        The folder, and sentences for the user about what could not be checked.

    Raises:
        TrainingError: There is something learned and it is not to be resumed; or the run there is another, or damaged,
            or none; or another process is at it. The message names what differs.
    """
    try:
        with locked(root):
            for place in (root, root / "bad"):
                remove_leftovers(place, deep=False)
            folder = RunFolder(root)
            notes = _check_resumed(folder, facts) if resume else _check_free(folder)
            write_atomically(root / FACTS, (strict_json(dict(facts)) + "\n").encode())
            yield folder, notes
    except BlockingIOError as error:
        raise TrainingError(f"another process is training in {root}; wait for it, or give another --run") from error


def _check_free(folder: RunFolder) -> list[str]:
    """Refuse to begin a run where something was learned already."""
    root, learned = folder.root, _learned(folder)
    if learned and os.path.lexists(root / FACTS):
        raise TrainingError(f"{root} holds a run already; --resume goes on with it, or give another --run")
    if learned:
        raise TrainingError(f"{root} holds {learned}, but no {FACTS} that says of what run; give another --run")
    (root / EARLIER).unlink(missing_ok=True)  # of a run that ended before anything was saved
    return []


def _check_resumed(folder: RunFolder, facts: Mapping[str, Any]) -> list[str]:
    """Refuse to resume another run, or one of which nothing is left but what would be replaced."""
    root = folder.root
    if not os.path.lexists(root / FACTS):
        raise TrainingError(f"there is no run in {root} to resume: it has no {FACTS}")
    notes = check_same(root, read_facts(root / FACTS), json.loads(strict_json(dict(facts))))
    if folder.checkpoints.latest() is None:
        learned = _learned(folder)
        if learned:
            raise TrainingError(
                f"there is no checkpoint in {root / 'checkpoints'} to resume from, and a new start would replace "
                f"{learned}: put the checkpoints back, or train in another --run"
            )
        if os.path.lexists(root / EARLIER):
            raise TrainingError(
                f"the run in {root} was to begin with what another had learned and ended before that was saved: give "
                "the same command with --from in place of --resume"
            )
        notes.append("the run ended before its first checkpoint; it starts from the beginning")
    return notes


def _learned(folder: RunFolder) -> str:
    """What there is in a folder that a new run would replace, in words, or ""."""
    steps = attempt(folder.policy_steps)
    if isinstance(steps, Failure):
        return f"{POLICY}, which cannot be read ({steps.message})"
    if steps is not None:
        return f"{POLICY} of {steps:,} steps"
    return "checkpoints" if folder.checkpoints.latest() is not None else ""
