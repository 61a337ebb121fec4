"""Forces on force plates: force, centre of pressure and free moment by plate, in the world of the motion.

A plate measures six numbers. Three are the force. The other three, the moment, are kept as the point on the plate's
surface at which the force alone has the measured horizontal moments, and the vertical moment about that point. Both
forms describe the same wrench; only wrenches are filtered and interpolated, because the centre of pressure has no value
without a force.
"""

from dataclasses import dataclass, replace

import numpy as np
from scipy.interpolate import PchipInterpolator

LOADED = 20.0
"""Vertical force from which a plate has a centre of pressure, and a foot counts as standing on it [N]: the customary
threshold of foot contact on force plates. Below it the centre is a quotient of two small numbers."""

ALIASING = 0.4
"""Cutoff frequency before forces are resampled to a lower rate, as a fraction of that rate."""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlateForces:
    """Forces of the ground on the subject, in a world with z up.

    Attributes:
        names: Name of each plate, or of each load of a file that lists loads, shape (nplate,).
        feet: Foot that the file names for each, "left", "right" or "" if it names none.
        time: Times of the samples after the first frame of the motion, ascending, shape (nsample,) [s].
        force: Force on the subject, shape (nsample, nplate, 3) [N].
        centre: Centre of pressure, shape (nsample, nplate, 3) [m]; NaN where the vertical force is below `LOADED`.
        free_moment: Vertical moment about the centre of pressure, shape (nsample, nplate) [Nm]; 0 where there is none.
        corners: Corners of the plates, shape (nplate, 4, 3) [m]; None if the file does not state them.
        source: Name and hash of the file that they are from.
        mass: Mass of the subject as stated by the file or the user [kg], or None.
    """

    names: tuple[str, ...]
    feet: tuple[str, ...]
    time: np.ndarray
    force: np.ndarray
    centre: np.ndarray
    free_moment: np.ndarray
    corners: np.ndarray | None
    source: str
    mass: float | None = None

    @property
    def loaded(self) -> np.ndarray:
        """Whether each plate is loaded, shape (nsample, nplate) bool."""
        return self.force[..., 2] >= LOADED

    def moved(self, scale: float, shift: np.ndarray) -> "PlateForces":
        """Points scaled, then moved; forces and moments stay as measured.

        Args:
            scale: Factor on lengths.
            shift: Displacement, shape (3,), or one for each sample, shape (nsample, 3) [m].
        """
        shift = np.asarray(shift, np.float64)
        at_samples = shift if shift.ndim == 1 else shift[:, None]
        # Corners do not move with a belt: those of a treadmill are where they were at the start.
        at_start = shift if shift.ndim == 1 else shift[0]
        corners = None if self.corners is None else scale * self.corners + at_start
        return replace(self, centre=scale * self.centre + at_samples, corners=corners)

    def later(self, seconds: float) -> "PlateForces":
        """The same forces for a motion whose first frame is later by some seconds."""
        return replace(self, time=self.time - seconds)

    def at(self, times: np.ndarray) -> tuple["PlateForces", np.ndarray]:
        """Resample to other times.

        Forces of a higher rate are low-pass filtered before (zero-phase Butterworth filter of fourth order at
        `ALIASING` times the new rate). At the times of samples that are not filtered, the result equals the samples.

        Args:
            times: Evenly spaced, shape (nframe,) [s].

        Returns:
            The forces, and whether the recording covers each of the times, shape (nframe,) bool; elsewhere forces
            are zero.
        """
        step = float(np.median(np.diff(self.time)))
        rate = 1.0 / step
        loaded = self.loaded
        wrench, height = self._wrench(loaded), self._height(loaded)
        fps = 1.0 / float(times[1] - times[0])
        if rate > 1.01 * fps and len(self.time) > 12:
            from scipy.signal import butter, sosfiltfilt  # here, because it takes as long to import as all readers

            sections = butter(2, ALIASING * fps, fs=rate, output="sos")
            padding = min(len(self.time) - 1, round(2.0 * rate / (ALIASING * fps)))
            wrench = sosfiltfilt(sections, wrench, axis=0, padlen=padding)
        margin = 0.51 * max(step, 1.0 / fps)  # files often end within the last frame
        covered = (times > self.time[0] - margin) & (times < self.time[-1] + margin)
        inside = np.clip(times, self.time[0], self.time[-1])
        wrench = PchipInterpolator(self.time, wrench, axis=0)(inside) * covered[:, None, None]
        force, centre, free_moment = _at_height(wrench, height[_nearest(self.time, inside)])
        return replace(self, time=times, force=force, centre=centre, free_moment=free_moment), covered

    def _wrench(self, loaded: np.ndarray) -> np.ndarray:
        """Force, and moment about the world's origin, shape (nsample, nplate, 6); zero where a plate is not loaded."""
        centre = np.where(loaded[..., None], self.centre, 0.0)
        moment = np.cross(centre, self.force)
        moment[..., 2] += self.free_moment
        return np.concatenate([self.force, moment], axis=2) * loaded[..., None]

    def _height(self, loaded: np.ndarray) -> np.ndarray:
        """Height of the surface under each plate's load, held while it has none, shape (nsample, nplate) [m]."""
        height = np.zeros(loaded.shape)
        for plate, on in enumerate(loaded.T):
            frames = np.flatnonzero(on)
            if frames.size:
                height[:, plate] = np.interp(np.arange(len(on)), frames, self.centre[frames, plate, 2])
        return height


def _nearest(known: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Index of the sample nearest to each time, shape (nframe,)."""
    after = np.clip(np.searchsorted(known, times), 1, len(known) - 1)
    return after - (times - known[after - 1] < known[after] - times)


def from_moments(
    *,
    names: tuple[str, ...],
    feet: tuple[str, ...],
    time: np.ndarray,
    force: np.ndarray,
    point: np.ndarray,
    moment: np.ndarray,
    corners: np.ndarray | None,
    source: str,
    mass: float | None,
) -> PlateForces:
    """Forces from wrenches: a force at a point of the surface, and the moment about that point.

    Args:
        names: As in `PlateForces`, like the other arguments but these:
        feet: See there.
        time: See there.
        force: See there.
        point: Point of the surface, shape (nsample, nplate, 3) [m].
        moment: Moment about it, shape (nsample, nplate, 3) [Nm].
        corners: See there.
        source: See there.
        mass: See there.
    """
    wrench = np.concatenate([force, np.cross(point, force) + moment], axis=2)
    force, centre, free_moment = _at_height(wrench, point[..., 2])
    return PlateForces(
        names=names, feet=feet, time=time, force=force, centre=centre, free_moment=free_moment, corners=corners,
        source=source, mass=mass,
    )  # fmt: skip


def joined(
    force: np.ndarray, centre: np.ndarray, free_moment: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:  # fmt: skip
    """The one force that equals the forces of several plates.

    Args:
        force: Forces, shape (nsample, nplate, 3) [N].
        centre: Where they act, shape (nsample, nplate, 3) [m]; ignored where a force is 0.
        free_moment: Vertical moments about these points, shape (nsample, nplate) [Nm].

    Returns:
        Force (nsample, 3), centre of pressure (nsample, 3) at the mean height of the loads, and free moment (nsample,);
        the centre is NaN where the vertical force is below `LOADED`.
    """
    acts = np.asarray(force.any(axis=2))
    centre = np.where(acts[..., None], centre, 0.0)
    moment = np.cross(centre, force)
    moment[..., 2] += np.where(acts, free_moment, 0.0)
    wrench = np.concatenate([force.sum(axis=1), moment.sum(axis=1)], axis=1)
    weight = np.abs(force[..., 2])
    height = np.sum(weight * centre[..., 2], axis=1) / np.maximum(weight.sum(axis=1), 1e-9)
    return _at_height(wrench, height)


def _at_height(wrench: np.ndarray, height: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Force, centre of pressure at a height, and free moment of wrenches about the origin.

    The moment of a force at (x, y, h) about the origin is (y Fz - h Fy, h Fx - x Fz, ...): solved for x and y.
    """
    force, moment = wrench[..., :3], wrench[..., 3:]
    loaded = force[..., 2] >= LOADED
    vertical = np.where(loaded, force[..., 2], 1.0)
    x = (height * force[..., 0] - moment[..., 1]) / vertical
    y = (height * force[..., 1] + moment[..., 0]) / vertical
    centre = np.where(loaded[..., None], np.stack([x, y, height], axis=-1), np.nan)
    free_moment = np.where(loaded, moment[..., 2] - (x * force[..., 1] - y * force[..., 0]), 0.0)
    return force.copy(), centre, free_moment
