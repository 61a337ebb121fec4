"""Where the figures of a run go: JSON lines always, TensorBoard, and services that are asked for."""

import importlib
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from musclemap.datasets.journal import Journal
from musclemap.datasets.manifest import strict_json
from musclemap.errors import SettingsError
from musclemap.imitation.errors import TrainingError

METRICS = "metrics.jsonl"
SERVICES = ("wandb", "trackio")
"""Packages with the same few calls: init, log, finish."""

NOT_DRAWN = ("steps", "seconds", "iteration")


class Log(Protocol):
    """Takes figures."""

    def write(self, figures: Mapping[str, float]) -> None:
        """Keep figures of one moment; `steps` is among them."""
        ...

    def close(self) -> None:
        """Nothing more comes."""
        ...


class JsonLines:
    """One line a moment, appended; a run that is resumed appends to the same file.

    Raises:
        TrainingError: The file is a link, a pipe or something else that is no regular file.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / METRICS
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise TrainingError(f"figures cannot be written to {path}: it is not a regular file")
        try:
            self._file = Journal(path)
        except OSError as error:
            raise TrainingError(f"figures cannot be written to {path}: {error.strerror}") from error

    def write(self, figures: Mapping[str, float]) -> None:
        """See `Log`."""
        self._file.append((strict_json(dict(figures)) + "\n").encode())

    def close(self) -> None:
        """See `Log`."""
        self._file.close()


class TensorBoard:
    """Event files that TensorBoard reads."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter  # only where it is wanted: it brings protobuf

        self._writer = SummaryWriter(str(folder / "tensorboard"), flush_secs=10)

    def write(self, figures: Mapping[str, float]) -> None:
        """See `Log`."""
        for name, value in figures.items():
            if name not in NOT_DRAWN and math.isfinite(value):  # a mean over nothing is NaN
                self._writer.add_scalar(name, value, int(figures["steps"]))

    def close(self) -> None:
        """See `Log`."""
        self._writer.close()


class Service:
    """Weights & Biases or Trackio."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        if name not in SERVICES:
            raise SettingsError(f"figures cannot be sent to {name!r}; there are: {', '.join(SERVICES)}")
        try:
            self._module = importlib.import_module(name)
        except ImportError as error:
            raise SettingsError(f"--track {name} needs the package of that name: pip install {name}") from error
        self._module.init(project="musclemap", name=folder.name, config=dict(settings))

    def write(self, figures: Mapping[str, float]) -> None:
        """See `Log`."""
        self._module.log(dict(figures))

    def close(self) -> None:
        """See `Log`."""
        self._module.finish()
