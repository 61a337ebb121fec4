"""Checks whether a motion's declared frame rate is plausible, from free fall and from the way people walk.

About 5,000 frame rates differ between releases of the archive: 60 for 120, 150 for 120. A wrong rate leaves every
configuration right and every speed wrong, so nothing else in the data reveals it.

The motion itself contains two clocks:

- Free fall. While nothing touches the ground, the centre of mass falls with g and moves at constant speed across the
  floor. If the file declares r times the true rate, the acceleration comes out as r^2 g. This detects 150 for 120
  (r = 1.25).
- Step rate. People who step faster also take longer steps: step length over step rate, the walk ratio, stays near
  0.39 m s from slow to fast walking. At r times the true rate it comes out as 1/r of that. This detects a factor of
  two, but not much less.

Both are judged by the subject's own size. A child of half an adult's size takes steps of half the length in 0.7 of the
time, so the walk ratio scales with the size to the power of 1.5. Free fall does not depend on the size, except in
motions whose lengths were scaled to another body; both are accepted then.

Not detected: a wrong rate in standing, sitting, gestures, handling of objects or dance without leaps; a factor below
about 1.6 in walking; a change of rate within the file. Lengths k times too large cannot be distinguished from a rate
too high by the square root of k. False alarms: people who creep or lunge in long slow steps or hurry in long quick
ones, and apparent flights (ropes, trampolines, a quick step over an obstacle that is missing from the data). The result
is therefore a warning and never a correction.
"""

import itertools

import numpy as np

from musclemap.datasets.motion import FrameRateReport
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

GRAVITY = 9.81
"""[m/s^2]"""

WALK_RATIO = 0.39
"""Step length over step rate of adults [m s]: 0.0065 m per step/min. Sekiya & Nagasaki 1998, Gait & Posture 7:225."""

FLIGHT_RATIO = (0.87, 1.15)
"""Ratio of declared to true rate that free fall accepts; the nearest mistakes to detect are 0.8 and 1.25."""

WALK_RATIO_BAND = (0.22, 0.65)
"""Walk ratios that are accepted [m s]; half and twice the usual one, 0.2 and 0.78, are not."""

ADULT = (0.8, 1.25)
"""Sizes relative to a mean adult that count as 1: the walk ratio of adults varies more than this."""

MAX_FRAMES = 20_000
"""Frames examined, from the start; more would take longer without adding evidence."""

_SEGMENTS = (  # proximal, distal, fraction of mass, centre from the proximal end: de Leva 1996, women and men averaged;
    ("pelvis", "neck", 0.4302, 0.50),  # the trunk's centre is rounded, as its ends here are not de Leva's
    ("head", "head", 0.0681, 0.0),
    ("hip", "knee", 0.1447, 0.385),
    ("knee", "ankle", 0.0457, 0.444),
    ("ankle", "foot", 0.0133, 0.50),
    ("shoulder", "elbow", 0.0263, 0.576),
    ("elbow", "wrist", 0.0150, 0.457),
    ("wrist", "wrist", 0.0059, 0.0),
)


def check_frame_rate(
    rotvec: np.ndarray,
    trans: np.ndarray,
    *,
    fps: float,
    joints: np.ndarray | None = None,
    scale: float | None = None,
) -> FrameRateReport:
    """Test a declared frame rate against free fall and stride rate.

    Args:
        rotvec: Axis-angle of the 22 common joints, shape (nframe, 22, 3) [rad], z up.
        trans: Translation, shape (nframe, 3) [m].
        fps: Declared frame rate [Hz].
        joints: Rest positions, shape (22, 3) [m]; those of a mean adult if None.
        scale: Size of the subject relative to these joints from `stance_scale`; None, and sizes within ADULT, count as
            1.

    Returns:
        The report. If both clocks are present, free fall takes precedence over step rate.
    """
    size = 1.0 if scale is None or ADULT[0] <= scale <= ADULT[1] else scale
    rest = size * (mean_joints() if joints is None else joints)
    usual = WALK_RATIO * size**1.5
    xpos, _ = source_fk(rotvec[:MAX_FRAMES], trans[:MAX_FRAMES], rest)
    evidence = []
    estimate, suspicious = None, False

    walk_ratio, nstep = _walk_ratio(xpos, fps=fps)
    if walk_ratio is not None:
        subject = "" if size == 1.0 else f" for a body of {size:.2f} of an adult's size"
        evidence.append(f"{nstep} steps with a walk ratio of {walk_ratio:.2f} m s, usual is {usual:.2g}{subject}")
        if not WALK_RATIO_BAND[0] <= walk_ratio / size**1.5 <= WALK_RATIO_BAND[1]:
            estimate, suspicious = fps * walk_ratio / usual, True

    falls = _flight_accelerations(xpos, fps=fps)
    if falls.size:
        fall = float(np.median(falls))
        ratio = np.sqrt(fall / GRAVITY)
        agree = np.abs(np.sqrt(falls / fall) - 1) < 0.15
        evidence.append(f"{falls.size} flights falling at {fall:.1f} m/s^2 in the median, free fall is {GRAVITY}")
        if agree.mean() > 0.5:
            estimate = fps / float(ratio)
            accepted = (ratio, ratio / np.sqrt(size))
            suspicious = not any(FLIGHT_RATIO[0] <= value <= FLIGHT_RATIO[1] for value in accepted)
        else:
            evidence.append("the flights disagree with each other and were not used")
    return FrameRateReport(estimate=estimate, suspicious=suspicious, evidence=tuple(evidence))


def _centre_of_mass(xpos: np.ndarray) -> np.ndarray:
    """Centre of mass from joint positions, shape (nframe, 3) [m]."""
    weight = np.zeros(len(BODY_NAMES))
    for proximal, distal, mass, along in _SEGMENTS:
        for side in ("left_", "right_") if f"left_{proximal}" in BODY_NAMES else ("",):
            weight[BODY_NAMES.index(side + proximal)] += mass * (1 - along)
            weight[BODY_NAMES.index(side + distal)] += mass * along
    return np.einsum("j,tjk->tk", weight / weight.sum(), xpos)


def _flight_accelerations(xpos: np.ndarray, *, fps: float) -> np.ndarray:
    """Downward acceleration [m/s^2] in each flight, shape (nflight,).

    A flight is detected by shape alone, so that a wrong rate does not hide it. The lowest joint of the whole body rises
    at least 3 cm and comes down again. Meanwhile the centre of mass follows a parabola at least 2 cm high, with a
    misfit below 3 % of its height, and curves in the vertical only.
    """
    from scipy.signal import find_peaks  # here, because it takes as long to import as all readers

    low = xpos[:, :, 2].min(axis=1)
    centre = _centre_of_mass(xpos)
    peaks, properties = find_peaks(low, prominence=0.03, width=1, rel_height=0.75)
    falls = []
    for k in range(len(peaks)):
        first, last = int(np.ceil(properties["left_ips"][k])), int(np.floor(properties["right_ips"][k]))
        path = centre[first : last + 1]
        if len(path) < 5:
            continue
        time = (np.arange(len(path)) - (len(path) - 1) / 2) / fps
        basis = np.stack([np.ones_like(time), time, time**2 / 2], axis=1)
        fit = np.linalg.lstsq(basis, path, rcond=None)[0]
        misfit = np.sqrt(np.mean((basis @ fit - path)[:, 2] ** 2))
        fall, across = -fit[2, 2], np.hypot(fit[2, 0], fit[2, 1])
        height = fall * time[-1] ** 2 / 2
        if height > 0.02 and misfit < 0.03 * height and across < 0.15 * fall:
            falls.append(fall)
    return np.array(falls)


def _walk_ratio(xpos: np.ndarray, *, fps: float) -> tuple[float | None, int]:
    """Step length over step rate [m s], None without steady walking, and the number of steps.

    A step lasts from the moment one ankle is farthest ahead until the other is. At least three steps count as walking
    or running if all go forward or all go backward, their median length is over 35 cm, and their durations vary by less
    than a quarter.
    """
    from scipy.signal import find_peaks

    hips = xpos[:, BODY_NAMES.index("left_hip")] - xpos[:, BODY_NAMES.index("right_hip")]
    ahead = np.cross(hips, (0.0, 0.0, 1.0))[:, :2]
    ahead /= np.maximum(np.linalg.norm(ahead, axis=1, keepdims=True), 1e-9)
    separation = xpos[:, BODY_NAMES.index("left_ankle"), :2] - xpos[:, BODY_NAMES.index("right_ankle"), :2]
    lead = np.sum(separation * ahead, axis=1)
    left, right = (find_peaks(sign * lead, height=0.15, prominence=0.25)[0] for sign in (1, -1))
    turns = sorted([(int(i), 1) for i in left] + [(int(i), -1) for i in right])
    pelvis = xpos[:, 0, :2]
    steps = np.array(
        [
            ((j - i) / fps, (pelvis[j] - pelvis[i]) @ ahead[i])
            for (i, foot), (j, next_foot) in itertools.pairwise(turns)
            if foot != next_foot
        ]
    ).reshape(-1, 2)
    if len(steps) < 3:
        return None, len(steps)
    duration, length = steps.T
    one_direction = abs(np.sign(length).sum()) == len(length)
    if not one_direction or abs(np.median(length)) < 0.35 or duration.std() > 0.25 * duration.mean():
        return None, len(steps)
    return float(abs(np.median(length)) * np.median(duration)), len(steps)
