"""Metrics of sources, targets and fits, which a finished clip does not show, and the contacts that it stores."""

from typing import Any

import numpy as np

from musclemap.datasets.motion import SourceMotion
from musclemap.intervals import runs
from musclemap.retarget.solver.fitter import Fit
from musclemap.retarget.targets.landmark_targets import MotionTargets


def fit_metrics(motion: SourceMotion, targets: MotionTargets, fit: Fit) -> dict[str, Any]:
    """Metrics of the source, the targets and the fit, which the finished clip does not show."""
    world = {"source_up": motion.file_up, "source_unit_m": motion.file_unit} if motion.file_up else {}
    stance = targets.stance
    sized = {} if stance.free_scale is None else {"scaled": "body", "motion_scale": stance.free_scale}
    return world | sized | {
        "scale": targets.stance.scale,
        "scale_evidence": targets.stance.scale_evidence,
        "calibration_max_mm": float(np.linalg.norm(fit.offset, axis=1).max() * 1e3),
        "restarted_anchors": fit.restarts,
        "last_cost_decrease": fit.last_decrease,
        "frame_rate_doubt": float(motion.frame_rate is not None and motion.frame_rate.suspicious),
    }


def contact_metrics(targets: MotionTargets) -> dict[str, float]:
    """Metrics of the contacts of feet."""
    return {
        "source_stance_speed_m_s": targets.stance_speed,
        "foot_shift_mm": targets.foot_shift * 1e3,
        "floor_height_mm": targets.stance.floor * 1e3,
        "contact_count": float(sum(len(runs(contact)) for contact in targets.stance.contact.T)),
    }


def feet_contact(targets: MotionTargets) -> np.ndarray:
    """Contacts as a clip stores them, shape (nframe, 4) uint8; zeros for a body without feet."""
    contact = targets.stance.contact.astype(np.uint8)
    return contact if contact.shape[1] else np.zeros((targets.nframe, 4), np.uint8)
