"""Clips concatenated along one axis of frames, each padded to whole windows."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

from .window_solver import HALO

Result = TypeVar("Result")


@dataclass(kw_only=True)
class ClipBatch:
    """Targets and configurations of several clips. The first axis of every array but the first two is the frame.

    Attributes:
        targets: Targets of each clip.
        start: First frame of each clip, shape (nclip,).
        padded_length: Frames of each clip, padding included, shape (nclip,).
        pos: Landmark positions, shape (nframe, nlandmark, 3) [m].
        rot: Orientations of the oriented landmarks, shape (nframe, noriented, 3, 3).
        anchor: Anchors of the contact points, shape (nframe, ncontact, 3) [m].
        contact: Weights of the contacts, shape (nframe, ncontact).
        floor: Height of the floor under each foot, right then left, shape (nframe, 2) [m].
        angles: Angles that the sources state, shape (nframe, njoint) [rad], NaN for other joints; None if no clip has
            any.
        joined: 1 if a frame and the next belong to the same clip, 0 at the end of a clip and in its padding.
        root_pos: Position of the root in the source, shape (nframe, 3) [m].
        root_rot: Orientation of the root in the source, shape (nframe, 3, 3).
        q: Configurations, shape (nframe, 7 + njoint), float64.
    """

    targets: list[MotionTargets]
    start: np.ndarray
    padded_length: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    anchor: np.ndarray
    contact: np.ndarray
    floor: np.ndarray
    angles: np.ndarray | None
    joined: np.ndarray
    root_pos: np.ndarray
    root_rot: np.ndarray
    q: np.ndarray

    def slices(self) -> list[slice]:
        """Frames of each clip without its padding."""
        return [slice(int(s), int(s) + t.nframe) for s, t in zip(self.start, self.targets, strict=True)]


def fit_apart(targets: list[MotionTargets], fit: Callable[[list[int]], list[Result]]) -> list[Result]:
    """Fit the clips whose sources state angles apart from the others: their cost is another, compiled when needed.

    Args:
        targets: Targets of each clip.
        fit: Function of indices of clips that returns their fits.
    """
    result: dict[int, Result] = {}
    for stated in (False, True):
        part = [k for k, t in enumerate(targets) if (t.angles is not None) == stated]
        result |= zip(part, fit(part) if part else [], strict=True)
    return [result[k] for k in range(len(targets))]


def concatenate_clips(body: TargetBody, targets: list[MotionTargets], *, window_size: int) -> ClipBatch:
    """Concatenate the targets of clips, padded by their last frames.

    Args:
        body: Target body.
        targets: Targets of each clip; either all or none of them have angles.
        window_size: Frames of a window; each clip is padded to a multiple of it that includes the halo.

    Returns:
        The clips, with configurations of zeros.
    """
    lengths = np.array([t.nframe for t in targets])
    padded = -(-(lengths + HALO) // window_size) * window_size  # no window contains frames of two clips
    stops = np.cumsum(padded)

    def pad(name: str, dtype: type) -> np.ndarray:
        array = np.empty((stops[-1], *getattr(targets[0], name).shape[1:]), dtype)
        for stop, size, t in zip(stops, padded, targets, strict=True):
            value = getattr(t, name)
            array[stop - size : stop - size + len(value)] = value
            array[stop - size + len(value) : stop] = value[-1]
        return array

    joined = np.ones(stops[-1], np.float32)
    for stop, size, length in zip(stops, padded, lengths, strict=True):
        joined[stop - size + length - 1 : stop] = 0.0
    pos, rot = pad("pos", np.float64), pad("rot", np.float32)
    root_pos, root_rot = np.zeros((len(pos), 3)), np.tile(np.eye(3, dtype=np.float32), (len(pos), 1, 1))
    if body.free:  # the first landmark is the pelvis, which is fixed to the root
        root_rot = rot[:, 0] @ body.tree.point_rot[0].T.astype(np.float32)
        root_pos = pos[:, 0] - root_rot @ body.tree.point_offset[0]
    return ClipBatch(
        targets=targets,
        start=stops - padded,
        padded_length=padded,
        pos=pos,
        rot=rot,
        anchor=pad("anchor", np.float64),
        contact=pad("contact", np.float32),
        floor=pad("floor", np.float64),
        angles=None if targets[0].angles is None else pad("angles", np.float64),
        joined=joined,
        root_pos=root_pos,
        root_rot=root_rot,
        q=np.zeros((stops[-1], NROOT + body.reduced.njoint)),
    )
