"""Steady walking at a given speed: the solved stride repeated, with trunk and arms from the tables."""

import numpy as np

from . import gait_tables
from .pose import HANGING, ankle, arm, both_sides, hip, spine, to_amass, turn
from .stride import MIRROR, foot_pose, pelvis_frame, solve_stride, toe_bend

TRUNK_LEAN = np.deg2rad(2.0)  # forward, ours


def walk(speed: float, *, time: np.ndarray, radius: float | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Walk steadily, starting at a left heel strike.

    Args:
        speed: Mean speed of the pelvis along its path [m/s].
        time: Instants, shape (n,) [s].
        radius: Radius of a circle to the left [m]; straight ahead if None. The body turns as a whole, so a foot on the
            ground slips at about speed * 0.4 m / radius.

    Returns:
        Axis-angles, shape (n, 22, 3) [rad], and translation, shape (n, 3) [m], in AMASS's conventions. The path starts
        along x, and the first strike of the left heel is beside the origin.
    """
    stride, stance = solve_stride(speed), gait_tables.stance_part(speed)
    phase = {"left": (time / stride.period) % 1.0}
    phase["right"] = (phase["left"] + 0.5) % 1.0
    pelvis = stride.pelvis(phase["left"])
    frame = pelvis_frame(pelvis)
    reach = gait_tables.reach(speed)
    advance = reach * gait_tables.curve("thorax_advance", phase=phase["left"])
    thorax = turn("y", -advance) @ turn("x", TRUNK_LEAN)

    limbs = {}
    for side in ("left", "right"):
        leg = stride.leg(phase[side])
        side_pelvis = pelvis if side == "left" else pelvis * MIRROR  # a right leg is the mirror image of a left one
        foot = foot_pose(leg, side_pelvis, np.zeros_like(time))[1]
        shoulder, elbow = (gait_tables.curve(name, phase=phase[side]) for name in ("shoulder_flexion", "elbow_flexion"))
        limbs[side] = {
            "hip": hip(leg[:, 0], leg[:, 1], leg[:, 2]),
            "knee": turn("x", leg[:, 3]),
            "ankle": ankle(leg[:, 4], leg[:, 5]),
            "foot": turn("x", -toe_bend(foot, phase=phase[side], stance=stance)),
            **arm(reach * shoulder, np.full_like(time, np.pi / 2 - HANGING), elbow),
        }
    rotations = both_sides(limbs["left"], limbs["right"]) | spine(
        frame, thorax, np.broadcast_to(np.eye(3), frame.shape)
    )
    pos = pelvis[:, :3] + np.stack([0.0 * time, 0.0 * time, speed * time], axis=-1)
    if radius is not None:
        bend = turn("y", pos[:, 2] / radius)
        pos = (bend @ (pos * [1.0, 1.0, 0.0] - [radius, 0.0, 0.0])[:, :, None])[:, :, 0] + [radius, 0.0, 0.0]
        frame = bend @ frame
    return to_amass(pos, frame, rotations)
