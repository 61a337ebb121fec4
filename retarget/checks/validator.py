"""What every frame of a clip is checked for on the real body, and in which frames it fails.

The same checks serve clips of ours and clips made elsewhere: they read what a clip file holds and nothing of the fit.
"""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import mujoco
import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from musclemap.datasets.clip import Clip
from musclemap.retarget.config import ValidationConfig
from musclemap.skeletons.body import TargetBody

from .evaluation import Evaluation, evaluate_clip, limited_driven_joints
from .inverse_dynamics import (
    GRAVITY,
    GroundReaction,
    GroundReactionSolver,
    StaticOptimization,
    bearing_share,
    filtered_motion,
    static_optimisation,
)
from .joint_rates import REACHED_IN, peak_rate
from .physics_checks import CPhysics, FramePhysics, Physics, neutral_pairs
from .verdict import judge, rules_with

JUMP_FACTOR, JUMP_LEAST, JUMP_FRAMES = 10.0, 1e-3, 11
"""A tendon jumps where its relative step exceeds this multiple of the moving average of its steps, and this least
(the rule of MuscleMimic, arXiv 2603.25544), averaged over this many frames."""

SLACK, STRETCHED = 0.0, 1.0
"""Operating range of a muscle: MuJoCo's `actuator_lengthrange`, as parts of it."""


STRETCH, OVERLAP = 8192, 256
"""Frames of a long clip that are looked at together, and how many more on each side, so that filters and averages know
what goes on beyond; bounds the memory."""

_READ = ("qpos", "qvel", "landmark_pos", "target_pos", "contact")

Whole = Callable[[np.ndarray], Any]
"""Makes a clip's metric of a quantity's values in its frames."""


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What the checks found in a clip.

    Attributes:
        metrics: Figures by name, the unit at the end of the name.
        series: Value of each rule's quantity in every frame, shape (nframe,), for those that have one; a reason names
            the frames in which it is over the limit.
        details: Words for a reason's reader, by metric: which joint, which geoms, which muscle.
        optimization: Activations, where asked for.
        ground: Ground reaction, and the torques that it leaves to the muscles.
    """

    metrics: dict[str, Any]
    series: dict[str, np.ndarray]
    details: dict[str, str]
    optimization: StaticOptimization | None
    ground: GroundReaction


class Validator:
    """Checks clips of one body.

    Args:
        body: Target.
        config: Settings of the checks.
        physics: Engine; MuJoCo C on all cores if None.
    """

    def __init__(self, body: TargetBody, config: ValidationConfig, *, physics: Physics | None = None) -> None:
        self.body, self.config, self.rules = body, config, rules_with(config.thresholds)
        self._physics = physics or CPhysics(body)
        self._ground = GroundReactionSolver(body, friction=config.friction, reach=config.contact_height)
        self._touching = neutral_pairs(body.model, body.reduced.base)

    def check(self, clip: Clip, *, evaluation: Evaluation | None = None, muscles: bool = False) -> Findings:
        """Check every frame: `STRETCH` of a long clip at a time, `config.chunk` of them at a time in the engine.

        Args:
            clip: Of this body.
            evaluation: Of the clip's configurations; computed here if None.
            muscles: Whether to look for activations too.
        """
        evaluation = evaluate_clip(self.body, clip.qpos) if evaluation is None else evaluation
        share = bearing_share(clip.contact > 0, clip.fps)
        inner = np.zeros(clip.nframe, bool)
        inner[_inside(clip.nframe, clip.fps)] = True
        stretches = []
        for low in range(0, clip.nframe, STRETCH):
            high = min(low + STRETCH, clip.nframe)
            wide = slice(max(low - OVERLAP, 0), min(high + OVERLAP, clip.nframe))
            part = (
                clip if wide == slice(0, clip.nframe) else replace(clip, **{f: getattr(clip, f)[wide] for f in _READ})
            )
            result = self._check(part, evaluation[wide], share[wide], inner[wide], muscles=muscles)
            stretches.append(result.cut(slice(low - wide.start, high - wide.start)))
        return _findings(stretches)

    def _check(
        self, clip: Clip, evaluation: Evaluation, share: np.ndarray, inner: np.ndarray, *, muscles: bool
    ) -> "_Stretch":
        qvel, qacc = filtered_motion(clip.qvel, clip.fps, self.config.cutoff)
        frames, grounds, optimizations = [], [], []
        for low in range(0, clip.nframe, self.config.chunk_size):
            part = slice(low, low + self.config.chunk_size)
            result = self._physics.evaluate(clip.qpos[part], qvel[part], qacc[part], muscles=muscles)
            ground = self._ground(result, clip.qpos[part], share[part])
            if muscles:
                optimizations.append(static_optimisation(result, ground.torque, weight=self.config.residual_weight))
            frames.append((low, replace(result, muscles=None)))  # its moment arms would fill the memory
            grounds.append(ground)
        ground = _joined(GroundReaction, grounds)
        optimization = _joined(StaticOptimization, optimizations) if optimizations else None
        stretch = _Stretch(ground=ground, optimization=optimization)
        self._configuration(clip, evaluation, stretch)
        self._rates(clip, stretch)
        self._geometry(clip, evaluation, frames, stretch)
        self._muscles(np.concatenate([f.muscle_length for _, f in frames]), stretch)
        self._forces(ground, optimization, inner, stretch)
        return stretch

    def validate(self, clip: Clip, *, evaluation: Evaluation | None = None, muscles: bool = False) -> Clip:
        """Check a clip and give it its metrics, verdict and reasons, and activations where asked for.

        Metrics that were found when the clip was made and that a finished clip does not show stay as they are.
        """
        result = self.check(clip, evaluation=evaluation, muscles=muscles)
        metrics = {**clip.metrics, **result.metrics}
        details = {"orientation_error_p95_deg": str(metrics.get("worst_orientation", ""))} | result.details
        verdict, reasons = judge(metrics, series=result.series, details=details, rules=self.rules)
        clip = replace(clip, metrics=metrics, verdict=verdict, reasons=reasons)
        if result.optimization is None:
            return clip
        residual = result.optimization.residual.astype(np.float32)
        return replace(clip, activation=result.optimization.activation, activation_residual=residual)

    def _configuration(self, clip: Clip, evaluation: Evaluation, result: "_Stretch") -> None:
        """Limits and couplings, over all joints of the model."""
        beyond, over = evaluation.limit_excess, evaluation.driven_limit_excess
        names = self.body.reduced_hands.joint_names
        driven = limited_driven_joints(self.body)[over.max(axis=0).argmax()]
        result.put("limit_excess_rad", beyond.max(axis=1), name=names[int(beyond.max(axis=0).argmax())])
        result.put("driven_limit_excess_rad", over.max(axis=1), name=self.body.model.joint(driven).name)
        result.put("coupling_residual_rad", evaluation.coupling_residual)
        norm = np.abs(np.linalg.norm(clip.qpos[:, 3:7].astype(np.float64), axis=1) - 1.0)
        result.put("quaternion_error", norm)

    def _rates(self, clip: Clip, result: "_Stretch") -> None:
        """Velocities and accelerations against people's, the root's unrest, frames that stand still."""
        model, fps, qpos = self.body.model, clip.fps, clip.qpos.astype(np.float64)
        reduced = self.body.reduced_hands
        joints = qpos[:, reduced.qposadr]
        limit = np.deg2rad([peak_rate(name) for name in reduced.joint_names])
        rate = np.abs(np.diff(joints, axis=0)) * fps / limit
        bend = np.abs(np.diff(joints, 2, axis=0)) * fps**2 * REACHED_IN / limit
        result.put("joint_velocity_ratio", _longer(rate.max(axis=1), clip.nframe), name=_worst(reduced, rate))
        result.put("joint_acceleration_ratio", _longer(bend.max(axis=1), clip.nframe), name=_worst(reduced, bend))
        step = np.linalg.norm(np.diff(qpos[:, :3], axis=0), axis=1) * fps
        result.put("root_speed_max_m_s", _longer(step, clip.nframe))
        height = qpos[:, 2]
        jitter = np.abs(height - _low_pass(height, fps, self.config.jitter_cutoff))
        result.put("root_jitter_mm", 1e3 * jitter)
        jerk = np.abs(np.diff(height, 3)) * fps**3
        result.put("root_jerk_m_s3", _longer(jerk, clip.nframe))
        still = (np.abs(np.diff(joints, axis=0)).max(axis=1) < 1e-7) & (step < 1e-6)
        moving = uniform_filter1d(np.abs(np.diff(joints, axis=0)).max(axis=1), min(len(still), 21)) > 2e-3
        result.put("frozen_fraction", _longer((still & moving).astype(float), clip.nframe), whole=np.mean)
        expected = np.empty((clip.nframe - 1, model.nv))
        for t in range(clip.nframe - 1):
            mujoco.mj_differentiatePos(model, expected[t], 1.0 / fps, qpos[t], qpos[t + 1])
        midway = 0.5 * (expected[1:] + expected[:-1])
        apart = np.abs(clip.qvel[1:-1] - midway)[:, 6:].max(axis=1) / np.maximum(np.abs(midway)[:, 6:].max(axis=1), 1.0)
        result.put("velocity_mismatch", np.pad(apart, 1, constant_values=np.nan), whole=np.nanmedian)

    def _geometry(
        self, clip: Clip, evaluation: Evaluation, frames: list[tuple[int, FramePhysics]], result: "_Stretch"
    ) -> None:
        """Landmarks, floor, feet and the body against itself."""
        model = self.body.model
        names = self.body.landmark_names
        order = [clip.landmark_names.index(name) for name in names]
        error = 1e3 * np.linalg.norm(evaluation.landmark_pos - clip.target_pos[:, order], axis=2)
        worst = names[int(error.mean(axis=0).argmax())]
        result.put("landmark_error_p95_mm", error.mean(axis=1), whole=_p95, name=worst)
        stored = 1e3 * np.linalg.norm(evaluation.landmark_pos - clip.landmark_pos[:, order], axis=2).max(axis=1)
        result.put("stored_landmark_error_mm", stored)
        lowest = np.concatenate([f.lowest for _, f in frames])
        geom = int(np.concatenate([f.lowest_geom for _, f in frames])[lowest.argmin()])
        name = model.body(model.geom_bodyid[geom]).name
        result.put("floor_penetration_mm", np.maximum(-1e3 * lowest, 0.0), name=name)
        contact = clip.contact > 0
        floating = np.where(contact.any(axis=1), np.maximum(1e3 * lowest, 0.0), 0.0)
        result.put("floating_p95_mm", floating, whole=_p95)
        speed = np.linalg.norm(np.gradient(evaluation.contact_pos[..., :2], 1 / clip.fps, axis=0), axis=2) * contact
        standing = np.stack([speed.sum(axis=1), contact.sum(axis=1)], axis=1)
        result.put("skate_m_s", speed.max(axis=1), of=standing, whole=lambda x: x[:, 0].sum() / max(x[:, 1].sum(), 1))
        depth, pair = np.zeros(clip.nframe), {}
        for low, f in frames:
            for t, (a, b), dist in zip(f.touch_frame, f.touch_pair, f.touch_dist, strict=True):
                if (int(a), int(b)) not in self._touching and -dist > depth[low + t]:
                    depth[low + t], pair[low + t] = -dist, (int(a), int(b))
        words = ""
        if pair:
            words = " and ".join(model.body(model.geom_bodyid[g]).name for g in pair[int(depth.argmax())])
        result.put("self_penetration_mm", 1e3 * depth, name=words)
        overflow = np.concatenate([f.overflow for _, f in frames]).astype(float)
        result.put("overflow_fraction", overflow, whole=np.mean)

    def _muscles(self, length: np.ndarray, result: "_Stretch") -> None:
        """Jumps of tendon length, and muscles outside their operating range."""
        model = self.body.model
        length = length.astype(np.float64)
        step = np.abs(np.diff(length, axis=0)) / length[:-1]
        average = uniform_filter1d(step, min(JUMP_FRAMES, len(step)), axis=0, mode="nearest")
        others = (average * JUMP_FRAMES - step) / (JUMP_FRAMES - 1)  # the step itself must not raise its own bar
        jumps = step > np.maximum(JUMP_FACTOR * others, JUMP_LEAST)
        name = model.actuator(int(jumps.any(axis=0).argmax())).name if jumps.any() else ""
        result.put(
            "tendon_jump_fraction",
            _longer(jumps.any(axis=1).astype(float), len(length)),
            whole=np.mean,
            name=name,
        )
        low, high = model.actuator_lengthrange.T
        part = (length - low) / (high - low)
        beyond = np.maximum(SLACK - part, part - STRETCHED)
        worst = model.actuator(int(beyond.max(axis=0).argmax())).name
        result.put("muscle_range_excess", np.maximum(beyond.max(axis=1), 0.0), name=worst)
        result.put("muscles_beyond_range_fraction", of=(beyond > 0).mean(axis=1), whole=np.mean)

    def _forces(
        self, ground: GroundReaction, optimization: StaticOptimization | None, inner: np.ndarray, result: "_Stretch"
    ) -> None:
        """What neither ground nor muscles can give; `inner` are the frames in which the filter has enough to go by."""
        weight = float(self.body.model.body_mass.sum()) * GRAVITY
        where = lambda values: np.where(inner, values, np.nan)  # noqa: E731
        force = np.linalg.norm(ground.residual_force, axis=1) / weight
        torque = np.linalg.norm(ground.residual_torque, axis=1)
        result.put("residual_force_bw", force, of=where(force), whole=np.nanmean)
        result.put("residual_torque_nm", torque, of=where(torque), whole=np.nanmean)
        push = ground.force.sum(axis=1)[:, 2] / weight
        result.put("ground_force_peak_bw", of=where(push), whole=np.nanmax)
        if optimization is None:
            return
        lost = np.abs(optimization.residual)
        name = self.body.reduced.joint_names[int(lost.mean(axis=0).argmax())]
        result.put("unmet_torque_nm", lost.max(axis=1), of=where(lost.max(axis=1)), whole=np.nanmean, name=name)
        result.put("activation_mean", of=optimization.activation.mean(axis=1), whole=np.mean)
        result.put("activation_saturated_fraction", of=(optimization.activation > 0.99).mean(axis=1), whole=np.mean)


@dataclass(kw_only=True)
class _Stretch:
    """Findings in part of a clip.

    Attributes:
        ground: Of its frames.
        optimization: Of its frames, where asked for.
        series: As in `Findings`.
        parts: For each metric values by frame and what makes the metric of those of all frames.
        names: For each metric what is at fault here.
    """

    ground: GroundReaction
    optimization: StaticOptimization | None
    series: dict[str, np.ndarray] = field(default_factory=dict)
    parts: dict[str, tuple[np.ndarray, Whole]] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    def put(
        self, metric: str, series: np.ndarray | None = None, *, of: np.ndarray | None = None, whole: Whole = np.max,
        name: str = "",
    ) -> None:  # fmt: skip
        """Keep a quantity: by frame for reasons, if there are any, and what the metric is made of if that differs."""
        values = series if of is None else of
        assert values is not None
        self.parts[metric] = (values, whole)
        self.names[metric] = name
        if series is not None:
            self.series[metric] = np.nan_to_num(series)

    def cut(self, own: slice) -> "_Stretch":
        """Leave out the frames that are here only for the others' sake."""
        cut = lambda kind, values: kind(**{f: getattr(values, f)[own] for f in kind.__dataclass_fields__})  # noqa: E731
        return _Stretch(
            ground=cut(GroundReaction, self.ground),
            optimization=None if self.optimization is None else cut(StaticOptimization, self.optimization),
            series={metric: values[own] for metric, values in self.series.items()},
            parts={metric: (values[own], whole) for metric, (values, whole) in self.parts.items()},
            names=self.names,
        )


def _findings(stretches: list[_Stretch]) -> Findings:
    """Join a clip's stretches; where the fault is greatest, its name is taken."""
    first = stretches[0]
    metrics, details = {}, {}
    for metric, (_, whole) in first.parts.items():
        values = [stretch.parts[metric][0] for stretch in stretches]
        metrics[metric] = _value(whole, np.concatenate(values))
        worst = max(range(len(stretches)), key=lambda k: _value(whole, values[k]))
        if metrics[metric] > 0 and stretches[worst].names[metric]:
            details[metric] = stretches[worst].names[metric]
    optimizations = [stretch.optimization for stretch in stretches if stretch.optimization is not None]
    return Findings(
        metrics=metrics,
        series={metric: np.concatenate([stretch.series[metric] for stretch in stretches]) for metric in first.series},
        details=details,
        optimization=_joined(StaticOptimization, optimizations) if optimizations else None,
        ground=_joined(GroundReaction, [stretch.ground for stretch in stretches]),
    )


def _value(whole: Whole, values: np.ndarray) -> float:
    """A metric of values by frame; 0 where none of them counts."""
    return float(max(whole(values), 0.0)) if np.isfinite(values).any() else 0.0


def _p95(values: np.ndarray) -> float:
    return float(np.percentile(values, 95))


def _inside(nframe: int, fps: float) -> slice:
    """Frames that are not within a tenth of a second of an end, or all of a very short clip."""
    edge = round(0.1 * fps)
    return slice(edge, nframe - edge) if nframe > 3 * edge else slice(None)


def _longer(values: np.ndarray, nframe: int) -> np.ndarray:
    """Differences laid on the frames they lead to, 0 before; shape (nframe,)."""
    return np.concatenate([np.zeros(nframe - len(values)), values])


def _low_pass(values: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    if cutoff >= fps / 2 or len(values) < 4:
        return values
    return sosfiltfilt(
        butter(2, cutoff, fs=fps, output="sos"), values, padlen=min(len(values) - 1, round(fps / cutoff))
    )


def _worst(reduced: Any, values: np.ndarray) -> str:
    return reduced.joint_names[int(values.max(axis=0).argmax())] if len(values) else ""


def _joined(kind: type, parts: list[Any]) -> Any:
    return kind(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in kind.__dataclass_fields__})
