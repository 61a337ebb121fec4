"""Fingers: angles of the target's finger hinges from the rotations of SMPL-H hands, joint by joint.

Both hands have the same hinges: each finger flexes at three joints and abducts at the first; the thumb's first joint
has two axes, its other joints one each. An SMPL-H finger joint is a ball joint. The hinge follows the component of its
rotation vector along the hinge's axis in the flat hand.
"""

import mujoco
import numpy as np

from musclemap.errors import SettingsError
from musclemap.skeletons.body import SIDE_WORD, SIDES, TargetBody
from musclemap.skeletons.smpl.joints import HAND_NAMES

_FINGER_NAMES = {"2": "index", "3": "middle", "4": "ring", "5": "pinky"}
_FINGER_HINGES = (("mcp", "flexion", 1), ("mcp", "abduction", 1), ("pm", "flexion", 2), ("md", "flexion", 3))
_THUMB_HINGES = (("cmc_flexion", 1), ("cmc_abduction", 1), ("mp_flexion", 2), ("ip_flexion", 3))


def _hinge_sources(side: str) -> list[tuple[str, int]]:
    """Hinges of one hand, each with the index of its source joint in `hand_rotvec`."""
    order = HAND_NAMES[SIDE_WORD[side]]
    first = 0 if side == "l" else len(order)
    source_joint = lambda finger, k: first + order.index(f"{SIDE_WORD[side]}_{finger}{k}")  # noqa: E731
    thumb = [(f"{name}_{side}", source_joint("thumb", k)) for name, k in _THUMB_HINGES]
    fingers = [
        (f"{part}{digit}_{motion}_{side}", source_joint(finger, k))
        for digit, finger in _FINGER_NAMES.items()
        for part, motion, k in _FINGER_HINGES
    ]
    return thumb + fingers


def check_fingers(body: TargetBody) -> None:
    """Check that a body has every finger hinge.

    Raises:
        SettingsError: If not.
    """
    missing = [name for side in SIDES for name, _ in _hinge_sources(side) if name not in body.joint_names]
    if missing:
        raise SettingsError(f"the fingers of {body.name} cannot be tracked: it has no joint {missing[0]}")


def finger_joints(body: TargetBody, t_pose: np.ndarray, hand_rotvec: np.ndarray) -> dict[str, np.ndarray]:
    """Compute the angles of the target's finger hinges from the source's fingers.

    Args:
        body: Target body.
        t_pose: Target configuration of the source's rest pose, fingers locked, shape (7 + njoint,).
        hand_rotvec: Axis-angles of the source's fingers, zero for the flat hand, shape (nframe, 30, 3) [rad].

    Returns:
        Angle of every finger hinge, within its limits, by name; shape (nframe,) each [rad].
    """
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:] = body.reduced.expand(t_pose[None])[0]
    mujoco.mj_kinematics(model, data)
    reduced = body.reduced_hands
    angles = {}
    for side in SIDES:
        for name, source in _hinge_sources(side):
            axis = body.source_to_target.T @ data.xaxis[model.joint(name).id]
            k = reduced.index(name)
            flat = data.qpos[reduced.qposadr[k]]
            angles[name] = np.clip(flat + hand_rotvec[:, source] @ axis, reduced.lower[k], reduced.upper[k])
    return angles


def with_fingers(body: TargetBody, q: np.ndarray, angles: dict[str, np.ndarray]) -> np.ndarray:
    """Expand reduced configurations and set the angles of the fingers.

    Args:
        body: Target body.
        q: Reduced configurations with locked fingers, shape (nframe, 7 + njoint of `body.reduced`).
        angles: From `finger_joints`; fingers that it does not name stay at rest.

    Returns:
        Full configurations, shape (nframe, nq).
    """
    if not angles:
        return body.reduced.expand(q)
    reduced = body.reduced_hands
    free = reduced.reduce(body.reduced.expand(q))
    for name, angle in angles.items():
        free[:, 7 + reduced.index(name)] = angle
    return reduced.expand(free)
