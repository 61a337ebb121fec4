"""Files of fitted muscle lengths: one per body and settings, in folders that runs share."""

import hashlib
import math
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import numpy as np
import safetensors.numpy

from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.manifest import strict_json
from musclemap.errors import FileError
from musclemap.files import read_bytes
from musclemap.imitation.cached_files import read_cached
from musclemap.imitation.physics.bodies import SimulationBody

from .tendons import ARM_ERROR, LENGTH_ERROR, TendonError, Tendons, TendonWeights, fit_tendons
from .world_config import TendonConfig

MAX_ABS = 1e6
"""Largest absolute value of weights, lengths and errors."""

_ARRAY_NAMES = ("joints", "mask", "middle", "half", "mean", "scale")


def tendon_key(body: SimulationBody, config: TendonConfig) -> str:
    """Identifier of a fit, determined by the body, its muscles and the settings."""
    facts = {"body": body.sha256, "muscles": body.muscle_names, "joints": body.joint_names, "config": asdict(config),
             "arm_error": ARM_ERROR, "length_error": LENGTH_ERROR, "version": 2}  # fmt: skip
    return hashlib.sha256(strict_json(facts).encode()).hexdigest()[:16]


def load_or_fit(
    body: SimulationBody, config: TendonConfig, *folders: Path, on_message: Callable[[str], None] = lambda text: None
) -> Tendons:
    """Load a fit from the first folder that has it, or make it; then store it in the folders that lack it.

    Args:
        body: The body.
        config: Settings.
        folders: Folders with fits.
        on_message: Called with messages for the user, for example about a damaged file, which is replaced.
    """
    name = f"tendons-{body.name}-{tendon_key(body, config)}.safetensors"
    tendons = None
    for folder in folders:
        tendons = tendons or read_cached(folder / name, lambda path: _read(path, body, config), on_message)
    tendons = tendons or fit_tendons(body, config, on_message=on_message)
    for folder in folders:
        if not os.path.lexists(folder / name):
            _write(folder / name, tendons)
    return tendons


def _write(path: Path, tendons: Tendons) -> None:
    arrays = {name: np.ascontiguousarray(getattr(tendons, name)) for name in _ARRAY_NAMES}
    arrays |= {f"weights.{name}": np.asarray(value) for name, value in tendons.weights._asdict().items()}
    arrays |= {f"error.{name}": value for name, value in tendons.error._asdict().items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, safetensors.numpy.save(arrays | {"torque_error": np.array([tendons.torque_error])}))


def _read(path: Path, body: SimulationBody, config: TendonConfig) -> Tendons:
    """Read the fit for a body and settings; dtypes and shapes must be those that `fit_tendons` produces.

    Raises:
        FileError: If an array is missing or has another dtype, shape or range.
        Exception: Any exception that safetensors raises on damaged files.
    """
    nu, njoint = body.model.nu, len(body.joint_names)
    arrays = safetensors.numpy.load(read_bytes(path, limit=_max_bytes(nu, njoint, config.hidden)))
    ncross = arrays["joints"].shape[-1] if arrays.get("joints", np.zeros(())).ndim == 2 else 0
    if not 1 <= ncross <= njoint:
        raise FileError(f"a muscle crosses 1 to {njoint} joints, not {ncross}")
    for name, (dtype, shape) in _layout(nu, njoint, ncross, config.hidden).items():
        _check(name, arrays.get(name), dtype, shape)
    if arrays["joints"].min() < 0 or arrays["joints"].max() >= njoint:
        raise FileError(f"joint indices must be from 0 to {njoint - 1}")
    for name in ("half", "scale"):
        if arrays[name].min() <= 0:
            raise FileError(f"{name} must be positive")
    if not np.isin(arrays["mask"], (0.0, 1.0)).all():
        raise FileError("mask has values other than 0 and 1")
    by_prefix = lambda cls, prefix: cls(**{name: arrays[f"{prefix}.{name}"] for name in cls._fields})  # noqa: E731
    return Tendons(
        **{name: arrays[name] for name in _ARRAY_NAMES}, weights=by_prefix(TendonWeights, "weights"),
        error=by_prefix(TendonError, "error"), torque_error=float(arrays["torque_error"][0]),
    )  # fmt: skip


def _layout(nu: int, njoint: int, ncross: int, hidden: int) -> dict[str, tuple[str, tuple[int, ...]]]:
    """Dtype and shape of every array in a file."""
    crossed, joint, muscle = (nu, ncross), (njoint,), (nu,)
    plain = {"joints": ("int32", crossed), "mask": ("float64", crossed), "middle": ("float64", joint),
             "half": ("float64", joint), "mean": ("float64", muscle), "scale": ("float64", muscle)}  # fmt: skip
    shapes = ((nu, hidden, ncross), (nu, hidden), (nu, hidden, hidden), (nu, hidden), (nu, hidden), muscle)
    weights = {f"weights.{name}": ("float32", s) for name, s in zip(TendonWeights._fields, shapes, strict=True)}
    errors = {f"error.{name}": ("float64", muscle) for name in TendonError._fields}
    return plain | weights | errors | {"torque_error": ("float64", (1,))}


def _max_bytes(nu: int, njoint: int, hidden: int) -> int:
    """Largest size of a file [B]: eight bytes per number, and a header."""
    return 8 * sum(math.prod(shape) for _, shape in _layout(nu, njoint, njoint, hidden).values()) + 2**16


def _check(name: str, array: np.ndarray | None, dtype: str, shape: tuple[int, ...]) -> None:
    if array is None:
        raise FileError(f"it has no {name}")
    if array.dtype != dtype or array.shape != shape:
        raise FileError(f"{name} has type {array.dtype} and shape {array.shape}, not {dtype} and {shape}")
    if not np.isfinite(array).all() or np.abs(array).max() > MAX_ABS:
        raise FileError(f"{name} is not finite or has values beyond {MAX_ABS:g}")
