"""Invariance of results: heading of the source, mirroring, and head rotation."""

from dataclasses import replace

import numpy as np
from acceptance import Check
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.reduced import ReducedCoordinates
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

HEADINGS_DEG = (37.0, 90.0, 180.0, 263.0)
HEAD_TURN_DEG = 40.0


def rotated(motion: SourceMotion, angle: float) -> SourceMotion:
    """The motion rotated about the vertical by `angle` [rad]."""
    rotation = Rotation.from_euler("z", angle)
    pelvis = mean_joints()[0]  # the pelvis is at trans plus this offset, which does not rotate
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (rotation * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    return replace(motion, rotvec=rotvec, trans=rotation.apply(motion.trans + pelvis) - pelvis)


def mirrored(motion: SourceMotion) -> SourceMotion:
    """The motion mirrored at the plane x = 0."""
    twin = [BODY_NAMES.index(_twin(name)) for name in BODY_NAMES]
    return replace(
        motion,
        rotvec=motion.rotvec[:, twin] * [1.0, -1.0, -1.0],
        hand_rotvec=None,
        trans=motion.trans * [-1.0, 1.0, 1.0],
    )


def head_turned(motion: SourceMotion, angle: float) -> SourceMotion:
    """The motion with the head rotated to the left by `angle` [rad]."""
    rotvec, head = motion.rotvec.copy(), BODY_NAMES.index("head")
    rotvec[:, head] = (Rotation.from_rotvec(rotvec[:, head]) * Rotation.from_euler("y", angle)).as_rotvec()
    return replace(motion, rotvec=rotvec)


def invariance(retargeter: Retargeter, *, name: str = "walk_1.2", seconds: float = 2.5) -> list[Check]:
    """Retarget a built-in motion and its variants, and compare the results."""
    motion = replace(synthesise(name, seconds=seconds), hand_rotvec=None)
    motion = rotated(motion, 0.3)  # so that no heading is a special case
    variants = [rotated(motion, np.deg2rad(angle)) for angle in HEADINGS_DEG]
    variants += [mirrored(motion), head_turned(motion, np.deg2rad(HEAD_TURN_DEG))]
    result = [item.clip for item in retargeter.retarget([motion, *variants])]
    original, *variant_clips = [clip for clip in result if clip is not None]
    reduced = retargeter.body.reduced
    joints = lambda clip: clip.qpos[:, reduced.qposadr].astype(np.float64)  # noqa: E731
    heading = max(float(np.abs(joints(clip) - joints(original)).max()) for clip in variant_clips[: len(HEADINGS_DEG)])
    mirror = float(np.abs(_mirrored_joints(reduced, joints(variant_clips[-2])) - joints(original)).max())
    wrists = [original.landmark_names.index(f"lunate_{side}") for side in "rl"]
    wrist_distance = float(
        np.linalg.norm((variant_clips[-1].landmark_pos - original.landmark_pos)[:, wrists], axis=2).max() * 1e3
    )
    root = max(
        _root_difference(original, clip, np.deg2rad(a)) for clip, a in zip(variant_clips, HEADINGS_DEG, strict=False)
    )
    return [
        Check(name="joints after rotating the source to any heading", bar=1e-3, value=heading, unit=" rad"),
        Check(name="root after rotating the source, rotated back", bar=1e-3, value=root, unit=" m or rad"),
        Check(name="joints after mirroring the source", bar=2e-3, value=mirror, unit=" rad"),
        Check(name=f"wrists after a head rotation of {HEAD_TURN_DEG:g} deg", bar=5.0, value=wrist_distance, unit=" mm"),
    ]


def _twin(name: str) -> str:
    for one, two in (("left_", "right_"), ("right_", "left_")):
        if name.startswith(one):
            return two + name.removeprefix(one)
    return name


def _mirrored_joints(reduced: ReducedCoordinates, joints: np.ndarray) -> np.ndarray:
    """Joints of the mirrored configuration; lateral bending and axial rotation of the trunk change their sign."""
    names = reduced.joint_names
    twin = [names.index(n[:-1] + {"r": "l", "l": "r"}[n[-1]] if n[-2:] in ("_r", "_l") else n) for n in names]
    sign = np.array([-1.0 if name in ("lat_bending", "axial_rotation") else 1.0 for name in names])
    return joints[:, twin] * sign


def _root_difference(original: Clip, clip: Clip, angle: float) -> float:
    """Largest difference of the roots after rotating the original by `angle` [m or rad]."""
    rotation = Rotation.from_euler("z", angle)
    position = lambda c: c.qpos[:, :3].astype(np.float64)  # noqa: E731
    quat = lambda c: Rotation.from_quat(c.qpos[:, 3:7].astype(np.float64), scalar_first=True)  # noqa: E731
    turned = (quat(clip).inv() * (rotation * quat(original))).magnitude().max()
    return max(float(np.abs(rotation.apply(position(original)) - position(clip)).max()), float(turned))
