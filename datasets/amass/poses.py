"""Poses and translation of the SMPL family from arrays of any unambiguous layout, one result per person.

`docs/formats.md` lists the keys and shapes. Two arrays are never merged by guess: the first key of each list that the
file has is read, and what remains ambiguous is refused with the candidates.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from musclemap.datasets.motion import SourceWarning
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import FIRST_HAND_JOINT

from .arrays import Arrays
from .rotations import is_six_dimensional, joint_rotations, people_first
from .subject import word_of

POSE_WIDTHS = {72: "smpl", 156: "smplh", 165: "smplx"}
"""Number of columns of AMASS's `poses` for each family: 3 per joint."""

FAMILY_OF_NJOINT = {22: "smplh", 24: "smpl", 25: "smplx", 52: "smplh", 55: "smplx", 56: "smplx"}
"""Family by the number of joints with the root. 22 are common to all and 25 have jaw and eyes, so no fingers."""

BODY_NJOINT = (21, 23)
"""Joints of a body pose without its root: those of SMPL-H and SMPL-X, and of SMPL with its two hands."""

PACKED_KEYS = (
    "poses", "pose_world", "fullpose", "full_pose", "smpl_poses", "pose_aa", "pose", "smpl_pose", "thetas",
    "poses_6d", "pose_6d", "smpl_poses_6d", "rot6d", "cont6d", "rotmat", "poses_rotmat", "pose_rotmat", "pred_rotmat",
)  # fmt: skip
ROOT_KEYS = ("root_orient", "global_orient", "poses_root", "root_orient_6d", "global_orient_6d")
BODY_KEYS = ("pose_body", "body_pose", "poses_body", "pose_body_6d", "body_pose_6d")
HAND_KEYS = ("pose_hand", "hand_pose")
LEFT_RIGHT_HAND_KEYS = (("left_hand_pose", "right_hand_pose"), ("lhand_pose", "rhand_pose"))
TRANS_KEYS = ("trans", "transl", "smpl_trans", "trans_orig", "translation")
WORLD_TRANS_KEYS = ("trans_world", "transl_world")
SCALING_KEYS = ("smpl_scaling", "scaling")

_SMPLX_KEYS = ("pose_jaw", "pose_eye", "jaw_pose", "leye_pose", "expression")
_BODY = slice(0, 66)


@dataclass(frozen=True, kw_only=True)
class PersonPoses:
    """Poses of one person.

    Attributes:
        body: Axis-angle of the 22 common joints, shape (nframe, 66) [rad].
        hands: Axis-angle of the fingers, shape (nframe, 30, 3) [rad], or None.
        trans: Translation, shape (nframe, 3), in the unit of the file.
        family: "smpl", "smplh" or "smplx".
    """

    body: np.ndarray
    hands: np.ndarray | None
    trans: np.ndarray
    family: str


def first_key(arrays: Arrays, keys: Sequence[str]) -> str | None:
    """First of some keys that the file has, or None."""
    return next((key for key in keys if key in arrays), None)


def has_pose(arrays: Arrays) -> bool:
    """Whether the arrays include a pose under one of the known keys."""
    split = first_key(arrays, ROOT_KEYS) and first_key(arrays, BODY_KEYS)
    return first_key(arrays, PACKED_KEYS) is not None or split is not None


def read_poses(arrays: Arrays, *, warnings: list[SourceWarning]) -> list[PersonPoses]:
    """Read poses and translation.

    Args:
        arrays: Arrays of the file.
        warnings: Doubtful data that was accepted is added.

    Returns:
        One result per person.

    Raises:
        SourceError: With one of these codes: missing_key, bad_type, bad_shape, ambiguous_layout.
    """
    packed = first_key(arrays, PACKED_KEYS)
    root, body = first_key(arrays, ROOT_KEYS), first_key(arrays, BODY_KEYS)
    if packed is None and (root is None or body is None):
        raise arrays.missing("poses, nor root_orient and pose_body, nor global_orient and body_pose")
    if packed is not None:
        values = arrays.numbers(packed)
        trans = _translation(arrays, world=packed.endswith("_world"))
        people = _packed(arrays, packed, values, trans, root=root)
        if people is None and (root is None or body is None):
            raise _unknown_shape(packed, values.shape, root)
        if people is not None:
            return _matched(packed, people, trans)
        warnings.append(
            SourceWarning(
                ReasonCode.BAD_SHAPE,
                f"{packed} has the unknown shape {values.shape}; {root} and {body} were read instead",
            )
        )
        del values  # may be as large as the arrays read next
    assert root is not None
    assert body is not None
    people = _split(arrays, root, body, warnings=warnings)
    return _matched(body, people, _translation(arrays, world=False))


_People = list[tuple[np.ndarray, np.ndarray | None, str]]
"""Body (nframe, 66), fingers (nframe, 30, 3) or None, and family of each person."""


def _translation(arrays: Arrays, *, world: bool) -> np.ndarray:
    """Translation, shape (P, T, 3), without the scaling of the file."""
    keys = WORLD_TRANS_KEYS if world else TRANS_KEYS
    key = first_key(arrays, keys)
    if key is None:
        raise arrays.missing(", ".join(keys))
    trans = arrays.numbers(key)
    shape = trans.shape
    if trans.ndim not in (2, 3) or shape[-1] != 3:
        raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has shape {shape}, not (nframe, 3)")
    if trans.ndim == 3:
        trans = trans.swapaxes(0, 1) if shape[1] == 1 else people_first(trans, key=key) if shape[0] > 1 else trans
    else:
        trans = trans[None]
    scaling = first_key(arrays, SCALING_KEYS) if key == "smpl_trans" else None
    if scaling is None:
        return trans
    factor = arrays.numbers(scaling, max_count=1).reshape(-1)
    if factor.size != 1 or not factor[0] > 0:
        raise SourceError(ReasonCode.OUT_OF_RANGE, f"{scaling} is {factor.tolist()}, not one number above 0")
    return trans / factor[0]


def _matched(key: str, people: _People, trans: np.ndarray) -> list[PersonPoses]:
    """Pair poses with translations of as many people and frames."""
    if len(people) != len(trans):
        raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has {len(people)} people and the translation has {len(trans)}")
    nframe = len(people[0][0]) if people else 0
    if trans.shape[1] != nframe:
        raise SourceError(ReasonCode.BAD_SHAPE, f"trans has {trans.shape[1]} frames and the poses have {nframe}")
    return [
        PersonPoses(body=body, hands=hands, trans=path, family=family)
        for (body, hands, family), path in zip(people, trans, strict=True)
    ]


def _packed(arrays: Arrays, key: str, values: np.ndarray, trans: np.ndarray, *, root: str | None) -> _People | None:
    """People of one array with all joints, or None if its shape is unknown."""
    counts = [*FAMILY_OF_NJOINT, *(BODY_NJOINT if root is not None else ())]
    rotvec = joint_rotations(values, key=key, counts=counts)
    if rotvec is None:
        return None
    njoint = rotvec.shape[2]
    if njoint in BODY_NJOINT:
        assert root is not None
        rotvec = np.concatenate([_root_rotations(arrays, root), rotvec], axis=2)
        return _people(rotvec, _family_of(arrays, "smpl" if njoint == 23 else "smplh"))
    extra = _extra_columns(key, rotvec, trans) if njoint in (25, 56) else None
    if extra is not None:
        rotvec = rotvec[:, :, 1:] if extra == "first" else rotvec[:, :, :-1]
        njoint -= 1
    family = FAMILY_OF_NJOINT[njoint]
    return _people(rotvec, _family_of(arrays, family) if njoint == 22 else family)


def _extra_columns(key: str, rotvec: np.ndarray, trans: np.ndarray) -> str | None:
    """Whether the first or last of 25 or 56 triples is the translation; None if neither is."""
    if rotvec.shape[:2] != trans.shape[:2]:
        return None
    ends = {"first": rotvec[:, :, 0], "last": rotvec[:, :, -1]}
    where = next((end for end, triple in ends.items() if np.allclose(triple, trans, atol=1e-4)), None)
    if where is None and rotvec.shape[2] == 56:
        width = 3 * 56
        raise SourceError(
            ReasonCode.AMBIGUOUS_LAYOUT,
            f"{key} has {width} columns: 165 of SMPL-X and 3 others, which are not the translation; save the 165 alone",
        )
    return where


def _people(rotvec: np.ndarray, family: str) -> _People:
    """Split (P, T, J, 3) into body and fingers."""
    count, nframe, njoint = rotvec.shape[:3]
    first = FIRST_HAND_JOINT.get(family) or njoint
    flat = rotvec.reshape(count, nframe, 3 * njoint)
    hands = flat[:, :, 3 * first : 3 * first + 90]
    with_hands = hands.shape[2] == 90
    return [(flat[p, :, _BODY], hands[p].reshape(-1, 30, 3) if with_hands else None, family) for p in range(count)]


def _unknown_shape(key: str, shape: tuple[int, ...], root: str | None) -> SourceError:
    njoint = sorted(FAMILY_OF_NJOINT)
    known = ", ".join(str(3 * n) for n in njoint)
    message = (
        f"{key} has shape {shape}; read are (nframe, n) with n of {known}, (nframe, J, 3) and (nframe, J, 3, 3) with J "
        f"of {', '.join(map(str, njoint))}"
    )
    if root is None and any(shape[-1:] == (3 * n,) or shape[1:2] == (n,) for n in BODY_NJOINT):
        message += "; it lacks the root: add global_orient (nframe, 3)"
    return SourceError(ReasonCode.BAD_SHAPE, message)


def _split(arrays: Arrays, root: str, body: str, *, warnings: list[SourceWarning]) -> _People:
    """People of separate root, body and hand arrays."""
    if is_six_dimensional(body) and is_six_dimensional(root):
        parts = [_whole_six(arrays, root, 1), _whole_six(arrays, body, *BODY_NJOINT)]
        if len(parts[0]) != len(parts[1]):
            raise _different_lengths([root, body], [len(part) for part in parts])
        pose = joint_rotations(np.concatenate(parts, axis=1), key=body, counts=[n + 1 for n in BODY_NJOINT])
        assert pose is not None
    else:
        joints = joint_rotations(arrays.numbers(body), key=body, counts=BODY_NJOINT)
        if joints is None:
            shape = arrays.numbers(body).shape
            raise SourceError(ReasonCode.BAD_SHAPE, f"{body} has shape {shape}, not (nframe, 63) or (nframe, 21, 3)")
        orient = _root_rotations(arrays, root)
        if orient.shape[:2] != joints.shape[:2]:
            raise _different_lengths([root, body], [orient.shape[1], joints.shape[1]])
        pose = np.concatenate([orient, joints], axis=2)
    default = "smpl" if pose.shape[2] == 24 else "smplx" if body.startswith("body_pose") else "smplh"
    family = _family_of(arrays, default)
    hands = _hands(arrays, pose.shape[:2], warnings=warnings)
    bodies = _people(pose[:, :, :22], family)
    return [(part, None if hands is None else hands[p], family) for p, (part, _, family) in enumerate(bodies)]


def _whole_six(arrays: Arrays, key: str, *counts: int) -> np.ndarray:
    """A 6D array of one person as (T, 6 J)."""
    values = arrays.numbers(key)
    width = math.prod(values.shape[1:])
    if values.ndim not in (2, 3) or width not in [6 * n for n in counts]:
        raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has shape {values.shape}, not (nframe, {6 * counts[0]})")
    return values.reshape(len(values), width)


def _root_rotations(arrays: Arrays, key: str) -> np.ndarray:
    """Rotation of the root, shape (P, T, 1, 3) [rad]."""
    values = arrays.numbers(key)
    rotvec = joint_rotations(values, key=key, counts=(1,))
    if rotvec is None:
        raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has shape {values.shape}, not (nframe, 3)")
    return rotvec


def _different_lengths(keys: Sequence[str], counts: Sequence[int]) -> SourceError:
    return SourceError(ReasonCode.BAD_SHAPE, f"{', '.join(keys)} have {list(counts)} frames")


def _hands(arrays: Arrays, shape: tuple[int, ...], *, warnings: list[SourceWarning]) -> np.ndarray | None:
    """Fingers of separate arrays, shape (P, T, 30, 3) [rad], or None."""
    key = first_key(arrays, HAND_KEYS)
    pair = next((pair for pair in LEFT_RIGHT_HAND_KEYS if all(hand in arrays for hand in pair)), None)
    if key is not None:
        values = arrays.numbers(key)
        hands, used = joint_rotations(values, key=key, counts=(30,)), key
        if hands is None:
            raise SourceError(ReasonCode.BAD_SHAPE, f"{key} has shape {values.shape}, not (nframe, 90)")
    elif pair is not None:
        sides = [joint_rotations(arrays.numbers(hand), key=hand, counts=(15,)) for hand in pair]
        used = " and ".join(pair)
        left, right = sides
        if left is None or right is None or left.shape != right.shape:
            warnings.append(
                SourceWarning(
                    ReasonCode.BAD_SHAPE,
                    f"{used} are not 15 joints a hand (principal components?); fingers were not read",
                )
            )
            return None
        hands = np.concatenate([left, right], axis=2)
    else:
        return None
    if hands.shape[:2] != shape:
        raise _different_lengths(["the body", used], [shape[1], hands.shape[1]])
    return hands


def _family_of(arrays: Arrays, default: str) -> str:
    """Family that the file states, else SMPL-X if it has a jaw or eyes, else a default."""
    for key in ("surface_model_type", "model_type"):
        if key in arrays:
            stated = word_of(arrays.array(key))
            if stated in POSE_WIDTHS.values():
                return stated
    if default == "smpl":
        return default
    return "smplx" if any(key in arrays for key in _SMPLX_KEYS) else default
