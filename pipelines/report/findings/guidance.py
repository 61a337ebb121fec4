"""Errors and residuals of a clip beside published guidance.

Hicks, Uchida, Seth, Rajagopal & Delp 2015, "Is My Model Good Enough?", J Biomech Eng 137:020905,
doi:10.1115/1.4029304: residual forces should stay below 5 % of the peak external force, residual moments below 1 % of
the height of the centre of mass times that force; markers within 2 cm root mean square and 4 cm at most.
AddBiomechanics (Werling et al. 2023, PLoS ONE 18:e0295152) reports its residuals against the same limits.
"""

from functools import cache
from typing import Any

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.retarget.checks.ground_checks import stature
from musclemap.skeletons.body import TargetBody

SOURCE = "Hicks et al. 2015, doi:10.1115/1.4029304"

FORCE_LIMIT, MOMENT_LIMIT = 5.0, 1.0
"""Limits of residual force and moment [%]."""

RMS_LIMIT, LARGEST_LIMIT = 2.0, 4.0
"""Limits of marker errors [cm]."""


@cache
def heights(body: TargetBody) -> tuple[float, float]:
    """Height of the body, and of its centre of mass above its lowest point, in the rest configuration [m]."""
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:] = body.reduced.base
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    solid = np.flatnonzero((model.geom_bodyid > 0) & (model.geom_type != mujoco.mjtGeom.mjGEOM_PLANE))
    up = np.abs(data.geom_xmat[solid].reshape(-1, 3, 3)[:, 2])
    lowest = (data.geom_xpos[solid, 2] - np.sum(up * model.geom_aabb[solid, 3:], axis=1)).min()
    return stature(body), float(data.subtree_com[1, 2] - lowest)


def guidance(clip: Clip, body: TargetBody | None) -> list[dict[str, Any]]:
    """Values of a clip with the recommended limits.

    Args:
        clip: The clip.
        body: Its body; None if it is not known, which leaves out the moments.

    Returns:
        Rows with name, value, limit, unit and digits. Residuals need forces of the ground.
    """
    error = 100.0 * np.linalg.norm(clip.landmark_pos.astype(float) - clip.target_pos, axis=2)
    rows = []
    peak = _largest_force(clip, body)
    force, moment = (clip.metrics.get(f"residual_{name}") for name in ("force_peak_bw", "moment_peak_bw_height"))
    if peak and isinstance(force, int | float):
        rows.append(_row("peak residual force, of the peak external force", 100.0 * force / peak, FORCE_LIMIT, "%", 1))
    if peak and body is not None and isinstance(moment, int | float):
        height, centre = heights(body)
        value = 100.0 * moment * height / (centre * peak)
        rows.append(
            _row("peak residual moment, of that force × height of the centre of mass", value, MOMENT_LIMIT, "%", 2)
        )
    rms = float(np.sqrt(np.mean(np.square(error))))
    rows.append(_row("landmark error, root mean square", rms, RMS_LIMIT, "cm", 2))
    rows.append(_row("landmark error, largest", float(error.max()), LARGEST_LIMIT, "cm", 2))
    return rows


def _largest_force(clip: Clip, body: TargetBody | None) -> float:
    """Largest magnitude of the total force of the ground [body weights]; 0 if it is not known."""
    if clip.ground_force is None or body is None:
        return 0.0
    weight = -body.model.opt.gravity[2] * body.mass
    total = np.linalg.norm(clip.ground_force.astype(float).sum(axis=1), axis=1)
    return float(total.max()) / weight if weight > 0 else 0.0


def _row(name: str, value: float, limit: float, unit: str, digits: int) -> dict[str, Any]:
    return {"name": name, "value": value, "limit": limit, "unit": unit, "digits": digits}
