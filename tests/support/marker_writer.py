"""Virtual markers on the segments of a source motion, and .trc files of them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from musclemap.datasets.formats.readers.markers import marker_sets
from musclemap.datasets.formats.readers.markers.marker_body import MarkerBody
from musclemap.datasets.formats.readers.markers.marker_sets import MarkerSet, find_marker_set
from musclemap.datasets.motion import SourceMotion
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Markers of a motion: labels and positions, shape (nframe, nmarker, 3) [m], z up."""

    labels: tuple[str, ...]
    pos: np.ndarray
    fps: float


def labels_of(which: str) -> list[str]:
    """All labels of a set."""
    return [name for name, _ in marker_sets._places(marker_sets.MARKER_SETS.index(which))]


def virtual_markers(
    motion: SourceMotion,
    *,
    sizes: np.ndarray | None = None,
    labels: Sequence[str] = (),
    misplaced: float = 0.002,
    noise: float = 0.0,
) -> Marked:
    """Markers fixed to the segments of a motion, each misplaced by a random distance.

    Args:
        motion: The motion.
        sizes: Size of each of `PARTS` relative to the mean adult, whose skeleton is taken if None; with sizes, its
            pelvis is at the origin of the rest pose.
        labels: Labels; those of Plug-in Gait if empty.
        misplaced: Standard deviation of a marker over a bone from its place in each direction [m]; others are misplaced
            by their own spread.
        noise: Standard deviation of the positions in every frame [m].
    """
    rng = np.random.default_rng(4)
    markers: MarkerSet = find_marker_set(labels or labels_of("Plug-in Gait"))
    body = MarkerBody(markers.places)
    joints = mean_joints() if sizes is None else body.rest_joints(sizes)
    of_marker = np.ones(len(body.part)) if sizes is None else sizes[body.part]
    spread = np.where(body.spread <= marker_sets.BONE, misplaced, 0.4 * body.spread)
    offsets = of_marker[:, None] * body.table + spread[:, None] * rng.normal(size=body.table.shape)
    xpos, xmat = source_fk(motion.rotvec, motion.trans, joints)
    pos = xpos[:, body.carrier] + (xmat[:, body.carrier] @ offsets[..., None])[..., 0]
    return Marked(labels=markers.labels, pos=pos + noise * rng.normal(size=pos.shape), fps=motion.fps)


def write_trc(
    marked: Marked,
    *,
    unit: str = "mm",
    metres: float = 0.001,
    up: str = "y",
    extra: Mapping[str, np.ndarray] | None = None,
) -> bytes:
    """Encode markers as a .trc file.

    Args:
        marked: The markers; NaN where one is not seen.
        unit: Unit that the header states.
        metres: Length of the unit that is written [m].
        up: Axis that points up in the file, y or z.
        extra: Further points, shape (nframe, 3) [m], by label.
    """
    extra = extra or {}
    pos = np.concatenate([marked.pos, *(points[:, None] for points in extra.values())], axis=1) / metres
    if up == "y":
        pos = pos[..., [0, 2, 1]] * [1.0, 1.0, -1.0]
    labels, nframe = (*marked.labels, *extra), len(pos)
    lines = [
        "PathFileType\t4\t(X/Y/Z)\twalk.trc",
        "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames",
        f"{marked.fps:g}\t{marked.fps:g}\t{nframe}\t{len(labels)}\t{unit}\t{marked.fps:g}\t1\t{nframe}",
        "Frame#\tTime\t" + "\t\t\t".join(labels),
        "\t\t" + "\t".join(f"{axis}{k}" for k in range(1, len(labels) + 1) for axis in "XYZ"),
        "",
    ]
    for frame, row in enumerate(pos.reshape(nframe, -1)):
        values = ["" if np.isnan(value) else f"{value:.5f}" for value in row]
        lines.append("\t".join([str(frame + 1), f"{frame / marked.fps:.6f}", *values]))
    return "\n".join([*lines, ""]).encode()
