"""Strength of muscles: a factor of the force that they produce actively."""

from collections.abc import Mapping

import mujoco

from .names import require_names

FORCE = 2
"""Index of the peak active force among the parameters of a muscle's gain. The bodies state it for every muscle; MuJoCo
would compute a negative one from the muscle's inertia."""


def apply_strength(spec: mujoco.MjSpec, strength: Mapping[str, float]) -> None:
    """Scale the active force of muscles in place.

    MuJoCo's muscle force is gain × activation + bias. Only the gain changes: a weak muscle is as stiff as a strong one
    when it is stretched without activation. Fibre and tendon lengths stay, and with them the force-length and
    force-velocity curves.

    Args:
        spec: Specification of the body.
        strength: Factor of each muscle.

    Raises:
        TargetError: If the body has no such muscle; the message names similar ones.
    """
    muscles = {actuator.name: actuator for actuator in spec.actuators}
    require_names(strength, muscles, noun="muscle")
    for name, factor in strength.items():
        muscles[name].gainprm[FORCE] *= factor
