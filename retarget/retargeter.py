"""Retargeter: all stages from source motions to finished clips, for a batch of motions."""

import dataclasses
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any

import jax
import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from musclemap.cores import available_cores
from musclemap.datasets.clip import Clip
from musclemap.datasets.motion import SourceMotion
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.checks.metrics import clip_metrics
from musclemap.retarget.checks.physics_engines import choose_physics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.checks.verdict import MAX_REFIT_MOVE_MM, judge, rules_with
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.dynamics.refinement import Refinement, Refiner, refinement_metrics
from musclemap.retarget.solver.cost_weights import joint_stiffness
from musclemap.retarget.solver.fitter import Fit, Fitter
from musclemap.retarget.solver.refit import accept_refit, blend, needs_refit, refit_share
from musclemap.retarget.targets.base_frame import BaseFrame
from musclemap.retarget.targets.landmark_targets import MotionTargets, build_targets
from musclemap.retarget.targets.proportions import Proportions, fit_proportions
from musclemap.retarget.targets.treadmill import to_place, travel_metrics
from musclemap.settings import to_dict
from musclemap.skeletons.base_motion import base_motion
from musclemap.skeletons.bodies import BODY_OPTIONS, load_body
from musclemap.skeletons.smpl.body_model import BodyModel, choose_body_model
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.variants.variant import size_of_variant

from .fingers import check_fingers, finger_joints, with_fingers
from .fit_metrics import contact_metrics, feet_contact, fit_metrics
from .fitted_plates import FittedPlates, fitted_plates
from .full_body_chest import arms_of_clip, full_body_config
from .prepared_source import PreparedSource, prepare_source
from .resample import FRAMES_PER_CHUNK, frame_times, resample, resample_rotations
from .software import software_versions
from .velocities import velocities

MIN_FRAMES = 3
"""Shortest clip: fewer frames have no acceleration."""

MAX_THREADS = 8
"""Most clips refined and checked at a time, which bounds the memory."""

MAX_SKELETONS = 64
"""Fitted skeletons kept: sources with their own skeletons have one each."""


@dataclass(frozen=True, kw_only=True)
class RetargetResult:
    """Result of one motion.

    Attributes:
        clip: The clip, or None if the motion gives none.
        code: Reason why there is no clip, or None.
        message: The reason as a sentence, or "".
        seconds: Computing time, distributed evenly over the frames of the batch [s].
    """

    clip: Clip | None
    code: ReasonCode | None
    message: str
    seconds: float


class Retargeter:
    """Retargets motions to a target body with GMR-Fit.

    Args:
        config: Settings.
        body_models: Models of the SMPL family for the subjects' shapes; without any, the mean skeleton is used. A
            source with its own skeleton needs neither.
        device: JAX device to compute on; None for JAX's default.
    """

    def __init__(
        self,
        config: RetargetConfig = RetargetConfig(),  # noqa: B008  (frozen)
        *,
        body_models: Sequence[BodyModel] = (),
        device: Any = None,
    ) -> None:
        self.config = config
        load = partial(load_body, limits=config.joint_limits, published=config.body.published)
        self.body = load(BODY_OPTIONS.get(config.body.name, config.body.name), variant=config.body.variant)
        base, size = self.body.base, size_of_variant(config.body.variant)
        self._whole = self.body if base is None else load(base.whole, variant=size)
        self._bones = self._whole
        if self._whole is self.body and config.body.variant.joint_range:
            # Limits do not change bones: without a straight elbow in the T-pose, the forearms would seem shorter.
            self._bones = load(self.body.name, variant=dataclasses.replace(config.body.variant, joint_range=()))
        self._hands = self.body.hands if config.hands == "auto" else config.hands
        if self._hands == "tracked":
            check_fingers(self._whole)
        self._models = tuple(body_models)
        self._device = device if device is not None else jax.devices()[0]
        with jax.default_device(self._device):
            self._fitter = Fitter(self.body, config, device=self._device)
        self._full_body: Retargeter | None = None  # gives chest and arms
        if config.body.chest == "full-body":
            self._full_body = Retargeter(full_body_config(config), body_models=body_models, device=self._device)
        self._refiner = self._make_refiner() if config.dynamics.enabled else None
        self._validator = None
        if config.validation.enabled:
            physics = choose_physics(self.body, self._device)
            self._validator = Validator(self.body, config.validation, physics=physics)
        self._proportions: dict[str | bytes, Proportions] = {}

    def _make_refiner(self) -> Refiner | None:
        """Refiner of the fits; None for a body that the ground does not support."""
        if not (self.body.free and self.body.support_parts):
            return None
        config, rate = self.config, self.config.fps / 100.0
        smoothness = config.dynamics.smoothness * joint_stiffness(self.body, config.weights) * rate**4
        checks = config.validation
        return Refiner(
            self.body,
            config.dynamics,
            friction=checks.friction,
            force_weight=checks.force_weight,
            smoothness=smoothness,
            floor=config.weights.floor,
        )

    def provenance(self, motion: SourceMotion) -> Mapping[str, Any]:
        """Attributes of a clip of this motion that decide whether an existing clip is up to date.

        Raises:
            BodyModelError: If body models were given but none matches the motion's family and gender.
        """
        model = self._model_of(motion)
        return {
            "config": to_dict(self.config),
            "software": software_versions(self._device.platform),
            "model_sha256": self.body.sha256,
            "body_model": ("mean" if motion.rest_joints is None else "source")
            if model is None
            else f"{model.file} {model.sha256}",
            "licence": motion.licence,
            "force_source": "" if motion.forces is None else motion.forces.source,
            "calibration_source": motion.calibration_source,
        }

    def proportions(self, motion: SourceMotion) -> Proportions:
        """Skeleton for a motion's body model or own skeleton, fitted to the whole body; each is fitted once."""
        model = self._model_of(motion)
        key = model.sha256 if model is not None else "" if motion.rest_joints is None else motion.rest_joints.tobytes()
        fitted = self._proportions.get(key)
        if fitted is None:
            joints = self._joints(motion) if model is None else model.joint_template[:22]
            fitted = fit_proportions(self._bones, joints, body_model=model)
            if len(self._proportions) >= MAX_SKELETONS:
                self._proportions.clear()
            self._proportions[key] = fitted
        return fitted

    def prepare(self, motion: SourceMotion) -> PreparedSource:
        """Source as everything else uses it: without repeated frames and noise."""
        joints = self._joints(motion)
        return prepare_source(motion, self.config, joints=joints, fingers=self._hands == "tracked")

    def targets(self, motion: SourceMotion) -> MotionTargets:
        """Targets of the fit for a motion, at the clip's frame rate."""
        return self._targets(self.prepare(motion).motion)

    def _targets(self, motion: SourceMotion) -> MotionTargets:
        resampled = resample(motion, self.config.fps)
        targets = self._whole_targets(motion, resampled)
        if self.body.base is None:
            return targets
        frame = self._frame(motion)
        return frame.targets(targets, frame.path(resampled, targets), self._hand_rotations(motion))

    def _whole_targets(self, motion: SourceMotion, resampled: SourceMotion) -> MotionTargets:
        proportions, joints = self.proportions(motion), self._joints(motion)
        return build_targets(self._whole, resampled, proportions, self.config, source_joints=joints)

    def _frame(self, motion: SourceMotion) -> BaseFrame:
        return BaseFrame(body=self.body, whole=self._whole, proportions=self.proportions(motion))

    def _fits(self, motions: list[SourceMotion], usable: list[PreparedSource]) -> tuple[list[MotionTargets], list[Fit]]:
        """Targets and fits of motions, or chest and arms of the full body's clips."""
        if self._full_body is None or not motions:
            targets = [self._targets(source.motion) for source in usable]
            return targets, self._fitter.fit(targets) if targets else []
        parts = []
        for motion, result in zip((source.motion for source in usable), self._full_body.retarget(motions), strict=True):
            assert result.clip is not None  # the motion is long enough
            whole = self._whole_targets(motion, resample(motion, self.config.fps))
            parts.append(arms_of_clip(result.clip, whole, self._frame(motion), self._hand_rotations(motion)))
        return [targets for targets, _ in parts], [fit for _, fit in parts]

    def own_joints(self, motion: SourceMotion) -> np.ndarray | None:
        """Rest joints of the subject by file or body model, shape (22, 3) [m]; None if the mean skeleton stands in."""
        if motion.rest_joints is not None:
            return motion.rest_joints
        model = self._model_of(motion)
        return None if model is None else model.joints(motion.betas)[:22]

    def _joints(self, motion: SourceMotion) -> np.ndarray:
        """Rest joints of the subject, shape (22, 3) [m]."""
        joints = self.own_joints(motion)
        return mean_joints() if joints is None else joints

    def retarget(self, motions: Sequence[SourceMotion]) -> list[RetargetResult]:
        """Retarget a batch of motions. The result of each motion does not depend on the others.

        Args:
            motions: Sources at their own frame rates.

        Returns:
            Results in the order of the motions. A motion that is too short for a clip has a code and a message instead.

        Raises:
            BodyModelError: If body models were given but none matches a motion's family and gender.
        """
        started = time.perf_counter()
        long_enough = [len(frame_times(m.duration, self.config.fps)) >= MIN_FRAMES for m in motions]
        whole = [motion for motion, ok in zip(motions, long_enough, strict=True) if ok]
        usable = [self.prepare(motion) for motion in whole]
        with jax.default_device(self._device):
            targets, fits = self._fits(whole, usable)
            clips = iter(self._refitted(usable, targets, fits))
        if self.config.treadmill == "keep":
            clips = map(to_place, clips)
        seconds_per_frame = (time.perf_counter() - started) / max(1, sum(t.nframe for t in targets))
        results = []
        for motion, ok in zip(motions, long_enough, strict=True):
            if ok:
                clip = next(clips)
                seconds = seconds_per_frame * clip.nframe
                results.append(RetargetResult(clip=clip, code=None, message="", seconds=seconds))
            else:
                message = (
                    f"{motion.nframe} frames at {motion.fps:g} Hz are too few: "
                    f"a clip needs {MIN_FRAMES} frames at {self.config.fps:g} Hz"
                )
                results.append(RetargetResult(clip=None, code=ReasonCode.TOO_SHORT, message=message, seconds=0.0))
        return results

    def _refitted(self, sources: list[PreparedSource], targets: list[MotionTargets], fits: list[Fit]) -> list[Clip]:
        """Create the clips of fits with their verdicts, and refit those with self-collisions or floor penetration."""
        clips = self._clips(sources, targets, fits)
        refits = self.config.validation.refit and self._full_body is None  # which refits the arms with the rest
        faulty = [k for k, clip in enumerate(clips) if needs_refit(clip)] if refits else []
        if faulty:
            rules = rules_with(self.config.validation.thresholds)
            refits = self._fitter.refit([targets[k] for k in faulty], [fits[k] for k in faulty])
            blended = [self._blended(clips[k], fits[k], fit) for k, fit in zip(faulty, refits, strict=True)]
            again = self._clips([sources[k] for k in faulty], [targets[k] for k in faulty], blended)
            for k, clip in zip(faulty, again, strict=True):
                clips[k] = accept_refit(clips[k], clip, rules=rules)
        return clips

    def _clips(self, sources: list[PreparedSource], targets: list[MotionTargets], fits: list[Fit]) -> list[Clip]:
        """Create the clips of fits, several at a time: the refinement of one keeps only one core busy."""

        def create(source: PreparedSource, target: MotionTargets, fit: Fit) -> Clip:
            with jax.default_device(self._device):  # applies to the current thread only
                return self._clip(source, target, fit)

        threads = min(len(fits), len(available_cores()), MAX_THREADS)
        with threadpool_limits(limits=1, user_api="blas"), ThreadPoolExecutor(max(threads, 1)) as pool:
            return list(pool.map(create, sources, targets, fits))

    def _blended(self, clip: Clip, first: Fit, refit: Fit) -> Fit:
        """The first fit, with as much of the refit as is allowed around the frames with collisions."""
        landmarks = lambda q: evaluate_clip(self.body, self.body.reduced.expand(q)).landmark_pos  # noqa: E731
        before, q, moved = landmarks(first.q), refit.q, np.zeros(len(first.q))
        for _ in range(2):  # landmarks do not move in proportion to the share: correct it once
            now = np.linalg.norm(landmarks(q) - before, axis=2).max(axis=1)
            moved = np.maximum(now, moved * np.maximum(now / (1e-3 * MAX_REFIT_MOVE_MM), 1.0))
            q = blend(first.q, refit.q, refit_share(clip, moved))
        return dataclasses.replace(refit, q=q)

    def _model_of(self, motion: SourceMotion) -> BodyModel | None:
        if not self._models or motion.rest_joints is not None:
            return None
        return choose_body_model(self._models, family=motion.family, gender=motion.gender)

    def _fingers(self, motion: SourceMotion) -> dict[str, np.ndarray]:
        """Angles of the finger hinges by name, (nframe,) each; empty if the fingers stay at rest."""
        hands = self._hand_rotations(motion)
        return {} if hands is None else finger_joints(self._whole, self.proportions(motion).t_pose, hands)

    def _hand_rotations(self, motion: SourceMotion) -> np.ndarray | None:
        """Axis-angles of the fingers at the clip's frame rate, (nframe, 30, 3) [rad]; None if they stay at rest."""
        if self._hands == "locked" or motion.hand_rotvec is None:
            return None
        source_times = np.arange(motion.nframe) / motion.fps
        times = np.minimum(frame_times(motion.duration, self.config.fps), source_times[-1])
        return resample_rotations(motion.hand_rotvec, source_times, times)

    def _full_motion(self, q: np.ndarray, fingers: dict[str, np.ndarray], fps: float) -> tuple[np.ndarray, np.ndarray]:
        """Full qpos and qvel as float32, computed in float64 in chunks of frames."""
        nframe, model = len(q), self.body.model
        qpos, qvel = np.empty((nframe, model.nq), np.float32), np.empty((nframe, model.nv), np.float32)
        for low in range(0, nframe, FRAMES_PER_CHUNK):
            high = min(low + FRAMES_PER_CHUNK, nframe)
            first, last = max(low - 1, 0), min(low + FRAMES_PER_CHUNK + 1, nframe)  # velocities need neighbours
            angles = {name: angle[first:last] for name, angle in fingers.items()}
            full = with_fingers(self.body, q[first:last], angles)
            chunk = slice(low - first, high - first)
            qpos[low:high], qvel[low:high] = full[chunk], velocities(full, fps, free=self.body.free)[chunk]
        return qpos, qvel

    def _base_motion(self, targets: MotionTargets) -> np.ndarray | None:
        """Motion of the base as a clip stores it; None for a free body and for a base that the settings fix."""
        if targets.base is None or self.config.body.chest == "fixed":
            return None
        return base_motion(targets.base, targets.fps).astype(np.float32)

    def _plates(self, motion: SourceMotion, targets: MotionTargets, fit: Fit) -> FittedPlates | None:
        """Measured ground forces at the frames of a fit; None without any, or for a body that has no feet."""
        if motion.forces is None or not (self.body.free and self.body.support_parts):
            return None
        resampled = resample(motion, self.config.fps)
        return fitted_plates(
            self.body, resampled, targets, fit.q, subject=self._joints(motion), fitted=self.proportions(motion).joints
        )

    def _refine(self, targets: MotionTargets, fit: Fit, plates: FittedPlates | None) -> Refinement | None:
        """Refine a fit so that forces of the ground explain its motion."""
        if self._refiner is None:
            return None
        used = plates is not None and self.config.validation.forces == "measured"
        ground = targets.floor[:, ::-1]  # left, right
        return self._refiner.refine(
            fit.q, self._fitter.stiffness(targets, fit), targets.held, targets.fps, ground=ground,
            known=plates.known if plates is not None and used else None,
        )  # fmt: skip

    def _clip(self, source: PreparedSource, targets: MotionTargets, fit: Fit) -> Clip:
        motion, plates = source.motion, self._plates(source.motion, targets, fit)
        refinement = self._refine(targets, fit, plates)
        if refinement is not None:
            fit = dataclasses.replace(fit, q=refinement.q)
        to_world = Rotation.from_euler("z", targets.heading)
        q = fit.q.copy()
        q[:, :3] = to_world.apply(q[:, :3]) + targets.origin
        q[:, 3:7] = (to_world * Rotation.from_quat(q[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
        target_pos = (fit.target_pos @ to_world.as_matrix().T + targets.origin).astype(np.float32)
        qpos, qvel = self._full_motion(q, self._fingers(motion), targets.fps)
        evaluation = evaluate_clip(self.body, qpos)
        metrics: dict[str, Any] = clip_metrics(
            self.body, qpos, evaluation, target_pos=target_pos, target_rot=to_world.as_matrix() @ targets.rot,
            root_height=targets.pos[:, 0, 2], contact=targets.stance.contact, ground=targets.floor, fps=targets.fps,
        )  # fmt: skip
        metrics |= fit_metrics(motion, targets, fit) | source.metrics
        if self.body.contact_parts:
            metrics |= contact_metrics(targets)
        if refinement is not None:
            metrics |= refinement_metrics(refinement)
        if plates is not None:
            metrics |= plates.placed.metrics()
        metrics |= travel_metrics(to_world.as_matrix()[:2, :2] @ targets.travel, in_place=False)
        verdict, reasons = judge(metrics, rules=rules_with(self.config.validation.thresholds))
        tracked = self._hands == "tracked" and motion.hand_rotvec is not None
        clip = Clip(
            qpos=qpos,
            qvel=qvel,
            landmark_pos=evaluation.landmark_pos,
            target_pos=target_pos,
            contact=feet_contact(targets),
            fps=targets.fps,
            joint_names=self.body.joint_names,
            landmark_names=self.body.landmark_names,
            model=self.body.name,
            model_version=self.body.version,
            variant=self.body.variant,
            source=motion.name,
            source_sha256=motion.sha256,
            source_fps=motion.source_fps,
            fps_source=motion.fps_source,
            subject_scale=targets.stance.scale,
            hands="tracked" if tracked else "locked",
            metrics=metrics,
            verdict=verdict,
            reasons=reasons,
            warnings=tuple(w.to_dict() for w in (*motion.warnings, *(() if plates is None else plates.warnings))),
            support_names=() if refinement is None else self.body.support_names,
            bearing=None if refinement is None else refinement.bearing.astype(np.uint8),
            base_motion=self._base_motion(targets),
            **({} if plates is None else plates.placed.fields()),
            **self.provenance(motion),
        )
        if self._validator is None:
            return clip
        return self._validator.validate(clip, evaluation=evaluation, muscles=self.config.validation.muscles)
