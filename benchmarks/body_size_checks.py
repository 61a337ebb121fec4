"""What a scaled body must keep of the unscaled one; used by `body_size.py` and the tests."""

from dataclasses import dataclass
from functools import lru_cache

import mujoco
import numpy as np

from musclemap.skeletons.bare_tree import bare_tree
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import ReducedCoordinates
from musclemap.skeletons.scaling.muscles import joint_samples

RESOLVED_ARM = 2e-3
"""Moment arms below this [m] may have either sign."""

JUMP = 2e-3
"""Change of a path's length beyond what the moment arm explains that counts as a jump [m]."""


@dataclass(frozen=True, kw_only=True)
class Kept:
    """How well a scaled body keeps what the unscaled one has.

    Attributes:
        coupling: Largest residual of the couplings, as the simulator sees it [rad or m].
        fibre: Differences of normalised fibre lengths: median and 99th percentile, each of the muscle in which it is
            largest, and the largest of all.
        stale: The same with the unscaled body's length ranges.
        flips: Muscle and joint whose moment arm has another sign, if it is above `RESOLVED_ARM` on the unscaled body.
        jumps: Muscle and joint whose path jumps, and does not on the unscaled body.
    """

    coupling: float
    fibre: tuple[float, float, float]
    stale: tuple[float, float, float]
    flips: list[tuple[str, str]]
    jumps: list[tuple[str, str]]


def normalised_lengths(model: mujoco.MjModel, lengths: np.ndarray) -> np.ndarray:
    """Fibre lengths in optimal fibre lengths, from path lengths of any shape (..., nu) [m]."""
    span, ranges = model.actuator_lengthrange, model.actuator_gainprm[:, :2]
    optimal = (span[:, 1] - span[:, 0]) / (ranges[:, 1] - ranges[:, 0])
    return (lengths - span[:, 0]) / optimal + ranges[:, 0]


def moment_arms(reduced: ReducedCoordinates, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Moment arms about the independent joints, shape (nframe, nu, njoint) [m], and path lengths (nframe, nu) [m].

    Args:
        reduced: Coordinates.
        q: Reduced configurations, shape (nframe, 7 + njoint).
    """
    model, data = reduced.model, mujoco.MjData(reduced.model)
    qpos = reduced.expand(q)
    slope = reduced.slope(qpos)
    arms = np.empty((len(q), model.nu, reduced.njoint))
    lengths, dense = np.empty((len(q), model.nu)), np.empty((model.nu, model.nv))
    for k, row in enumerate(qpos):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_tendon(model, data)
        mujoco.mj_transmission(model, data)
        mujoco.mju_sparse2dense(dense, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
        arms[k], lengths[k] = (dense[:, reduced.moved_dof] * slope[k]) @ reduced.gather, data.actuator_length
    return arms, lengths


@lru_cache(maxsize=8)  # every comparison asks for those of the unscaled body
def jumps_of(reduced: ReducedCoordinates, *, steps: int = 40) -> set[tuple[str, str]]:
    """Muscles and joints whose paths jump while the joint goes through its range, all others at rest."""
    result: set[tuple[str, str]] = set()
    names = [reduced.model.actuator(k).name for k in range(reduced.model.nu)]
    for j, joint in enumerate(reduced.joint_names):
        q = np.tile(np.concatenate([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], reduced.rest]), (steps, 1))
        q[:, 7 + j] = np.linspace(reduced.lower[j], reduced.upper[j], steps)
        arms, lengths = moment_arms(reduced, q)
        step = q[1, 7 + j] - q[0, 7 + j]
        explained = 0.5 * (arms[1:, :, j] + arms[:-1, :, j]) * step
        jump = (np.abs(np.diff(lengths, axis=0) - explained) > JUMP).any(axis=0)
        result |= {(names[k], joint) for k in np.flatnonzero(jump)}
    return result


def compare_bodies(unscaled: TargetBody, scaled: TargetBody, *, count: int = 128) -> Kept:
    """Compare a scaled body with the unscaled one over the joints' whole ranges.

    Args:
        unscaled: The body of the table.
        scaled: The same with another size.
        count: Number of configurations, other ones than those that the scaling used.
    """
    ref, new = unscaled.reduced, scaled.reduced
    q = joint_samples(ref, count=count, first=1024)
    (arms, lengths), (new_arms, new_lengths) = moment_arms(ref, q), moment_arms(new, q)
    normal = normalised_lengths(unscaled.model, lengths)
    flipped = ((arms * new_arms < 0.0) & (np.abs(arms) > RESOLVED_ARM)).any(axis=0)
    muscles = [unscaled.model.actuator(k).name for k in range(unscaled.model.nu)]
    spread = lambda model: _spread(np.abs(normalised_lengths(model, new_lengths) - normal))  # noqa: E731
    return Kept(
        coupling=coupling_residual(new, q),
        fibre=spread(scaled.model),
        stale=spread(unscaled.model),
        flips=[(muscles[u], ref.joint_names[j]) for u, j in np.argwhere(flipped)],
        jumps=sorted(jumps_of(new) - jumps_of(ref)),
    )


def _spread(error: np.ndarray) -> tuple[float, float, float]:
    return (
        float(np.median(error, axis=0).max()), float(np.quantile(error, 0.99, axis=0).max()), float(error.max())
    )  # fmt: skip


def coupling_residual(reduced: ReducedCoordinates, q: np.ndarray) -> float:
    """Largest residual of the simulator's equality constraints at configurations (nframe, 7 + njoint) [rad or m]."""
    model, data, worst = reduced.model, mujoco.MjData(reduced.model), 0.0
    for row in reduced.expand(q):
        data.qpos[:] = row
        mujoco.mj_fwdPosition(model, data)
        equality = data.efc_type[: data.nefc] == mujoco.mjtConstraint.mjCNSTR_EQUALITY
        worst = max(worst, float(np.abs(data.efc_pos[: data.nefc][equality]).max(initial=0.0)))
    return worst


def static_load(body: TargetBody) -> float:
    """Vertical force that carries the body at rest, by inverse dynamics of its bodies and joints alone [N]."""
    model = bare_tree(body.model)
    data = mujoco.MjData(model)
    data.qpos[:] = body.reduced.base
    mujoco.mj_inverse(model, data)
    return float(data.qfrc_inverse[2])
