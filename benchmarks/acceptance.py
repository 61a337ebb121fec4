"""Accuracy of clips against their sources, clip by clip, and the targets that they have to meet."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation
from tables import table, verdict

from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.retarget.resample import resample
from musclemap.skeletons.smpl.joints import BODY_NAMES

SLOW_KINDS = ("walk", "squat", "step")
"""Parts of the names of slow motions, in which joint steps between frames have to be small."""

MIN_ROTATION = float(np.deg2rad(1.0))
"""Smallest rotation of a source limb per frame that ratios are computed with [rad]."""

MIN_ACCELERATION = 0.5
"""Smallest acceleration of the source's root that ratios are computed with, about that of 1 mm of noise over 0.1 s
[m/s^2]."""

_LEG = ("hip", "knee", "ankle", "subtalar", "mtp")
_CHAINS = {
    "arm": (("collar", "shoulder"), ("elbow",), ("wrist",)),
    "leg": (("hip",), ("knee",), ("ankle",), ("foot",)),
    "trunk": (("spine1", "spine2", "spine3"),),
}
"""Joints of the source by limb; the joints of one tuple correspond to one joint of the target."""


@dataclass(frozen=True, kw_only=True)
class Row:
    """Results of one clip.

    Attributes:
        name: Shortened name of the source.
        nframe: Number of frames.
        metrics: Metrics stored with the clip.
        limb_ratio: Largest ratio, over all limbs, of the largest joint step to the source limb's largest rotation.
        limb: The limb with this ratio.
        verdict: Verdict stored with the clip.
    """

    name: str
    nframe: int
    metrics: dict[str, Any]
    limb_ratio: float
    limb: str
    verdict: str

    @property
    def acceleration_ratio(self) -> float:
        """Peak vertical acceleration of the root relative to that of the scaled source."""
        return self.metrics["root_peak_acceleration_m_s2"] / max(
            self.metrics["source_root_peak_acceleration_m_s2"], MIN_ACCELERATION
        )

    @property
    def slow(self) -> bool:
        """Whether the motion is a walk, squat or step."""
        return any(kind in self.name for kind in SLOW_KINDS)


def row(clip: Clip, motion: SourceMotion) -> Row:
    """Compare one clip with its source."""
    steps, rotations = _joint_steps(clip), _limb_rotations(motion, clip.fps)
    ratios = {limb: steps[limb] / max(rotations[limb], MIN_ROTATION) for limb in steps}
    limb = max(ratios, key=lambda key: ratios[key])
    return Row(
        name=clip.source.removesuffix(".npz").removesuffix("_poses").removeprefix("builtin/"),
        nframe=clip.nframe,
        metrics=dict(clip.metrics),
        limb_ratio=ratios[limb],
        limb=limb,
        verdict=clip.verdict,
    )


def _limb_of(joint: str) -> str:
    if joint[-2:] not in ("_r", "_l"):
        return "trunk"
    return ("leg" if joint.startswith(_LEG) else "arm") + joint[-2:]


def _joint_steps(clip: Clip) -> dict[str, float]:
    """Largest step of the independent joints of each limb between two frames [rad]."""
    from musclemap.skeletons.bodies.myofullbody import FINGER_JOINTS, load_model
    from musclemap.skeletons.reduced import reduce_model

    reduced = reduce_model(load_model(), locked=frozenset(FINGER_JOINTS))
    steps = np.abs(np.diff(clip.qpos[:, reduced.qposadr].astype(np.float64), axis=0)).max(axis=0)
    largest: dict[str, float] = {}
    for name, step in zip(reduced.joint_names, steps, strict=True):
        largest[_limb_of(name)] = max(largest.get(_limb_of(name), 0.0), float(step))
    return largest


def _limb_rotations(motion: SourceMotion, fps: float) -> dict[str, float]:
    """Largest rotation of the source's joints in each limb between two frames at the clip's frame rate [rad]."""
    rotvec = resample(motion, fps).rotvec

    def rotation(names: Sequence[str]) -> float:
        combined = Rotation.identity(len(rotvec))
        for name in names:
            combined = combined * Rotation.from_rotvec(rotvec[:, BODY_NAMES.index(name)])
        return float((combined[:-1].inv() * combined[1:]).magnitude().max())

    sides = {"_r": "right_", "_l": "left_"}
    rotations = {"trunk": max(rotation(names) for names in _CHAINS["trunk"])}
    for limb in ("arm", "leg"):
        for short, word in sides.items():
            rotations[limb + short] = max(rotation([word + name for name in names]) for names in _CHAINS[limb])
    return rotations


_COLUMNS: tuple[tuple[str, Callable[[Row], str]], ...] = (
    ("clip", lambda r: r.name),
    ("frames", lambda r: f"{r.nframe}"),
    ("mean", lambda r: f"{r.metrics['landmark_error_mm']:.1f}"),
    ("p95", lambda r: f"{r.metrics['landmark_error_p95_mm']:.1f}"),
    ("feet", lambda r: f"{r.metrics['foot_error_mm']:.1f}"),
    ("limit", lambda r: f"{r.metrics['limit_excess_rad']:.0e}"),
    ("driven", lambda r: f"{r.metrics['driven_limit_excess_rad']:.0e}"),
    ("coupl.", lambda r: f"{r.metrics['coupling_residual_rad']:.0e}"),
    ("deep99", lambda r: f"{r.metrics['floor_depth_p99_mm']:.1f}"),
    ("deep", lambda r: f"{r.metrics['floor_depth_max_mm']:.1f}"),
    ("stance", lambda r: f"{r.metrics['stance_speed_m_s']:.3f}"),
    ("source", lambda r: f"{r.metrics['source_stance_speed_m_s']:.3f}"),
    ("accel", lambda r: f"{r.acceleration_ratio:.2f}"),
    ("step", lambda r: f"{r.metrics['joint_step_max_deg']:.1f}"),
    ("limb", lambda r: f"{r.limb_ratio:.2f} {r.limb}"),
    ("verdict", lambda r: r.verdict),
)

LEGEND = """\
mean, p95: distance of the 17 landmarks from their targets, mean over the clip and 95th percentile of its frames [mm];
feet: mean distance of ankles and toes [mm]; limit, driven: independent joints beyond their effective range, and driven
joints beyond their declared range [rad]; coupl.: deviation of driven joints from their couplings [rad]; deep99, deep:
penetration of the feet into the floor, 99th percentile of frames and maximum [mm]; stance, source: mean speed of heels
and toes in contact, in the clip and in the source [m/s]; accel: peak vertical acceleration of the root relative to the
source's, of at least 0.5 m/s^2; step: largest joint step per frame at 100 Hz [deg]; limb: largest joint step relative
to the largest rotation of the source's limb, of at least 1 deg, and the limb."""


def clip_table(rows: Sequence[Row]) -> str:
    """Format one line per clip."""
    return table([name for name, _ in _COLUMNS], [[cell(r) for _, cell in _COLUMNS] for r in rows])


@dataclass(frozen=True, kw_only=True)
class Check:
    """A target and its result: `bar` is the largest allowed value, `where` the location of the worst one."""

    name: str
    bar: float
    value: float
    unit: str
    where: str = ""

    @property
    def met(self) -> bool:
        """Whether the target is met."""
        return self.value <= self.bar

    def message(self) -> str:
        """Format the check as one line."""
        location = f" ({self.where})" if self.where and self.value else ""
        return verdict(
            self.name,
            target=f"at most {self.bar:g}{self.unit}",
            result=f"{self.value:.3g}{self.unit}{location}",
            met=self.met,
        )


def checks(rows: Sequence[Row], *, missing: Sequence[str]) -> list[Check]:
    """Compare a set of clips with the targets.

    Args:
        rows: Results of the clips.
        missing: Sources without a clip.
    """
    nframe = np.array([r.nframe for r in rows], float)
    mean = lambda key: float(np.average([r.metrics[key] for r in rows], weights=nframe))  # noqa: E731

    def worst(
        name: str, bar: float, unit: str, value: Callable[[Row], float], among: Sequence[Row] = rows
    ) -> list[Check]:
        if not among:
            return []
        worst_row = max(among, key=value)
        return [Check(name=name, bar=bar, value=value(worst_row), unit=unit, where=worst_row.name)]

    def metric(key: str) -> Callable[[Row], float]:
        return lambda r: float(r.metrics[key])

    def sliding(r: Row) -> float:
        speed = float(r.metrics["stance_speed_m_s"])
        return speed if speed > r.metrics["source_stance_speed_m_s"] else 0.0

    slow, others = [r for r in rows if r.slow], [r for r in rows if not r.slow]
    return [
        Check(name="sources without a clip", bar=0, value=len(missing), unit="", where=", ".join(missing)),
        *worst("independent joints beyond their range, worst clip", 1e-5, " rad", metric("limit_excess_rad")),
        *worst("driven joints beyond their range, worst clip", 5e-4, " rad", metric("driven_limit_excess_rad")),
        *worst("coupling residual, worst clip", 1e-5, " rad", metric("coupling_residual_rad")),
        Check(name="landmark error, mean over all frames", bar=15, value=mean("landmark_error_mm"), unit=" mm"),
        *worst("landmark error, 95th percentile of frames, worst clip", 30, " mm", metric("landmark_error_p95_mm")),
        Check(name="error of ankles and toes, mean over all frames", bar=8, value=mean("foot_error_mm"), unit=" mm"),
        *worst("feet below the floor, 99 % of frames, worst clip", 5, " mm", metric("floor_depth_p99_mm")),
        *worst("feet below the floor, deepest", 15, " mm", metric("floor_depth_max_mm")),
        *worst("speed of standing feet if the source's is lower, worst clip", 0.05, " m/s", sliding),
        *worst(
            "peak vertical root acceleration over the source's, worst clip", 1.2, "", lambda r: r.acceleration_ratio
        ),
        *worst(
            "largest joint step in a frame, walks, squats and steps", 12, " deg", metric("joint_step_max_deg"), slow
        ),
        *worst("joint step over the rotation of the source's limb, other clips", 2, "", lambda r: r.limb_ratio, others),
    ]
