"""Measured ground forces of a clip: their place in its world, and what they are on its body.

The subject and the body differ in size, in proportions and in mass. The centre of pressure of a foot is scaled with the
motion about the foot: from ankle and ball of the subject to those of the body, so that it is under the same part of the
sole. Forces are kept as measured, and used in multiples of body weight: times the mass of the body and divided by that
of the subject; free moments also times the scale of lengths.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.plates.plate_forces import LOADED, PlateForces, joined
from musclemap.intervals import runs
from musclemap.skeletons.body import TargetBody

from .contact_forces import GRAVITY
from .plates_under_feet import foot_on_plate, known_feet, outline_distances, overhang

SHORTEST = 0.4
"""Shortest time of complete measurement from which the subject's mass is taken [s]; a step of walking."""

SLOPE_TIME = 0.1
"""Time over which the velocity of the centre of mass is taken [s]."""

MASS_RANGE = (10.0, 300.0)
"""Plausible masses of subjects [kg]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class ClipPlates:
    """Force plates at the frames of a clip.

    Attributes:
        plates: Forces as measured, points in the world of the clip.
        foot: From `foot_on_plate`, shape (nframe, nplate, 2) bool.
        mass: Mass of the subject [kg]; None if it is not stated, and the plates never bear the whole body for long
            enough to show it.
        offset: Median distance of the centres of pressure from the outlines of the subject's feet [m]; 0 under them.
        overhang: From `overhang`, shape (nframe, 2) [m].
        mass_source: "stated", "strides" (mean force over whole strides), "impulse" (over another time) or "unknown".
    """

    plates: PlateForces
    foot: np.ndarray
    mass: float | None
    mass_source: str
    offset: float
    overhang: np.ndarray

    def fields(self) -> dict[str, Any]:
        """Members of a clip."""
        loaded = self.plates.loaded
        centre = self.plates.centre.copy()
        frames = np.arange(len(centre))
        for plate, on in enumerate(loaded.T):  # held where there is none: no NaN in clips
            known = frames[on]
            nearest = known[np.abs(known - frames[:, None]).argmin(axis=1)] if known.size else frames
            centre[:, plate] = centre[nearest, plate] if known.size else 0.0
        return {
            "plate_names": self.plates.names,
            "plate_force": self.plates.force.astype(np.float32),
            "plate_centre": centre.astype(np.float32),
            "plate_free_moment": self.plates.free_moment.astype(np.float32),
            "plate_foot": self.foot.astype(np.uint8),
        }

    def metrics(self) -> dict[str, Any]:
        """Metrics of a clip: the mass of the subject and where it is from, and how far off its feet forces act."""
        mass = {} if self.mass is None else {"subject_mass_kg": self.mass}
        return {"subject_mass_source": self.mass_source, **mass, "plate_offset_mm": 1e3 * self.offset}


@dataclass(frozen=True, kw_only=True, eq=False)
class KnownForces:
    """Measured forces on the feet of a body, left and right.

    Attributes:
        known: Whether the force of a foot is measured, shape (nframe, 2) bool; a measured force may be 0.
        bearing: Whether the foot stands on a plate, shape (nframe, 2) bool.
        force: Force in body weights times the body's weight, shape (nframe, 2, 3) [N]; 0 where it is not known.
        centre: Centre of pressure, shape (nframe, 2, 3) [m]; 0 without force.
        free_moment: Vertical moment about it, shape (nframe, 2) [Nm].
    """

    known: np.ndarray
    bearing: np.ndarray
    force: np.ndarray
    centre: np.ndarray
    free_moment: np.ndarray

    def __getitem__(self, frames: slice | np.ndarray) -> "KnownForces":
        return KnownForces(**{name: getattr(self, name)[frames] for name in self.__dataclass_fields__})

    def wrench(self, root: np.ndarray) -> np.ndarray:
        """Force of each foot, and its moment about a point, shape (nframe, 2, 6); root has shape (nframe, 3) [m]."""
        moment = np.cross(self.centre - root[:, None], self.force)
        moment[..., 2] += self.free_moment
        return np.concatenate([self.force, moment], axis=2)

    def in_frame(self, rot: np.ndarray, origin: np.ndarray) -> "KnownForces":
        """The same in a frame turned about the vertical: vectors v become v @ rot, points (p - origin) @ rot."""
        acts = np.asarray(self.force.any(axis=2))[..., None]
        return replace(self, force=self.force @ rot, centre=np.where(acts, (self.centre - origin) @ rot, 0.0))

    def bears(self, bearing: np.ndarray) -> np.ndarray:
        """Bearing of all parts, shape (nframe, npart) bool: of the feet as measured where it is known."""
        result = bearing.copy()
        result[:, :2] = np.where(self.known, self.bearing, bearing[:, :2])
        return result


@dataclass(frozen=True, kw_only=True, eq=False)
class FeetOfBoth:
    """Feet of the subject and of the body at the frames of a clip: ankle and ball of the left and the right foot.

    Attributes:
        source: Those of the subject, in the world and the size of the source, shape (nframe, 2, 2, 3) [m].
        clip: Those of the body in the world of the clip but for the travel of a treadmill, same shape.
        travel: Displacement that was added for a treadmill, shape (nframe, 3) [m].
        sole: Height of the lowest point of each foot of the body, shape (nframe, 2) [m].
        bearing: Whether each part of the body bears by the motion alone, shape (nframe, npart) bool.
        height: Height of the centre of mass of the body, shape (nframe,) [m].
    """

    source: np.ndarray
    clip: np.ndarray
    travel: np.ndarray
    sole: np.ndarray
    bearing: np.ndarray
    height: np.ndarray


def place_plates(plates: PlateForces, feet: FeetOfBoth, fps: float, *, scale: float) -> ClipPlates:
    """Put measured forces into the world of a clip.

    Args:
        plates: Forces in the world and the size of the source.
        feet: Feet of subject and body.
        fps: Frame rate of the clip [Hz].
        scale: Size of the clip relative to the source.
    """
    here, covered = plates.at(np.arange(len(feet.sole)) / fps)
    foot = foot_on_plate(here, feet.source, feet.bearing, covered)
    mass, source = plates.mass, "stated"
    if mass is None:
        known, on = known_feet(here.force, foot, feet.bearing, threshold=LOADED)
        complete = np.asarray(known.all(axis=1)) & ~np.asarray(feet.bearing[:, 2:].any(axis=1))
        vertical = np.sum(here.force[..., 2] * here.loaded * foot.any(axis=2), axis=1)
        mass, source = _mass(vertical, complete, on, feet.height / scale, fps)
    distances = [
        outline_distances(feet.source[on], here.centre[on, plate])[:, side]
        for plate in range(len(here.names))
        for side in range(2)
        if (on := foot[:, plate, side] & ~foot[:, plate, 1 - side]).any()
    ]
    offset = float(np.median(np.concatenate(distances))) if distances else 0.0
    placed = replace(here, centre=_under_feet(here, foot, feet, scale), corners=None)
    over = overhang(here, feet.source, foot)
    return ClipPlates(plates=placed, foot=foot, mass=mass, mass_source=source, offset=offset, overhang=over)


def _under_feet(plates: PlateForces, foot: np.ndarray, feet: FeetOfBoth, scale: float) -> np.ndarray:
    """Centres of pressure in the world of the clip, shape (nframe, nplate, 3) [m].

    While a foot stands the step from the one world to the other is constant but for the travel of a treadmill, and the
    centre is on the sole.
    """
    shift = np.mean(feet.clip - scale * feet.source, axis=2)
    moved = scale * plates.centre + shift.mean(axis=1)[:, None]
    for plate in range(len(plates.names)):
        for side in range(2):
            alone = foot[:, plate, side] & ~foot[:, plate, 1 - side]
            for start, stop in runs(alone):
                part = slice(start, stop)
                moved[part, plate] = scale * plates.centre[part, plate] + shift[part, side].mean(axis=0)
                moved[part, plate, 2] = np.median(feet.sole[part, side])
    return moved + feet.travel[:, None]


def _mass(
    vertical: np.ndarray, complete: np.ndarray, on: np.ndarray, height: np.ndarray, fps: float
) -> tuple[float | None, str]:
    """Mass of a subject by Newton's law: impulse of the ground = mass (g T + change of the vertical velocity).

    Over whole strides the second term vanishes but for noise; over other times it counts.

    Args:
        vertical: Vertical force of the plates, shape (nframe,) [N].
        complete: Whether they bear all that the ground bears, shape (nframe,) bool.
        on: Whether each foot is on a plate, shape (nframe, 2) bool.
        height: Height of the subject's centre of mass, shape (nframe,) [m].
        fps: Frame rate [Hz].
    """
    half = max(1, round(0.5 * SLOPE_TIME * fps))
    frames = np.arange(len(height))
    before, after = np.maximum(frames - half, 0), np.minimum(frames + half, len(frames) - 1)
    velocity = (height[after] - height[before]) * fps / np.maximum(after - before, 1)
    impulse = effect = 0.0
    source = "strides"
    whole = [span for run in runs(complete) if (span := _strides(on[slice(*run)], run[0])) is not None]
    spans = whole
    if not whole:
        source = "impulse"
        spans = [(start, stop - 1) for start, stop in runs(complete) if stop - 1 - start >= SHORTEST * fps]
    for start, stop in spans:
        impulse += float(np.trapezoid(vertical[start : stop + 1])) / fps
        change = 0.0 if whole else float(velocity[stop] - velocity[start])
        effect += GRAVITY * (stop - start) / fps + change
    mass = impulse / effect if effect > 0 else 0.0
    return (mass, source) if MASS_RANGE[0] <= mass <= MASS_RANGE[1] else (None, "unknown")


def _strides(on: np.ndarray, first: int) -> tuple[int, int] | None:
    """First and last frame of the most whole strides, between strikes of the same foot."""
    spans = []
    for foot in on.T:
        strikes = np.flatnonzero(np.diff(foot.astype(np.int8)) == 1) + 1
        if len(strikes) > 1:
            spans.append((first + int(strikes[0]), first + int(strikes[-1])))
    return max(spans, key=lambda span: span[1] - span[0], default=None)


def known_forces(plates: ClipPlates, body: TargetBody, bearing: np.ndarray, *, scale: float) -> KnownForces | None:
    """Forces on a body; None if the mass of the subject is unknown.

    Args:
        plates: Plates of the clip.
        body: Body of the clip.
        bearing: Whether each part bears by the motion alone, shape (nframe, npart) bool.
        scale: Size of the clip relative to the subject.
    """
    if plates.mass is None:
        return None
    measured = plates.plates
    return _known(measured.force, measured.centre, measured.free_moment, plates.foot, bearing,
                  factor=body.mass / plates.mass, scale=scale)  # fmt: skip


def known_forces_of(clip: Clip, body: TargetBody, bearing: np.ndarray) -> KnownForces | None:
    """The same of a clip file; None if it has no plates, or the mass of its subject is unknown."""
    mass = _number(clip.metrics, "subject_mass_kg")
    arrays = (clip.plate_force, clip.plate_centre, clip.plate_free_moment, clip.plate_foot)
    force, centre, free_moment, foot = arrays
    if not mass or force is None or centre is None or free_moment is None or foot is None:
        return None
    force, centre, free_moment = (np.asarray(array, np.float64) for array in (force, centre, free_moment))
    return _known(force, centre, free_moment, foot > 0, bearing, factor=body.mass / mass, scale=clip.subject_scale)


def _known(
    force: np.ndarray, centre: np.ndarray, free_moment: np.ndarray, foot: np.ndarray, bearing: np.ndarray, *,
    factor: float, scale: float,
) -> KnownForces:  # fmt: skip
    known, on = known_feet(force, foot, bearing, threshold=LOADED)
    shape = (len(force), 2)
    forces, centres, moments = np.zeros((*shape, 3)), np.zeros((*shape, 3)), np.zeros(shape)
    for side in range(2):
        alone = foot[..., side] & ~foot[..., 1 - side] & (force[..., 2] >= LOADED)
        total, centre_of_foot, free = joined(force * alone[..., None], centre, free_moment)
        acts = known[:, side] & on[:, side]
        forces[acts, side], centres[acts, side] = factor * total[acts], centre_of_foot[acts]
        moments[acts, side] = factor * scale * free[acts]
    return KnownForces(known=known, bearing=on & known, force=forces, centre=centres, free_moment=moments)


def _number(metrics: Mapping[str, Any], name: str) -> float:
    value = metrics.get(name)
    return float(value) if isinstance(value, int | float) else 0.0
