"""Low-pass filter of the source: noise is removed once, before the fit, from the motion that everything else uses.

A second-order Butterworth filter runs forwards and backwards (zero phase; Winter 2009, Biomechanics and Motor Control
of Human Movement, section 2.2.4). Each group of signals has its own cutoff frequency, by residual analysis (ibid.): the
residual between raw and filtered signal falls steeply with the cutoff frequency while the filter removes signal, then
along a line while it removes noise only. That line, extended to 0 Hz, gives the size of the noise. The cutoff frequency
is where the residual has this size.

Free fall and landing contain higher frequencies than the rest of a motion: their acceleration changes within a few
hundredths of a second. Around them the highest cutoff frequency applies.

Rotations are filtered as quaternions of continuous sign and normalised afterwards, so an angle may pass 180 degrees.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy.ndimage import binary_dilation, binary_opening, uniform_filter1d
from scipy.signal import butter, sosfiltfilt
from scipy.spatial.transform import Rotation

from musclemap.datasets.motion import SourceMotion
from musclemap.retarget.config import FilterConfig
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.source_kinematics import source_fk

from .resample import FRAMES_PER_CHUNK, continuous_quats

_ARM = ("collar", "shoulder", "elbow", "wrist")
_LEG = ("hip", "knee", "ankle", "foot")

JOINT_GROUPS = {
    "root_rotation": (0,),
    "trunk": tuple(k for k, name in enumerate(BODY_NAMES) if k and "_" not in name),
    "legs": tuple(k for k, name in enumerate(BODY_NAMES) if name.endswith(_LEG)),
    "arms": tuple(k for k, name in enumerate(BODY_NAMES) if name.endswith(_ARM)),
}
"""Joints of each group of rotations; the groups "root" (translation), "hands" (fingers) and "angles" (those that the
source states) complete them."""

NYQUIST_SHARE, IMPACT_NYQUIST_SHARE = 0.4, 0.8
"""Highest cutoff frequency as a fraction of half the frame rate, ordinarily and around free fall and landing. Below
about 30 Hz the second also applies ordinarily, so that the filter does not remove the motion."""

NOISE_BAND = (10.0, 30.0)
"""Cutoff frequencies at which the residual is taken for noise [Hz]: signals of human movement are below (Winter 2009).
At low frame rates the band is from 50 to 90 % of half the frame rate."""

MAX_OUTLIER = 6.0
"""Frames whose residual is more than this many times the median do not count: one glitch would pass for noise in all
frames."""

BISECTIONS = 7
"""Steps of the search for a cutoff frequency, to 0.1 Hz."""

MAX_ANALYSED = 20_000
"""Frames of a motion that residual analysis uses, from its middle; more would only take longer."""

FALL, FALL_CUTOFF, SHORTEST_FALL = 5.0, 5.0, 0.08
"""The body counts as falling while its pelvis, low-passed at FALL_CUTOFF [Hz], accelerates downward by more than FALL
[m/s^2] for SHORTEST_FALL [s]; in walking it reaches about 3."""

BEFORE_FALL, AFTER_FALL, FADE = 0.12, 0.2, 0.1
"""Time before and after a fall in which the highest cutoff frequency applies, for take-off and landing, and the time in
which it changes [s]."""


@dataclass(frozen=True, kw_only=True)
class FilterReport:
    """What the filter did to a motion.

    Attributes:
        cutoff: Cutoff frequency by group of signals [Hz]; infinite if the group was not filtered.
        impact_fraction: Fraction of frames around free fall and landing.
        moved_root: Largest displacement of the pelvis [m].
        moved_joints: Largest displacement of a joint in the world [m].
        moved_joints_rms: Root mean square of the displacement of all joints [m].
    """

    cutoff: dict[str, float]
    impact_fraction: float
    moved_root: float
    moved_joints: float
    moved_joints_rms: float

    def metrics(self) -> dict[str, float]:
        """Metrics of the clip."""
        cutoffs = {f"filter_cutoff_{group}_hz": f for group, f in self.cutoff.items() if np.isfinite(f)}
        return cutoffs | {
            "filter_impact_fraction": self.impact_fraction,
            "filter_moved_root_mm": 1e3 * self.moved_root,
            "filter_moved_joints_mm": 1e3 * self.moved_joints,
            "filter_moved_joints_rms_mm": 1e3 * self.moved_joints_rms,
        }


def low_pass(values: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    """Filter along the first axis with zero phase; a cutoff frequency of half the frame rate or more changes nothing.

    Each end is padded by an odd extension that is long enough for the filter's transient to decay.
    """
    if cutoff >= fps / 2:
        return values
    padding = min(len(values) - 1, round(2.0 * fps / cutoff))
    return sosfiltfilt(_sections(cutoff, fps), values, axis=0, padlen=padding)


@lru_cache(256)
def _sections(cutoff: float, fps: float) -> np.ndarray:
    """Sections of the filter; their design takes longer than filtering a short motion."""
    return np.asarray(butter(2, cutoff, fs=fps, output="sos"))


def residual_cutoff(signals: Sequence[np.ndarray], fps: float, *, lowest: float, highest: float) -> float:
    """Choose the cutoff frequency of a group of signals by residual analysis.

    Args:
        signals: Signals of the same unit, each of shape (nframe, n).
        fps: Frame rate [Hz].
        lowest: Smallest result [Hz].
        highest: Largest result [Hz]; the result for signals without noise.
    """
    start = max(len(signals[0]) - MAX_ANALYSED, 0) // 2
    values = np.concatenate([signal[start : start + MAX_ANALYSED] for signal in signals], axis=1)
    values = values[:, np.ptp(values, axis=0) > 1e-9]
    if not values.size:
        return highest
    squares = lambda cutoff: np.mean((values - low_pass(values, fps, cutoff)) ** 2, axis=1)  # noqa: E731
    band = np.linspace(min(NOISE_BAND[0], 0.25 * fps), min(NOISE_BAND[1], 0.45 * fps), 5)
    noise_squares = [squares(cutoff) for cutoff in band]
    moving = noise_squares[0] > 1e-8 * noise_squares[0].max()  # a body that mostly stands has a median of 0
    ordinary = noise_squares[0] <= MAX_OUTLIER**2 * np.median(noise_squares[0][moving])
    residual = lambda of_frames: float(np.sqrt(of_frames[ordinary].mean()))  # noqa: E731
    noise = float(np.polyfit(band, [residual(of_frames) for of_frames in noise_squares], 1)[1])
    low, high = lowest, highest
    for _ in range(BISECTIONS):  # the residual falls with the cutoff frequency
        middle = 0.5 * (low + high)
        low, high = (low, middle) if residual(squares(middle)) <= noise else (middle, high)
    return round(high, 1)


def impact_weight(height: np.ndarray, fps: float) -> np.ndarray:
    """Weight of the highest cutoff frequency in every frame: 1 around free fall and landing, with ramps, otherwise 0.

    Args:
        height: Height of the pelvis, shape (nframe,) [m].
        fps: Frame rate [Hz].
    """
    if len(height) < 4 or fps <= 2 * FALL_CUTOFF:
        return np.zeros(len(height))
    smooth = low_pass(height, fps, FALL_CUTOFF)
    falling = np.gradient(np.gradient(smooth, 1 / fps), 1 / fps) < -FALL
    falling = binary_opening(falling, np.ones(max(1, round(SHORTEST_FALL * fps)), bool))
    before, after = round((BEFORE_FALL + FADE / 2) * fps), round((AFTER_FALL + FADE / 2) * fps)
    window = np.zeros(2 * max(before, after) + 1, bool)
    centre = len(window) // 2
    window[centre - before : centre + after + 1] = True
    near = binary_dilation(falling, window)
    return uniform_filter1d(near.astype(float), max(1, round(FADE * fps)), mode="nearest")


def filter_source(
    motion: SourceMotion, config: FilterConfig, *, joints: np.ndarray, fingers: bool = False
) -> tuple[SourceMotion, FilterReport]:
    """Remove noise from a motion.

    Args:
        motion: Source at its own frame rate.
        config: Settings.
        joints: Rest positions of the source's joints, shape (22, 3) [m]; for the displacements of the report.
        fingers: Whether to filter the fingers as well.

    Returns:
        The filtered motion, and what was changed.
    """
    filter_ = _Filter(config, motion.fps, impact_weight(motion.trans[:, 2], motion.fps))
    cutoff = {"root": filter_.cutoff([motion.trans])}
    trans = filter_(motion.trans, cutoff["root"])
    rotvec = np.empty(motion.rotvec.shape)
    for group, members in JOINT_GROUPS.items():
        cutoff[group] = filter_.rotations(motion.rotvec, members, out=rotvec)
    hands = motion.hand_rotvec
    if fingers and hands is not None:
        filtered_hands = np.empty(hands.shape)
        cutoff["hands"] = filter_.rotations(hands, range(hands.shape[1]), out=filtered_hands)
        hands = filtered_hands
    angles = motion.angles
    if angles is not None:
        cutoff["angles"] = filter_.cutoff([angles.values])
        angles = replace(angles, values=filter_(angles.values, cutoff["angles"]))
    filtered = replace(motion, rotvec=rotvec, trans=trans, hand_rotvec=hands, angles=angles)
    root, largest, rms = _displacement(motion, filtered, joints)
    return filtered, FilterReport(
        cutoff=cutoff,
        impact_fraction=float((filter_.impact > 0).mean()),
        moved_root=root,
        moved_joints=largest,
        moved_joints_rms=rms,
    )


class _Filter:
    """The filter of one motion.

    Args:
        config: Settings.
        fps: Frame rate [Hz].
        impact: From `impact_weight`.
    """

    def __init__(self, config: FilterConfig, fps: float, impact: np.ndarray) -> None:
        self._config, self._fps, self.impact = config, fps, impact
        self._impact_cutoff = min(config.highest, IMPACT_NYQUIST_SHARE * fps / 2)
        # At low frame rates the lowest cutoff frequency comes first, or the filter would remove the motion.
        self._highest = min(max(config.lowest, NYQUIST_SHARE * fps / 2), self._impact_cutoff)

    def cutoff(self, signals: Sequence[np.ndarray]) -> float:
        """Cutoff frequency of a group of signals [Hz]."""
        if self._config.cutoff > 0:
            return min(self._config.cutoff, IMPACT_NYQUIST_SHARE * self._fps / 2)
        lowest = min(self._config.lowest, self._highest)
        return residual_cutoff(signals, self._fps, lowest=lowest, highest=self._highest)

    def __call__(self, values: np.ndarray, cutoff: float) -> np.ndarray:
        """Filter along the first axis; around impacts with the highest cutoff frequency."""
        filtered = low_pass(values, self._fps, cutoff)
        if self._config.cutoff > 0 or not self.impact.any() or cutoff >= self._impact_cutoff:
            return filtered
        weight = self.impact.reshape(-1, *(1,) * (values.ndim - 1))
        return filtered + weight * (low_pass(values, self._fps, self._impact_cutoff) - filtered)

    def rotations(self, rotvec: np.ndarray, members: Sequence[int], *, out: np.ndarray) -> float:
        """Filter the rotations of some joints, one at a time to bound the memory; returns the cutoff frequency [Hz]."""
        quats = lambda joint: continuous_quats(rotvec[:, joint : joint + 1])[:, 0]  # noqa: E731
        start = max(len(rotvec) - MAX_ANALYSED, 0) // 2
        analysed = rotvec[start : start + MAX_ANALYSED, list(members)]
        cutoff = self.cutoff([continuous_quats(analysed).reshape(len(analysed), -1)])
        for joint in members:
            out[:, joint] = Rotation.from_quat(self(quats(joint), cutoff)).as_rotvec()
        return cutoff


def _displacement(before: SourceMotion, after: SourceMotion, joints: np.ndarray) -> tuple[float, float, float]:
    """Largest displacement of the pelvis and of any joint, and the root mean square of all [m]."""
    root, largest, squares = 0.0, 0.0, 0.0
    for low in range(0, before.nframe, FRAMES_PER_CHUNK):
        part = slice(low, low + FRAMES_PER_CHUNK)
        first, second = (source_fk(motion.rotvec[part], motion.trans[part], joints)[0] for motion in (before, after))
        distance = np.linalg.norm(second - first, axis=2)
        root, largest = max(root, float(distance[:, 0].max())), max(largest, float(distance.max()))
        squares += float(np.sum(distance**2))
    return root, largest, float(np.sqrt(squares / (before.nframe * len(joints))))
