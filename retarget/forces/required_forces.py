"""Forces and torques that a motion requires at the root and at the joints, and its momentum, by MuJoCo C.

The model without geoms, tendons and muscles is used, so a frame costs some 50 microseconds.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.cores import available_cores
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.body import TargetBody

FRAMES_PER_THREAD = 512


@dataclass(frozen=True, kw_only=True)
class RequiredForces:
    """What a motion requires of the ground, and where its support points are. The first axis is the frame.

    Attributes:
        wrench: Force, and torque about the root's origin, world frame, shape (nframe, 6) [N, Nm].
        com: Centre of mass [m], shape (nframe, 3).
        points: Lowest point of each of the body's support points [m], shape (nframe, npoint, 3).
        momentum: Momentum, and angular momentum about the root's origin, per unit rate of each reduced degree of
            freedom, world frame, shape (nframe, 6, ndof) [kg, kg m]; None if not requested.
        tilt: Angular velocity about x and y of whatever each degree of freedom of the full model moves, and vertical
            velocity of its point at `com`, per unit rate, world frame, shape (nframe, 3, nv); None if not requested.
    """

    wrench: np.ndarray
    com: np.ndarray
    points: np.ndarray
    momentum: np.ndarray | None
    tilt: np.ndarray | None


def accelerations(qpos: np.ndarray, fps: float, *, free: bool = True) -> np.ndarray:
    """Accelerations of a motion by second differences; the ends repeat their neighbours.

    The angular acceleration of a free root is in the root's frame, as in MuJoCo.

    Args:
        qpos: Configurations, shape (nframe, nq), at least three frames.
        fps: Frame rate [Hz].
        free: Whether the first joint is a free root.

    Returns:
        Accelerations, shape (nframe, nv).
    """
    qpos = np.asarray(qpos, np.float64)
    if not free:
        inner = np.diff(qpos, 2, axis=0) * fps**2
        return np.concatenate([inner[:1], inner, inner[-1:]])
    rot = Rotation.from_quat(qpos[:, 3:7], scalar_first=True)
    turn = (rot[:-1].inv() * rot[1:]).as_rotvec()
    step = np.concatenate([np.diff(qpos[:, :3], axis=0), turn, np.diff(qpos[:, 7:], axis=0)], axis=1)
    inner = np.diff(step, axis=0) * fps**2
    return np.concatenate([inner[:1], inner, inner[-1:]])


def required_forces(body: TargetBody, qpos: np.ndarray, fps: float, *, momentum: bool = False) -> RequiredForces:
    """Evaluate the frames of a motion.

    Args:
        body: Target body with a free root.
        qpos: Full configurations of consecutive frames, shape (nframe, nq).
        fps: Frame rate [Hz].
        momentum: Whether to compute `RequiredForces.momentum` and `tilt`.
    """
    qpos = np.asarray(qpos, np.float64)
    qvel, qacc = velocities(qpos, fps), accelerations(qpos, fps)
    chunks = [slice(low, low + FRAMES_PER_THREAD) for low in range(0, len(qpos), FRAMES_PER_THREAD)]
    run = lambda part: _evaluate(body, qpos[part], qvel[part], qacc[part], momentum=momentum)  # noqa: E731
    with ThreadPoolExecutor(len(available_cores())) as pool:
        parts = list(pool.map(run, chunks))
    wrench, com, points, matrix, tilt = (
        None if fields[0] is None else np.concatenate(fields) for fields in zip(*parts, strict=True)
    )
    assert wrench is not None
    assert com is not None
    assert points is not None
    return RequiredForces(wrench=wrench, com=com, points=points, momentum=matrix, tilt=tilt)


def _evaluate(
    body: TargetBody, qpos: np.ndarray, qvel: np.ndarray, qacc: np.ndarray, *, momentum: bool
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray | None, np.ndarray | None]:
    model, support, n = body.kinematic_model, body.support, len(qpos)
    data = mujoco.MjData(model)
    force, com = np.empty((n, 6)), np.empty((n, 3))
    bodies, place = np.unique(support.body, return_inverse=True)
    xpos, xmat = np.empty((n, len(bodies), 3)), np.empty((n, len(bodies), 9))
    rows, axes = (np.empty((n, 6, model.nv)), np.empty((n, model.nv, 6))) if momentum else (None, None)
    entry = _root_columns(model)
    full = np.empty(model.nv)
    # Each access to an attribute of MjData makes a new view, about one microsecond.
    position, velocity, acceleration, matrix = data.qpos, data.qvel, data.qacc, data.M
    body_pos, body_rot, subtree_com, dof_axes = data.xpos, data.xmat, data.subtree_com, data.cdof
    for t in range(n):
        position[:], velocity[:], acceleration[:] = qpos[t], qvel[t], qacc[t]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_rne(model, data, 1, full)
        force[t], com[t] = full[:6], subtree_com[1]
        xpos[t], xmat[t] = body_pos[bodies], body_rot[bodies]
        if rows is not None and axes is not None:
            mujoco.mj_crb(model, data)
            rows[t], axes[t] = matrix[entry], dof_axes
    rot = Rotation.from_quat(qpos[:, 3:7], scalar_first=True).as_matrix()
    force[:, 3:] = (rot @ force[:, 3:, None])[..., 0]
    orientation = xmat.reshape(n, -1, 3, 3)[:, place]
    centre = xpos[:, place] + np.einsum("tpij,pj->tpi", orientation, support.offset)
    points = support.lowest(centre, orientation, support.rot)
    if rows is None or axes is None:
        return force, com, points, None, None
    tilt = np.swapaxes(axes[:, :, [0, 1, 5]], 1, 2)
    return force, com, points, _reduced_momentum(body, qpos, rows, rot), tilt


def _root_columns(model: mujoco.MjModel) -> np.ndarray:
    """Index into MuJoCo's sparse inertia matrix of the root's rows, shape (6, nv).

    Every degree of freedom descends from the root, so its row of the lower triangle begins with the root's columns.
    """
    entry = np.empty((6, model.nv), int)
    for k in range(6):
        entry[k] = model.M_rowadr + k
        for dof in range(k):  # symmetric
            entry[k, dof] = model.M_rowadr[k] + dof
    return entry


def _reduced_momentum(body: TargetBody, qpos: np.ndarray, rows: np.ndarray, rot: np.ndarray) -> np.ndarray:
    """Root rows of the inertia matrix in world axes, per reduced degree of freedom, shape (nframe, 6, ndof)."""
    matrix = reduced_rows(body, rows, body.reduced.slope(qpos), rot)
    matrix[:, 3:] = rot @ matrix[:, 3:]
    return matrix


def reduced_rows(body: TargetBody, rows: np.ndarray, slope: np.ndarray, rot: np.ndarray) -> np.ndarray:
    """Rows of a Jacobian per reduced degree of freedom, shape (nframe, nrow, ndof).

    A step of the root's rotation is a vector in world axes.

    Args:
        body: Target body with a free root.
        rows: Rows per degree of freedom of the full model, shape (nframe, nrow, nv).
        slope: Slopes of the moved joints, shape (nframe, nmoved).
        rot: Orientations of the root, shape (nframe, 3, 3).
    """
    n, nrow, _ = rows.shape
    joints = body.reduced.to_independent(rows.reshape(n * nrow, -1), np.repeat(slope, nrow, axis=0))
    root = rows[:, :, :6].copy()
    root[:, :, 3:] = root[:, :, 3:] @ np.swapaxes(rot, 1, 2)
    return np.concatenate([root, joints.reshape(n, nrow, body.reduced.njoint)], axis=2)
