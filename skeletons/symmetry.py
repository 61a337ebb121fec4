"""The body the solver uses: left and right are exact mirror images of each other.

MyoFullBody's sides differ by fractions of a millimetre. Near a singular configuration, such as an arm hanging at the
side, that is enough to rotate the shoulder's elevation plane by several milliradians, so a mirrored motion would not
give the mirrored result. Solving on the mean of both sides prevents this; the kinematics that are stored and measured
are those of the original body.
"""

import mujoco
import numpy as np

from musclemap.errors import TargetError

ON_PLANE = 2e-3
"""A body without a counterpart is moved to the median plane if it is closer to it than this [m]."""

_FLIP = np.array([-1.0, 1.0, 1.0])


def twins(names: list[str]) -> np.ndarray:
    """Index of each name's counterpart on the other side, or of the name itself, shape (n,)."""
    index = {name: k for k, name in enumerate(names)}
    twins = [n[:-1] + {"r": "l", "l": "r"}[n[-1]] if n[-2:] in ("_r", "_l") else n for n in names]
    return np.array([index.get(twin, k) for k, twin in enumerate(twins)])


def _median(data: mujoco.MjData) -> np.ndarray:
    """A point of the median plane, which goes through the root body, shape (3,) [m]."""
    return np.array([data.xpos[1, 0], 0.0, 0.0])


def symmetrise(model: mujoco.MjModel) -> None:
    """Replace body positions and joint axes by the mean of both sides, in place.

    The median plane is that of the root at qpos0, perpendicular to the world's x. Orientations of body frames are
    unchanged: once every position and axis is given they are mere conventions.

    Raises:
        TargetError: If a joint's anchor is not its body's origin.
    """
    if np.abs(model.jnt_pos).max() > 0:
        raise TargetError("a joint's anchor is off its body's origin; mirroring is not supported")
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    centre = _median(data)
    bodies = twins([model.body(b).name for b in range(model.nbody)])
    pos = data.xpos - centre
    mean = 0.5 * (pos + pos[bodies] * _FLIP)
    alone = bodies == np.arange(model.nbody)
    off_plane = alone & (np.abs(pos[:, 0]) > ON_PLANE)
    mean[off_plane] = pos[off_plane]

    joints = twins([model.joint(j).name for j in range(model.njnt)])
    axis = data.xaxis.copy()
    mirrored = axis[joints] * -_FLIP  # rotation axes are axial vectors: mirroring reverses them
    sliding = model.jnt_type == mujoco.mjtJoint.mjJNT_SLIDE
    mirrored[sliding] *= -1.0
    mirrored *= np.where(np.sum(mirrored * axis, axis=1) < 0, -1.0, 1.0)[:, None]
    single = joints == np.arange(model.njnt)
    mean_axis = np.where((single & (np.sum(mirrored * axis, axis=1) < 0.5))[:, None], axis, axis + mirrored)
    mean_axis /= np.linalg.norm(mean_axis, axis=1, keepdims=True)

    xmat = data.xmat.reshape(-1, 3, 3)
    for body in range(1, model.nbody):
        parent = model.body_parentid[body]
        if parent > 0:
            model.body_pos[body] = xmat[parent].T @ (mean[body] - mean[parent])
    for joint in np.flatnonzero(model.jnt_type != mujoco.mjtJoint.mjJNT_FREE):
        model.jnt_axis[joint] = xmat[model.jnt_bodyid[joint]].T @ mean_axis[joint]


def mirror_points(model: mujoco.MjModel, body: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Make points of both sides mirror images: each becomes the mean of itself and the closest mirrored point.

    Args:
        model: Model processed by `symmetrise`.
        body: Body of each point, shape (n,).
        offset: Points in their bodies' frames, shape (n, 3) [m].

    Returns:
        Offsets in their bodies' frames, shape (n, 3) [m].
    """
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    centre = _median(data)
    xmat = data.xmat.reshape(-1, 3, 3)[body]
    world = data.xpos[body] + np.einsum("nij,nj->ni", xmat, offset) - centre
    gap = np.linalg.norm(world[:, None] - (world * _FLIP)[None], axis=2)
    mean = 0.5 * (world + (world * _FLIP)[gap.argmin(axis=1)])
    return np.einsum("nji,nj->ni", xmat, mean + centre - data.xpos[body])
