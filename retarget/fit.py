"""GMR-Fit over many clips at once: anchor frames from several starts, then the whole clips.

All clips lie one behind the other on one axis of frames. Every compiled shape is fixed by the settings, so one
compilation serves any archive, and memory is bounded by the batch, not by the clips.
"""

from dataclasses import dataclass
from functools import partial

import jax
import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.skeletons.myofullbody import MyoFullBody
from musclemap.skeletons.reduced import NROOT

from .anchors import anchor_starts, choose_path
from .config import RetargetConfig
from .frame_solver import FrameSolution, solve_frames
from .objective import FrameTargets
from .targets import MotionTargets
from .weighting import frame_weights, smoothness
from .window_solver import HALO, Windows, refine_windows


@dataclass(frozen=True, kw_only=True)
class Fit:
    """Result of one clip, in the canonical frame of its targets.

    Attributes:
        posture: Shape (nframe, 7 + njoint), float64.
        cost: Each frame's own cost at the anchors that were solved, after the best start, shape (nanchor,).
        restarts: How many anchor frames needed more than the first start.
        last_decrease: Relative fall of the clip's cost over the last pass; small where the refinement converged.
    """

    posture: np.ndarray
    cost: np.ndarray
    restarts: int
    last_decrease: float


@dataclass
class _Axis:
    """All clips on one axis, padded at the end; arrays by frame."""

    targets: list[MotionTargets]
    start: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    anchor: np.ndarray
    contact: np.ndarray
    floor: np.ndarray
    joined: np.ndarray
    root_pos: np.ndarray
    root_rot: np.ndarray
    posture: np.ndarray

    def slices(self) -> list[slice]:
        return [slice(int(s), int(s) + t.nframe) for s, t in zip(self.start, self.targets, strict=True)]


class Fitter:
    """Compiled solvers for one body, one set of settings and one device."""

    def __init__(self, body: MyoFullBody, config: RetargetConfig, *, device: jax.Device | None = None) -> None:
        self.body, self.config, self.device = body, config, device
        solver = config.solver
        weights = frame_weights(body, config.weights)
        self._frames = jax.jit(partial(solve_frames, body.tree, weights=weights, iterations=solver.anchor_iterations))
        self._windows = jax.jit(
            partial(
                refine_windows,
                body.tree,
                weights=weights,
                smooth=smoothness(body, config.weights, config.fps),
                iterations=solver.window_iterations,
            )
        )

    def fit(self, targets: list[MotionTargets]) -> list[Fit]:
        """Fit clips.

        Args:
            targets: One entry a clip, all at the settings' frame rate.

        Returns:
            One result a clip, in order.
        """
        axis = self._axis(targets)
        restarts, costs = self._solve_anchors(axis)
        last = np.zeros((len(targets), 2))
        damping = np.full(len(axis.joined) // self.config.solver.window * 2 + 2, 1e-3)
        for sweep in range(self.config.solver.sweeps):
            last = self._sweep(axis, damping, shifted=sweep % 2 == 1)
        drop = float((last[:, 0].sum() - last[:, 1].sum()) / max(last[:, 0].sum(), 1e-30))
        return [
            Fit(posture=axis.posture[s].astype(np.float64), cost=costs[k], restarts=restarts[k], last_decrease=drop)
            for k, s in enumerate(axis.slices())
        ]

    def _axis(self, targets: list[MotionTargets]) -> _Axis:
        window = self.config.solver.window
        lengths = np.array([t.nframe for t in targets])
        total = int(-(-(lengths.sum() + window) // window) * window)  # the last window holds padding alone
        ends = np.cumsum(lengths)

        def lay(name: str, dtype: type) -> np.ndarray:
            parts = [np.asarray(getattr(t, name), dtype) for t in targets]
            pad = np.repeat(parts[-1][-1:], total - ends[-1], axis=0)
            return np.concatenate([*parts, pad])

        joined = np.ones(total, np.float32)
        joined[ends - 1] = 0.0
        joined[ends[-1] :] = 0.0
        pos, rot = lay("pos", np.float64), lay("rot", np.float32)
        tree = self.body.tree  # its first point is the pelvis, which is fixed to the root
        root_rot = rot[:, 0] @ tree.point_rot[0].T.astype(np.float32)
        root_pos = pos[:, 0] - root_rot @ tree.point_offset[0]
        posture = np.zeros((total, NROOT + self.body.reduced.njoint))
        return _Axis(
            targets=targets,
            start=ends - lengths,
            pos=pos,
            rot=rot,
            anchor=lay("anchor", np.float64),
            contact=lay("contact", np.float32),
            floor=lay("floor", np.float64),
            joined=joined,
            root_pos=root_pos,
            root_rot=root_rot,
            posture=posture,
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

    def _solve_some(self, axis: _Axis, index: np.ndarray, start: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Solve frames by themselves; index (n,), start (n, 7 + njoint) about the frame's root target."""
        batch = self.config.solver.batch
        posture, cost = np.empty(start.shape), np.empty(len(index))
        for low in range(0, len(index), batch):
            part = np.arange(low, min(low + batch, len(index)))
            full = np.resize(part, batch)  # repeats to keep the compiled shape
            origin = axis.root_pos[index[full]]
            solution: FrameSolution = self._frames(
                posture=self._put(start[full].T), targets=self._frame_targets(axis, index[full], origin)
            )
            posture[part] = np.asarray(solution.posture, np.float64).T[: len(part)]
            posture[part, :3] += origin[: len(part)]
            cost[part] = np.asarray(solution.cost, np.float64)[: len(part)]
        return posture, cost

    def _solve_anchors(self, axis: _Axis) -> tuple[list[int], list[np.ndarray]]:
        """Solve every clip's anchor frames and fill its posture by interpolation between them."""
        step = max(1, round(self.config.solver.anchor_seconds * self.config.fps))
        frames = [np.unique(np.append(np.arange(s.start, s.stop, step), s.stop - 1)) for s in axis.slices()]
        index = np.concatenate(frames)
        clip = np.repeat(np.arange(len(frames)), [len(f) for f in frames])
        starts = anchor_starts(self.body.reduced)
        root_quat = Rotation.from_matrix(axis.root_rot[index]).as_quat(scalar_first=True)

        def begin(rows: np.ndarray, joints: np.ndarray) -> np.ndarray:
            return np.concatenate([np.zeros((len(rows), 3)), root_quat[rows], np.broadcast_to(joints, (len(rows), len(joints)))], 1)

        solve = lambda rows, k: self._solve_some(axis, index[rows], begin(rows, starts[k]))  # noqa: E731
        path = choose_path(self.body.reduced, solve, clip, len(starts))
        for k, s in enumerate(axis.slices()):
            mine = clip == k
            axis.posture[s] = self._interpolate(axis, s, index[mine], path.posture[mine])
        axis.posture[axis.slices()[-1].stop :] = axis.posture[axis.slices()[-1].stop - 1]
        return [int(path.restarted[clip == k].sum()) for k in range(len(frames))], [path.cost[clip == k] for k in range(len(frames))]

    def _interpolate(self, axis: _Axis, where: slice, index: np.ndarray, posture: np.ndarray) -> np.ndarray:
        """Joints and the root's departure from its target linear between anchors."""
        frames = np.arange(where.start, where.stop)
        between = lambda columns: np.stack([np.interp(frames, index, c) for c in columns.T], axis=1)  # noqa: E731
        wanted = Rotation.from_matrix(axis.root_rot[where])
        solved = Rotation.from_quat(posture[:, 3:NROOT], scalar_first=True)
        drift = between((solved * wanted[index - where.start].inv()).as_rotvec())
        quat = (Rotation.from_rotvec(drift) * wanted).as_quat(scalar_first=True)
        pos = axis.root_pos[where] + between(posture[:, :3] - axis.root_pos[index])
        return np.concatenate([pos, quat, between(posture[:, NROOT:])], axis=1)

    def _sweep(self, axis: _Axis, damping: np.ndarray, *, shifted: bool) -> np.ndarray:
        """Refine every window once; returns the cost of each batch of windows before and after."""
        solver = self.config.solver
        size = solver.window
        starts = np.arange(size // 2 if shifted else 0, len(axis.joined) - size // 2, size)
        if shifted:
            starts = starts[starts + size <= len(axis.joined)]
        costs = []
        for low in range(0, len(starts), solver.windows):
            part = np.arange(low, min(low + solver.windows, len(starts)))
            full = np.resize(part, solver.windows)
            inner = starts[full, None] + np.arange(size - HALO)
            reach = starts[full, None] + np.arange(-HALO, size)
            inside = (reach[:, :-1] >= 0) & (reach[:, 1:] < len(axis.joined))
            reach = np.clip(reach, 0, len(axis.joined) - 1)
            origin = axis.root_pos[inner[:, 0]]
            posture = axis.posture[reach].copy()
            posture[..., :3] -= origin[:, None]
            slot = 2 * full + int(shifted)
            windows = Windows(
                posture=self._put(np.moveaxis(posture, -1, 0)),
                targets=self._frame_targets(axis, inner.reshape(-1), np.repeat(origin, inner.shape[1], axis=0)),
                root_pos=self._put(np.moveaxis(axis.root_pos[reach] - origin[:, None], -1, 0)),
                root_rot=self._put(np.moveaxis(axis.root_rot[reach], (-2, -1), (0, 1))),
                joined=self._put(axis.joined[reach[:, :-1]] * inside),
                damping=self._put(damping[slot]),
            )
            refined = self._windows(windows=windows)
            new = np.moveaxis(np.asarray(refined.posture, np.float64), 0, -1)[: len(part)]
            new[..., :3] += origin[: len(part), None]
            axis.posture[inner[: len(part)]] = new
            damping[slot[: len(part)]] = np.asarray(refined.damping)[: len(part)]
            costs.append([float(np.sum(np.asarray(refined.before)[: len(part)])), float(np.sum(np.asarray(refined.after)[: len(part)]))])
        return np.array(costs)


