"""Files of the finite differences along a motion: minutes of simulation that runs with the same motion share."""

import hashlib
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import mujoco
import numpy as np
import safetensors.numpy

from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.manifest import strict_json
from musclemap.files import read_bytes
from musclemap.imitation.cached_files import read_cached
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.config import PhysicsConfig

from .linearisation import NominalPath
from .regulator_config import RegulatorConfig

MAX_FILES = 20
"""Files that are kept; each takes 4 MB per second of MyoFullBody."""

_NAME = "by_state"


def differences_file(body: SimulationBody, physics: PhysicsConfig, path: NominalPath, config: RegulatorConfig) -> str:
    """Name of the file, determined by everything that the differences depend on."""
    facts = {"body": body.sha256, "physics": asdict(physics), "mujoco": mujoco.__version__, "version": 1,
             "position_step": config.position_step, "velocity_step": config.velocity_step}  # fmt: skip
    key = hashlib.sha256(strict_json(facts).encode())
    for array in path:
        key.update(np.ascontiguousarray(array).tobytes())
    return f"differences-{body.name}-{key.hexdigest()[:16]}.safetensors"


def read_differences(file: Path, shape: tuple[int, ...], on_message: Callable[[str], None]) -> np.ndarray | None:
    """Read `Linearisation.by_state` of this shape; None if there is no usable file. A damaged one is removed."""
    return read_cached(file, lambda path: _read(path, shape), on_message)


def write_differences(file: Path, by_state: np.ndarray) -> None:
    """Write them, and remove the oldest of more than `MAX_FILES` files."""
    write_atomically(file, safetensors.numpy.save({_NAME: np.ascontiguousarray(by_state)}))
    files = sorted(file.parent.glob("differences-*.safetensors"), key=lambda path: path.stat().st_mtime)
    for old in files[:-MAX_FILES]:
        old.unlink(missing_ok=True)


def _read(file: Path, shape: tuple[int, ...]) -> np.ndarray:
    array = safetensors.numpy.load(read_bytes(file, limit=4 * int(np.prod(shape)) + 2**16))[_NAME]
    if array.dtype != np.float32 or array.shape != shape:
        raise ValueError(f"type {array.dtype} and shape {array.shape}, not float32 and {shape}")
    if not np.isfinite(array).all():
        raise ValueError("values that are not finite")
    return array
