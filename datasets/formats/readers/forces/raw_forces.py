"""Ground forces in the axes and the unit of their file."""

from dataclasses import dataclass

import numpy as np

from musclemap.datasets.plates.plate_forces import LOADED, PlateForces, from_moments
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

MAX_PLATES = 64
"""Most plates of a file; laboratories have up to a dozen."""

MAX_FORCE, MAX_DISTANCE = 1e5, 1e3
"""Largest force [N] and largest coordinate [m] of a person on a plate, with a wide margin."""

UPRIGHT_SHARE = 0.7
"""Share of the mean force along an axis from which the axis is vertical: friction averages out."""


@dataclass(frozen=True, kw_only=True, eq=False)
class RawForces:
    """Forces of the ground on the subject as a file states them.

    Attributes:
        names: Name of each plate or load, shape (nplate,).
        feet: Foot that the file names for each: "left", "right" or "".
        time: Times of the samples by the file's clock, ascending, shape (nsample,) [s].
        force: Forces, shape (nsample, nplate, 3) [N].
        point: Points of application, shape (nsample, nplate, 3), in the file's unit of length.
        moment: Moments about these points, shape (nsample, nplate, 3), in newtons times that unit.
        corners: Corners of the plates, shape (nplate, 4, 3), in that unit; None if they are not stated.
        source: Name and hash of the file.
        mass: Mass of the subject that the file states [kg], or None.
        sign_known: Whether these are the forces on the subject; otherwise those of some plates may be the forces on the
            plate.
    """

    names: tuple[str, ...]
    feet: tuple[str, ...]
    time: np.ndarray
    force: np.ndarray
    point: np.ndarray
    moment: np.ndarray
    corners: np.ndarray | None
    source: str
    mass: float | None = None
    sign_known: bool = True


def in_world(raw: RawForces, *, turn: np.ndarray, metres: float, mass: float | None) -> PlateForces:
    """Forces in a world with z up and metres.

    Args:
        raw: Forces of the file.
        turn: Rotation from the file's axes to the world, shape (3, 3): that of the motion.
        metres: Length of the file's unit [m].
        mass: Mass of the subject that the user states [kg], or None for that of the file.

    Raises:
        SourceError: If the forces cannot be those of the ground on a person in this world ("bad_forces").
    """
    turn = np.asarray(turn, np.float64)
    if len(raw.time) < 2 or not all(np.isfinite(array).all() for array in (raw.force, raw.moment, raw.time)):
        raise SourceError(ReasonCode.BAD_FORCES, "they have fewer than two samples, or numbers that are not finite")
    force, point, moment = raw.force @ turn.T, metres * raw.point @ turn.T, metres * raw.moment @ turn.T
    pressed = np.abs(force[..., 2]) >= LOADED
    point = np.where(pressed[..., None], point, 0.0)  # without load, files have any number there
    if not raw.sign_known:
        sign = np.where(np.sum(force[..., 2] * pressed, axis=0) < 0.0, -1.0, 1.0)[:, None]
        force, moment = sign * force, sign * moment
    if not (np.abs(force).max(initial=0.0) <= MAX_FORCE and np.abs(point).max(initial=0.0) <= MAX_DISTANCE):
        raise SourceError(
            ReasonCode.BAD_FORCES,
            f"forces of up to {np.abs(force).max():.3g} N at up to {np.abs(point).max():.3g} m: not those of a person",
        )
    total = force.sum(axis=1)
    pushing = total[np.linalg.norm(total, axis=1) >= LOADED]
    if not len(pushing):
        raise SourceError(ReasonCode.BAD_FORCES, f"no plate is loaded by {LOADED:g} N or more")
    mean = pushing.mean(axis=0)
    up = mean[2] / max(float(np.linalg.norm(mean)), 1e-9)
    if up < UPRIGHT_SHARE:
        along = "xyz"[int(np.abs(turn.T @ mean).argmax())]
        raise SourceError(
            ReasonCode.BAD_FORCES,
            f"the mean force points along {along} of the file, which is not up in the motion: forces and motion must "
            "have the same axes",
        )
    return from_moments(
        names=raw.names, feet=raw.feet, time=raw.time, force=force, point=point, moment=moment,
        corners=None if raw.corners is None else metres * raw.corners @ turn.T, source=raw.source,
        mass=raw.mass if mass is None else mass,
    )  # fmt: skip
