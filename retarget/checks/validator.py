"""Checks of every frame of a clip on the full body.

They use only the contents of a clip file and nothing of the fit, so they also apply to clips from other retargeters.
"""

from dataclasses import replace
from typing import Any

import mujoco
import numpy as np
from scipy.ndimage import uniform_filter1d
from scipy.signal import butter, sosfiltfilt

from musclemap.datasets.clip import Clip
from musclemap.retarget.config import ValidationConfig
from musclemap.retarget.forces.base_forces import base_torques
from musclemap.retarget.forces.bearing import detect_bearing
from musclemap.retarget.forces.contact_forces import load_sharing
from musclemap.retarget.forces.measured import known_forces_of
from musclemap.retarget.forces.passive_torques import passive_torques
from musclemap.retarget.forces.required_forces import RequiredForces, required_forces
from musclemap.retarget.forces.roll_over import RollOver, roll_over
from musclemap.retarget.targets.treadmill import checked_in_place, overground
from musclemap.skeletons.body import TargetBody

from .evaluation import Evaluation, evaluate_clip, limited_driven_joints
from .ground_checks import ground_checks
from .inverse_dynamics import (
    GRAVITY,
    GroundReaction,
    GroundReactionSolver,
    Reaction,
    filtered_motion,
    low_passed,
    without_ground,
)
from .joint_rates import RISE_TIME, is_wrist, peak_rate
from .measured_checks import measured_ground, measured_metrics, stored_measurement
from .muscle_checks import range_excess, tendon_steps
from .muscle_optimisation import MuscleOptimizer, StaticOptimization, join_demands, muscle_demand
from .physics_checks import FramePhysics, MujocoPhysics, PhysicsEngine, neutral_pairs
from .segments import CheckResult, SegmentResult, concatenate_frames, join_segments
from .verdict import judge, rules_with

SATURATED = 0.99
"""A muscle with a higher activation is saturated."""

AT_LIMIT = 1e-3
"""A joint this close to the end of its range is at its limit [rad or m]."""

UNFILTERED_CUTOFF = 6.0
"""Cutoff frequency before inverse dynamics for clips whose source was not filtered [Hz] (Winter 2009)."""

FRAMES_PER_SEGMENT, SEGMENT_OVERLAP = 8192, 256
"""Frames of a long clip that are checked together, which bounds the memory, and additional frames on either side, so
that filters and averages do not see the ends of a segment."""


class Validator:
    """Checks clips of one body.

    Args:
        body: Target body.
        config: Settings of the checks.
        physics: Physics engine; if None, MuJoCo C on all cores.
    """

    def __init__(self, body: TargetBody, config: ValidationConfig, *, physics: PhysicsEngine | None = None) -> None:
        self.body, self.config, self.rules = body, config, rules_with(config.thresholds)
        self._physics = physics or MujocoPhysics(body)
        self._ground = None
        if body.support_parts:
            self._ground = GroundReactionSolver(body, friction=config.friction, force_weight=config.force_weight)
        self._optimizer = MuscleOptimizer(body.model, cost=config.muscle_cost, weight=config.residual_weight)
        self._neutral_pairs = neutral_pairs(body.model, body.reduced.base)

    def check(self, clip: Clip, *, evaluation: Evaluation | None = None, muscles: bool = False) -> CheckResult:
        """Check every frame, in segments of `FRAMES_PER_SEGMENT`; the engine evaluates `config.chunk_size` at a time.

        Args:
            clip: Clip of this body. A treadmill clip that stays in place is checked in the frame of its belt.
            evaluation: Kinematics of the clip's configurations (in that frame); computed if None.
            muscles: Whether to estimate muscle activations.
        """
        clip = overground(clip)
        evaluation = evaluate_clip(self.body, clip.qpos) if evaluation is None else evaluation
        inner = np.zeros(clip.nframe, bool)
        inner[_away_from_ends(clip.nframe, clip.fps)] = True
        segments = []
        for low in range(0, clip.nframe, FRAMES_PER_SEGMENT):
            high = min(low + FRAMES_PER_SEGMENT, clip.nframe)
            wide = slice(max(low - SEGMENT_OVERLAP, 0), min(high + SEGMENT_OVERLAP, clip.nframe))
            part = clip if wide == slice(0, clip.nframe) else clip.frames(wide)
            result = self._check(part, evaluation[wide], inner[wide], muscles=muscles)
            segments.append(result.trim(slice(low - wide.start, high - wide.start)))
        result = join_segments(segments)
        if self._ground is None:
            return result
        measured = ground_checks(
            self.body, result.ground, bearing=result.bearing, root_pos=clip.qpos[:, :3], inner=inner, fps=clip.fps
        )
        result.metrics.update({metric: measure.value for metric, measure in measured.items()})
        result.series.update({metric: m.series for metric, m in measured.items() if m.series is not None})
        result.metrics.update(measured_metrics(result.measured, weight=self.body.mass * GRAVITY, fps=clip.fps))
        return result

    def _check(self, clip: Clip, evaluation: Evaluation, inner: np.ndarray, *, muscles: bool) -> SegmentResult:
        qvel, qacc = filtered_motion(clip.qpos, clip.fps, self._cutoff(clip), free=self.body.free)
        base = None if clip.base_motion is None else low_passed(clip.base_motion, clip.fps, self._cutoff(clip))
        reaction = self._reaction(clip)
        frames, grounds, estimates, demands = [], [], [], []
        for low in range(0, clip.nframe, self.config.chunk_size):
            part = slice(low, low + self.config.chunk_size)
            physics = self._physics.evaluate(clip.qpos[part], qvel[part], qacc[part], muscles=muscles)
            if base is not None:
                moved = base_torques(self.body, clip.qpos[part], qvel[part], base[part])
                physics = replace(physics, torque=physics.torque + moved)
            ground = reaction.solve(physics, part)
            if reaction.estimate is not None:
                estimates.append(reaction.estimate(physics, part))
            if physics.muscles is not None:
                demands.append(muscle_demand(physics.muscles, ground.torque, passive=self._passive(clip.qpos[part])))
            frames.append((low, replace(physics, muscles=None)))  # moment arms are large
            grounds.append(ground)
        ground = concatenate_frames(GroundReaction, grounds)
        optimization = self._optimizer(join_demands(demands), fps=clip.fps) if demands else None
        segment = SegmentResult(ground=ground, optimization=optimization, bearing=reaction.bearing)
        if reaction.known is not None:
            segment.measured = measured_ground(
                reaction.known, np.concatenate(estimates), reaction.alone, used=reaction.used
            )  # fmt: skip
        self._configuration(clip, evaluation, segment)
        self._rates(clip, segment)
        self._geometry(clip, evaluation, frames, segment)
        self._muscles(np.concatenate([f.muscle_length for _, f in frames]), clip.fps, segment)
        self._forces(ground, optimization, inner, segment)
        return segment

    def _reaction(self, clip: Clip) -> Reaction:
        """How the ground supports a clip's body, if it does."""
        solver = self._ground
        if solver is None:
            nothing = np.zeros((clip.nframe, 0), bool)
            return Reaction(nothing, nothing, lambda physics, part: without_ground(physics))
        required = required_forces(self.body, clip.qpos, clip.fps)
        bearing = self._bearing(clip, required)
        known = known_forces_of(clip, self.body, bearing)
        used = known if self.config.forces == "measured" else None
        alone = bearing if known is None else self._detected(clip, required)
        bearing = bearing if used is None else used.bears(bearing)
        load, rolling = self._priors(clip, required, bearing)
        priors = self._priors(clip, required, alone)

        def solve(physics: FramePhysics, part: slice) -> GroundReaction:
            at = physics, clip.qpos[part], required.points[part]
            return solver(*at, load[part], rolling[part], known=None if used is None else used[part])

        def estimate(physics: FramePhysics, part: slice) -> np.ndarray:
            return solver(physics, clip.qpos[part], required.points[part], priors[0][part], priors[1][part]).force

        return Reaction(bearing, alone, solve, None if known is None else estimate, known, used is not None)

    def _passive(self, qpos: np.ndarray) -> np.ndarray | None:
        """Published passive torques of the independent joints, or None if the settings do not ask for them."""
        if not self.config.passive_torques:
            return None
        joints = self.body.actuated
        return passive_torques(joints.joint_names, qpos[:, joints.qposadr].astype(np.float64))

    def _priors(self, clip: Clip, required: RequiredForces, bearing: np.ndarray) -> tuple[np.ndarray, RollOver]:
        """Priors on how the parts share the load, and on the centres of pressure."""
        rolling = roll_over(self.body.support, required.points, bearing, required.com, clip.fps)
        return load_sharing(bearing, clip.fps), rolling

    def _bearing(self, clip: Clip, required: RequiredForces) -> np.ndarray:
        """Parts that bear: those of the clip's file, because its motion was refined for them, or as detected.

        The file's may be those of force plates, which an estimate must not use.
        """
        from_plates = clip.measured is not None and self.config.forces == "estimated"
        if clip.bearing is not None and clip.support_names == self.body.support_names and not from_plates:
            return clip.bearing > 0
        return self._detected(clip, required)

    def _detected(self, clip: Clip, required: RequiredForces) -> np.ndarray:
        """Parts that bear by the motion alone."""
        held = np.any(clip.contact.reshape(clip.nframe, 2, -1), axis=2)
        load = required.wrench[:, 2] / (self.body.mass * GRAVITY)
        return detect_bearing(self.body.support, required.points, load, required.com, clip.fps, held=held)

    def _cutoff(self, clip: Clip) -> float:
        """Cutoff frequency before inverse dynamics [Hz]; infinite if the source of the clip was already filtered."""
        return self.config.cutoff or (np.inf if "filter_cutoff_root_hz" in clip.metrics else UNFILTERED_CUTOFF)

    def validate(self, clip: Clip, *, evaluation: Evaluation | None = None, muscles: bool = False) -> Clip:
        """Check a clip and return it with metrics, verdict, reasons and forces, and with activations if requested.

        Metrics of the fit that cannot be computed from a finished clip are kept.
        """
        original, clip = clip, overground(clip)
        result = self.check(clip, evaluation=evaluation, muscles=muscles)
        metrics = {**clip.metrics, **result.metrics}
        details = {"orientation_error_p95_deg": str(metrics.get("worst_orientation", ""))} | result.details
        verdict, reasons = judge(metrics, series=result.series, details=details, rules=self.rules)
        clip = replace(clip, metrics=metrics, verdict=verdict, reasons=reasons, **self._stored_forces(result))
        if result.optimization is not None:
            model, optimization = self.body.model, result.optimization
            clip = replace(
                clip,
                activation=optimization.activation,
                activation_residual=optimization.residual.astype(np.float32),
                muscle_names=tuple(model.actuator(k).name for k in range(model.nu)),
            )
        return checked_in_place(clip, original)

    def _stored_forces(self, result: CheckResult) -> dict[str, Any]:
        """Members of a clip with the forces of the ground and the moments that the muscles have to supply."""
        moments = {
            "moment_names": self.body.actuated.joint_names,
            "joint_moment": result.ground.torque.astype(np.float32),
        }
        if self._ground is None:
            return moments
        return moments | {
            "support_names": self.body.support_names,
            "bearing": result.bearing.astype(np.uint8),
            "ground_force": result.ground.force.astype(np.float32),
            "centre_of_pressure": result.ground.centre.astype(np.float32),
            **stored_measurement(result.measured),
        }

    def _configuration(self, clip: Clip, evaluation: Evaluation, result: SegmentResult) -> None:
        """Joint limits, couplings and the root's quaternion."""
        excess, driven_excess = evaluation.limit_excess, evaluation.driven_limit_excess
        names = self.body.reduced_hands.joint_names
        driven = limited_driven_joints(self.body)[driven_excess.max(axis=0).argmax()]
        result.record("limit_excess_rad", excess.max(axis=1), location=names[int(excess.max(axis=0).argmax())])
        result.record("driven_limit_excess_rad", driven_excess.max(axis=1), location=self.body.model.joint(driven).name)
        result.record("coupling_residual_rad", evaluation.coupling_residual)
        for metric, wrists in (("limit_time_fraction", False), ("wrist_limit_time_fraction", True)):
            joints = [k for k, n in enumerate(names) if n in self.body.reduced.joint_names and is_wrist(n) == wrists]
            if joints:
                at_limit = excess[:, joints] > -AT_LIMIT
                longest = int(at_limit.mean(axis=0).argmax())
                series, most = at_limit[:, longest].astype(float), lambda x: x.mean(axis=0).max()
                result.record(metric, series, values=at_limit, reduction=most, location=names[joints[longest]])
        if not self.body.free:
            return
        norm = np.abs(np.linalg.norm(clip.qpos[:, 3:7].astype(np.float64), axis=1) - 1.0)
        result.record("quaternion_error", norm)

    def _rates(self, clip: Clip, result: SegmentResult) -> None:
        """Joint velocities and accelerations against those of people, jitter of the root, frozen frames, and `qvel`."""
        model, fps, qpos = self.body.model, clip.fps, clip.qpos.astype(np.float64)
        reduced = self.body.reduced_hands
        joints = qpos[:, reduced.qposadr]
        limit = np.deg2rad([peak_rate(name) for name in reduced.joint_names])
        rate = np.abs(np.diff(joints, axis=0)) * fps / limit
        acceleration = np.abs(np.diff(joints, 2, axis=0)) * fps**2 * RISE_TIME / limit
        for metric, ratio in (("joint_velocity_ratio", rate), ("joint_acceleration_ratio", acceleration)):
            result.record(metric, _pad_start(ratio.max(axis=1), clip.nframe), location=_worst_joint(reduced, ratio))
        step = self._root_rates(qpos, fps, result)
        still = (np.abs(np.diff(joints, axis=0)).max(axis=1) < 1e-7) & (step < 1e-6)
        moving = uniform_filter1d(np.abs(np.diff(joints, axis=0)).max(axis=1), min(len(still), 21)) > 2e-3
        result.record("frozen_fraction", _pad_start((still & moving).astype(float), clip.nframe), reduction=np.mean)
        expected = np.empty((clip.nframe - 1, model.nv))
        for t in range(clip.nframe - 1):
            mujoco.mj_differentiatePos(model, expected[t], 1.0 / fps, qpos[t], qpos[t + 1])
        midway = 0.5 * (expected[1:] + expected[:-1])
        joint = slice(6 if self.body.free else 0, None)
        largest = np.maximum(np.abs(midway)[:, joint].max(axis=1), 1.0)
        mismatch = np.abs(clip.qvel[1:-1] - midway)[:, joint].max(axis=1) / largest
        result.record("velocity_mismatch", np.pad(mismatch, 1, constant_values=np.nan), reduction=np.nanmedian)

    def _root_rates(self, qpos: np.ndarray, fps: float, result: SegmentResult) -> np.ndarray:
        """Record speed, jitter and jerk of a free root; returns its speed between frames, shape (nframe - 1,) [m/s]."""
        if not self.body.free:
            return np.zeros(len(qpos) - 1)
        step = np.linalg.norm(np.diff(qpos[:, :3], axis=0), axis=1) * fps
        result.record("root_speed_max_m_s", _pad_start(step, len(qpos)))
        height = qpos[:, 2]
        jitter = np.abs(height - _low_pass(height, fps, self.config.jitter_cutoff))
        result.record("root_jitter_mm", 1e3 * jitter)
        jerk = np.abs(np.diff(height, 3)) * fps**3
        result.record("root_jerk_m_s3", _pad_start(jerk, len(qpos)))
        return step

    def _geometry(
        self, clip: Clip, evaluation: Evaluation, frames: list[tuple[int, FramePhysics]], result: SegmentResult
    ) -> None:
        """Landmarks, and self-collision; floor and feet of a body with feet."""
        model = self.body.model
        names = self.body.landmark_names
        order = [clip.landmark_names.index(name) for name in names]
        error = 1e3 * np.linalg.norm(evaluation.landmark_pos - clip.target_pos[:, order], axis=2)
        worst = names[int(error.mean(axis=0).argmax())]
        result.record("landmark_error_p95_mm", error.mean(axis=1), reduction=_p95, location=worst)
        location = names[int(error.max(axis=0).argmax())]
        result.record("landmark_error_max_mm", error.max(axis=1), location=location)
        stored = 1e3 * np.linalg.norm(evaluation.landmark_pos - clip.landmark_pos[:, order], axis=2).max(axis=1)
        result.record("stored_landmark_error_mm", stored)
        if self.body.contact_parts:
            self._floor(clip, evaluation, frames, result)
        depth, pair = np.zeros(clip.nframe), {}
        for low, f in frames:
            for t, (a, b), dist in zip(f.contact_frame, f.contact_geoms, f.contact_dist, strict=True):
                if (int(a), int(b)) not in self._neutral_pairs and -dist > depth[low + t]:
                    depth[low + t], pair[low + t] = -dist, (int(a), int(b))
        bodies = ""
        if pair:
            bodies = " and ".join(model.body(model.geom_bodyid[g]).name for g in pair[int(depth.argmax())])
        result.record("self_penetration_mm", 1e3 * depth, location=bodies)
        overflow = np.concatenate([f.overflow for _, f in frames]).astype(float)
        result.record("overflow_fraction", overflow, reduction=np.mean)

    def _floor(
        self, clip: Clip, evaluation: Evaluation, frames: list[tuple[int, FramePhysics]], result: SegmentResult
    ) -> None:
        """Parts below the floor, feet in contact above it, and feet that slide."""
        model = self.body.model
        lowest = np.concatenate([f.lowest for _, f in frames])
        geom = int(np.concatenate([f.lowest_geom for _, f in frames])[lowest.argmin()])
        location = model.body(model.geom_bodyid[geom]).name
        result.record("floor_penetration_mm", np.maximum(-1e3 * lowest, 0.0), location=location)
        contact = clip.contact > 0
        floating = np.where(contact.any(axis=1), np.maximum(1e3 * lowest, 0.0), 0.0)
        result.record("floating_p95_mm", floating, reduction=_p95)
        speed = np.linalg.norm(np.gradient(evaluation.contact_pos[..., :2], 1 / clip.fps, axis=0), axis=2) * contact
        sums = np.stack([speed.sum(axis=1), contact.sum(axis=1)], axis=1)
        mean_speed = lambda x: x[:, 0].sum() / max(x[:, 1].sum(), 1)  # noqa: E731
        result.record("skate_m_s", speed.max(axis=1), values=sums, reduction=mean_speed)

    def _muscles(self, length: np.ndarray, fps: float, result: SegmentResult) -> None:
        """Jumps of tendon lengths, and muscles outside their operating range."""
        model = self.body.model
        steps = tendon_steps(model, length, fps)
        result.record("tendon_jump_fraction", steps.jump.astype(float), reduction=np.mean, location=steps.jump_muscle)
        result.record("tendon_step_max", steps.largest, location=steps.largest_muscle)
        excess = range_excess(model, length)
        worst = model.actuator(int(excess.max(axis=0).argmax())).name
        result.record("muscle_range_excess", np.maximum(excess.max(axis=1), 0.0), location=worst)
        result.record("muscles_beyond_range_fraction", values=(excess > 0).mean(axis=1), reduction=np.mean)

    def _forces(
        self,
        ground: GroundReaction,
        optimization: StaticOptimization | None,
        inner: np.ndarray,
        result: SegmentResult,
    ) -> None:
        """Residuals of ground and muscles. Metrics use only `inner` frames, far enough from the ends for the filter."""
        only_inner = lambda values: np.where(inner, values, np.nan)  # noqa: E731
        if self._ground is not None:
            weight = self.body.mass * GRAVITY
            force = np.linalg.norm(ground.residual_force, axis=1) / weight
            torque = np.linalg.norm(ground.residual_torque, axis=1)
            result.record("residual_force_bw", force, values=only_inner(force), reduction=np.nanmean)
            result.record("residual_torque_nm", torque, values=only_inner(torque), reduction=np.nanmean)
            vertical_force = ground.force.sum(axis=1)[:, 2] / weight
            result.record("ground_force_peak_bw", values=only_inner(vertical_force), reduction=np.nanmax)
        if optimization is None:
            return
        residual = np.abs(optimization.residual)
        location = self.body.actuated.joint_names[int(residual.mean(axis=0).argmax())]
        unmet = residual.max(axis=1)
        result.record("unmet_torque_nm", unmet, values=only_inner(unmet), reduction=np.nanmean, location=location)
        activation = optimization.activation
        result.record("activation_mean", values=activation.mean(axis=1), reduction=np.mean)
        saturated = activation > SATURATED
        location = self.body.model.actuator(int(saturated.mean(axis=0).argmax())).name
        share, most = saturated.mean(axis=1), lambda x: x.mean(axis=0).max()
        result.record("activation_saturated_fraction", share, reduction=np.mean, location=location)
        result.record("muscle_saturated_time_fraction", share, values=saturated, reduction=most, location=location)


def _p95(values: np.ndarray) -> float:
    return float(np.percentile(values, 95))


def _away_from_ends(nframe: int, fps: float) -> slice:
    """Frames more than 0.1 s from either end, or all frames of a very short clip."""
    edge = round(0.1 * fps)
    return slice(edge, nframe - edge) if nframe > 3 * edge else slice(None)


def _pad_start(values: np.ndarray, nframe: int) -> np.ndarray:
    """Assign differences to the later of their frames by padding with zeros at the start; shape (nframe,)."""
    return np.concatenate([np.zeros(nframe - len(values)), values])


def _low_pass(values: np.ndarray, fps: float, cutoff: float) -> np.ndarray:
    if cutoff >= fps / 2 or len(values) < 4:
        return values
    return sosfiltfilt(
        butter(2, cutoff, fs=fps, output="sos"), values, padlen=min(len(values) - 1, round(fps / cutoff))
    )


def _worst_joint(reduced: Any, values: np.ndarray) -> str:
    return reduced.joint_names[int(values.max(axis=0).argmax())] if len(values) else ""
