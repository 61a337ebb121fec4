"""Motions of the whole body as motions of its arms on a moving chest."""

import mujoco
import numpy as np

from musclemap.skeletons.base_motion import BasePath
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT


def lively_motion(body: TargetBody, *, nframe: int, fps: float, seed: int = 0) -> np.ndarray:
    """Smooth motion of a whole body that turns, tilts and accelerates, shape (nframe, nq); couplings hold."""
    from scipy.spatial.transform import Rotation

    rng, reduced = np.random.default_rng(seed), body.reduced_hands
    time = np.arange(nframe)[:, None] / fps
    wave = lambda n: np.sin(2 * np.pi * (rng.uniform(0.3, 1.2, n) * time + rng.uniform(0, 1, n)))  # noqa: E731
    middle, half = 0.5 * (reduced.lower + reduced.upper), 0.5 * (reduced.upper - reduced.lower)
    joints = middle + 0.6 * half * wave(reduced.njoint)
    quat = Rotation.from_rotvec(wave(3) * [0.8, 0.8, 2.0]).as_quat(scalar_first=True)
    return reduced.expand(np.concatenate([0.3 * wave(3) + [0.0, 0.0, 1.0], quat, joints], axis=1))


def arms_of(arms: TargetBody, whole: TargetBody, qpos: np.ndarray) -> tuple[np.ndarray, BasePath]:
    """Configurations of the arms in those of the whole body (nframe, nq), and the path of the chest."""
    assert arms.base is not None
    columns = [whole.model.joint(name).qposadr[0] for name in arms.joint_names]
    bone = arms.base.body
    rest = mujoco.MjData(arms.model)
    rest.qpos[:] = arms.reduced.base
    mujoco.mj_kinematics(arms.model, rest)
    part_pos, part_rot = rest.body(bone).xpos.copy(), rest.body(bone).xmat.reshape(3, 3).copy()
    data, pos, rot = mujoco.MjData(whole.model), np.empty((len(qpos), 3)), np.empty((len(qpos), 3, 3))
    for t, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(whole.model, data)
        rot[t] = data.body(bone).xmat.reshape(3, 3) @ part_rot.T
        pos[t] = data.body(bone).xpos + rot[t] @ (arms.model.body_pos[1] - part_pos)
    return qpos[:, columns], BasePath(pos, rot)


def root_rows(nframe: int) -> np.ndarray:
    """The root's part of reduced configurations of a fixed body, shape (nframe, 7)."""
    return np.tile(np.eye(1, NROOT, 3), (nframe, 1))
