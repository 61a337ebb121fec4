"""Writes motions of the SMPL family as BVH, with names, channel orders, units and axes of other programs."""

import warnings
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS, HAND_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

SMPL_NAMES = {name: name for name in BODY_NAMES}

_SIDED = {"hip": "UpLeg", "knee": "Leg", "ankle": "Foot", "foot": "ToeBase", "collar": "Shoulder", "shoulder": "Arm",
          "elbow": "ForeArm", "wrist": "Hand"}  # fmt: skip
_SIDES = {"left": "Left", "right": "Right"}

CMU_NAMES = {"pelvis": "Hips", "spine1": "LowerBack", "spine2": "Spine", "spine3": "Spine1", "neck": "Neck",
             "head": "Head"} | {f"{side}_{part}": f"{_SIDES[side]}{name}" for side in _SIDES
                                for part, name in _SIDED.items()}  # fmt: skip

SOMA_NAMES = CMU_NAMES | {"spine1": "Spine1", "spine2": "Spine2", "spine3": "Chest", "neck": "Neck1"} | {
    f"{side}_{part}": f"{_SIDES[side]}{name}" for side in _SIDES for part, name in (("hip", "Leg"), ("knee", "Shin"))
}  # fmt: skip

Z_UP_TO = {
    "z": np.eye(3),
    "y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]),
    "-y": np.array([[1.0, 0.0, 0.0], [0.0, 0.0, -1.0], [0.0, 1.0, 0.0]]),
    "x": np.array([[0.0, 0.0, 1.0], [0.0, 1.0, 0.0], [-1.0, 0.0, 0.0]]),
}
"""Rotations from a world with z up to one with another axis up."""


def write_bvh(
    motion: SourceMotion,
    *,
    names: Mapping[str, str] = CMU_NAMES,
    order: str = "ZYX",
    unit: float = 0.01,
    up: str = "y",
    joints: np.ndarray | None = None,
    zero: np.ndarray | None = None,
    moving: bool = False,
    without: Sequence[str] = (),
    digits: int = 6,
) -> bytes:
    """Encode a motion as BVH.

    Args:
        motion: The motion.
        names: Joint names by SMPL names.
        order: Axes of the rotation channels.
        unit: Length of the file's unit [m].
        up: Axis that points up, from `Z_UP_TO`.
        joints: Rest joints, shape (22, 3) [m]; those of the motion or of the mean skeleton if None.
        zero: Rotations of the segments from the SMPL rest pose to the file's zero pose, in SMPL axes, shape (22, 3, 3).
        moving: Whether every joint has position channels.
        without: Joints to leave out; those below hang from the joint above.
        digits: Decimals.
    """
    if joints is None:
        joints = mean_joints() if motion.rest_joints is None else motion.rest_joints
    pos, mat = source_fk(motion.rotvec, motion.trans, joints)
    turn = Z_UP_TO[up]
    world_of_body = turn @ np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])  # x left to y, y up to z
    zero = np.tile(np.eye(3), (22, 1, 1)) if zero is None else zero
    axes = world_of_body @ zero  # from SMPL axes to the file's, in the zero pose
    pos = pos @ turn.T / unit
    mat = turn @ mat @ axes.swapaxes(1, 2)
    kept = [joint for joint, name in enumerate(BODY_NAMES) if name not in without]
    above = {joint: _above(joint, kept) for joint in kept}
    order_in_file = _depth_first(above)
    offset = {
        joint: np.zeros(3) if above[joint] < 0 else _chain(joint, above[joint], joints, axes) / unit for joint in kept
    }
    columns = []
    for joint in order_in_file:
        parent = above[joint]
        local = mat[:, joint] if parent < 0 else mat[:, parent].swapaxes(1, 2) @ mat[:, joint]
        if parent < 0:
            columns.append(pos[:, joint])
        elif moving:
            columns.append((mat[:, parent].swapaxes(1, 2) @ (pos[:, joint] - pos[:, parent])[..., None])[..., 0])
        with warnings.catch_warnings():  # in gimbal lock any split between two angles is correct
            warnings.simplefilter("ignore", UserWarning)
            columns.append(Rotation.from_matrix(local).as_euler(order, degrees=True))
    lines = ["HIERARCHY"]
    _write_joint(lines, order_in_file[0], above, offset, names, order, moving, depth=0)
    lines += ["MOTION", f"Frames: {motion.nframe}", f"Frame Time: {1.0 / motion.fps:.7f}"]
    values = np.concatenate(columns, axis=1)
    lines += [" ".join(f"{value:.{digits}f}" for value in row) for row in values]
    return ("\n".join(lines) + "\n").encode()


def with_fingers(data: bytes, motion: SourceMotion, *, metacarpal: bool) -> bytes:
    """Add the fingers of a motion to a file in Mixamo's names, without lengths.

    Args:
        data: File with the SMPL rest pose as its zero pose.
        motion: Motion whose `hand_rotvec` to write.
        metacarpal: Whether to number the fingers from metacarpal bones, which do not move, as SOMA does.
    """
    assert motion.hand_rotvec is not None
    lines = data.decode().split("\n")
    start = lines.index("MOTION")
    hierarchy, rows = lines[:start], [line.split() for line in lines[start + 3 :] if line]
    axes = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]]) @ np.array(
        [[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]
    )
    turn = Rotation.from_matrix(axes)
    result, column = [], 0
    added: list[tuple[int, np.ndarray]] = []  # column before which to insert, and values
    in_hand = ""
    for line in hierarchy:
        word = line.split()
        if word[0] == "CHANNELS":
            column += int(word[1])
        if word[0] in ("ROOT", "JOINT"):
            in_hand = word[1] if word[1] in ("LeftHand", "RightHand") else ""
        if word[0] == "End" and in_hand:
            side = "left" if in_hand == "LeftHand" else "right"
            for k, name in enumerate(HAND_NAMES[side]):
                finger, number = name.split("_")[1][:-1].capitalize(), int(name[-1])
                local = turn * Rotation.from_rotvec(motion.hand_rotvec[:, k + 15 * (side == "right")]) * turn.inv()
                shift = int(metacarpal and finger != "Thumb")
                if number == 1 and shift:
                    result += [f"JOINT {in_hand}{finger}1", "{", "OFFSET 1 0 0", "CHANNELS 0"]
                result += [f"JOINT {in_hand}{finger}{number + shift}", "{", "OFFSET 1 0 0",
                           "CHANNELS 3 Zrotation Yrotation Xrotation"]  # fmt: skip
                added.append((column, local.as_euler("ZYX", degrees=True)))
                if number == 3:
                    result += ["}"] * (3 + shift)
        result.append(line)
    columns = np.array(rows, np.float64)
    for before, values in reversed(added):
        columns = np.insert(columns, [before] * 3, values, axis=1)
    text = [" ".join(f"{value:.7f}" for value in row) for row in columns]
    return "\n".join([*result, *lines[start : start + 3], *text, ""]).encode()


def _above(joint: int, kept: Sequence[int]) -> int:
    parent = BODY_PARENTS[joint]
    while parent >= 0 and parent not in kept:
        parent = BODY_PARENTS[parent]
    return parent


def _chain(joint: int, ancestor: int, joints: np.ndarray, axes: np.ndarray) -> np.ndarray:
    """Offset of a joint from one above it in the zero pose [m]."""
    offset = np.zeros(3)
    while joint != ancestor:
        parent = BODY_PARENTS[joint]
        offset += axes[parent] @ (joints[joint] - joints[parent])
        joint = parent
    return offset


def _depth_first(above: Mapping[int, int]) -> list[int]:
    order, pending = [], [joint for joint, parent in above.items() if parent < 0]
    while pending:
        joint = pending.pop()
        order.append(joint)
        pending += sorted((child for child, parent in above.items() if parent == joint), reverse=True)
    return order


def _write_joint(
    lines: list[str], joint: int, above: Mapping[int, int], offset: Mapping[int, np.ndarray], names: Mapping[str, str],
    order: str, moving: bool, *, depth: int,
) -> None:  # fmt: skip
    pad, root = "\t" * depth, above[joint] < 0
    rotations = " ".join(f"{axis}rotation" for axis in order)
    channels = f"6 Xposition Yposition Zposition {rotations}" if root or moving else f"3 {rotations}"
    text = lambda vector: " ".join(f"{value:.6f}" for value in vector)  # noqa: E731
    lines += [f"{pad}{'ROOT' if root else 'JOINT'} {names[BODY_NAMES[joint]]}", f"{pad}{{",
              f"{pad}\tOFFSET {text(offset[joint])}", f"{pad}\tCHANNELS {channels}"]  # fmt: skip
    children = sorted(child for child, parent in above.items() if parent == joint)
    for child in children:
        _write_joint(lines, child, above, offset, names, order, moving, depth=depth + 1)
    if not children:
        end = 0.3 * offset[joint] if offset[joint].any() else np.ones(3)
        lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\tOFFSET {text(end)}", f"{pad}\t}}"]
    lines.append(f"{pad}}}")
