"""GMR-Fit over many clips at once: anchor frames from several starts, then the whole clips.

All clips lie one behind the other on one axis of frames. Every compiled shape is fixed by the settings, so one
compilation serves any archive, and memory is bounded by the batch, not by the clips.
"""

from dataclasses import dataclass, replace
from functools import partial
from typing import Any, NamedTuple

import jax
import numpy as np
from scipy.spatial.transform import Rotation
from threadpoolctl import threadpool_limits

from musclemap.retarget.checks.physics_checks import neutral_pairs
from musclemap.retarget.config import RetargetConfig, WeightConfig
from musclemap.retarget.targets.calibration import limited, mean_miss, moved
from musclemap.retarget.targets.landmark_targets import MotionTargets
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.precision import precise
from musclemap.skeletons.reduced import NROOT

from .anchors import anchor_starts, choose_path
from .cost_weights import smoothness
from .frame_solver import FrameSolution, solve_frames
from .objective import Objective
from .self_collision import SelfCollisionTerm, collision_capsules
from .terms import FrameTargets, frame_terms
from .window_solver import HALO, Refined, Windows, refine_windows


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Result of one clip, in the canonical frame of its targets.

    Attributes:
        q: Shape (nframe, 7 + njoint), float64.
        target_pos: Landmark positions asked for, calibrated, shape (nframe, nlandmark, 3) [m].
        offset: Calibration of each landmark in its carrier's frame, shape (nlandmark, 3) [m].
        restarts: How many anchor frames needed more than the first start.
        last_decrease: Relative fall of a window's cost in its last pass, the largest; small where the clip converged.
    """

    q: np.ndarray
    target_pos: np.ndarray
    offset: np.ndarray
    restarts: int
    last_decrease: float


@dataclass
class _Axis:
    """All clips on one axis, each padded to whole windows; arrays by frame."""

    targets: list[MotionTargets]
    start: np.ndarray
    room: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    anchor: np.ndarray
    contact: np.ndarray
    floor: np.ndarray
    joined: np.ndarray
    root_pos: np.ndarray
    root_rot: np.ndarray
    q: np.ndarray

    def slices(self) -> list[slice]:
        return [slice(int(s), int(s) + t.nframe) for s, t in zip(self.start, self.targets, strict=True)]


class _Solved(NamedTuple):
    q: np.ndarray
    cost: np.ndarray
    reached: np.ndarray


class _Anchors(NamedTuple):
    clip: np.ndarray
    restarted: np.ndarray
    offset: np.ndarray


class _Together(NamedTuple):
    batch: int
    windows: int


_SUITS = {"cpu": _Together(batch=128, windows=16), "gpu": _Together(batch=8192, windows=1024)}
"""Frames and windows solved together: on a CPU what its caches hold, on a GPU what keeps it busy in some 2 GB."""

MIN_SWEEPS = 2
"""Passes over a clip before any part of it may count as done: each frame has then been well inside a window."""

REFUSALS = 3
"""Steps in a row that may raise a window's cost, each ten times as damped as the last, until it counts as done."""

SMOOTHER, FIRMER = 4.0, 10.0
"""Factors of a repair on the weights of accelerations and of held contacts: limbs that are pushed apart would jerk, and
smoothed more would slide."""

CALIBRATION_ROUNDS = 3
"""Times that offsets are estimated; each round takes up most of the miss that the one before left."""


class Fitter:
    """Compiled solvers for one body, one set of settings and one device."""

    def __init__(self, body: TargetBody, config: RetargetConfig, *, device: Any = None) -> None:
        self.body, self.config, self.device = body, config, device
        solver = config.solver
        where = _SUITS["cpu" if getattr(device, "platform", jax.default_backend()) == "cpu" else "gpu"]
        self._batch, self._nwindow = solver.batch_size or where.batch, solver.window_batch_size or where.windows
        objective = Objective(body.tree, frame_terms(body, config.weights))
        frames = partial(solve_frames, objective)
        self._frames = jax.jit(precise(partial(frames, iterations=solver.anchor_iterations)))
        self._frames_again = jax.jit(precise(partial(frames, iterations=solver.calibration_iterations)))
        self._windows = jax.jit(precise(self._window_solver(objective, config.weights)))
        self._windows_refit: Any = None
        self._neutral = neutral_pairs(body.model, body.reduced.base)

    def _window_solver(self, objective: Objective, weights: WeightConfig) -> partial[Refined]:
        return partial(
            refine_windows,
            objective,
            smooth=smoothness(self.body, weights, self.config.fps),
            iterations=self.config.solver.window_iterations,
        )

    def fit(self, targets: list[MotionTargets]) -> list[Fit]:
        """Fit clips.

        Args:
            targets: One entry a clip, all at the settings' frame rate.

        Returns:
            One result a clip, in order.
        """
        # The matrices are small: LAPACK's own threads cost more than they gain, above all on a busy machine.
        with threadpool_limits(limits=1, user_api="blas"):
            return self._fit(targets)

    def _fit(self, targets: list[MotionTargets]) -> list[Fit]:
        axis = self._axis(targets)
        anchors = self._solve_anchors(axis)
        drop = self._converge(axis, self._windows)
        return [
            Fit(
                q=axis.q[s],
                target_pos=axis.pos[s],
                offset=anchors.offset[k],
                restarts=int(anchors.restarted[anchors.clip == k].sum()),
                last_decrease=self._last_decrease(drop, s),
            )
            for k, s in enumerate(axis.slices())
        ]

    def refit(self, targets: list[MotionTargets], fits: list[Fit]) -> list[Fit]:
        """Go on from fits with limbs kept apart and above the floor; anchors and calibration stay.

        The first call compiles another solver.
        """
        if self._windows_refit is None:
            capsules, weights = collision_capsules(self.body, without=self._neutral), self.config.weights
            firm = replace(weights, acceleration=SMOOTHER * weights.acceleration, contact=FIRMER * weights.contact)
            apart = SelfCollisionTerm(capsules=capsules, weight=weights.self_collision)
            objective = Objective(capsules.tree, (*frame_terms(self.body, firm, capsules.tree), apart))
            self._windows_refit = jax.jit(precise(self._window_solver(objective, firm)))
        axis = self._axis([replace(t, pos=fit.target_pos) for t, fit in zip(targets, fits, strict=True)])
        for s, room, fit in zip(axis.slices(), axis.room, fits, strict=True):
            axis.q[s] = fit.q
            axis.q[s.stop : s.start + room] = fit.q[-1]
        with threadpool_limits(limits=1, user_api="blas"):
            drop = self._converge(axis, self._windows_refit)
        return [
            replace(fit, q=axis.q[s], last_decrease=self._last_decrease(drop, s))
            for s, fit in zip(axis.slices(), fits, strict=True)
        ]

    def _last_decrease(self, drop: np.ndarray, frames: slice) -> float:
        """Largest among a clip's half windows."""
        half = self.config.solver.window_size // 2
        return float(drop[frames.start // half : -(-frames.stop // half)].max())

    def _converge(self, axis: _Axis, windows: Any) -> np.ndarray:
        """Refine all windows until each has converged; returns each half window's last fall in cost."""
        damping = np.full(len(axis.joined), 1e-3)
        half = self.config.solver.window_size // 2
        drop = np.ones(len(axis.joined) // half)  # of each half window's last pass
        refused = np.zeros(len(drop), int)
        for sweep in range(self.config.solver.sweeps):
            waiting = drop > self.config.solver.tolerance if sweep >= MIN_SWEEPS else np.ones(len(drop), bool)
            if not waiting.any():
                break
            self._sweep(axis, windows, damping, drop, refused, waiting, shifted=sweep % 2 == 1)
        return drop

    def _axis(self, targets: list[MotionTargets]) -> _Axis:
        window = self.config.solver.window_size
        lengths = np.array([t.nframe for t in targets])
        room = -(-(lengths + HALO) // window) * window  # no window holds frames of two clips
        ends = np.cumsum(room)

        def lay(name: str, dtype: type) -> np.ndarray:
            out = np.empty((ends[-1], *getattr(targets[0], name).shape[1:]), dtype)
            for end, size, t in zip(ends, room, targets, strict=True):
                value = getattr(t, name)
                out[end - size : end - size + len(value)] = value
                out[end - size + len(value) : end] = value[-1]
            return out

        joined = np.ones(ends[-1], np.float32)
        for end, size, length in zip(ends, room, lengths, strict=True):
            joined[end - size + length - 1 : end] = 0.0
        pos, rot = lay("pos", np.float64), lay("rot", np.float32)
        tree = self.body.tree
        root_pos, root_rot = np.zeros((len(pos), 3)), np.tile(np.eye(3, dtype=np.float32), (len(pos), 1, 1))
        if self.body.free:  # the first landmark is the pelvis, which is fixed to the root
            root_rot = rot[:, 0] @ tree.point_rot[0].T.astype(np.float32)
            root_pos = pos[:, 0] - root_rot @ tree.point_offset[0]
        q = np.zeros((ends[-1], NROOT + self.body.reduced.njoint))
        return _Axis(
            targets=targets,
            start=ends - room,
            room=room,
            pos=pos,
            rot=rot,
            anchor=lay("anchor", np.float64),
            contact=lay("contact", np.float32),
            floor=lay("floor", np.float64),
            joined=joined,
            root_pos=root_pos,
            root_rot=root_rot,
            q=q,
        )

    def _put(self, array: np.ndarray) -> jax.Array:
        return jax.device_put(np.ascontiguousarray(array, dtype=np.float32), self.device)

    def _frame_targets(self, axis: _Axis, index: np.ndarray, origin: np.ndarray) -> FrameTargets:
        """Targets of some frames about an origin each, shape (n, 3), frames last."""
        move = lambda x: self._put(np.moveaxis(x, 0, -1))  # noqa: E731
        return FrameTargets(
            pos=move(axis.pos[index] - origin[:, None]),
            rot=move(axis.rot[index]),
            anchor=move(axis.anchor[index] - origin[:, None]),
            contact=move(axis.contact[index]),
            floor=move(axis.floor[index] - origin[:, 2:]),
        )

    def _solve_some(self, axis: _Axis, index: np.ndarray, start: np.ndarray, *, again: bool = False) -> "_Solved":
        """Solve frames by themselves; index (n,), start (n, 7 + njoint) in the clip's frame."""
        solver = self._frames_again if again else self._frames
        batch = self._batch
        n, nlandmark = len(index), self.body.nlandmark
        q, cost, reached = np.empty(start.shape), np.empty(n), np.empty((n, nlandmark, 3))

        for low in range(0, len(index), batch):
            part = np.arange(low, min(low + batch, len(index)))
            full = np.resize(part, batch)  # repeats to keep the compiled shape
            origin, begin = axis.root_pos[index[full]], start[full].copy()
            begin[:, :3] -= origin
            solution: FrameSolution = solver(
                q=self._put(begin.T), targets=self._frame_targets(axis, index[full], origin)
            )
            own = slice(0, len(part))
            q[part] = np.asarray(solution.q, np.float64).T[own]
            q[part, :3] += origin[own]
            cost[part] = np.asarray(solution.cost, np.float64)[own]
            points = np.asarray(solution.point_pos, np.float64)[:nlandmark]
            reached[part] = np.moveaxis(points, -1, 0)[own] + origin[own, None]
        return _Solved(q, cost, reached)

    def _solve_anchors(self, axis: _Axis) -> "_Anchors":
        """Solve every clip's anchor frames, calibrate its targets by them, and fill its configuration between them."""
        step = max(1, round(self.config.solver.anchor_seconds * self.config.fps))
        frames = [np.unique(np.append(np.arange(s.start, s.stop, step), s.stop - 1)) for s in axis.slices()]
        index = np.concatenate(frames)
        clip = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        starts = anchor_starts(self.body)
        root = Rotation.from_matrix(axis.root_rot[index]).as_quat(scalar_first=True)

        def solve(rows: np.ndarray, k: int) -> tuple[np.ndarray, np.ndarray]:
            joints = np.broadcast_to(starts[k], (len(rows), starts.shape[1]))
            solved = self._solve_some(
                axis, index[rows], np.concatenate([axis.root_pos[index[rows]], root[rows], joints], 1)
            )
            return solved.q, solved.cost

        path = choose_path(solve, clip, len(starts))
        solved = _Solved(path.q, path.cost, np.empty(0))
        offset = np.zeros((len(frames), self.body.nlandmark, 3))
        if self.config.max_calibration_offset > 0:
            for _ in range(CALIBRATION_ROUNDS):
                solved = self._solve_some(axis, index, solved.q, again=True)
                self._calibrate(axis, offset, index, clip, solved.reached)
        for k, s in enumerate(axis.slices()):
            axis.q[s] = self._interpolate(axis, s, index[clip == k], solved.q[clip == k])
            axis.q[s.stop : s.start + axis.room[k]] = axis.q[s.stop - 1]
        return _Anchors(clip, path.restarted, offset)

    def _calibrate(
        self, axis: _Axis, offset: np.ndarray, index: np.ndarray, clip: np.ndarray, reached: np.ndarray
    ) -> None:
        """Add each clip's mean miss at its anchors to its offsets, in place, and move its targets."""
        for k, (s, targets) in enumerate(zip(axis.slices(), axis.targets, strict=True)):
            now = replace(targets, pos=axis.pos[s])
            miss = mean_miss(self.body, now, index[clip == k] - s.start, reached[clip == k])
            offset[k] = limited(offset[k] + miss, self.config.max_calibration_offset)
            axis.pos[s] = moved(self.body, targets, offset[k])

    def _interpolate(self, axis: _Axis, where: slice, index: np.ndarray, q: np.ndarray) -> np.ndarray:
        """Joints and the root's departure from its target linear between anchors."""
        frames = np.arange(where.start, where.stop)
        between = lambda columns: np.stack([np.interp(frames, index, c) for c in columns.T], axis=1)  # noqa: E731
        ref = Rotation.from_matrix(axis.root_rot[where])
        solved = Rotation.from_quat(q[:, 3:NROOT], scalar_first=True)
        drift = between((solved * ref[index - where.start].inv()).as_rotvec())
        quat = (Rotation.from_rotvec(drift) * ref).as_quat(scalar_first=True)
        pos = axis.root_pos[where] + between(q[:, :3] - axis.root_pos[index])
        return np.concatenate([pos, quat, between(q[:, NROOT:])], axis=1)

    def _sweep(
        self,
        axis: _Axis,
        windows: Any,
        damping: np.ndarray,
        drop: np.ndarray,
        refused: np.ndarray,
        waiting: np.ndarray,
        *,
        shifted: bool,
    ) -> None:
        """Refine every window with a half that waits, and note for each half by how much its cost fell.

        A window whose step was refused tries a shorter one in its next pass, until that has failed `REFUSALS` times.
        """
        solver = self.config.solver
        size, half = solver.window_size, solver.window_size // 2
        offset = half if shifted else 0
        starts = np.concatenate(
            [np.arange(s + offset, s + room - offset, size) for s, room in zip(axis.start, axis.room, strict=True)]
        )
        cell = starts // half
        starts = starts[waiting[cell] | waiting[cell + 1]]
        for low in range(0, len(starts), self._nwindow):
            part = starts[low : low + self._nwindow]
            before, after = self._refine(axis, windows, damping, part)
            for k in (part // half, part // half + 1):
                refused[k] = np.where(after < before, 0, refused[k] + 1)
                drop[k] = np.where(
                    (refused[k] > 0) & (refused[k] < REFUSALS), 1.0, 1.0 - after / np.maximum(before, 1e-12)
                )

    def _refine(self, axis: _Axis, solver_windows: Any, damping: np.ndarray, starts: np.ndarray) -> np.ndarray:
        """Refine the windows that begin at some frames, in place; returns costs before and after, shape (2, n)."""
        solver = self.config.solver
        size, own = solver.window_size, slice(0, len(starts))
        begin = np.resize(starts, self._nwindow)[:, None]  # repeats to keep the compiled shape
        inner, reach = begin + np.arange(size - HALO), begin + np.arange(-HALO, size)
        inside = (reach[:, :-1] >= 0) & (reach[:, 1:] < len(axis.joined))
        reach = np.clip(reach, 0, len(axis.joined) - 1)
        origin = axis.root_pos[inner[:, 0]]
        q = axis.q[reach]
        q[..., :3] -= origin[:, None]
        windows = Windows(
            q=self._put(np.moveaxis(q, -1, 0)),
            targets=self._frame_targets(axis, inner.reshape(-1), np.repeat(origin, inner.shape[1], axis=0)),
            root_pos=self._put(np.moveaxis(axis.root_pos[reach] - origin[:, None], -1, 0)),
            root_rot=self._put(np.moveaxis(axis.root_rot[reach], (-2, -1), (0, 1))),
            joined=self._put(axis.joined[reach[:, :-1]] * inside),
            damping=self._put(damping[inner]),
        )
        refined = solver_windows(windows=windows)
        new = np.moveaxis(np.asarray(refined.q, np.float64), 0, -1)[own]
        new[..., :3] += origin[own, None]
        axis.q[inner[own]] = new
        damping[inner[own]] = np.asarray(refined.damping)[own]
        return np.stack([np.asarray(refined.before, np.float64)[own], np.asarray(refined.after, np.float64)[own]])
