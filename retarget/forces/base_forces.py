"""Torques that the motion of a moving base requires at the joints of a body that is fixed to it."""

import mujoco
import numpy as np

from musclemap.skeletons.body import TargetBody


def base_torques(body: TargetBody, qpos: np.ndarray, qvel: np.ndarray, base_motion: np.ndarray) -> np.ndarray:
    """Torques beyond those that a body on an upright base at rest requires, with the same motion of its joints.

    The body is put on a root that moves as the base does. A root at rest in a frame that accelerates against gravity
    feels the same as one that gravity pulls, so gravity's direction enters as an acceleration of the root. Newton's and
    Euler's equations of that tree are exact; nothing is neglected.

    Args:
        body: Target body with a base.
        qpos: Configurations, shape (nframe, nq).
        qvel: Velocities, shape (nframe, nv).
        base_motion: Motion of the base, as in a clip, shape (nframe, 4, 3).

    Returns:
        Torques at the independent joints of `TargetBody.actuated`, shape (nframe, njoint) [Nm].
    """
    still, floating = body.kinematic_model, body.floating_model
    fixed_data, data = mujoco.MjData(still), mujoco.MjData(floating)
    gravity, acceleration, turning, turning_change = np.moveaxis(np.asarray(base_motion, np.float64), 1, 0)
    lift = acceleration - (gravity - floating.opt.gravity)
    qpos = np.asarray(qpos, np.float64)
    required, at_rest = np.empty((len(qpos), still.nv)), np.empty(still.nv)
    whole = np.empty(floating.nv)
    for t in range(len(qpos)):
        fixed_data.qpos[:], fixed_data.qvel[:] = qpos[t], qvel[t]
        _bias(still, fixed_data, at_rest)
        data.qpos[7:], data.qvel[6:] = qpos[t], qvel[t]
        data.qvel[3:6], data.qacc[:3], data.qacc[3:6] = turning[t], lift[t], turning_change[t]
        _bias(floating, data, whole, accelerated=True)
        required[t] = whole[6:] - at_rest
    return body.actuated.to_independent(required, body.actuated.slope(qpos))


def _bias(model: mujoco.MjModel, data: mujoco.MjData, out: np.ndarray, *, accelerated: bool = False) -> None:
    """Generalised forces by the recursive Newton-Euler algorithm, with `data.qacc` or without accelerations."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_comVel(model, data)
    mujoco.mj_rne(model, data, int(accelerated), out)
