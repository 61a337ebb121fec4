"""Motion of a marked body: calibration on some frames, then the poses of all frames."""

from dataclasses import dataclass

import numpy as np
from scipy.interpolate import CubicSpline
from scipy.spatial.transform import Rotation, RotationSpline
from threadpoolctl import threadpool_limits

from musclemap.datasets.formats.readers.skeletons.toes import TOE_JOINTS, toe_rotations
from musclemap.skeletons.smpl.joints import BODY_NAMES

from .marker_body import INDEX, NTURN, TURNED, MarkerBody, Poses, Shape
from .marker_fit import ROUGH, calibrate, fit_poses

CALIBRATION_FRAMES = 20
"""Frames that a calibration looks at, evenly spaced over the motion. With 40, joints are as close to the true ones
(2 mm with markers that are 2 mm off; also with 5 mm of noise), and it takes twice as long."""

ANCHOR_SPACING = 0.05
"""Time between frames that are fitted from several starts [s]; the others start between them."""

FRAMES_PER_CHUNK = 128
"""Frames fitted at once: their derivatives stay in the processor's caches."""

HANGING = np.deg2rad(75.0)
"""Angle between the arms of the rest pose and hanging ones [rad]."""

_ENDS_OF_TRUNK = [INDEX[name] for name in ("left_hip", "right_hip", "left_shoulder", "right_shoulder", "neck")]

MANY_STEPS, SORTING_STEPS = 40, 6
"""Most steps of a fit that starts from a standing pose, and steps after which the better of two starts shows."""

SORTED_EVERY = 4
"""Every which frame of a calibration is fitted from several starts; the others start from its pose."""

FEW_STEPS = 4
"""Most steps of a fit that starts between two anchors; most frames need one."""


@dataclass(frozen=True, kw_only=True)
class MarkerMotion:
    """Arrays of a `SourceMotion`, and how well they fit.

    Attributes:
        rotvec: Axis-angles, shape (nframe, 22, 3) [rad].
        trans: Position of the pelvis, shape (nframe, 3) [m].
        rest_joints: Rest positions, shape (22, 3) [m].
        rms: Root mean square distance of the markers from those of the fitted body [m].
    """

    rotvec: np.ndarray
    trans: np.ndarray
    rest_joints: np.ndarray
    rms: float


@threadpool_limits.wrap(limits=1, user_api="blas")  # threads cost more than they save on matrices this small
def marker_motion(
    body: MarkerBody, pos: np.ndarray, *, size: float, fps: float, shape: Shape | None = None
) -> MarkerMotion:
    """Fit a subject and its motion to markers.

    Args:
        body: Body with the markers of the recording.
        pos: Positions, shape (nframe, nmarker, 3) [m], in a world with z up; NaN where a marker is not seen.
        size: Size of the body relative to the mean adult, roughly.
        fps: Frame rate [Hz].
        shape: Shape of the subject from a static trial; None to calibrate on frames of the motion.

    Returns:
        The motion. A limb none of whose markers is seen turns evenly from its last seen pose to the next.
    """
    frames = calibration_frames(len(pos))
    if shape is None:
        shape, calibrated = calibrated_shape(body, pos[frames], size=size)
    else:
        calibrated, _ = _from_several_starts(body, pos[frames], shape)

    every = max(1, round(ANCHOR_SPACING * fps))
    anchors = np.unique(np.append(np.arange(0, len(pos), every), len(pos) - 1))
    nearest = np.abs(anchors[:, None] - frames).argmin(axis=1)
    poses = _aligned(body, pos[anchors], calibrated[nearest], shape)
    found, cost = fit_poses(body, pos[anchors], shape, poses, steps=MANY_STEPS)
    doubtful = np.flatnonzero(cost > 3.0 * np.median(cost))
    if len(doubtful):
        other, value = _from_several_starts(body, pos[anchors[doubtful]], shape)
        better = value < cost[doubtful]
        found.root[doubtful[better]], found.turn[doubtful[better]] = other.root[better], other.turn[better]

    start = _on_splines(anchors, found, np.arange(len(pos)))
    root, turn = np.empty((len(pos), 3)), np.empty((len(pos), NTURN, 3, 3))
    for low in range(0, len(pos), FRAMES_PER_CHUNK):
        part = slice(low, low + FRAMES_PER_CHUNK)
        fitted, _ = fit_poses(body, pos[part], shape, start[part], steps=FEW_STEPS)
        root[part], turn[part] = fitted.root, fitted.turn
    poses = Poses(root=root, turn=turn)
    _fill_unseen(body, np.isfinite(pos[..., 0]), turn)

    xpos, xmat = body.joints(poses, shape.sizes)
    local = body.local_rotations(poses.turn)
    size = float(shape.sizes.mean())
    local[:, TOE_JOINTS] = toe_rotations(xpos, xmat, body.turns, size=size, level=False)  # no marker shows them
    distance = np.sum((body.markers(xpos, xmat, shape.offsets) - pos) ** 2, axis=2)
    return MarkerMotion(
        rotvec=Rotation.from_matrix(local.reshape(-1, 3, 3)).as_rotvec().reshape(-1, 22, 3),
        trans=poses.root,
        rest_joints=body.rest_joints(shape.sizes),
        rms=float(np.sqrt(np.nanmean(distance))),
    )


@threadpool_limits.wrap(limits=1, user_api="blas")
def calibrated_shape(body: MarkerBody, pos: np.ndarray, *, size: float) -> tuple[Shape, Poses]:
    """Shape of the subject from some frames, and the poses in these.

    Args:
        body: Body with the markers of the recording.
        pos: Positions in the frames, shape (nframe, nmarker, 3) [m], as for `marker_motion`.
        size: Size of the body relative to the mean adult, roughly.
    """
    shape = body.start_shape(size)
    known = np.arange(0, len(pos), SORTED_EVERY)
    sorted_poses, _ = _from_several_starts(body, pos[known], shape)
    start = _aligned(body, pos, sorted_poses[np.arange(len(pos)) // SORTED_EVERY], shape)
    start, _ = fit_poses(body, pos, shape, start, steps=MANY_STEPS, last=ROUGH)
    return calibrate(body, pos, start, size=size)


def calibration_frames(nframe: int) -> np.ndarray:
    """The frames that a calibration looks at."""
    return np.unique(np.linspace(0, nframe - 1, min(CALIBRATION_FRAMES, nframe)).astype(int))


def _from_several_starts(body: MarkerBody, pos: np.ndarray, shape: Shape) -> tuple[Poses, np.ndarray]:
    """The better of two fits in each frame: from standing with hanging arms, and with arms to the sides."""
    fits: list[tuple[Poses, np.ndarray]] = []
    for angle in (HANGING, 0.0):
        turn = np.tile(np.eye(3), (len(pos), NTURN, 1, 1))
        for k, joint in enumerate(TURNED):
            if BODY_NAMES[joint].endswith("shoulder"):
                sign = 1.0 if BODY_NAMES[joint].startswith("left") else -1.0
                turn[:, k] = Rotation.from_euler("z", -sign * angle).as_matrix()
        start = _aligned(body, pos, Poses(root=np.zeros((len(pos), 3)), turn=turn), shape)
        fits.append(fit_poses(body, pos, shape, start, steps=SORTING_STEPS, last=ROUGH))
    (first, cost), (second, other) = fits
    better = other < cost
    root = np.where(better[:, None], second.root, first.root)
    turn = np.where(better[:, None, None, None], second.turn, first.turn)
    return fit_poses(body, pos, shape, Poses(root=root, turn=turn), steps=MANY_STEPS, last=ROUGH)


def _aligned(body: MarkerBody, pos: np.ndarray, poses: Poses, shape: Shape) -> Poses:
    """Poses moved as rigid bodies such that the trunk's markers are where they are seen, by Kabsch's method.

    Frames with fewer than three of them keep their orientation, and those with none their position.
    """
    trunk = ~body.below[_ENDS_OF_TRUNK].any(axis=0)
    xpos, xmat = body.joints(poses, shape.sizes)
    model = body.markers(xpos, xmat, shape.offsets)[:, trunk]
    seen = np.isfinite(pos[:, trunk, 0])
    count = seen.sum(axis=1)
    weight = (seen / np.maximum(count, 1)[:, None])[..., None]
    there = np.where(seen[..., None], pos[:, trunk], 0.0)
    centre, middle = (weight * there).sum(axis=1), (weight * model).sum(axis=1)
    product = np.einsum("tmi,tmj->tij", weight * (there - centre[:, None]), model - middle[:, None])
    u, _, v = np.linalg.svd(product)
    u[:, :, 2] *= np.linalg.det(u @ v)[:, None]
    rotation = np.where((count >= 3)[:, None, None], u @ v, np.eye(3))
    moved = centre + (rotation @ (poses.root - middle)[..., None])[..., 0]
    turn = poses.turn.copy()
    turn[:, 0] = rotation @ turn[:, 0]
    return Poses(root=np.where((count > 0)[:, None], moved, poses.root), turn=turn)


def _between(known: np.ndarray, poses: Poses, frames: np.ndarray) -> Poses:
    """Poses of frames between those of known frames, in ascending order; beyond the last one they are constant."""
    after = np.clip(np.searchsorted(known, frames), 0, len(known) - 1)
    before = np.maximum(after - (known[after] > frames), 0)
    step = np.maximum(known[after] - known[before], 1)
    share = np.clip((frames - known[before]) / step, 0.0, 1.0)
    root = poses.root[before] + share[:, None] * (poses.root[after] - poses.root[before])
    first, last = poses.turn[before], poses.turn[after]
    change = Rotation.from_matrix((first.swapaxes(2, 3) @ last).reshape(-1, 3, 3)).as_rotvec().reshape(first.shape[:3])
    part = Rotation.from_rotvec((share[:, None, None] * change).reshape(-1, 3)).as_matrix().reshape(first.shape)
    return Poses(root=root, turn=first @ part)


def _on_splines(known: np.ndarray, poses: Poses, frames: np.ndarray) -> Poses:
    """Poses of frames on cubic splines through those of known frames, in ascending order from first to last frame."""
    if len(known) < 4:
        return _between(known, poses, frames)
    turn = np.empty((len(frames), NTURN, 3, 3))
    for k in range(NTURN):
        turn[:, k] = RotationSpline(known, Rotation.from_matrix(poses.turn[:, k]))(frames).as_matrix()
    return Poses(root=CubicSpline(known, poses.root)(frames), turn=turn)


def _fill_unseen(body: MarkerBody, seen: np.ndarray, turn: np.ndarray) -> None:
    """Turn joints evenly while no marker that they move is seen, shape (nframe, nmarker); changes `turn`."""
    for k, joint in enumerate(TURNED):
        shown = seen[:, body.below[joint]].any(axis=1)
        if shown.all() or not shown.any():
            continue
        known, hidden = np.flatnonzero(shown), np.flatnonzero(~shown)
        poses = Poses(root=np.zeros((len(known), 3)), turn=turn[known, k, None])
        turn[hidden, k] = _between(known, poses, hidden).turn[:, 0]
