"""Finds the poses in nested dictionaries, as pose estimators and data sets store them: one group of arrays a person."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from musclemap.datasets.amass.arrays import ArrayDict
from musclemap.datasets.amass.poses import PACKED_KEYS, has_pose
from musclemap.datasets.amass.subject import BETAS_KEYS, FPS_KEYS, GENDER_KEYS, OTHER_FPS_KEYS
from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

MAX_DEPTH = 4
"""Deepest dictionary that is searched; results of pose estimators have two levels."""

MAX_GROUPS = 100_000
"""Dictionaries that are searched."""

MAX_ITEMS = 5_000_000
"""Most numbers of nested lists that are read as an array."""

MAX_TEXT = 1000
"""Characters of a text that are read."""

PUBLISHED_FPS = {"smpl_scaling": (60.0, "AIST++"), "K_fullimg": (30.0, "GVHMR"), "motion_x": (30.0, "Motion-X"),
                 "mdm": (20.0, "MDM")}  # fmt: skip
"""Frame rates [Hz] of data whose files state none, by a key that only these files have."""

_SHARED_KEYS = (*FPS_KEYS, *OTHER_FPS_KEYS, *GENDER_KEYS, *BETAS_KEYS, *PUBLISHED_FPS)
_WORLD, _CAMERA = ("global", "world"), ("incam", "cam")

Convert = Callable[[Any], np.ndarray | None]
"""Converts a pickled value to an array, or returns None if it is none."""


@dataclass(frozen=True, kw_only=True)
class PoseGroup:
    """Arrays that belong together.

    Attributes:
        path: Keys that lead to them.
        arrays: The arrays, with those of the dictionaries above that apply to all: frame rate, gender, betas.
    """

    path: tuple[str, ...]
    arrays: ArrayDict

    @property
    def name(self) -> str:
        """Path as text."""
        return "/".join(self.path) or "the file"


def find_pose_groups(content: Any, convert: Convert) -> list[PoseGroup]:
    """Groups of arrays with poses: one per person, or per entry of a file of many motions.

    Of results both in the world and in the camera's frame, those in the world are used, and intermediate results
    further down are left out.

    Args:
        content: A dictionary, or a list of them.
        convert: Converts values to arrays.

    Raises:
        SourceError: If there are no poses ("missing_key"), or several that may be meant ("ambiguous_layout").
    """
    found: list[PoseGroup] = []
    seen: list[str] = []
    pending: list[tuple[tuple[str, ...], Any, dict[str, np.ndarray]]] = [((), content, {})]
    for _ in range(MAX_GROUPS):
        if not pending:
            break
        path, node, shared = pending.pop(0)
        items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
        values = {str(key): value for key, value in items}
        own = {key: array for key, value in values.items() if (array := _array(value, convert)) is not None}
        seen += ["/".join((*path, key)) for key in values][: 20 - len(seen)]
        arrays = ArrayDict(shared | own)
        if has_pose(arrays):
            found.append(PoseGroup(path=path, arrays=arrays))
            continue
        if len(path) < MAX_DEPTH:
            below = shared | {key: own[key] for key in _SHARED_KEYS if key in own}
            pending += [((*path, k), v, below) for k, v in values.items() if _is_container(v) and k not in own]
    chosen = _in_world(found)
    if not chosen:
        names = ", ".join(shown(name, longest=40).strip("'") for name in seen) or "nothing"
        raise SourceError(
            ReasonCode.MISSING_KEY,
            f"no poses; the file has: {names}; read are {', '.join(PACKED_KEYS[:8])}, or global_orient and body_pose",
        )
    if len({group.path[:-1] for group in chosen}) > 1:
        raise SourceError(
            ReasonCode.AMBIGUOUS_LAYOUT,
            f"the file has poses at {', '.join(group.name for group in chosen[:5])}; save the one that is meant",
        )
    return chosen


def _in_world(groups: Sequence[PoseGroup]) -> list[PoseGroup]:
    """The groups at the least depth, without those in the frame of a camera if others are in the world."""

    def is_in(group: PoseGroup, words: Sequence[str]) -> bool:
        return any(word in part.lower() for part in group.path for word in words)

    in_camera = any(is_in(group, _WORLD) for group in groups)
    kept = [group for group in groups if not (in_camera and is_in(group, _CAMERA))]
    depth = min((len(group.path) for group in kept), default=0)
    return [group for group in kept if len(group.path) == depth]


def _is_container(value: Any) -> bool:
    return isinstance(value, dict) or (isinstance(value, list) and any(isinstance(item, dict) for item in value[:10]))


def _array(value: Any, convert: Convert, *, depth: int = 0) -> np.ndarray | None:
    """A value as an array: an array or tensor, a number, a text, or nested lists of equal ones."""
    if isinstance(value, str | bytes):
        return np.array(value[:MAX_TEXT])
    if isinstance(value, bool | int | float):
        return np.array(float(value)) if isinstance(value, float) or abs(value) < 2**63 else None
    if isinstance(value, list | tuple):
        return _stacked(value, convert, depth)
    return None if isinstance(value, dict) or value is None else convert(value)


def _stacked(values: Sequence[Any], convert: Convert, depth: int) -> np.ndarray | None:
    """Nested lists of equal parts as one array. Lists that refer to each other must not multiply without limit."""
    if not 0 < len(values) <= MAX_ITEMS or depth == MAX_DEPTH:
        return None
    first = _array(values[0], convert, depth=depth + 1)
    if first is None or first.size * len(values) > MAX_ITEMS:
        return None
    parts = [first]
    for value in values[1:]:
        part = _array(value, convert, depth=depth + 1)
        if part is None or part.shape != first.shape or (part.dtype.kind in "SU") != (first.dtype.kind in "SU"):
            return None
        parts.append(part)
    return np.stack(parts)
