"""Kinematics of a clip on the full body, computed once for metrics, verdict and report."""

from dataclasses import dataclass, fields

import mujoco
import numpy as np

from musclemap.retarget.resample import FRAMES_PER_CHUNK
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.couplings import couplings


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """Kinematics of a clip by MuJoCo C, independent of the solver. The first axis of every array is the frame.

    Attributes:
        landmark_pos: Shape (nframe, nlandmark, 3) [m], float32 as stored.
        landmark_quat: Orientations (wxyz) of the bodies of the landmarks in `TargetBody.oriented`, shape (nframe,
            noriented, 4), float32.
        contact_pos: Contact points of the soles, shape (nframe, ncontact, 3) [m].
        clearance: Height above z = 0 of the lowest point of each foot's collision geoms, right then left, shape
            (nframe, 2) [m]; infinite for a body without feet.
        limit_excess: Distance of each independent joint beyond its range, negative within it, shape (nframe, njoint)
            [rad or m].
        driven_limit_excess: Distance of each limited driven joint beyond its declared range, shape (nframe, ndriven)
            [rad or m].
        coupling_residual: Largest deviation of a driven joint from its coupling, shape (nframe,) [rad or m].
    """

    landmark_pos: np.ndarray
    landmark_quat: np.ndarray
    contact_pos: np.ndarray
    clearance: np.ndarray
    limit_excess: np.ndarray
    driven_limit_excess: np.ndarray
    coupling_residual: np.ndarray

    def __getitem__(self, frames: slice) -> "Evaluation":
        return Evaluation(**{field.name: getattr(self, field.name)[frames] for field in fields(self)})


def limited_driven_joints(body: TargetBody) -> np.ndarray:
    """Ids of the driven joints with limits of their own, in the order of `Evaluation.driven_limit_excess`."""
    return np.array([c.driven for c in couplings(body.model) if body.model.jnt_limited[c.driven]], int)


def evaluate_clip(body: TargetBody, qpos: np.ndarray) -> Evaluation:
    """Evaluate the kinematics of every frame of a clip.

    Args:
        body: Target body.
        qpos: Configurations as stored in the clip, shape (nframe, nq).
    """
    chunks = [qpos[low : low + FRAMES_PER_CHUNK] for low in range(0, len(qpos), FRAMES_PER_CHUNK)]
    parts = [{**_run_kinematics(body, chunk), **_range_excess(body, chunk.astype(np.float64))} for chunk in chunks]
    return Evaluation(**{name: np.concatenate([part[name] for part in parts]) for name in parts[0]})


def _run_kinematics(body: TargetBody, qpos: np.ndarray) -> dict[str, np.ndarray]:
    model = body.kinematic_model
    data = mujoco.MjData(model)
    points = list(body.sole.contact)
    ids = np.array([p.body for p in points], int)
    offsets = np.array([p.offset for p in points]).reshape(-1, 3)
    geoms = body.foot_geoms
    landmarks = np.empty((len(qpos), body.nlandmark, 3), np.float32)
    oriented = np.asarray(body.landmark_ids)[body.oriented]
    quats = np.empty((len(qpos), len(oriented), 4), np.float32)
    bodies, place = np.unique(np.concatenate([ids, geoms.body]).astype(int), return_inverse=True)
    xpos, xmat = np.empty((len(qpos), len(bodies), 3)), np.empty((len(qpos), len(bodies), 9))
    position, body_pos, body_quat, body_mat = data.qpos, data.xpos, data.xquat, data.xmat
    for t, q in enumerate(qpos):
        position[:] = q
        mujoco.mj_kinematics(model, data)
        landmarks[t], quats[t] = body_pos[body.landmark_ids], body_quat[oriented]
        xpos[t], xmat[t] = body_pos[bodies], body_mat[bodies]
    rot = xmat.reshape(*xmat.shape[:2], 3, 3)
    own, geom = place[: len(points)], place[len(points) :]
    contacts = xpos[:, own] + np.einsum("tpij,pj->tpi", rot[:, own], offsets)
    clearance = np.full((len(qpos), 2), np.inf)
    if points:
        vertical = rot[:, geom, 2]
        up = np.einsum("tgi,gij->tgj", vertical, geoms.rot)  # the vertical in each geom's frame
        low = xpos[:, geom, 2] + np.sum(vertical * geoms.pos, axis=2) - geoms.reach(up)
        clearance = np.stack([foot.min(axis=1) for foot in np.split(low, [low.shape[1] // 2], axis=1)], axis=1)
    return {"landmark_pos": landmarks, "landmark_quat": quats, "contact_pos": contacts, "clearance": clearance}


def _range_excess(body: TargetBody, qpos: np.ndarray) -> dict[str, np.ndarray]:
    """Distance of independent and of driven joints beyond their ranges, and the coupling residual."""
    reduced, model, driven = body.reduced_hands, body.model, limited_driven_joints(body)
    independent_q, driven_q = qpos[:, reduced.qposadr], qpos[:, model.jnt_qposadr[driven]]
    lower, upper = model.jnt_range[driven].T
    return {
        "limit_excess": np.maximum(reduced.lower - independent_q, independent_q - reduced.upper),
        "driven_limit_excess": np.maximum(lower - driven_q, driven_q - upper),
        "coupling_residual": reduced.coupling_residual(qpos),
    }
