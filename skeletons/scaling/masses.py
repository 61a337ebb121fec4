"""Masses of a scaled body."""

from collections.abc import Mapping

import mujoco
import numpy as np

from .segments import SEXES, ScalableBody, segment_of_bodies

LINK_MASS = 0.0011
"""Bodies up to this mass are links without substance, raised to 1 g by the compiler; they keep their mass [kg]."""

MASS_METHODS = ("regression", "proportional")
"""How mass is shared: by the segments of de Leva 1996, or as in the released body."""


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
        share = np.array([np.mean(s.mass) if sex is None else s.mass[SEXES.index(sex)] for s in body.segments])
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
