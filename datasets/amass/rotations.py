"""Rotations of joints in every array layout that is unambiguous: axis-angle, matrices, and 6D if a key says so.

Zhou et al. 2019 (On the continuity of rotation representations) describe a rotation by two columns of its matrix, and
programs write the six numbers in three orders. The numbers themselves tell one order apart; between the other two,
which are inverse to each other, the knees decide, because they bend only backwards.
"""

import re
from collections.abc import Collection

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

MATRIX_TOLERANCE = 0.01
"""Largest deviation of a rotation matrix's products of columns from 0 and 1; 16-bit numbers have 0.002."""

MIN_PEOPLE_RATIO = 4
"""Smallest ratio of frames to people at which the two dimensions can be told apart."""

_KNEES = (4, 5)
_WITHOUT_ROOT = (21, 23)
_MIN_FLEXION = 0.05  # [rad]
_SIX = re.compile(r"6_?d", re.IGNORECASE)


def is_six_dimensional(key: str) -> bool:
    """Whether the name of an array says that it holds 6D rotations."""
    return _SIX.search(key) is not None


def joint_rotations(values: np.ndarray, *, key: str, counts: Collection[int]) -> np.ndarray | None:
    """Rotations of joints from an array of any layout.

    With P people, T frames and J joints, these shapes are read: (T, 3 J), (T, J, 3), (T, J, 3, 3), each also with P in
    front or after T; with 6D in the name of the key, 6 takes the place of 3 and there are no matrices.

    Args:
        values: The array.
        key: Its name.
        counts: Joint counts that it may have.

    Returns:
        Axis-angle, shape (P, T, J, 3) [rad]; a view of `values` if they are axis-angles. None if the shape is not one
        of the above.

    Raises:
        SourceError: If people and frames cannot be told apart, matrices are no rotations, or the order of 6D numbers
            is unknown.
    """
    six = is_six_dimensional(key)
    size = 6 if six else 3
    shape = values.shape
    if not six and len(shape) >= 3 and shape[-2:] == (3, 3):
        lead = _lead(shape[:-2], counts)
        return None if lead is None else _people_first(_from_matrices(values.reshape(*lead, 3, 3), key), key)
    if len(shape) >= 3 and shape[-1] == size and shape[-2] in counts:
        lead = shape[:-1]
    elif len(shape) >= 2 and shape[-1] % size == 0 and shape[-1] // size in counts:
        lead = (*shape[:-1], shape[-1] // size)
    else:
        return None
    if len(lead) not in (2, 3):
        return None
    values = _people_first(values.reshape(*lead, size), key)
    return _from_six(values, key) if six else values


def _lead(lead: tuple[int, ...], counts: Collection[int]) -> tuple[int, ...] | None:
    """Dimensions (..., T, J) of matrices; a root may lack its J of 1."""
    if lead and lead[-1] in counts and len(lead) in (2, 3):
        return lead
    return (*lead, 1) if 1 in counts and len(lead) in (1, 2) else None


def _people_first(values: np.ndarray, key: str) -> np.ndarray:
    """Put people before frames: (T, J, n), (P, T, J, n) or (T, P, J, n) to (P, T, J, n)."""
    if values.ndim == 3:
        return values[None]
    return people_first(values, key=key)


def people_first(values: np.ndarray, *, key: str) -> np.ndarray:
    """Order the first two dimensions of an array as people and frames; there are far fewer people than frames.

    Raises:
        SourceError: If they cannot be told apart ("ambiguous_layout").
    """
    first, second = values.shape[:2]
    if second >= MIN_PEOPLE_RATIO * first:
        return values
    if first >= MIN_PEOPLE_RATIO * second:
        return values.swapaxes(0, 1)
    raise SourceError(
        ReasonCode.AMBIGUOUS_LAYOUT,
        f"{key} has shape {values.shape}: {first} people with {second} frames, or {second} people with {first} frames; "
        "save one file a person",
    )


def _from_matrices(matrices: np.ndarray, key: str) -> np.ndarray:
    flat = matrices.reshape(-1, 3, 3)
    finite = np.isfinite(flat).all(axis=(1, 2))
    gram = np.einsum("nji,njk->nik", flat[finite], flat[finite])
    determinant = np.linalg.det(flat[finite])
    if np.abs(gram - np.eye(3)).max(initial=0.0) > MATRIX_TOLERANCE or (determinant < 0).any():
        raise SourceError(
            ReasonCode.BAD_SHAPE, f"{key} has shape {matrices.shape}, but its 3 x 3 blocks are no rotation matrices"
        )
    rotvec = np.full((len(flat), 3), np.nan)
    rotvec[finite] = Rotation.from_matrix(flat[finite]).as_rotvec()
    return rotvec.reshape(*matrices.shape[:-2], 3)


def _from_six(values: np.ndarray, key: str) -> np.ndarray:
    """Axis-angle of 6D rotations, (..., 6) to (..., 3)."""
    halves = values[..., :3], values[..., 3:]
    pairs = values[..., 0::2], values[..., 1::2]
    stacked, interleaved = _is_frame(*halves), _is_frame(*pairs)
    if stacked == interleaved:
        word = "both as two columns one after the other and as pairs" if stacked else "neither way as unit columns"
        raise SourceError(
            ReasonCode.AMBIGUOUS_LAYOUT,
            f"{key} of 6D rotations can be read {word}; save rotation matrices (T, J, 3, 3)",
        )
    rotvec = _from_columns(*(halves if stacked else pairs))
    if interleaved:
        return rotvec
    njoint = rotvec.shape[-2]
    knees = [knee - (njoint in _WITHOUT_ROOT) for knee in _KNEES]
    flexion = np.nanmedian(rotvec[..., knees, 0]) if njoint > max(knees) else 0.0
    if abs(flexion) < _MIN_FLEXION:
        raise SourceError(
            ReasonCode.AMBIGUOUS_LAYOUT,
            f"{key} holds two rows or two columns of each rotation matrix, and straight knees do not tell which; save "
            "rotation matrices (T, J, 3, 3)",
        )
    return rotvec if flexion > 0 else -rotvec


def _is_frame(first: np.ndarray, second: np.ndarray) -> bool:
    """Whether the pairs of vectors are orthonormal in general."""
    with np.errstate(invalid="ignore"):
        errors = np.stack([
            np.abs(np.sum(first**2, axis=-1) - 1), np.abs(np.sum(second**2, axis=-1) - 1),
            np.abs(np.sum(first * second, axis=-1)),
        ])  # fmt: skip
    return bool(np.nanmean(errors) < MATRIX_TOLERANCE)


def _from_columns(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    matrices = np.stack([first, second, np.cross(first, second)], axis=-1).reshape(-1, 3, 3)
    finite = np.isfinite(matrices).all(axis=(1, 2))
    rotvec = np.full((len(matrices), 3), np.nan)
    rotvec[finite] = Rotation.from_matrix(matrices[finite]).as_rotvec()
    return rotvec.reshape(first.shape)
