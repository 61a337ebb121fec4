"""Motions that rest on other parts of the body than the feet: a pose held for three seconds with a little sway."""

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

UPRIGHT = Rotation.from_matrix(np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
"""Turns the source's rest frame (x left, y up, z forward) to a world with z up, facing x."""

ARMS_DOWN = {"left_shoulder": (0.0, 0.0, -75.0), "right_shoulder": (0.0, 0.0, 75.0)}

POSES: dict[str, tuple[Rotation, float, dict[str, tuple[float, float, float]]]] = {
    "boat": (
        UPRIGHT * Rotation.from_euler("x", -36.0, degrees=True), 0.16,
        {"left_hip": (-80.0, 0.0, 0.0), "right_hip": (-80.0, 0.0, 0.0), "left_shoulder": (0.0, -80.0, 0.0),
         "right_shoulder": (0.0, 80.0, 0.0)},
    ),
    "lying": (
        Rotation.from_euler("y", -90.0, degrees=True) * UPRIGHT, 0.1,
        {"left_hip": (-75.0, 0.0, 0.0), "right_hip": (-75.0, 0.0, 0.0), **ARMS_DOWN},
    ),
    "kneeling": (
        UPRIGHT, 0.55,
        {"left_knee": (90.0, 0.0, 0.0), "right_knee": (90.0, 0.0, 0.0), "left_ankle": (20.0, 0.0, 0.0),
         "right_ankle": (20.0, 0.0, 0.0), **ARMS_DOWN},
    ),
    "handstand": (
        UPRIGHT * Rotation.from_euler("x", 180.0, degrees=True), 1.15,
        {"left_shoulder": (0.0, 0.0, 85.0), "right_shoulder": (0.0, 0.0, -85.0)},
    ),
}  # fmt: skip
"""Orientation of the root, height of the pelvis above the floor [m], and joint angles about x, y and z [deg]."""


def resting(name: str, *, floor: float = 0.0, fps: float = 60.0) -> SourceMotion:
    """Hold a pose for three seconds.

    Args:
        name: One of `POSES`.
        floor: Height of the floor in the source [m].
        fps: Frame rate [Hz].
    """
    root, height, joints = POSES[name]
    time = np.arange(round(3.0 * fps) + 1) / fps
    sway = Rotation.from_euler("y", np.sin(np.pi * time)[:, None], degrees=True)
    rotvec = np.zeros((len(time), len(BODY_NAMES), 3))
    rotvec[:, 0] = (root * sway).as_rotvec()
    for joint, angles in joints.items():
        rotvec[:, BODY_NAMES.index(joint)] = Rotation.from_euler("xyz", angles, degrees=True).as_rotvec()
    trans = np.tile([0.0, 0.0, height + floor], (len(time), 1)) - mean_joints()[0]
    return SourceMotion(
        name=f"{name}.npz", rotvec=rotvec, hand_rotvec=None, trans=trans, betas=np.zeros(16), gender="neutral",
        family="smplh", fps=fps, fps_source="synthetic", source_fps=fps, sha256="", licence="CC0-1.0",
    )  # fmt: skip
