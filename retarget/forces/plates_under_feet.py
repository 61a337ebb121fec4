"""Which foot stands on which force plate, frame by frame.

A file may name the foot of a load. Otherwise a plate bears the foot that its centre of pressure is under while this
foot bears by the motion. What two feet on one plate push cannot be told apart: such frames are marked with both.
"""

import numpy as np
from scipy.ndimage import binary_dilation

from musclemap.datasets.plates.plate_forces import PlateForces
from musclemap.intervals import runs

FEET = ("left", "right")

EVENT_MARGIN = 0.04
"""Error of touchdown and toe-off by the motion alone [s]; see docs/truth.md."""

HALF_WIDTH = 0.05
"""Half the width of a foot [m]; 95th percentile of men 0.055 (ANSUR II, foot breadth)."""

HEEL, TOES = 0.4, 0.55
"""Lengths of the heel behind the ankle and of the toes before the ball, as fractions of the distance between these two
joints of the mean skeleton."""

NEAR = 0.04
"""Largest distance of the centre of pressure from the outline of the foot that stands on the plate [m]: markers and
joints that come from angles are some centimetres off."""

LEVEL = 0.02
"""Height of ankle and ball above their lowest up to which a foot is level [m]; at heel-off the ankle rises by more."""

OUTSIDE = 0.2
"""Fraction of the frames in which both feet bear and the centre of pressure is not under the one foot, from which the
other is on the plate too."""


def foot_on_plate(
    plates: PlateForces, feet: np.ndarray, bearing: np.ndarray, covered: np.ndarray
) -> np.ndarray:  # fmt: skip
    """Find the feet on each plate.

    Args:
        plates: Forces at the frames of the motion, in its world.
        feet: Ankle and ball of the subject's left and right foot, shape (nframe, 2, 2, 3) [m].
        bearing: Whether each part bears by the motion alone, shape (nframe, npart) bool.
        covered: Whether the recording of the plates covers each frame, shape (nframe,) bool.

    Returns:
        Whether the left and the right foot are on each plate, shape (nframe, nplate, 2) bool. Both where they cannot be
        told apart, and where forces are not recorded. None where a plate is not loaded, or loaded by something else.
    """
    loaded = plates.loaded
    result = np.zeros((*loaded.shape, 2), bool)
    margin = round(EVENT_MARGIN / float(plates.time[1] - plates.time[0]))
    for plate, named in enumerate(plates.feet):
        if named:
            result[loaded[:, plate], plate, FEET.index(named)] = True
            continue
        corners = None if plates.corners is None else plates.corners[plate]
        for start, stop in runs(loaded[:, plate]):
            part = slice(start, stop)
            result[part, plate] = _feet_of_load(
                outline_distances(feet[part], plates.centre[part, plate]), bearing[part, :2],
                None if corners is None else _inside(feet[part], corners), margin,
            )  # fmt: skip
    result[~covered] = True
    return result


def _feet_of_load(
    distance: np.ndarray, bearing: np.ndarray, inside: np.ndarray | None, margin: int
) -> np.ndarray:  # fmt: skip
    """Feet on a plate from its loading to its unloading; all shapes (nframe, 2).

    Args:
        distance: Distance of the centre of pressure from the outline of each foot [m].
        bearing: Whether each foot bears.
        inside: Whether the middle of each foot is above the plate, or None if its corners are unknown.
        margin: Frames by which double support may begin earlier and end later than the motion shows.
    """
    both = np.asarray(bearing.all(axis=1))
    alone = np.asarray(bearing & ~both[:, None])
    result = np.zeros(bearing.shape, bool)
    near = lambda frames, foot: bool(frames.any()) and float(np.median(distance[frames, foot])) < NEAR  # noqa: E731
    stands = [near(alone[:, foot], foot) for foot in range(2)]
    if not any(stands) and both.any():
        stands = [near(both, foot) if inside is None else bool(inside[both, foot].mean() > 0.5) for foot in range(2)]
        if not any(stands) and _between(distance[both]):
            stands = [True, True]
    wider = np.asarray(binary_dilation(both, iterations=margin), bool) if margin else both
    if all(stands):
        result[:] = np.where((wider | ~np.asarray(bearing.any(axis=1)))[:, None], True, alone)
    elif any(stands):
        foot = stands.index(True)
        result[:, foot] = True
        result[wider & _shared(distance[:, foot], both, None if inside is None else inside[:, 1 - foot])] = True
    return result


def _shared(distance: np.ndarray, both: np.ndarray, other_inside: np.ndarray | None) -> np.ndarray:
    """Whether the other foot may be on a plate too, shape (nframe,)."""
    if other_inside is not None:
        return other_inside
    outside = bool(both.any()) and float(np.mean(distance[both] > NEAR)) > OUTSIDE
    return np.full(len(both), outside)


def _between(distance: np.ndarray) -> bool:
    """Whether the centre of pressure is between feet that stand side by side: off both, but within a step's width."""
    return bool(np.median(distance.max(axis=1)) < 0.5)


def outline_distances(feet: np.ndarray, centre: np.ndarray) -> np.ndarray:
    """Horizontal distances of points, shape (nframe, 3), from the outlines of both feet, shape (nframe, 2) [m]."""
    result = np.full((len(feet), 2), np.inf)
    for foot in range(2):
        ankle, ball = feet[:, foot, 0, :2], feet[:, foot, 1, :2]
        length = np.maximum(np.linalg.norm(ball - ankle, axis=1, keepdims=True), 1e-6)
        axis = (ball - ankle) / length
        along = np.sum((centre[:, :2] - ankle) * axis, axis=1, keepdims=True)
        nearest = ankle + np.clip(along, -HEEL * length, (1.0 + TOES) * length) * axis
        result[:, foot] = np.maximum(np.linalg.norm(centre[:, :2] - nearest, axis=1) - HALF_WIDTH, 0.0)
    return result


def _inside(feet: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Whether the middle of each foot is above a plate with corners (4, 3), shape (nframe, 2)."""
    edges = np.roll(corners[:, :2], -1, axis=0) - corners[:, :2]
    offset = feet.mean(axis=2)[:, :, None, :2] - corners[:, :2]
    side = edges[:, 0] * offset[..., 1] - edges[:, 1] * offset[..., 0]
    return np.asarray((side >= 0).all(axis=2) | (side <= 0).all(axis=2))


def overhang(plates: PlateForces, feet: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """How far each foot that stands level reaches over the edges of the plates that it is on.

    What such a foot pushes beside them is not measured. Heels and toes that are raised may be anywhere.

    Args:
        plates: Forces at the frames of the motion, in its world.
        feet: As for `foot_on_plate`.
        foot: From `foot_on_plate`.

    Returns:
        Distance of the heel or the tip of the toes from the nearest of these plates, shape (nframe, 2) [m]; 0 where the
        foot is on no plate alone, is not level, or the corners of the plates are unknown.
    """
    result = np.zeros((len(feet), 2))
    if plates.corners is None:
        return result
    alone = foot & ~foot.all(axis=2, keepdims=True) & plates.loaded[..., None]
    for side in range(2):
        ankle, ball = feet[:, side, 0], feet[:, side, 1]
        on = alone[..., side]
        frames = np.flatnonzero(on.any(axis=1))
        if not len(frames):
            continue
        low = [point[frames, 2] < np.quantile(point[frames, 2], 0.1) + LEVEL for point in (ankle, ball)]
        axis = (ball - ankle)[frames, :2]
        for end in (ankle[frames, :2] - HEEL * axis, ball[frames, :2] + TOES * axis):
            beyond = np.stack([_distance_outside(end, corners) for corners in plates.corners], axis=1)
            beyond = np.where(on[frames], beyond, np.inf).min(axis=1)
            result[frames, side] = np.maximum(result[frames, side], np.where(low[0] & low[1], beyond, 0.0))
    return result


def _distance_outside(points: np.ndarray, corners: np.ndarray) -> np.ndarray:
    """Horizontal distance of points (n, 2) from a plate with corners (4, 3), shape (n,); 0 on it."""
    start, inside = corners[:, :2], np.ones(len(points), bool)
    edges = np.roll(start, -1, axis=0) - start
    turn = np.sign(edges[0, 0] * edges[1, 1] - edges[0, 1] * edges[1, 0])
    nearest = np.full(len(points), np.inf)
    for corner, edge in zip(start, edges, strict=True):
        offset = points - corner
        inside &= turn * (edge[0] * offset[:, 1] - edge[1] * offset[:, 0]) >= 0.0
        share = np.clip(offset @ edge / max(float(edge @ edge), 1e-12), 0.0, 1.0)
        nearest = np.minimum(nearest, np.linalg.norm(offset - share[:, None] * edge, axis=1))
    return np.where(inside, 0.0, nearest)


def known_feet(
    force: np.ndarray, foot: np.ndarray, bearing: np.ndarray, *, threshold: float
) -> tuple[np.ndarray, np.ndarray]:
    """Feet whose ground force is measured.

    A foot that is on no plate but bears by the motion stands beside the plates, from touchdown to toe-off.

    Args:
        force: Forces of the plates, shape (nframe, nplate, 3) [N].
        foot: From `foot_on_plate`, shape (nframe, nplate, 2) bool.
        bearing: Whether each part bears by the motion alone, shape (nframe, npart) bool.
        threshold: Vertical force from which a plate is loaded [N].

    Returns:
        Whether the force of the left and the right foot is measured (also where it is 0), and whether it stands on a
        plate that it does not share; shapes (nframe, 2) bool.
    """
    shared = np.asarray(foot.all(axis=2))
    on = np.asarray((foot & ~shared[..., None] & (force[..., 2] >= threshold)[..., None]).any(axis=1))
    known = np.repeat(~np.asarray(shared.any(axis=1))[:, None], 2, axis=1)
    for side in range(2):
        for start, stop in runs(bearing[:, side] | on[:, side]):
            if not on[start:stop, side].any():
                known[start:stop, side] = False
    return known, on
