"""A clip as a stick figure of its landmarks: a few poses for a row of a table, and a short animation. No renderer."""

import base64
from collections.abc import Sequence
from typing import Any

import numpy as np

MOMENTS = 5
"""Number of poses in a thumbnail."""

FRAMES = 150
"""Maximum number of poses in an animation; the page interpolates between them. A clip of 6 s has 25 a second."""

NECK = "neck"
"""Point between the shoulders, added if both are there."""

_PARENTS = {
    "lumbar1": ("pelvis",), "neck": ("lumbar1", "pelvis"), "head": ("neck", "lumbar1", "pelvis"),
    "humerus": ("neck",), "ulna": ("humerus",), "lunate": ("ulna",),
    "femur": ("pelvis",), "tibia": ("femur",), "talus": ("tibia",), "toes": ("talus",),
    "elbow": ("shoulder",), "hand": ("elbow",),
}  # fmt: skip
"""By landmark without its side: the landmarks that it may be joined to, the first that is there; of MyoFullBody,
MyoBimanualArm and SmallArm. Landmarks with other names are dots."""


def bones(names: Sequence[str]) -> list[list[int]]:
    """Pairs of indices of landmarks that are joined by a line."""
    index = {name: k for k, name in enumerate(names)}
    pairs = []
    for name, k in index.items():
        stem, _, side = name.rpartition("_")
        stem, end = (stem, f"_{side}") if side in ("r", "l") else (name, "")
        parents = [index[p] for parent in _PARENTS.get(stem, ()) for p in (f"{parent}{end}", parent) if p in index]
        pairs += [[parents[0], k]] if parents else []
    return pairs


def with_neck(position: np.ndarray, names: Sequence[str]) -> tuple[np.ndarray, list[str]]:
    """Add the middle of the shoulders to landmarks of shape (nframe, nlandmark, 3), if both shoulders are there."""
    names = list(names)
    if not {"humerus_r", "humerus_l"} <= set(names) or NECK in names:
        return position, names
    middle = (position[:, names.index("humerus_r")] + position[:, names.index("humerus_l")]) / 2.0
    return np.concatenate([position, middle[:, None]], axis=1), [*names, NECK]


def figure_of(names: Sequence[str]) -> dict[str, Any]:
    """Lines of the figure, the side of each landmark ("r", "l" or ""), and the index of the head or -1."""
    _, names = with_neck(np.zeros((1, len(names), 3)), names)
    return {
        "bones": bones(names),
        "sides": [name[-1] if name.endswith(("_r", "_l")) else "" for name in names],
        "head": names.index("head") if "head" in names else -1,
    }


def thumbnail(position: np.ndarray, names: Sequence[str]) -> str:
    """A few poses from the side, evenly spaced over the clip, each above the same floor.

    Args:
        position: Landmarks [m], shape (nframe, nlandmark, 3), world, z up.
        names: Their names.

    Returns:
        Base64 of bytes (MOMENTS, npoint, 2): centimetres forward, from -127 to 127 about the middle of the pose, and
        above its floor, both offset to be positive.
    """
    points, names = with_neck(np.asarray(position, dtype=np.float64), names)
    moments = points[np.linspace(0, len(points) - 1, MOMENTS).round().astype(int)]
    angle = _heading(moments, names)
    forward = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    across = np.einsum("tnk,tk->tn", moments[..., :2], forward)
    middle = (across.max(axis=1) + across.min(axis=1)) / 2.0
    floor = min(float(points[..., 2].min()), float(points[..., 2].max()) - 0.5)  # an arm alone has no floor
    cm = np.stack([(across - middle[:, None]) * 100.0 + 127.0, (moments[..., 2] - floor) * 100.0], axis=2)
    return base64.b64encode(np.clip(np.round(cm), 0, 255).astype(np.uint8).tobytes()).decode()


def _heading(moments: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Direction that the body faces at each moment [rad], shape (n,): at right angles to hips or shoulders."""
    for right, left in (("femur_r", "femur_l"), ("humerus_r", "humerus_l")):
        if right in names and left in names:
            across = moments[:, list(names).index(left), :2] - moments[:, list(names).index(right), :2]
            return np.arctan2(across[:, 1], across[:, 0]) - np.pi / 2.0
    spread = moments.reshape(-1, moments.shape[-1])[:, :2]
    direction = np.linalg.svd(spread - spread.mean(axis=0), full_matrices=False)[2][0]
    return np.full(len(moments), np.arctan2(direction[1], direction[0]))


def animation(tracks: Sequence[tuple[str, np.ndarray]], names: Sequence[str], *, fps: float) -> dict[str, Any]:
    """Encode landmarks over time.

    Args:
        tracks: Names and landmarks [m] of the figures to draw together, shapes (nframe, nlandmark, 3); those that end
            earlier keep their last pose.
        names: Names of the landmarks.
        fps: Frame rate [Hz].

    Returns:
        Plain values: lines of the figure, times of the poses, and of each track the poses as base64 of little-endian
        uint16 with an offset and a step for each axis.
    """
    nframe = max(len(position) for _, position in tracks)
    count = min(nframe, FRAMES)
    frames = np.linspace(0, nframe - 1, count)
    return figure_of(names) | {
        "times": [0.0, float(frames[-1] - frames[0]) / fps / max(count - 1, 1)],
        "count": count,
        "tracks": [_encoded(name, position, names, frames) for name, position in tracks],
    }


def _encoded(name: str, position: np.ndarray, names: Sequence[str], frames: np.ndarray) -> dict[str, Any]:
    points, _ = with_neck(np.asarray(position, dtype=np.float64), names)
    nframe = len(points)
    at = np.minimum(frames, nframe - 1)
    low = np.floor(at).astype(int)
    share = (at - low)[:, None, None]
    poses = points[low] * (1.0 - share) + points[np.minimum(low + 1, nframe - 1)] * share
    start = poses.min(axis=(0, 1))
    step = np.maximum(poses.max(axis=(0, 1)) - start, 1e-6) / 65535.0
    level = np.round((poses - start) / step).astype("<u2")
    return {
        "name": name,
        "start": start.tolist(),
        "step": step.tolist(),
        "poses": base64.b64encode(level.tobytes()).decode(),
    }
