"""GMR-Fit of several clips at once: anchor frames from several starts, then whole clips in windows.

The clips are concatenated along one axis of frames. The settings fix every compiled shape, so the solvers compile once
for any archive, and batch sizes bound the memory on the device, however long the clips are.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from musclemap.retarget.checks.physics_checks import neutral_pairs
from musclemap.retarget.config import RetargetConfig, WeightConfig
from musclemap.retarget.one_at_a_time import one_at_a_time
from musclemap.retarget.targets.calibration import apply_offsets, limit_offsets, mean_residual
from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.precision import precise
from musclemap.skeletons.reduced import NROOT

from .anchors import anchor_starts, choose_path, polar_joints
from .clip_batch import ClipBatch, concatenate_clips, fit_apart
from .cost_weights import smoothness
from .frame_solver import FrameSolution, solve_frames
from .objective import Objective
from .self_collision import SelfCollisionTerm, collision_capsules
from .terms import FrameTargets, frame_terms
from .window_solver import HALO, RefinedWindows, Windows, refine_windows


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Fit of one clip, in the canonical frame of its targets.

    Attributes:
        q: Configurations, shape (nframe, 7 + njoint), float64.
        target_pos: Target positions of the landmarks after calibration, shape (nframe, nlandmark, 3) [m].
        offset: Calibration of each landmark in its carrier's frame, shape (nlandmark, 3) [m].
        restarts: Number of anchor frames that were solved from more than one start.
        last_decrease: Largest relative decrease of a window's cost in its last pass; small if the clip converged.
    """

    q: np.ndarray
    target_pos: np.ndarray
    offset: np.ndarray
    restarts: int
    last_decrease: float


class _FrameSolutions(NamedTuple):
    """Configurations (n, 7 + njoint), costs (n,) and landmark positions (n, nlandmark, 3) [m] of single frames.

    Positions of landmarks that are not fitted are NaN.
    """

    q: np.ndarray
    cost: np.ndarray
    reached: np.ndarray


class _AnchorSolutions(NamedTuple):
    """Clip and restart of every anchor frame (nanchor,), and calibration of every clip (nclip, nlandmark, 3) [m]."""

    clip: np.ndarray
    restarted: np.ndarray
    offset: np.ndarray


class _BatchSizes(NamedTuple):
    """Numbers of frames, and of windows, that are solved together."""

    frames: int
    windows: int


DEFAULT_BATCH_SIZES = {"cpu": _BatchSizes(frames=128, windows=4), "gpu": _BatchSizes(frames=8192, windows=1024)}
"""By platform: sizes that fit the caches of a CPU, or that keep a GPU busy within about 2 GB."""

MIN_PASSES = 2
"""Passes over a clip before any window may count as converged: by then, each frame was well inside a window once."""

MAX_REJECTIONS = 3
"""A window counts as converged after this many rejected steps in a row, each with ten times the damping of the last."""

REJECTED_FACTOR = 5.0
"""A window whose step was rejected counts with the decrease that the step promised, times this factor: beside a kink of
the cost a quadratic model promises too little."""

REFIT_ACCELERATION_FACTOR, REFIT_CONTACT_FACTOR = 4.0, 10.0
"""Factors of a refit on the weights of accelerations and of contacts: limbs that are pushed apart jerk without more
smoothing, and with more smoothing alone the feet slide."""

CALIBRATION_ROUNDS = 3
"""Rounds of calibration; each absorbs most of the residual that the previous round left."""


class Fitter:
    """Compiled solvers for one body, one set of settings and one device.

    Args:
        body: Target body.
        config: Settings.
        device: JAX device to compute on; None for JAX's default.
    """

    def __init__(self, body: TargetBody, config: RetargetConfig, *, device: Any = None) -> None:
        self.body, self.config, self.device = body, config, device
        solver = config.solver
        platform = getattr(device, "platform", jax.default_backend())
        default = DEFAULT_BATCH_SIZES["cpu" if platform == "cpu" else "gpu"]
        self._frame_batch_size = solver.batch_size or default.frames
        self._window_batch_size = solver.window_batch_size or default.windows
        objective = Objective(body.tree, frame_terms(body, config.weights))
        frames = partial(solve_frames, objective)
        self._solve_frames = jax.jit(precise(partial(frames, iterations=solver.anchor_iterations)))
        self._solve_calibration_frames = jax.jit(precise(partial(frames, iterations=solver.calibration_iterations)))
        self._refine_windows = jax.jit(precise(self._window_solver(objective, config.weights)))
        self._hessian = jax.jit(precise(lambda q, targets: objective.normal(q, targets).hessian))
        self._refit_windows: Any = None
        self._neutral = neutral_pairs(body.model, body.reduced.base)

    def _window_solver(self, objective: Objective, weights: WeightConfig) -> partial[RefinedWindows]:
        return partial(
            refine_windows,
            objective,
            smooth=smoothness(self.body, weights, self.config.fps),
            iterations=self.config.solver.window_iterations,
        )

    def fit(self, targets: list[MotionTargets]) -> list[Fit]:
        """Fit clips.

        Args:
            targets: Targets of each clip, all at the frame rate of the settings.

        Returns:
            Fits in the order of the targets.
        """
        # The matrices are small: threads of BLAS cost more time than they save, above all on a busy machine.
        with threadpool_limits(limits=1, user_api="blas"):
            return fit_apart(targets, lambda part: self._fit([targets[k] for k in part]))

    def _fit(self, targets: list[MotionTargets]) -> list[Fit]:
        clips = concatenate_clips(self.body, targets, window_size=self.config.solver.window_size)
        anchors = self._solve_anchors(clips)
        decrease = self._converge(clips, self._refine_windows)
        return [
            Fit(
                q=clips.q[s],
                target_pos=clips.pos[s],
                offset=anchors.offset[k],
                restarts=int(anchors.restarted[anchors.clip == k].sum()),
                last_decrease=self._last_decrease(decrease, s),
            )
            for k, s in enumerate(clips.slices())
        ]

    def refit(self, targets: list[MotionTargets], fits: list[Fit]) -> list[Fit]:
        """Refine fits, with self-collision terms for the limbs; calibration is kept. The first call compiles a solver.

        Args:
            targets: Targets of each clip.
            fits: Fits of these clips.

        Returns:
            Refits in the order of the targets.
        """
        if self._refit_windows is None:
            self._refit_windows = self._compile_refit()
        with threadpool_limits(limits=1, user_api="blas"):
            return fit_apart(targets, lambda part: self._refit([targets[k] for k in part], [fits[k] for k in part]))

    def _refit(self, targets: list[MotionTargets], fits: list[Fit]) -> list[Fit]:
        calibrated = [replace(t, pos=fit.target_pos) for t, fit in zip(targets, fits, strict=True)]
        clips = concatenate_clips(self.body, calibrated, window_size=self.config.solver.window_size)
        for s, padded, fit in zip(clips.slices(), clips.padded_length, fits, strict=True):
            clips.q[s] = fit.q
            clips.q[s.stop : s.start + padded] = fit.q[-1]
        decrease = self._converge(clips, self._refit_windows)
        return [
            replace(fit, q=clips.q[s], last_decrease=self._last_decrease(decrease, s))
            for s, fit in zip(clips.slices(), fits, strict=True)
        ]

    def stiffness(self, targets: MotionTargets, fit: Fit) -> Callable[[slice], np.ndarray]:
        """Cost of moving a fit: the Gauss-Newton Hessian of the terms of every frame.

        Args:
            targets: Targets of the clip.
            fit: Its fit.

        Returns:
            Function of a slice of frames that returns their Hessians, shape (nframe, ndof, ndof): 15 kB per frame, so a
            long clip is evaluated in parts.
        """
        calibrated = replace(targets, pos=fit.target_pos)
        clips = concatenate_clips(self.body, [calibrated], window_size=self.config.solver.window_size)
        batch, ndof = self._frame_batch_size, self.body.reduced.ndof

        @one_at_a_time
        def evaluate(part: slice) -> np.ndarray:
            frames = np.arange(targets.nframe)[part]
            result = np.empty((len(frames), ndof, ndof))
            for low in range(0, len(frames), batch):
                rows = np.resize(frames[low : low + batch], batch)  # keeps the compiled shape
                origin, q = clips.root_pos[rows], fit.q[rows].copy()
                q[:, :3] -= origin
                hessian = self._hessian(self._to_device(q.T), self._frame_targets(clips, rows, origin))
                count = min(batch, len(frames) - low)
                result[low : low + count] = np.moveaxis(np.asarray(hessian, np.float64), -1, 0)[:count]
            return result

        return evaluate

    def _compile_refit(self) -> Any:
        capsules = collision_capsules(self.body, ignored_pairs=self._neutral)
        weights = self.config.weights
        self_collision = SelfCollisionTerm(capsules=capsules, weight=weights.self_collision)
        weights = replace(
            weights,
            acceleration=REFIT_ACCELERATION_FACTOR * weights.acceleration,
            contact=REFIT_CONTACT_FACTOR * weights.contact,
        )
        objective = Objective(capsules.tree, (*frame_terms(self.body, weights, capsules.tree), self_collision))
        return jax.jit(precise(self._window_solver(objective, weights)))

    def _last_decrease(self, decrease: np.ndarray, frames: slice) -> float:
        """Largest last decrease among the half windows of a clip."""
        half = self.config.solver.window_size // 2
        return float(decrease[frames.start // half : -(-frames.stop // half)].max())

    def _converge(self, clips: ClipBatch, refine: Any) -> np.ndarray:
        """Refine all windows until each has converged; returns the last relative decrease of each half window."""
        damping = np.full(len(clips.joined), 1e-3)
        half = self.config.solver.window_size // 2
        decrease = np.ones(len(clips.joined) // half)  # by half window, in its last pass
        rejections = np.zeros(len(decrease), int)
        for sweep in range(self.config.solver.sweeps):
            active = decrease > self.config.solver.tolerance if sweep >= MIN_PASSES else np.ones(len(decrease), bool)
            if not active.any():
                break
            self._sweep(clips, refine, damping, decrease, rejections, active, shifted=sweep % 2 == 1)
        return decrease

    def _to_device(self, array: np.ndarray) -> jax.Array:
        return jax.device_put(np.ascontiguousarray(array, dtype=np.float32), self.device)

    def _frame_targets(self, clips: ClipBatch, index: np.ndarray, origin: np.ndarray) -> FrameTargets:
        """Targets of the frames at `index` (n,), relative to one origin per frame (n, 3), frames last."""
        move = lambda x: self._to_device(np.moveaxis(x, 0, -1))  # noqa: E731
        return FrameTargets(
            pos=move(clips.pos[index][:, self.body.fitted] - origin[:, None]),
            rot=move(clips.rot[index]),
            anchor=move(clips.anchor[index] - origin[:, None]),
            contact=move(clips.contact[index]),
            floor=move(clips.floor[index] - origin[:, 2:]),
            angles=None if clips.angles is None else move(clips.angles[index]),
        )

    def _solve_in_batches(
        self, clips: ClipBatch, index: np.ndarray, start: np.ndarray, *, calibrating: bool = False
    ) -> _FrameSolutions:
        """Solve the frames at `index` (n,) independently, from configurations (n, 7 + njoint) in the clip's frame."""
        solver = self._solve_calibration_frames if calibrating else self._solve_frames
        batch = self._frame_batch_size
        n, fitted = len(index), self.body.fitted
        q, cost, reached = np.empty(start.shape), np.empty(n), np.full((n, self.body.nlandmark, 3), np.nan)

        for low in range(0, len(index), batch):
            part = np.arange(low, min(low + batch, len(index)))
            full = np.resize(part, batch)  # keeps the compiled shape
            origin, start_q = clips.root_pos[index[full]], start[full].copy()
            start_q[:, :3] -= origin
            solution: FrameSolution = solver(
                q=self._to_device(start_q.T), targets=self._frame_targets(clips, index[full], origin)
            )
            valid = slice(0, len(part))
            q[part] = np.asarray(solution.q, np.float64).T[valid]
            q[part, :3] += origin[valid]
            cost[part] = np.asarray(solution.cost, np.float64)[valid]
            points = np.asarray(solution.point_pos, np.float64)[: len(fitted)]
            reached[low : low + len(part), fitted] = np.moveaxis(points, -1, 0)[valid] + origin[valid, None]
        return _FrameSolutions(q, cost, reached)

    def _solve_anchors(self, clips: ClipBatch) -> _AnchorSolutions:
        """Solve the anchor frames of every clip, calibrate its targets, and interpolate its configurations."""
        step = max(1, round(self.config.solver.anchor_seconds * self.config.fps))
        frames = [np.unique(np.append(np.arange(s.start, s.stop, step), s.stop - 1)) for s in clips.slices()]
        index = np.concatenate(frames)
        clip = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        starts = anchor_starts(self.body)
        root = Rotation.from_matrix(clips.root_rot[index]).as_quat(scalar_first=True)

        def solve(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            joints = np.broadcast_to(starts[k], (len(rows), starts.shape[1]))
            solutions = self._solve_in_batches(
                clips, index[rows], np.concatenate([clips.root_pos[index[rows]], root[rows], joints], 1)
            )
            return solutions.q, solutions.cost

        path = choose_path(solve, clip, len(starts), polar=polar_joints(self.body))
        solutions = _FrameSolutions(path.q, path.cost, np.empty(0))
        offset = np.zeros((len(frames), self.body.nlandmark, 3))
        if self.config.max_calibration_offset > 0:
            for _ in range(CALIBRATION_ROUNDS):
                solutions = self._solve_in_batches(clips, index, solutions.q, calibrating=True)
                self._calibrate(clips, offset, index, clip, solutions.reached)
        for k, s in enumerate(clips.slices()):
            clips.q[s] = self._interpolate(clips, s, index[clip == k], solutions.q[clip == k])
            clips.q[s.stop : s.start + clips.padded_length[k]] = clips.q[s.stop - 1]
        return _AnchorSolutions(clip, path.restarted, offset)

    def _calibrate(
        self, clips: ClipBatch, offset: np.ndarray, index: np.ndarray, clip: np.ndarray, reached: np.ndarray
    ) -> None:
        """Add the mean residual of each clip's anchors to its offsets, in place, and shift its targets."""
        for k, (s, targets) in enumerate(zip(clips.slices(), clips.targets, strict=True)):
            current = replace(targets, pos=clips.pos[s])
            residual = mean_residual(self.body, current, index[clip == k] - s.start, reached[clip == k])
            offset[k] = limit_offsets(offset[k] + residual, self.config.max_calibration_offset)
            clips.pos[s] = apply_offsets(self.body, targets, offset[k])

    def _interpolate(self, clips: ClipBatch, span: slice, index: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Interpolate joints, and the deviation of the root from the source, linearly between anchors."""
        frames = np.arange(span.start, span.stop)
        interpolate = lambda columns: np.stack([np.interp(frames, index, c) for c in columns.T], axis=1)  # noqa: E731
        ref = Rotation.from_matrix(clips.root_rot[span])
        solutions = Rotation.from_quat(q[:, 3:NROOT], scalar_first=True)
        deviation = interpolate((solutions * ref[index - span.start].inv()).as_rotvec())
        quat = (Rotation.from_rotvec(deviation) * ref).as_quat(scalar_first=True)
        pos = clips.root_pos[span] + interpolate(q[:, :3] - clips.root_pos[index])
        return np.concatenate([pos, quat, interpolate(q[:, NROOT:])], axis=1)

    def _sweep(
        self,
        clips: ClipBatch,
        refine: Any,
        damping: np.ndarray,
        decrease: np.ndarray,
        rejections: np.ndarray,
        active: np.ndarray,
        *,
        shifted: bool,
    ) -> None:
        """Refine every window with an active half, and record the relative decrease of its cost for both halves.

        A window whose step was rejected retries a shorter step in its next pass, up to `MAX_REJECTIONS` times, unless
        the step promised next to nothing: near the solution rounding decides whether a step is rejected.
        """
        solver = self.config.solver
        size, half = solver.window_size, solver.window_size // 2
        offset = half if shifted else 0
        spans = zip(clips.start, clips.padded_length, strict=True)
        starts = np.concatenate([np.arange(s + offset, s + length - offset, size) for s, length in spans])
        first_half = starts // half
        starts = starts[active[first_half] | active[first_half + 1]]
        for low in range(0, len(starts), self._window_batch_size):
            part = starts[low : low + self._window_batch_size]
            before, after, expected = self._refine(clips, refine, damping, part)
            for k in (part // half, part // half + 1):
                rejections[k] = np.where(after < before, 0, rejections[k] + 1)
                rejected = (rejections[k] > 0) & (rejections[k] < MAX_REJECTIONS)
                change = np.where(rejected, REJECTED_FACTOR * expected, before - after)
                decrease[k] = change / np.maximum(before, 1e-12)

    def _refine(self, clips: ClipBatch, refine: Any, damping: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Refine the windows that start at the given frames, in place.

        Returns:
            Cost before, cost after, and decrease that the last step promised, shape (3, n).
        """
        size, valid = self.config.solver.window_size, slice(0, len(starts))
        first = np.resize(starts, self._window_batch_size)[:, None]  # keeps the compiled shape
        interior, frames = first + np.arange(size - HALO), first + np.arange(-HALO, size)
        inside = (frames[:, :-1] >= 0) & (frames[:, 1:] < len(clips.joined))
        frames = np.clip(frames, 0, len(clips.joined) - 1)
        origin = clips.root_pos[interior[:, 0]]
        q = clips.q[frames]
        q[..., :3] -= origin[:, None]
        windows = Windows(
            q=self._to_device(np.moveaxis(q, -1, 0)),
            targets=self._frame_targets(clips, interior.reshape(-1), np.repeat(origin, interior.shape[1], axis=0)),
            root_pos=self._to_device(np.moveaxis(clips.root_pos[frames] - origin[:, None], -1, 0)),
            root_rot=self._to_device(np.moveaxis(clips.root_rot[frames], (-2, -1), (0, 1))),
            joined=self._to_device(clips.joined[frames[:, :-1]] * inside),
            damping=self._to_device(damping[interior]),
        )
        refined = refine(windows=windows)
        new = np.moveaxis(np.asarray(refined.q, np.float64), 0, -1)[valid]
        new[..., :3] += origin[valid, None]
        clips.q[interior[valid]] = new
        damping[interior[valid]] = np.asarray(refined.damping)[valid]
        costs = (refined.before, refined.after, refined.expected)
        return np.stack([np.asarray(cost, np.float64)[valid] for cost in costs])
