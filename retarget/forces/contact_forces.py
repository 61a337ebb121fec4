"""Ground reaction: contact forces inside friction cones at the parts that bear, which explain the motion best.

The root is unactuated, so the ground has to supply the wrench that the motion requires there. Of the forces that leave
the smallest residual, the smallest are taken. In double support the motion alone does not determine how the feet share
the load; priors in the weights of the points decide it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.intervals import runs
from musclemap.retarget.one_at_a_time import one_at_a_time
from musclemap.retarget.ramps import smoothstep
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.precision import precise

from .bounded_least_squares import MAX_STEPS, bounded_least_squares_from
from .roll_over import RollOver

GRAVITY = 9.81
"""Gravitational acceleration [m/s^2]."""

BATCH_SIZE = {"cpu": 128, "gpu": 4096}
"""Frames solved together, by platform; the last batch is padded, so that only one shape is compiled."""

PYRAMID_EDGES = 8
"""Edges of the pyramid that approximates a friction cone."""

LOAD_TRANSFER = 0.25
"""Longest time in which load transfers from one foot to the other [s]."""

ROLL_DEPTH = 0.02
"""Height above a part's lowest point at which another point of it bears nothing any more [m]: soft tissue and shoes
yield by about this much, and a foot rolls over smoothly."""

PIVOT_HEIGHT, AIM_WEIGHT = 0.25, 0.3
"""Height above the pelvis of the point that each foot's force aims at in double support [m], and weight of the aiming
error relative to a residual. The motion does not determine how hard the feet push against each other. In people the
forces intersect near or above the centre of mass (Maus et al. 2010), on the plates of docs/truth.md 0.1 to 0.5 m."""

SHARE_WEIGHT = 0.3
"""Weight of the deviation from the load that each foot is expected to bear in double support."""

ROLL_WEIGHT = 0.3
"""Weight of the deviation of a stepping foot's pressure from its expected centre, relative to a residual moment."""

PRIOR_STIFFNESS = 5.0
"""Weight of the priors where `ContactWrench.reach` measures how easily forces can change: the larger, the more a motion
is moved to agree with them. With 100, landmarks move twice as far as with 3; forces agree with plates equally well."""

YIELD = 0.1
"""Cost of squared changes of the contact forces, in body weights, where `ContactWrench.reach` measures how easily they
can change."""

TORQUE_LENGTH = 0.3
"""Length that makes torques comparable to forces: the torque of a force at this distance counts like the force [m]."""

BODY_POINTS = 28
"""Points that bear in one frame, the most pressed first; more are ignored. Where only feet bear, all their points."""

FIRST_STEPS = 3
"""Newton steps for every frame. Frames that need more, one in eight, are collected and solved together afterwards."""

NROW = 15
"""Rows of the problem of a frame: the wrench (6), centres of pressure (4), share of the load (1), directions (4)."""

LOWEST_FORCE = 1.0
"""Force below which a part has no centre of pressure [N]."""


@dataclass(frozen=True, kw_only=True)
class ContactWrench:
    """What the contact forces of consecutive frames do to the root.

    Attributes:
        wrench: Wrench of all forces about the root's origin, world frame, shape (nframe, 6) [N, Nm].
        reach: How easily the pressed points could add a wrench, shape (nframe, 6, 6): the inverse of the stiffness that
            their forces oppose to it, in body weights, with torques divided by `TORQUE_LENGTH`.
        dual: Unknowns of the dual problem, shape (nframe, NROW), from which a similar problem can start.
    """

    wrench: np.ndarray
    reach: np.ndarray
    dual: np.ndarray


@dataclass(frozen=True, kw_only=True)
class ContactForces:
    """Ground reaction forces of consecutive frames.

    Attributes:
        force: Force on each part, world frame, shape (nframe, npart, 3) [N].
        centre: Centre of pressure of each part, world frame, shape (nframe, npart, 3) [m]; the part's lowest point if
            it bears nothing.
        wrench: Wrench of all forces about the root's origin, world frame, shape (nframe, 6) [N, Nm].
        body_force: Total force on each body that has support points, shape (nframe, nbody, 3) [N].
        body_torque: Torque of these forces about the world's origin, shape (nframe, nbody, 3) [Nm].
    """

    force: np.ndarray
    centre: np.ndarray
    wrench: np.ndarray
    body_force: np.ndarray
    body_torque: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _PointForces:
    """Forces at the points that bear: force and arm from the root (nframe, width, 3), and the points' indices."""

    force: np.ndarray
    arm: np.ndarray
    chosen: np.ndarray
    products: np.ndarray
    dual: np.ndarray

    @property
    def wrench(self) -> np.ndarray:
        return np.concatenate([self.force.sum(axis=1), np.cross(self.arm, self.force).sum(axis=1)], axis=1)


def load_sharing(bearing: np.ndarray, fps: float, *, feet: tuple[int, int] = (0, 1)) -> np.ndarray:
    """Prior on the load of each part, for frames in which the motion does not determine it.

    In double support load transfers smoothly from the trailing to the leading foot, as in people (Ren, Jones & Howard
    2008). If both feet stand before and after a double support, they share the load evenly.

    Args:
        bearing: Whether each part bears, shape (nframe, npart) bool.
        fps: Frame rate [Hz].
        feet: Columns of the feet.

    Returns:
        Relative load of each part, 0 to 1, shape (nframe, npart); 0 for parts that do not bear.
    """
    load = bearing.astype(float)
    for foot, other in (feet, feet[::-1]):
        load[:, foot] = _load_transfer(bearing[:, foot], bearing[:, other], longest=round(LOAD_TRANSFER * fps))
    return load


def _load_transfer(contact: np.ndarray, other: np.ndarray, *, longest: int) -> np.ndarray:
    """Load of one part, shape (nframe,): 1 in contact, with smooth ramps where the other part is in contact as well.

    Args:
        contact: Contact of the part, shape (nframe,) bool.
        other: Contact of the other part, shape (nframe,) bool.
        longest: Maximum length of a ramp in frames.
    """
    load = contact.astype(float)
    for start, stop in runs(contact):
        for a, b in runs(other):
            if a < start < b and start > 0:
                n = min(min(b, stop) - start, longest)
                load[start : start + n] *= smoothstep(np.arange(1, n + 1) / (n + 1))
            if a < stop < b and stop < len(contact):
                n = min(stop - max(a, start), longest)
                load[stop - n : stop] *= smoothstep(np.arange(n, 0, -1) / (n + 1))
    return load


class ContactForceSolver:
    """Solver for the forces at the parts that bear.

    Args:
        body: Target body with support parts, the feet first.
        friction: Coefficient of friction.
        residual_weight: Weight of the squared residual against the squared forces, both in body weights.
    """

    def __init__(self, body: TargetBody, *, friction: float, residual_weight: float) -> None:
        self.body, self.weight = body, body.mass * GRAVITY
        angle = np.arange(PYRAMID_EDGES) * 2 * np.pi / PYRAMID_EDGES
        edges = np.stack([friction * np.cos(angle), friction * np.sin(angle), np.ones(PYRAMID_EDGES)], axis=1)
        solve = partial(_solve, edges, residual_weight)
        self._run = jax.jit(precise(solve), static_argnames=("max_steps",))
        self.bodies = np.unique(body.support.body)
        self._column = np.searchsorted(self.bodies, body.support.body)
        self._on_foot = body.support.part < 2

    def __call__(
        self, wrench: np.ndarray, points: np.ndarray, root: np.ndarray, load: np.ndarray, rolling: RollOver
    ) -> ContactForces:
        """Distribute the wrench of each frame over the points that bear.

        Args:
            wrench: Required force, and torque about the root's origin, world frame, shape (nframe, 6) [N, Nm].
            points: Lowest point of each support point, shape (nframe, npoint, 3) [m].
            root: Origin of the root, shape (nframe, 3) [m].
            load: From `load_sharing`, shape (nframe, npart).
            rolling: Expected centres of pressure of the feet.
        """
        return self._collect(self._point_forces(wrench, points, root, load, rolling, None), points, root)

    def wrench(
        self, wrench: np.ndarray, points: np.ndarray, root: np.ndarray, load: np.ndarray, rolling: RollOver,
        *, start: np.ndarray | None = None,
    ) -> ContactWrench:  # fmt: skip
        """Only the wrench of the forces, and how it could change.

        Args:
            wrench: As for a call, like the following arguments.
            points: See there.
            root: See there.
            load: See there.
            rolling: See there.
            start: `ContactWrench.dual` of a similar motion, from which the search starts; zero if None.
        """
        forces = self._point_forces(wrench, points, root, load, rolling, start)
        return ContactWrench(wrench=forces.wrench, reach=_reach(forces.products), dual=forces.dual)

    def _point_forces(
        self, wrench: np.ndarray, points: np.ndarray, root: np.ndarray, load: np.ndarray, rolling: RollOver,
        start: np.ndarray | None,
    ) -> _PointForces:  # fmt: skip
        support, nframe = self.body.support, len(points)
        pressed = self._pressed(points, load)
        arms = points - root[:, None]
        foot = np.eye(len(support.names))[support.part][:, :2]
        share = load[:, :2] / np.maximum(load[:, :2].sum(axis=1, keepdims=True), 1e-9)
        priors = (rolling.centre - root[:, None, :2], rolling.weight[..., None], share[..., None])
        expected = np.concatenate(priors, axis=2)
        start = np.zeros((nframe, NROW)) if start is None else start
        width = min(BODY_POINTS, len(support))
        chosen, force, arm = np.zeros((nframe, width), int), np.zeros((nframe, width, 3)), np.zeros((nframe, width, 3))
        products, dual = np.zeros((nframe, NROW, NROW)), np.zeros((nframe, NROW))
        only_feet = ~pressed[:, ~self._on_foot].any(axis=1)
        nfoot = min(max(int(self._on_foot.sum()), 1), width)  # a body without feet has frames in which nothing bears
        for rows, npoint in ((only_feet, nfoot), (~only_feet, width)):
            frames = np.flatnonzero(rows)
            if frames.size:
                columns = np.sort(np.argpartition(-pressed[frames], npoint - 1, axis=1)[:, :npoint], axis=1)
                at = frames[:, None], columns
                args = (arms[at], pressed[at], foot[columns], wrench[frames] / self.weight, expected[frames])
                out = self._in_batches(*args, start[frames])
                force[frames, :npoint], products[frames], dual[frames] = out
                chosen[frames, :npoint], arm[frames, :npoint] = columns, arms[at]
        return _PointForces(force=force * self.weight, arm=arm, chosen=chosen, products=products, dual=dual)

    def _pressed(self, points: np.ndarray, load: np.ndarray) -> np.ndarray:
        """Weight of every point: its part's load, less the higher it is above the part's lowest point."""
        support = self.body.support
        pressed = np.zeros(points.shape[:2])
        for part in range(len(support.names)):
            own = np.flatnonzero(support.part == part)
            if own.size and load[:, part].any():
                height = points[:, own, 2]
                rise = (height - height.min(axis=1, keepdims=True)) / ROLL_DEPTH
                near = np.clip(1.0 - rise, 0.0, 1.0) ** 2
                pressed[:, own] = load[:, part, None] * near / near.sum(axis=1, keepdims=True)
        return pressed

    @one_at_a_time
    def _in_batches(self, *inputs: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Results of `_solve` for all frames: a few steps for each, and as many as it takes for the unsolved ones."""
        force, products, dual, solved = self._batches(inputs, FIRST_STEPS)
        rest = np.flatnonzero(~solved)
        if rest.size:
            again = [*(values[rest] for values in inputs[:-1]), dual[rest]]
            force[rest], products[rest], dual[rest], _ = self._batches(again, MAX_STEPS)
        return force, products, dual

    def _batches(
        self, inputs: Sequence[np.ndarray], max_steps: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        (device,) = jnp.zeros(()).devices()  # the default device
        batch, nframe = BATCH_SIZE["cpu" if device.platform == "cpu" else "gpu"], len(inputs[0])
        parts = []
        for low in range(0, nframe, batch):
            rows = np.resize(np.arange(low, min(low + batch, nframe)), batch)
            *out, solved = self._run(*(jnp.asarray(v[rows], jnp.float32) for v in inputs), max_steps=max_steps)
            arrays = [*(np.asarray(array, np.float64) for array in out), np.asarray(solved)]
            parts.append([array[: nframe - low] for array in arrays])
        force, products, dual, solved = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        return force, products, dual, solved

    def _collect(self, result: _PointForces, points: np.ndarray, root: np.ndarray) -> ContactForces:
        """Sum point forces by part and by body."""
        support, force, chosen = self.body.support, result.force, result.chosen
        place = result.arm + root[:, None]
        torque = np.cross(place, force)
        by_part = np.eye(len(support.names))[support.part][chosen]  # (nframe, width, npart)
        total = np.einsum("tik,tip->tpk", force, by_part)
        vertical = np.einsum("ti,tip->tp", force[..., 2], by_part)
        centre = np.einsum("ti,tik,tip->tpk", force[..., 2], place, by_part)
        centre /= np.maximum(vertical, LOWEST_FORCE)[..., None]
        rest = np.stack([_lowest(points[:, support.part == p]) for p in range(len(support.names))], axis=1)
        centre = np.where((vertical > LOWEST_FORCE)[..., None], centre, rest)
        by_body = np.eye(len(self.bodies))[self._column][chosen]
        return ContactForces(
            force=total,
            centre=centre,
            wrench=result.wrench,
            body_force=np.einsum("tik,tib->tbk", force, by_body),
            body_torque=np.einsum("tik,tib->tbk", torque, by_body),
        )


def _reach(products: np.ndarray) -> np.ndarray:
    """`ContactWrench.reach` from the products of the columns that press, (n, NROW, NROW) -> (n, 6, 6)."""
    free, mixed, held = products[:, :6, :6], products[:, :6, 6:], products[:, 6:, 6:]
    inner = held + YIELD / PRIOR_STIFFNESS * np.eye(held.shape[1])
    reach = (free - mixed @ np.linalg.solve(inner, np.swapaxes(mixed, 1, 2))) / YIELD
    values, vectors = np.linalg.eigh(0.5 * (reach + np.swapaxes(reach, 1, 2)))
    return (vectors * np.maximum(values, 0.0)[:, None]) @ np.swapaxes(vectors, 1, 2)  # rounding may leave it indefinite


def _lowest(points: np.ndarray) -> np.ndarray:
    """Lowest of the points of each frame, (nframe, n, 3) -> (nframe, 3); the origin if there are none."""
    if not points.shape[1]:
        return np.zeros((len(points), 3))
    return points[np.arange(len(points)), points[..., 2].argmin(axis=1)]


def _solve(
    edges: np.ndarray,
    residual_weight: float,
    arm: Array,
    pressed: Array,
    foot: Array,
    wrench: Array,
    expected: Array,
    start: Array,
    *,
    max_steps: int,
) -> tuple[Array, Array, Array, Array]:
    """Solve one batch in body weights: forces (n, npoint, 3), products of the columns that press (n, NROW, NROW), the
    dual's unknowns (n, NROW), and whether each frame is solved (n,)."""
    # With sqrt(load) in the columns and in the forces, equal coefficients give forces in proportion to the loads.
    share = jnp.sqrt(pressed)
    cone = jnp.asarray(edges, arm.dtype)
    torque_columns = jnp.cross(arm[:, :, None, :], cone[None, None])
    force_columns = jnp.broadcast_to(cone, torque_columns.shape)
    columns = jnp.concatenate([force_columns, torque_columns / TORQUE_LENGTH], axis=-1) * share[..., None, None]
    n, npoint, nedge, _ = columns.shape
    scale = jnp.array([1.0, 1.0, 1.0, 1 / TORQUE_LENGTH, 1 / TORQUE_LENGTH, 1 / TORQUE_LENGTH], arm.dtype)
    aim = jnp.array([0.0, 0.0, PIVOT_HEIGHT], arm.dtype) - arm
    direction = aim[..., :2] / jnp.maximum(aim[..., 2:], 0.1)
    aim_error = cone[None, None, :, :2] - cone[None, None, :, 2:] * direction[:, :, None]
    aim_error_by_foot = foot[:, :, None, :, None] * (aim_error * share[..., None, None])[..., None, :]
    # Moments of the vertical forces of each foot about its expected centre of pressure.
    off_centre = (arm[:, :, None, :2] - expected[:, None, :, :2]) * (foot * expected[:, None, :, 2])[..., None]
    roll_error = (share[..., None, None] * off_centre / TORQUE_LENGTH).reshape(n, npoint, 1, 4)
    roll_error = ROLL_WEIGHT * jnp.broadcast_to(roll_error * cone[:, 2:], (n, npoint, nedge, 4))
    loads = expected[..., 3]
    both = 4.0 * loads[:, 0] * loads[:, 1]  # 1 if the feet share the load evenly
    aims = AIM_WEIGHT * both[:, None, None, None] * aim_error_by_foot.reshape(n, npoint, nedge, 4)
    # Vertical force of one foot times the other's expected share, less the same with the feet exchanged.
    sign = jnp.array([1.0, -1.0], arm.dtype)
    uneven = jnp.sum(foot * (sign * loads[:, ::-1])[:, None], axis=2) * share * both[:, None]
    share_error = SHARE_WEIGHT * jnp.broadcast_to(uneven[..., None, None] * cone[:, 2:], (n, npoint, nedge, 1))
    priors = jnp.concatenate([roll_error, share_error, aims], axis=-1)
    rows = jnp.concatenate([columns, priors], axis=-1)
    zero = jnp.zeros((n, npoint * nedge), arm.dtype)
    x, dual, solved = bounded_least_squares_from(
        jnp.moveaxis(rows.reshape(n, npoint * nedge, NROW), 1, 2),
        jnp.concatenate([wrench * scale, jnp.zeros((n, NROW - 6), arm.dtype)], axis=1),
        lower=zero,
        upper=zero + jnp.inf,
        start=start,
        weight=residual_weight,
        max_steps=max_steps,
    )
    force = jnp.einsum("npe,ek->npk", x.reshape(n, npoint, nedge) * share[..., None], cone)
    pressing = (x > 0)[..., None]
    free, held = (a.reshape(n, npoint * nedge, -1) * pressing for a in (columns, priors))
    every = jnp.concatenate([free, held], axis=2)
    return force, jnp.einsum("nij,nik->njk", every, every), dual, solved
