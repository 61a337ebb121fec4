"""Applies a variant to the specification of a body, before it is compiled."""

from collections.abc import Callable

import mujoco

from .added_mass import apply_added_mass
from .joint_range import apply_joint_range
from .strength import apply_strength
from .variant import BodyVariant


def altered_spec(
    make_spec: Callable[[], mujoco.MjSpec], model: mujoco.MjModel, variant: BodyVariant
) -> mujoco.MjSpec:  # fmt: skip
    """A specification of the altered body.

    Muscles keep the length ranges of the unaltered body: where MuJoCo computes them, another range of a joint would
    otherwise make other muscles of them.

    Args:
        make_spec: Returns a new specification of the unaltered body.
        model: The unaltered body, compiled.
        variant: What differs.

    Raises:
        TargetError: If the body lacks a named part, or does not take a value.
    """
    spec = make_spec()
    for actuator in spec.actuators:
        actuator.lengthrange[:] = model.actuator(actuator.name).lengthrange
    apply_strength(spec, dict(variant.strength))
    apply_joint_range(spec, model, dict(variant.joint_range))
    apply_added_mass(spec, model, dict(variant.added_mass))
    return spec
