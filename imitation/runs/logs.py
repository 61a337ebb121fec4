"""Destinations of a run's metrics: always JSON lines; optionally TensorBoard and tracking services."""

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
"""Packages that share the calls init, log and finish."""

NOT_PLOTTED = ("steps", "seconds", "iteration")


class Log(Protocol):
    """Destination of metrics."""

    def write(self, metrics: Mapping[str, float]) -> None:
        """Record metrics of one moment, including `steps`."""
        ...

    def close(self) -> None:
        """Finish writing."""
        ...


class JsonLines:
    """One JSON line per moment; a resumed run appends to the same file.

    Raises:
        TrainingError: If the file is a link, a pipe, or any other file that is not regular.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / METRICS
        if path.is_symlink() or (path.exists() and not path.is_file()):
            raise TrainingError(f"metrics cannot be written to {path}: it is not a regular file")
        try:
            self._file = Journal(path)
        except OSError as error:
            raise TrainingError(f"metrics cannot be written to {path}: {error.strerror}") from error

    def write(self, metrics: Mapping[str, float]) -> None:
        """See `Log`."""
        self._file.append((strict_json(dict(metrics)) + "\n").encode())

    def close(self) -> None:
        """See `Log`."""
        self._file.close()


class TensorBoard:
    """TensorBoard event files."""

    def __init__(self, folder: Path) -> None:
        from tensorboardX import SummaryWriter  # imported only on request, as it imports protobuf

        self._writer = SummaryWriter(str(folder / "tensorboard"), flush_secs=10)

    def write(self, metrics: Mapping[str, float]) -> None:
        """See `Log`."""
        for name, value in metrics.items():
            if name not in NOT_PLOTTED and math.isfinite(value):  # NaN is the mean of no samples
                self._writer.add_scalar(name, value, int(metrics["steps"]))

    def close(self) -> None:
        """See `Log`."""
        self._writer.close()


class Service:
    """Weights & Biases or Trackio."""

    def __init__(self, name: str, folder: Path, settings: Mapping[str, Any]) -> None:
        if name not in SERVICES:
            raise SettingsError(f"metrics cannot be sent to {name!r}; there are: {', '.join(SERVICES)}")
        try:
            self._module = importlib.import_module(name)
        except ImportError as error:
            raise SettingsError(f"--track {name} needs the package {name}: pip install {name}") from error
        self._module.init(project="musclemap", name=folder.name, config=dict(settings))

    def write(self, metrics: Mapping[str, float]) -> None:
        """See `Log`."""
        self._module.log(dict(metrics))

    def close(self) -> None:
        """See `Log`."""
        self._module.finish()
