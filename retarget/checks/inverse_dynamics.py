"""Can the ground and the muscles do it? Inverse dynamics, ground reaction, static optimisation; frame by frame.

Inverse dynamics takes accelerations of low-pass filtered velocities (zero phase; Winter 2009, chapter 2). What the
motion takes at the root, which nothing holds, has to come from the ground: forces inside friction cones at the points
of the feet that stand, the least of those that leave the smallest residual. What is left of each joint's torque has to
come from the muscles: activations between 0 and 1 of the least sum of squares (Crowninshield & Brand 1981 take the
third power of stress; squares of activation are what OpenSim's static optimisation takes).
"""

from dataclasses import dataclass
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.signal import butter, sosfiltfilt

from musclemap.retarget.targets.contacts import runs
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import forward
from musclemap.skeletons.precision import precise
from musclemap.skeletons.tree import Tree

from .bounded_least_squares import bounded_least_squares
from .physics_checks import FramePhysics

BATCH = {"cpu": 128, "gpu": 4096}
"""Frames solved together, by platform; the last ones are filled up, so that one shape is compiled."""

GRAVITY = 9.81

EDGES = 8
"""Edges of the pyramid that stands for a friction cone."""

HANDOVER, ROLL = 0.25, 0.06
"""Longest time in which the load passes from one foot to the other, and between heel and toes of one [s]."""

RESIDUAL = 10.0
"""What the square of a residual body weight costs, when the square of every force costs as many as it has body weights:
little enough for the load to pass smoothly from foot to foot (at 1000, walking leaves 0.055 body weights in place of
0.067, and the hips jerk)."""

PIVOT, AIMING = 0.1, 0.3
"""Height over the pelvis of a point that the force on each foot aims at, where the motion leaves it open [m], and how
much a force that misses it counts beside a residual. In double support motion does not tell how hard the feet push
against each other; people's forces meet near the centre of mass or above it (Maus et al. 2010)."""

LEVER = 0.3
"""Torque about the root counts as much as the force that makes it at this distance [m]."""


@dataclass(frozen=True, kw_only=True)
class GroundReaction:
    """What the ground gives.

    Attributes:
        force: On each foot, left then right, world frame, shape (nframe, 2, 3) [N].
        residual_force: What is left at the root, shape (nframe, 3) [N].
        residual_torque: Likewise about the root's origin, shape (nframe, 3) [Nm].
        torque: What is left for muscles at each independent joint, shape (nframe, njoint) [Nm].
    """

    force: np.ndarray
    residual_force: np.ndarray
    residual_torque: np.ndarray
    torque: np.ndarray


@dataclass(frozen=True, kw_only=True)
class StaticOptimization:
    """What the muscles would have to do.

    Attributes:
        activation: Shape (nframe, nu), 0 to 1.
        residual: Torque that they cannot give at each independent joint, shape (nframe, njoint) [Nm].
    """

    activation: np.ndarray
    residual: np.ndarray


def filtered_motion(qvel: np.ndarray, fps: float, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Low-pass filter velocities and differentiate them.

    Args:
        qvel: Shape (nframe, nv).
        fps: Frames a second.
        cutoff: Of a fourth-order zero-phase Butterworth filter [Hz]; at or above half the frame rate nothing is
            filtered.

    Returns:
        Velocities and accelerations, shapes (nframe, nv).
    """
    qvel = np.asarray(qvel, np.float64)
    if cutoff < fps / 2:
        sections = butter(2, cutoff, fs=fps, output="sos")
        # each end is continued point-symmetrically for long enough that the filter has forgotten where it began
        reach = min(len(qvel) - 1, round(2.0 * fps / cutoff))
        qvel = sosfiltfilt(sections, qvel, axis=0, padlen=reach)
    return qvel, np.gradient(qvel, 1.0 / fps, axis=0)


def bearing_share(contact: np.ndarray, fps: float) -> np.ndarray:
    """How much of the load each standing part is to take, where the motion leaves that open.

    While both feet stand, motion alone does not tell how they share the load. People pass it smoothly from the one that
    will leave to the one that came, which is assumed here (Ren, Jones & Howard 2008), and likewise between the heel and
    the toes of a foot. Feet that stand on both sides of a double support share evenly.

    Args:
        contact: Heels and toes that stand, in the order of the body's contact parts, shape (nframe, 4) bool.
        fps: Frames a second.

    Returns:
        From 0 to 1, shape (nframe, 4); 0 where a part does not stand.
    """
    feet = contact[:, 0] | contact[:, 1], contact[:, 2] | contact[:, 3]
    share = np.empty(contact.shape)
    for part in range(4):
        foot, other = part // 2, 1 - part // 2
        passed = _handed_over(feet[foot], feet[other], longest=round(HANDOVER * fps))
        rolled = _handed_over(contact[:, part], contact[:, part ^ 1], longest=round(ROLL * fps))
        share[:, part] = passed * rolled
    return share


def _handed_over(stands: np.ndarray, other: np.ndarray, *, longest: int) -> np.ndarray:
    """1 where one stands, rising from its coming and falling to its going while the other stands; shape (nframe,)."""
    share = stands.astype(float)
    for start, stop in runs(stands):
        for a, b in runs(other):
            if a < start < b and start > 0:
                n = min(min(b, stop) - start, longest)
                share[start : start + n] *= _smooth(np.arange(1, n + 1) / (n + 1))
            if a < stop < b and stop < len(stands):
                n = min(stop - max(a, start), longest)
                share[stop - n : stop] *= _smooth(np.arange(n, 0, -1) / (n + 1))
    return share


def _smooth(x: np.ndarray) -> np.ndarray:
    return x * x * (3.0 - 2.0 * x)


class GroundReactionSolver:
    """Forces at the soles that leave the least at the root.

    Args:
        body: Target.
        friction: Coefficient of friction.
        reach: Points of a standing foot that are no higher than this bear [m].
    """

    def __init__(self, body: TargetBody, *, friction: float, reach: float) -> None:
        self.body, self._reach = body, reach
        self._weight = float(body.model.body_mass.sum()) * GRAVITY
        angle = np.arange(EDGES) * 2 * np.pi / EDGES
        self._edges = np.stack([friction * np.cos(angle), friction * np.sin(angle), np.ones(EDGES)], axis=1)
        self._first = body.nlandmark + body.ncontact
        parts = [part.body for part in body.contact_parts]
        self._part = np.array([parts.index(body.model.body(p.body).name) for p in body.sole.centre])
        left = np.array([name.endswith("_l") for name in parts])[self._part]
        self._foot = np.stack([left, ~left], axis=1)
        mask = body.tree.point_mask[self._first :].astype(np.float32)
        ground = partial(_ground, body.tree, mask, body.sole.radius, self._edges, self._foot, self._first)
        self._run = jax.jit(precise(ground))

    def __call__(self, physics: FramePhysics, qpos: np.ndarray, share: np.ndarray) -> GroundReaction:
        """Share each frame's wrench out over the points that stand.

        Args:
            physics: Of the same frames.
            qpos: Full configurations, shape (nframe, nq).
            share: From `bearing_share`, shape (nframe, 4).
        """
        nframe = len(qpos)
        q = self.body.reduced.reduce(np.asarray(qpos, np.float64))
        q[:, :2] = 0.0
        wrench = physics.wrench / self._weight
        parts = []
        batch = _batch()
        for low in range(0, nframe, batch):
            rows = np.resize(np.arange(low, min(low + batch, nframe)), batch)
            out = self._run(
                jnp.asarray(q[rows].T, jnp.float32),
                jnp.asarray(wrench[rows], jnp.float32),
                jnp.asarray(share[rows][:, self._part], jnp.float32),
                self._reach,
            )
            own = min(batch, nframe - low)
            parts.append([np.asarray(a, np.float64)[:own] * self._weight for a in out])
        point_force, ground, torque = (np.concatenate(p) for p in zip(*parts, strict=True))
        return GroundReaction(
            force=np.einsum("npk,pf->nfk", point_force, self._foot),
            residual_force=physics.wrench[:, :3] - ground[:, :3],
            residual_torque=physics.wrench[:, 3:] - ground[:, 3:],
            torque=physics.torque - torque,
        )


def _batch() -> int:
    (device,) = jnp.zeros(()).devices()  # where arrays go
    return BATCH["cpu" if device.platform == "cpu" else "gpu"]


def _ground(
    tree: Tree,
    mask: np.ndarray,
    radius: np.ndarray,
    edges: np.ndarray,
    foot: np.ndarray,
    first: int,
    q: Array,
    wrench: Array,
    share: Array,
    reach: float,
) -> tuple[Array, Array, Array]:
    """One batch, in body weights; returns forces (n, npoint, 3), their wrench (n, 6) and joint torques (n, njoint)."""
    kinematics = forward(tree, q)
    points = jnp.moveaxis(kinematics.point_pos[first:], 2, 0)  # (n, npoint, 3)
    points = points.at[..., 2].add(-radius)
    bears = jnp.sqrt(share) * (points[..., 2] < reach)  # of equal coefficients, forces then go as the shares
    arm = points - q[:3].T[:, None]
    push = jnp.asarray(edges, points.dtype)
    turn = jnp.cross(arm[:, :, None, :], push[None, None])
    columns = jnp.concatenate([jnp.broadcast_to(push, turn.shape), turn / LEVER], axis=-1) * bears[..., None, None]
    n, npoint, nedge, _ = columns.shape
    scale = jnp.array([1.0, 1.0, 1.0, 1 / LEVER, 1 / LEVER, 1 / LEVER], points.dtype)
    aim = q[:3].T[:, None] + jnp.array([0.0, 0.0, PIVOT], points.dtype) - points
    astray = push[None, None, :, :2] - push[None, None, :, 2:] * (aim[..., :2] / aim[..., 2:])[:, :, None]
    sideways = jnp.asarray(foot, points.dtype)[None, :, None, :, None] * (astray * bears[..., None, None])[..., None, :]
    rows = jnp.concatenate([columns, AIMING * sideways.reshape(n, npoint, nedge, 4)], axis=-1)
    x = bounded_least_squares(
        jnp.moveaxis(rows.reshape(n, npoint * nedge, 10), 1, 2),
        jnp.concatenate([wrench * scale, jnp.zeros((n, 4), points.dtype)], axis=1),
        weight=RESIDUAL,
        lower=0.0,
        upper=jnp.inf,
    )
    force = jnp.einsum("npe,ek->npk", x.reshape(n, npoint, nedge) * bears[..., None], push)
    ground = jnp.concatenate([force.sum(axis=1), jnp.cross(arm, force).sum(axis=1)], axis=1)
    about = jnp.concatenate([jnp.cross(points, force), force], axis=-1)  # wrench about the world's origin
    below = jnp.einsum("pd,npk->ndk", jnp.asarray(mask, points.dtype), about)
    torque = jnp.einsum("kdn,ndk->nd", kinematics.screw, below)
    return force, ground, torque[:, 6:]


def static_optimisation(physics: FramePhysics, torque: np.ndarray, *, weight: float = 1.0) -> StaticOptimization:
    """Activations of the least sum of squares that give every joint its torque.

    Args:
        physics: With muscles.
        torque: Wanted of the muscles, shape (nframe, njoint) [Nm].
        weight: Squares of activation that a squared newton metre of unmet torque costs.

    Raises:
        ValueError: The frames were evaluated without muscles.
    """
    if physics.muscles is None:
        raise ValueError("static optimisation needs the muscles' forces: evaluate(..., muscles=True)")
    muscles, nframe = physics.muscles, len(torque)
    activation = np.empty(muscles.active.shape, np.float32)
    residual = np.empty(torque.shape)
    batch = _batch()
    for low in range(0, nframe, batch):
        rows = np.resize(np.arange(low, min(low + batch, nframe)), batch)
        own = slice(low, min(low + batch, nframe))
        moment = np.swapaxes(muscles.moment[rows], 1, 2)
        gain = moment * muscles.active[rows, None, :]
        ref = torque[rows] - (moment @ muscles.passive[rows, :, None])[..., 0]
        result = bounded_least_squares(
            jnp.asarray(gain, jnp.float32), jnp.asarray(ref, jnp.float32), weight=weight, lower=0.0, upper=1.0
        )
        x = np.asarray(result)[: own.stop - low]
        activation[own] = x
        residual[own] = ref[: own.stop - low] - (gain[: own.stop - low] @ x[..., None])[..., 0]
    return StaticOptimization(activation=activation, residual=residual)
