"""Forces of the ground on a simulated body, from its states."""

from collections.abc import Iterable
from dataclasses import dataclass

import mujoco
import numpy as np

from .bodies import SimulationBody


@dataclass(frozen=True, kw_only=True, eq=False)
class GroundForces:
    """Ground reaction forces, one per part of the body that can bear load, in the order of a clip's `support_names`."""

    force: np.ndarray
    """Force on each support [N], shape (nframe, nsupport, 3), world frame."""
    centre: np.ndarray
    """Centre of pressure [m], shape (nframe, nsupport, 3), world frame; 0 without force."""


def ground_forces(
    body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, act: np.ndarray, *, frames: Iterable[int] | None = None
) -> GroundForces:
    """Compute the ground forces at the states of a simulation by one forward step of MuJoCo each.

    The contact forces of a state follow from its configuration, velocity and activations alone, so they need not be
    stored. A contact counts for the support that its body belongs to, or else that of the nearest body above it.

    Args:
        body: Simulated body.
        qpos: Configurations, shape (nframe, nq).
        qvel: Velocities, shape (nframe, nv).
        act: Activations, shape (nframe, nu).
        frames: Frames to compute, the others stay 0; all if None.

    Returns:
        Forces and centres of pressure.
    """
    model, supports = body.model, body.target.support_parts
    force = np.zeros((len(qpos), len(supports), 3))
    moment, load = np.zeros_like(force), np.zeros((len(qpos), len(supports)))
    part, data, wrench = _support_of_bodies(body), mujoco.MjData(model), np.zeros(6)
    for frame in range(len(qpos)) if frames is None else frames:
        if not (np.isfinite(qpos[frame]).all() and np.isfinite(qvel[frame]).all()):
            continue
        data.qpos[:], data.qvel[:], data.act[:] = qpos[frame], qvel[frame], act[frame]
        mujoco.mj_forward(model, data)
        for index in range(data.ncon):
            contact = data.contact[index]
            first, second = model.geom_bodyid[contact.geom]
            if (first == 0) == (second == 0):
                continue  # the body touches itself
            support = part[second if first == 0 else first]
            if support < 0:
                continue
            mujoco.mj_contactForce(model, data, index, wrench)
            on_second = contact.frame.reshape(3, 3).T @ wrench[:3]
            force[frame, support] += on_second if first == 0 else -on_second
            moment[frame, support] += wrench[0] * contact.pos
            load[frame, support] += wrench[0]
    centre = np.divide(moment, load[..., None], out=np.zeros_like(moment), where=load[..., None] > 0)
    return GroundForces(force=force, centre=centre)


def _support_of_bodies(body: SimulationBody) -> np.ndarray:
    """Index of the support of every body of the model, shape (nbody,); -1 without."""
    model = body.model
    index = {name: k for k, part in enumerate(body.target.support_parts) for name in part.bodies}
    result = np.full(model.nbody, -1)
    for child in range(1, model.nbody):  # parents come first
        result[child] = index.get(model.body(child).name, result[model.body_parentid[child]])
    return result
