"""Fingers: TargetBody's finger joints read off SMPL-H hands, joint by joint.

Both hands have the same hinges: each finger bends at three joints and spreads at the first. An SMPL-H finger joint
turns freely; the part of its rotation vector along the target hinge's axis in the flat hand is what the hinge can
follow. The thumb's first joint has two axes, its others one each.
"""

import mujoco
import numpy as np

from musclemap.skeletons.body import SIDE_WORD, SIDES, TargetBody
from musclemap.skeletons.smpl.joints import HAND_NAMES

_FINGER = {"2": "index", "3": "middle", "4": "ring", "5": "pinky"}
_PARTS = (("mcp", "flexion", 1), ("mcp", "abduction", 1), ("pm", "flexion", 2), ("md", "flexion", 3))
_THUMB = (("cmc_flexion", 1), ("cmc_abduction", 1), ("mp_flexion", 2), ("ip_flexion", 3))


def _pairs(side: str) -> list[tuple[str, int]]:
    """Hinges of one hand, each with the number of its source joint in `hand_rotvec`."""
    order = HAND_NAMES[SIDE_WORD[side]]
    first = 0 if side == "l" else len(order)
    place = lambda finger, k: first + order.index(f"{SIDE_WORD[side]}_{finger}{k}")  # noqa: E731
    thumb = [(f"{name}_{side}", place("thumb", k)) for name, k in _THUMB]
    rest = [(f"{p}{d}_{m}_{side}", place(f, k)) for d, f in _FINGER.items() for p, m, k in _PARTS]
    return thumb + rest


def finger_joints(body: TargetBody, t_pose: np.ndarray, hand_rotvec: np.ndarray) -> dict[str, np.ndarray]:
    """Follow the source's fingers.

    Args:
        body: Target.
        t_pose: Target configuration that corresponds to the source's rest, fingers locked, shape (7 + njoint,).
        hand_rotvec: Source fingers, shape (nframe, 30, 3) [rad], zero for the flat hand.

    Returns:
        Angle of every finger hinge within its limits, by name, each of shape (nframe,) [rad].
    """
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:] = body.reduced.expand(t_pose[None])[0]
    mujoco.mj_kinematics(model, data)
    reduced = body.reduced_hands
    angles = {}
    for side in SIDES:
        for name, source in _pairs(side):
            axis = body.source_to_target.T @ data.xaxis[model.joint(name).id]
            k = reduced.index(name)
            flat = data.qpos[reduced.qposadr[k]]
            angles[name] = np.clip(flat + hand_rotvec[:, source] @ axis, reduced.lower[k], reduced.upper[k])
    return angles


def with_fingers(body: TargetBody, q: np.ndarray, angles: dict[str, np.ndarray]) -> np.ndarray:
    """Put fingers into configurations.

    Args:
        body: Target.
        q: Fingers locked, shape (nframe, 7 + njoint of `body.reduced`).
        angles: From `finger_joints`; fingers that are not named stay at rest.

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
