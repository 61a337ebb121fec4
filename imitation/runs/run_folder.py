"""The folder of a training run: description, training clips, metrics, checkpoints and policy."""

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
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.imitation.policy.policy_file import load_policy, write_policy
from musclemap.imitation.policy.training_clips import check_dataset
from musclemap.imitation.task.worlds import NanGuard

from .checkpoints import Checkpoints
from .run_facts import FACTS, check_same_run, read_facts

TENDON_ERRORS = "muscles.json"
EARLIER = "from.json"
"""Facts about the training clips of the policy that the run started from, if it did not start from scratch."""


class RunFolder:
    """A folder that only this process writes to, created by `open_run`.

    Attributes:
        root: The folder.
        checkpoints: Its checkpoints.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.checkpoints = Checkpoints(root / "checkpoints")

    @property
    def policy(self) -> Path:
        """Path of the policy file."""
        return self.root / POLICY

    def policy_steps(self) -> int | None:
        """Number of control steps of the policy in the folder; None if there is none.

        Raises:
            PolicyError: If the policy cannot be read.
        """
        return int(load_policy(self.policy).facts["steps"]) if os.path.lexists(self.policy) else None

    def save_policy(self, *, steps: int, **policy: Any) -> str:
        """Write the policy, unless the one in the folder has more steps.

        An unreadable policy file is kept under another name, because its number of steps is unknown.

        Args:
            steps: Number of control steps of the policy.
            policy: Arguments of `write_policy`.

        Returns:
            A message about a file that was kept, or "".
        """
        existing_steps, message = attempt(self.policy_steps), ""
        if isinstance(existing_steps, Failure):
            backup = rename_to_backup(self.policy)
            message = f"{self.policy} cannot be read and is kept as {backup.name} ({existing_steps.message})"
        elif existing_steps is not None and existing_steps > steps:
            return f"{self.policy} has {existing_steps:,} steps and is kept until the run reaches as many"
        write_policy(self.policy, steps=steps, **policy)
        return message

    def discard_run(self) -> None:
        """Remove the description of a run that failed before its first step, so that the folder counts as unused."""
        (self.root / FACTS).unlink()

    def save_earlier(self, dataset: Mapping[str, Any]) -> None:
        """Record the training clips of the policy that this run starts from."""
        write_atomically(self.root / EARLIER, (strict_json(dict(dataset)) + "\n").encode())

    def save_tendon_errors(self, muscles: Mapping[str, Any]) -> None:
        """Write the errors of each muscle's fitted length."""
        write_atomically(self.root / TENDON_ERRORS, (json.dumps(dict(muscles), indent=1) + "\n").encode())

    def earlier(self) -> dict[str, Any] | None:
        """Read the facts written by `save_earlier`; None if there are none.

        Raises:
            TrainingError: If the file is damaged; without it the policy file would not list all training clips.
        """
        path = self.root / EARLIER
        if not os.path.lexists(path):
            return None
        try:
            earlier = read_json_object(path)
            check_dataset(earlier, where=str(path))
        except FileError as error:
            raise TrainingError(f"the record of earlier training clips cannot be read: {error}") from error
        return earlier

    def save_nan_dump(self, nan_guard: NanGuard, *, iteration: int, clip: str) -> Path:
        """Write the state of a world before its physics went bad, and the excitations that led there."""
        path = self.root / "bad" / f"{iteration:08}.npz"
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in nan_guard.physics._asdict().items()}
        arrays |= {"ctrl": np.asarray(nan_guard.ctrl), "frame": np.asarray(nan_guard.frame), "clip": np.array(clip)}
        buffer = io.BytesIO()
        np.savez(buffer, **arrays)
        write_atomically(path, buffer.getvalue())
        return path


@contextmanager
def open_run(root: Path, facts: Mapping[str, Any], *, resume: bool) -> Iterator[tuple[RunFolder, list[str]]]:
    """Open a run's folder for exclusive writing.

    Args:
        root: The folder, which is created if missing.
        facts: Description of the run: settings, body, clips. A run resumes only if these match.
        resume: Whether to resume the run in the folder.

    Yields:
        The folder, and messages for the user about facts that could not be checked.

    Raises:
        TrainingError: If the folder holds results and `resume` is False; if the run to resume is missing, damaged or
            different, with a message that lists the differences; or if another process uses the folder.
    """
    try:
        with locked(root):
            for path in (root, root / "bad"):
                remove_leftovers(path, deep=False)
            folder = RunFolder(root)
            notes = _check_resumed(folder, facts) if resume else _check_new(folder)
            write_atomically(root / FACTS, (strict_json(dict(facts)) + "\n").encode())
            yield folder, notes
    except BlockingIOError as error:
        raise TrainingError(f"another process is training in {root}; wait for it, or use another --run") from error


def _check_new(folder: RunFolder) -> list[str]:
    """Refuse to start a run in a folder with results."""
    root, results = folder.root, _existing_results(folder)
    if results and os.path.lexists(root / FACTS):
        raise TrainingError(f"{root} already holds a run; use --resume to continue it, or another --run")
    if results:
        raise TrainingError(f"{root} holds {results}, but no {FACTS} that describes the run; use another --run")
    (root / EARLIER).unlink(missing_ok=True)  # left by a run that saved nothing else
    return []


def _check_resumed(folder: RunFolder, facts: Mapping[str, Any]) -> list[str]:
    """Refuse to resume another run, or one without checkpoints whose results would be overwritten."""
    root = folder.root
    if not os.path.lexists(root / FACTS):
        raise TrainingError(f"there is no run in {root} to resume: it has no {FACTS}")
    notes = check_same_run(root, read_facts(root / FACTS), json.loads(strict_json(dict(facts))))
    if folder.checkpoints.latest() is None:
        results = _existing_results(folder)
        if results:
            raise TrainingError(
                f"there is no checkpoint in {root / 'checkpoints'} to resume from, and a new start would replace "
                f"{results}: restore the checkpoints, or use another --run"
            )
        if os.path.lexists(root / EARLIER):
            raise TrainingError(
                f"the run in {root} was started with --from and ended before its first checkpoint: use --from again "
                "instead of --resume"
            )
        notes.append("the run ended before its first checkpoint; it starts from scratch")
    return notes


def _existing_results(folder: RunFolder) -> str:
    """Results in a folder that a new run would replace, in words, or ""."""
    steps = attempt(folder.policy_steps)
    if isinstance(steps, Failure):
        return f"{POLICY}, which cannot be read ({steps.message})"
    if steps is not None:
        return f"{POLICY} of {steps:,} steps"
    return "checkpoints" if folder.checkpoints.latest() is not None else ""
