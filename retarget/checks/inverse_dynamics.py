"""Forces that a motion requires: inverse dynamics and ground reaction, frame by frame.

Inverse dynamics uses accelerations of low-pass filtered velocities (zero phase; Winter 2009, chapter 2). The root is
unactuated, so the ground has to supply its wrench: forces within friction cones at the contact points of the feet. Of
the forces that leave the smallest residual, the smallest are taken. The muscles have to supply the torque that remains
at each joint (see `muscle_optimisation`).
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

from musclemap.retarget.forces.bounded_least_squares import bounded_least_squares
from .physics_checks import FramePhysics

BATCH_SIZE = {"cpu": 128, "gpu": 4096}
"""Frames solved together, by platform; the last batch is padded, so that only one shape is compiled."""

GRAVITY = 9.81
"""Gravitational acceleration [m/s^2]."""

MIN_FORCE = 1.0
"""Vertical force of a foot below which it has no centre of pressure [N]."""

PYRAMID_EDGES = 8
"""Edges of the pyramid that approximates a friction cone."""

LOAD_TRANSFER, FOOT_ROLL = 0.25, 0.06
"""Longest time in which load transfers from one foot to the other, and between the heel and toes of one foot [s]."""

RESIDUAL_WEIGHT = 10.0
"""Weight of the squared residual against the squared contact forces, both in body weights. It is low enough for load to
transfer smoothly from foot to foot: at 1000 the residual of walking is 0.055 instead of 0.067 body weights, but the hip
torques jump."""

PIVOT_HEIGHT, AIM_WEIGHT = 0.1, 0.3
"""Height above the pelvis of the point that each foot's force aims at [m], and weight of the aiming error relative to a
residual. In double support the motion does not determine how hard the feet push against each other. In people the
forces intersect near or above the centre of mass (Maus et al. 2010)."""

TORQUE_LENGTH = 0.3
"""Length that makes torques comparable to forces: the torque of a force at this distance counts like the force [m]."""


@dataclass(frozen=True, kw_only=True)
class GroundReaction:
    """Ground reaction forces, and the forces and torques that they do not supply.

    Attributes:
        force: Force on each foot, left then right, world frame, shape (nframe, 2, 3) [N].
        centre: Centre of pressure of each foot, world frame, shape (nframe, 2, 3) [m]; the lowest point of a foot
            without force.
        residual_force: Residual force at the root, world frame, shape (nframe, 3) [N].
        residual_torque: Residual torque about the root's origin, world frame, shape (nframe, 3) [Nm].
        torque: Torque that remains for the muscles at each independent joint, shape (nframe, njoint) [Nm].
    """

    force: np.ndarray
    centre: np.ndarray
    residual_force: np.ndarray
    residual_torque: np.ndarray
    torque: np.ndarray


def filtered_motion(qvel: np.ndarray, fps: float, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Low-pass filter velocities and differentiate them.

    Args:
        qvel: Velocities, shape (nframe, nv).
        fps: Frame rate [Hz].
        cutoff: Cutoff frequency of a fourth-order zero-phase Butterworth filter [Hz]; at or above half the frame rate
            the velocities are not filtered.

    Returns:
        Velocities and accelerations, shapes (nframe, nv).
    """
    qvel = np.asarray(qvel, np.float64)
    if cutoff < fps / 2:
        sections = butter(2, cutoff, fs=fps, output="sos")
        # Each end is padded by an odd extension that is long enough for the filter's transient to decay.
        padding = min(len(qvel) - 1, round(2.0 * fps / cutoff))
        qvel = sosfiltfilt(sections, qvel, axis=0, padlen=padding)
    return qvel, np.gradient(qvel, 1.0 / fps, axis=0)


def load_sharing(contact: np.ndarray, fps: float) -> np.ndarray:
    """Prior on the load of each heel and toe in contact, for frames in which the motion does not determine it.

    In double support the motion alone does not determine how the feet share the load. This model assumes, as in people,
    a smooth transfer from the trailing to the leading foot (Ren, Jones & Howard 2008), and from the heel to the toes of
    each foot. If both feet stand before and after a double support, they share the load evenly.

    Args:
        contact: Contacts of heels and toes, in the order of the body's contact parts, shape (nframe, 4) bool.
        fps: Frame rate [Hz].

    Returns:
        Relative load of each part, 0 to 1, shape (nframe, 4); 0 for parts that are not in contact.
    """
    feet = contact[:, 0] | contact[:, 1], contact[:, 2] | contact[:, 3]
    load = np.empty(contact.shape)
    for part in range(4):
        foot, other = part // 2, 1 - part // 2
        between_feet = _load_transfer(feet[foot], feet[other], longest=round(LOAD_TRANSFER * fps))
        within_foot = _load_transfer(contact[:, part], contact[:, part ^ 1], longest=round(FOOT_ROLL * fps))
        load[:, part] = between_feet * within_foot
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
                load[start : start + n] *= _smoothstep(np.arange(1, n + 1) / (n + 1))
            if a < stop < b and stop < len(contact):
                n = min(stop - max(a, start), longest)
                load[stop - n : stop] *= _smoothstep(np.arange(n, 0, -1) / (n + 1))
    return load


def _smoothstep(x: np.ndarray) -> np.ndarray:
    return x * x * (3.0 - 2.0 * x)


class GroundReactionSolver:
    """Solver for the contact forces at the soles that leave the smallest residual at the root.

    Args:
        body: Target body.
        friction: Coefficient of friction.
        contact_height: Points of a foot in contact bear load up to this height [m].
    """

    def __init__(self, body: TargetBody, *, friction: float, contact_height: float) -> None:
        self.body, self._contact_height = body, contact_height
        self._weight = float(body.model.body_mass.sum()) * GRAVITY
        angle = np.arange(PYRAMID_EDGES) * 2 * np.pi / PYRAMID_EDGES
        self._edges = np.stack([friction * np.cos(angle), friction * np.sin(angle), np.ones(PYRAMID_EDGES)], axis=1)
        self._first = body.nlandmark + body.ncontact
        parts = [part.body for part in body.contact_parts]
        self._part = np.array([parts.index(body.model.body(p.body).name) for p in body.sole.centre])
        left = np.array([name.endswith("_l") for name in parts])[self._part]
        self._foot = np.stack([left, ~left], axis=1)
        mask = body.tree.point_mask[self._first :].astype(np.float32)
        ground = partial(
            _solve_ground_reaction, body.tree, mask, body.sole.radius, self._edges, self._foot, self._first
        )
        self._run = jax.jit(precise(ground))

    def __call__(self, physics: FramePhysics, qpos: np.ndarray, load: np.ndarray) -> GroundReaction:
        """Distribute the wrench of each frame over the contact points.

        Args:
            physics: Physics of the frames.
            qpos: Full configurations, shape (nframe, nq).
            load: From `load_sharing`, shape (nframe, 4).
        """
        nframe = len(qpos)
        q = self.body.reduced.reduce(np.asarray(qpos, np.float64))
        q[:, :2] = 0.0
        wrench = physics.wrench / self._weight
        parts = []
        batch = batch_size()
        for low in range(0, nframe, batch):
            rows = np.resize(np.arange(low, min(low + batch, nframe)), batch)
            out = self._run(
                jnp.asarray(q[rows].T, jnp.float32),
                jnp.asarray(wrench[rows], jnp.float32),
                jnp.asarray(load[rows][:, self._part], jnp.float32),
                self._contact_height,
            )
            count = min(batch, nframe - low)
            parts.append([np.asarray(a, np.float64)[:count] for a in out])
        points, *loads = (np.concatenate(p) for p in zip(*parts, strict=True))
        point_force, ground, torque = (load * self._weight for load in loads)
        points[..., :2] += np.asarray(qpos, np.float64)[:, None, :2]
        return GroundReaction(
            force=np.einsum("npk,pf->nfk", point_force, self._foot),
            centre=_pressure_centre(points, point_force[..., 2], self._foot),
            residual_force=physics.wrench[:, :3] - ground[:, :3],
            residual_torque=physics.wrench[:, 3:] - ground[:, 3:],
            torque=physics.torque - torque,
        )


def _pressure_centre(points: np.ndarray, load: np.ndarray, foot: np.ndarray) -> np.ndarray:
    """Mean of each foot's points weighted by vertical force, or its lowest point; shape (nframe, 2, 3).

    Args:
        points: Contact points [m], shape (nframe, npoint, 3).
        load: Vertical force at each, shape (nframe, npoint) [N].
        foot: Whether each point belongs to the left and the right foot, shape (npoint, 2) bool.
    """
    total = load @ foot
    bears = total > MIN_FORCE
    mean = np.einsum("np,pf,npk->nfk", load, foot, points) / np.where(bears, total, 1.0)[..., None]
    height = np.where(foot.T, points[:, None, :, 2], np.inf)
    lowest = np.take_along_axis(points, height.argmin(axis=2)[..., None], axis=1)
    return np.where(bears[..., None], mean, lowest)


def batch_size() -> int:
    """Frames solved together on the default device."""
    (device,) = jnp.zeros(()).devices()
    return BATCH_SIZE["cpu" if device.platform == "cpu" else "gpu"]


def _solve_ground_reaction(
    tree: Tree,
    mask: np.ndarray,
    radius: np.ndarray,
    edges: np.ndarray,
    foot: np.ndarray,
    first: int,
    q: Array,
    wrench: Array,
    load: Array,
    contact_height: float,
) -> tuple[Array, Array, Array, Array]:
    """Solve one batch in body weights.

    Returns:
        Contact points [m] (n, npoint, 3), forces (n, npoint, 3), their wrench (n, 6) and joint torques (n, njoint).
    """
    kinematics = forward(tree, q)
    points = jnp.moveaxis(kinematics.point_pos[first:], 2, 0)  # (n, npoint, 3)
    points = points.at[..., 2].add(-radius)
    # With sqrt(load) in the columns and in the forces, equal coefficients give forces in proportion to the loads.
    bearing = jnp.sqrt(load) * (points[..., 2] < contact_height)
    arm = points - q[:3].T[:, None]
    cone = jnp.asarray(edges, points.dtype)
    torque_columns = jnp.cross(arm[:, :, None, :], cone[None, None])
    force_columns = jnp.broadcast_to(cone, torque_columns.shape)
    columns = jnp.concatenate([force_columns, torque_columns / TORQUE_LENGTH], axis=-1) * bearing[..., None, None]
    n, npoint, nedge, _ = columns.shape
    scale = jnp.array([1.0, 1.0, 1.0, 1 / TORQUE_LENGTH, 1 / TORQUE_LENGTH, 1 / TORQUE_LENGTH], points.dtype)
    aim = q[:3].T[:, None] + jnp.array([0.0, 0.0, PIVOT_HEIGHT], points.dtype) - points
    aim_error = cone[None, None, :, :2] - cone[None, None, :, 2:] * (aim[..., :2] / aim[..., 2:])[:, :, None]
    of_foot = jnp.asarray(foot, points.dtype)[None, :, None, :, None]
    aim_error_by_foot = of_foot * (aim_error * bearing[..., None, None])[..., None, :]
    rows = jnp.concatenate([columns, AIM_WEIGHT * aim_error_by_foot.reshape(n, npoint, nedge, 4)], axis=-1)
    x = bounded_least_squares(
        jnp.moveaxis(rows.reshape(n, npoint * nedge, 10), 1, 2),
        jnp.concatenate([wrench * scale, jnp.zeros((n, 4), points.dtype)], axis=1),
        weight=RESIDUAL_WEIGHT,
        lower=0.0,
        upper=jnp.inf,
    )
    force = jnp.einsum("npe,ek->npk", x.reshape(n, npoint, nedge) * bearing[..., None], cone)
    ground = jnp.concatenate([force.sum(axis=1), jnp.cross(arm, force).sum(axis=1)], axis=1)
    wrench_w = jnp.concatenate([jnp.cross(points, force), force], axis=-1)  # about the world's origin
    moved = jnp.einsum("pd,npk->ndk", jnp.asarray(mask, points.dtype), wrench_w)
    torque = jnp.einsum("kdn,ndk->nd", kinematics.screw, moved)
    return points, force, ground, torque[:, 6:]
