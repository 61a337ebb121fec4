"""Metrics of a track, and whether the body follows the clip within the published limits."""

from typing import Any

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.limits import LANDMARK_LIMIT, ROOT_LIMIT
from musclemap.imitation.physics.bodies import SimulationBody

from .track import Track

SATURATED = 0.99
"""Excitation from which a muscle counts as saturated."""


def first_failure(track: Track, clip: Clip) -> tuple[str, int]:
    """Why a track does not follow its clip to the end within the published limits.

    Args:
        track: Track without states that are not finite.
        clip: Its clip.

    Returns:
        The cause ("" if it does) and the number of control steps before the failure.
    """
    beyond = np.flatnonzero((track.relative_error > LANDMARK_LIMIT) | (track.root_error > ROOT_LIMIT))
    if beyond.size:
        step = int(beyond[0])
        cause = "root" if track.root_error[step] > ROOT_LIMIT else "landmarks"
        return ("time" if track.failure == "time" else cause), step  # with more time the search would have gone on
    if track.failure:
        return track.failure, track.nstep
    return ("" if track.start + track.nstep + 1 >= clip.nframe else "time"), track.nstep


def track_metrics(body: SimulationBody, clip: Clip, track: Track) -> dict[str, Any]:
    """Metrics of a track over the control steps before its failure.

    Args:
        body: Body that was tracked.
        clip: Its clip.
        track: Track without states that are not finite.

    Returns:
        Metrics by name; those of a track without steps are None.
    """
    _, steps = first_failure(track, clip)
    frames = {"frames": steps + 1, "frames_total": clip.nframe - track.start}
    effort = {
        "control_steps_per_second": track.control_steps / track.seconds if track.seconds > 0 else None,
        "seconds": track.seconds,
    }
    if not steps:
        names = (
            "landmark_error_mean_mm", "landmark_error_p95_mm", "landmark_error_max_mm", "root_error_mean_mm",
            "root_error_max_mm", "joint_angle_error_deg", "activation", "saturated", "excitation_change",
            "self_contact", "swing_contact",
        )  # fmt: skip
        return {**frames, **dict.fromkeys(names), **effort}
    landmarks, root = 1e3 * track.relative_error[:steps], 1e3 * track.root_error[:steps]
    excitation = track.excitation[:steps].astype(np.float64)
    change = np.abs(np.diff(excitation, axis=0))
    return {
        **frames,
        "landmark_error_mean_mm": float(landmarks.mean()),
        "landmark_error_p95_mm": float(np.percentile(landmarks, 95)),
        "landmark_error_max_mm": float(landmarks.max()),
        "root_error_mean_mm": float(root.mean()),
        "root_error_max_mm": float(root.max()),
        "joint_angle_error_deg": _joint_angle_error(body, clip, track, steps),
        "activation": float(track.act[1 : steps + 1].mean()),
        "saturated": float((excitation >= SATURATED).mean()),
        "excitation_change": float(change.mean()) if change.size else 0.0,
        **_contact_metrics(body, clip, track, steps),
        **effort,
    }


def _joint_angle_error(body: SimulationBody, clip: Clip, track: Track, steps: int) -> float:
    """Mean absolute error of the independent hinges [deg]."""
    hinge = body.model.jnt_type[body.joint_ids] == mujoco.mjtJoint.mjJNT_HINGE
    address = body.qposadr[hinge]
    reference = clip.qpos[track.start + 1 : track.start + steps + 1][:, body.clip_qpos[address]]
    return float(np.degrees(np.abs(track.qpos[1 : steps + 1][:, address] - reference)).mean())


def _contact_metrics(body: SimulationBody, clip: Clip, track: Track, steps: int) -> dict[str, float | None]:
    """Contacts that the clip does not have.

    Returns:
        `self_contact`, the share of control steps with a contact between two parts of the body, and `swing_contact`,
        the share of steps in the air, counted for each of the four parts of the feet, in which it touches the ground;
        None if the clip has no such steps.
    """
    model, data = body.model, mujoco.MjData(body.model)
    nparts = len(body.contact_geoms)
    touching, with_self = np.zeros((steps, nparts), bool), np.zeros(steps, bool)
    for step in range(steps):
        data.qpos[:] = track.qpos[step + 1]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_collision(model, data)
        pairs = data.contact.geom[data.contact.dist <= 0]
        with_self[step] = not np.isin(pairs, body.floor_ids).any(axis=1).all()
        touching[step] = body.parts_on_floor(data)
    airborne = clip.contact[track.start + 1 : track.start + steps + 1, :nparts] == 0
    swing = float(touching[airborne].mean()) if airborne.any() else None
    return {"self_contact": float(with_self.mean()), "swing_contact": swing}
