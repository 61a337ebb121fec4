"""How far the estimate of the ground forces is from the measurement of force plates."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.intervals import runs
from musclemap.retarget.forces.measured import KnownForces
from musclemap.retarget.forces.plates_under_feet import FEET

EVENT_WINDOW = 0.3
"""An estimated event further from the measured one is another event [s]."""


@dataclass(frozen=True, kw_only=True)
class MeasuredGround:
    """Measured forces on the feet of a clip's body, and what is estimated without them. The first axis is the frame.

    Attributes:
        known: Whether the force on the left and the right foot is measured, shape (nframe, 2) bool.
        used: Whether inverse dynamics uses the measured forces, shape (nframe,) bool; the same in all frames.
        bearing: Whether each foot stands on a plate, shape (nframe, 2) bool.
        force: Measured forces in the weight of the body, shape (nframe, 2, 3) [N].
        estimate: Forces on all parts without the measurement, shape (nframe, npart, 3) [N].
        estimated_bearing: Whether each foot bears without the measurement, shape (nframe, 2) bool.
    """

    known: np.ndarray
    used: np.ndarray
    bearing: np.ndarray
    force: np.ndarray
    estimate: np.ndarray
    estimated_bearing: np.ndarray


def measured_ground(
    known: KnownForces, estimate: np.ndarray, bearing: np.ndarray, *, used: bool
) -> MeasuredGround:  # fmt: skip
    """Put measurement and estimate side by side.

    Args:
        known: Measured forces.
        estimate: Estimated forces on all parts, shape (nframe, npart, 3) [N].
        bearing: Whether each part bears without the measurement, shape (nframe, npart) bool.
        used: Whether inverse dynamics uses the measured forces.
    """
    return MeasuredGround(
        known=known.known, used=np.full(len(estimate), used), bearing=known.bearing, force=known.force,
        estimate=estimate, estimated_bearing=bearing[:, :2],
    )  # fmt: skip


def stored_measurement(measured: MeasuredGround | None) -> dict[str, Any]:
    """Members of a clip; None where no measured force is used."""
    if measured is None or not (measured.used[0] and measured.known.any()):
        return {"measured": None, "estimated_force": None}
    return {
        "measured": measured.known.astype(np.uint8),
        "estimated_force": measured.estimate.astype(np.float32),
    }


def measured_metrics(measured: MeasuredGround | None, *, weight: float, fps: float) -> dict[str, Any]:
    """Metrics of the measurement and of the estimate against it; empty without force plates.

    Args:
        measured: Both.
        weight: Body weight [N].
        fps: Frame rate [Hz].

    Returns:
        `forces` ("measured" or "estimated", as used), and `plate_frames_fraction`, the fraction of frames in which all
        that the feet bear is measured. For each foot with a measured load `estimate_r_left` and
        `estimate_rms_bw_left`, Pearson's r and the root mean square error of the estimated vertical force [body
        weights] over the frames with a measurement; of both feet `estimate_event_ms`, the mean absolute error of
        touchdown and toe-off, `estimate_event_worst_ms` and `estimate_events_missed`.
    """
    if measured is None:
        return {}
    used = bool(measured.used[0] and measured.known.any())
    result: dict[str, Any] = {
        "forces": "measured" if used else "estimated",
        "plate_frames_fraction": float(measured.known.all(axis=1).mean()),
    }
    errors, missed = [], 0
    for foot, side in enumerate(FEET):
        known = measured.known[:, foot]
        ref, own = (force[known, foot, 2] / weight for force in (measured.force, measured.estimate))
        if not (ref > 0.0).any():
            continue
        if ref.std() > 0.0 and own.std() > 0.0:
            result[f"estimate_r_{side}"] = float(np.corrcoef(ref, own)[0, 1])
        result[f"estimate_rms_bw_{side}"] = float(np.sqrt(np.mean((own - ref) ** 2)))
        found, lost = _event_errors(measured.bearing[:, foot], measured.estimated_bearing[:, foot], known, fps)
        errors, missed = errors + found, missed + lost
    if errors:
        result["estimate_event_ms"] = 1e3 * float(np.mean(errors))
        result["estimate_event_worst_ms"] = 1e3 * float(np.max(errors))
    if errors or missed:
        result["estimate_events_missed"] = float(missed)
    return result


def _event_errors(ref: np.ndarray, own: np.ndarray, known: np.ndarray, fps: float) -> tuple[list[float], int]:
    """Distances of estimated touchdowns and toe-offs from the measured ones [s], and how many have none near.

    Args:
        ref: Whether the foot bears by the plates, shape (nframe,) bool.
        own: Whether it bears by the motion.
        known: Whether it is measured.
        fps: Frame rate [Hz].
    """
    errors, missed = [], 0
    for end in (0, 1):
        events = lambda bears, end=end: np.array([run[end] for run in runs(bears) if 0 < run[end] < len(bears)], int)  # noqa: E731
        instants = events(own)
        for event in events(ref):
            if not known[event - 1 : event + 1].all():
                continue
            nearest = float(np.abs(instants - event).min()) / fps if instants.size else np.inf
            if nearest <= EVENT_WINDOW:
                errors.append(nearest)
            else:
                missed += 1
    return errors, missed
