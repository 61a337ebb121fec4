"""Recorded episodes on disk, which fill a world model's replay buffer.

A file is an .npz archive without pickle, written by `write_episodes`, for nworld episodes of up to nstep control steps:

    format      "musclemap-episodes 1"
    body        SHA-256 of the complete model, `SimulationBody.sha256`
    qpos        (nstep + 1, nworld, nq)  configurations of the simulated body before each step and after the last
    qvel        (nstep + 1, nworld, nv)  velocities
    act         (nstep + 1, nworld, nu)  muscle activations
    ctrl        (nstep, nworld, nu)      excitations of each step, 0 to 1
    frame       (nstep, nworld)          frame of the clip that the state before the step should match
    clip        (nworld,)                name of the clip: its path in the data set
    length      (nworld,)                number of steps; later ones are ignored
    terminated  (nworld,)                1 if the last step exceeded a limit of the task, such as a fall

Columns are those of the model that is simulated: `load_simulation_body` without its locked fingers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.formats.npz import npz_bytes
from musclemap.errors import FileError
from musclemap.files import read_bytes, shown
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.npz_arrays import NpzArrays, text_of

FORMAT = "musclemap-episodes 1"

MAX_BYTES = 2**31
"""Largest file, and largest array as float64 [B]: 500,000 steps of MyoFullBody. Longer recordings are split."""

_NUMBERS = ("qpos", "qvel", "act", "ctrl", "frame", "length", "terminated")


@dataclass(frozen=True, kw_only=True)
class Episodes:
    """Recorded episodes of one body; see the module for shapes.

    Attributes:
        qpos: Configurations.
        qvel: Velocities.
        act: Muscle activations.
        ctrl: Excitations.
        frame: Frame of the clip before each step.
        clip: Names of the clips.
        length: Numbers of steps.
        terminated: Whether the last step exceeded a limit.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    act: np.ndarray
    ctrl: np.ndarray
    frame: np.ndarray
    clip: tuple[str, ...]
    length: np.ndarray
    terminated: np.ndarray


def write_episodes(path: Path, episodes: Episodes, body: SimulationBody) -> None:
    """Write episodes atomically.

    Raises:
        TrainingError: If an array does not have the body's shape or is not finite.
    """
    arrays = {name: np.asarray(getattr(episodes, name)) for name in _NUMBERS}
    _check(arrays, len(episodes.clip), body, where="the episodes")
    stored = {name: array.astype(np.float32 if name in _NUMBERS[:4] else np.int32) for name, array in arrays.items()}
    texts = {"format": np.array(FORMAT), "body": np.array(body.sha256), "clip": np.array(episodes.clip)}
    write_atomically(path, npz_bytes({**texts, **stored}))


def read_episodes(path: Path, body: SimulationBody) -> Episodes:
    """Read and validate a file of episodes.

    Raises:
        TrainingError: If it is not such a file, damaged, or of another body.
    """
    try:
        arrays = NpzArrays(read_bytes(path, limit=MAX_BYTES), limit=MAX_BYTES)
        facts = {name: text_of(arrays.array(name)) for name in ("format", "body")}
        clip = arrays.array("clip")
        numbers = {name: arrays.numbers(name) for name in _NUMBERS}
    except FileError as error:
        raise TrainingError(f"{path} cannot be read as episodes: {error}") from error
    if facts["format"] != FORMAT:
        raise TrainingError(f"{path} has the format {shown(facts['format'])}; this release reads {FORMAT!r}")
    if facts["body"] != body.sha256:
        raise TrainingError(f"{path} holds episodes of another body than {body.name}, or of another version of it")
    if clip.ndim != 1 or clip.dtype.kind != "U":
        raise TrainingError(f"{path}: clip is {clip.dtype} of shape {clip.shape}, not a list of names")
    _check(numbers, len(clip), body, where=str(path))
    return Episodes(clip=tuple(clip.tolist()), **{name: numbers[name].astype(kind) for name, kind in _TYPES.items()})


_TYPES: Mapping[str, type] = {
    "qpos": np.float32, "qvel": np.float32, "act": np.float32, "ctrl": np.float32, "frame": np.int32,
    "length": np.int32, "terminated": np.bool_,
}  # fmt: skip


def _check(arrays: Mapping[str, np.ndarray], nworld: int, body: SimulationBody, *, where: str) -> None:
    """Refuse arrays of wrong shapes and values out of range."""
    model, nstep = body.model, len(arrays["ctrl"])
    widths = {"qpos": model.nq, "qvel": model.nv, "act": model.nu}
    shapes: dict[str, tuple[int, ...]] = {name: (nstep + 1, nworld, width) for name, width in widths.items()}
    shapes |= {"ctrl": (nstep, nworld, model.nu), "frame": (nstep, nworld), "length": (nworld,)}
    shapes["terminated"] = (nworld,)
    for name, shape in shapes.items():
        if arrays[name].shape != shape:
            raise TrainingError(f"{where}: {name} has shape {arrays[name].shape}, not {shape}")
        if not np.isfinite(arrays[name]).all():
            raise TrainingError(f"{where}: {name} is not finite")
    limits = {"ctrl": (0, 1), "act": (0, 1), "frame": (0, 2**31 - 1), "length": (0, nstep), "terminated": (0, 1)}
    for name, (lower, upper) in limits.items():
        if ((arrays[name] < lower) | (arrays[name] > upper)).any():
            raise TrainingError(f"{where}: {name} has values outside {lower} to {upper}")
