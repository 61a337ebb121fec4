"""Masses of a scaled body."""

from collections.abc import Mapping

import mujoco
import numpy as np

from musclemap.skeletons.reduced import reduce_model

from .segments import SEXES, LimbShape, ScalableBody, segment_of_bodies

LINK_MASS = 0.0011
"""Bodies up to this mass are links without substance, raised to 1 g by the compiler; they keep their mass [kg]."""

MASS_METHODS = ("regression", "proportional")
"""How mass is shared and where it is: by the segments of de Leva 1996, or as in the released body."""

_DIGITS = 6
"""Decimals of directions and places [m]: their last bits differ between processors, the hash of a body must not."""


def segment_masses(
    body: ScalableBody, factors: Mapping[str, float], *, mass: float, sex: str | None, method: str
) -> np.ndarray:  # fmt: skip
    """Mass of each segment of a whole body, both sides together, shape (nsegment,) [kg].

    With "regression", a segment has its share of body mass by de Leva 1996, the mean of both sexes if the sex is not
    known. With "proportional", it grows with its volume, and all are multiplied by one factor.

    Args:
        body: The segments.
        factors: Scale factor by name of each segment that has its own.
        mass: Mass of the whole body [kg].
        sex: One of `SEXES`, or None.
        method: One of `MASS_METHODS`.
    """
    if method == "proportional":
        share = np.array([s.released * factors[s.follows or s.name] ** 3 for s in body.segments])
    else:
        share = np.array([_of_sex(s.mass, sex) for s in body.segments])
    return share / share.sum() * (mass - body.links)


def scale_masses(
    spec: mujoco.MjSpec, model: mujoco.MjModel, body: ScalableBody, factor: np.ndarray, masses: np.ndarray
) -> None:
    """Give every body of a specification its mass and inertia explicitly, in place.

    The bodies of a segment share its mass as in the released model. Centres of mass keep their places in the scaled
    geometry, and inertia is that of the same shape: it grows with mass and with the square of length. The compiler
    raises an inertia below 1e-4 kg m^2 to this value, as in the released body.

    Args:
        spec: Specification of the model.
        model: The unscaled model.
        body: Its segments.
        factor: Scale factor of each body, shape (nbody,).
        masses: Mass of each segment, from `segment_masses`.
    """
    index = segment_of_bodies(model, body.segments)
    ratio = masses / np.array([segment.released for segment in body.segments])
    for item in spec.bodies[1:]:
        b = model.body(item.name).id
        link = model.body_mass[b] <= LINK_MASS
        grown = 1.0 if link else float(ratio[index[b]])
        item.explicitinertial = True
        item.mass = grown * model.body_mass[b]
        item.ipos = model.body_ipos[b] * factor[b]
        item.iquat = model.body_iquat[b]
        item.fullinertia = np.full(6, np.nan)
        item.inertia = model.body_inertia[b] * grown * (1.0 if link else factor[b] ** 2)
    # The least mass of the compiler has been applied; the fingers of a child are lighter.
    spec.compiler.boundmass = 0.0


def shape_limbs(
    spec: mujoco.MjSpec, model: mujoco.MjModel, body: ScalableBody, factor: np.ndarray, *, sex: str | None
) -> None:
    """Move and turn the mass of the limbs' bones, in place, so that it lies where `LimbShape` says.

    Each bone's centre of mass is moved along the line between the joints; how far it lies from this line stays. Call
    it after `scale_masses`, whose arguments are the same.

    Args:
        spec: Specification of the model, with the bones' masses.
        model: The unscaled model.
        body: Its segments.
        factor: Scale factor of each body, shape (nbody,).
        sex: One of `SEXES`, or None for the mean of both.
    """
    data = _straight(model)
    bodies = {item.name: item for item in spec.bodies[1:]}
    for segment in body.segments:
        if segment.shape is None:
            continue
        for bone, start, end in _bones(segment.shape, set(bodies)):
            item, b = bodies[bone], model.body(bone).id
            turn, scale = data.xmat[b].reshape(3, 3), float(factor[b])
            line = data.xpos[model.body(end).id] - data.xpos[model.body(start).id]
            axis = np.round(turn.T @ (line / np.linalg.norm(line)), _DIGITS)
            origin = turn.T @ (data.xpos[model.body(start).id] - data.xpos[b])
            beside = model.body_ipos[b] - origin - axis * (axis @ (model.body_ipos[b] - origin))
            place = origin + beside + axis * _of_sex(segment.shape.centre, sex) * segment.length
            item.ipos = np.round(place * scale, _DIGITS)
            item.iquat = _turned_to(axis)
            across, along = (_of_sex(radii, sex) for radii in (segment.shape.across, segment.shape.along))
            item.inertia = item.mass * (segment.length * scale) ** 2 * np.array([across, across, along]) ** 2


def _of_sex(values: tuple[float, float], sex: str | None) -> float:
    """A woman's or a man's value, or the mean of both."""
    return float(np.mean(values)) if sex is None else values[SEXES.index(sex)]


def _straight(model: mujoco.MjModel) -> mujoco.MjData:
    """Kinematics of a model with every independent joint at zero, or as close to it as its range permits."""
    reduced = reduce_model(model, fixed=bool(model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE))
    joints = np.clip(np.zeros(reduced.njoint), reduced.lower, reduced.upper)
    data = mujoco.MjData(model)
    data.qpos[:] = reduced.expand(np.concatenate([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], joints])[None])[0]
    mujoco.mj_kinematics(model, data)
    return data


def _bones(shape: LimbShape, known: set[str]) -> list[tuple[str, str, str]]:
    """Bones of the model, each with the bodies at whose origins its segment begins and ends on the same side."""
    side = lambda name, names: next(other for other in names if other[-2:] == name[-2:])  # noqa: E731
    return [(bone, side(bone, shape.bones), side(bone, shape.end)) for bone in shape.bones if bone in known]


def _turned_to(axis: np.ndarray) -> np.ndarray:
    """Quaternion (wxyz) of a frame whose z axis lies along `axis` in either direction."""
    x, y, z = axis if axis[2] >= 0.0 else -axis
    quat = np.array([1.0 + z, -y, x, 0.0])
    return quat / np.linalg.norm(quat)
