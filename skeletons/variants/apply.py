"""Applies a variant to the specification of a body, before it is compiled."""

from collections.abc import Callable

import mujoco

from musclemap.errors import TargetError
from musclemap.skeletons.scaling.segments import ScalableBody

from .added_mass import apply_added_mass
from .joint_range import apply_joint_range
from .size import sized_spec
from .strength import apply_strength
from .variant import BodyVariant


def altered_spec(
    make_spec: Callable[[], mujoco.MjSpec],
    model: mujoco.MjModel,
    variant: BodyVariant,
    *,
    scalable: ScalableBody | None,
) -> mujoco.MjSpec:
    """A specification of the altered body.

    Muscles keep the length ranges of the unaltered body: where MuJoCo computes them, another range of a joint would
    otherwise make other muscles of them. Size comes first; all else alters the scaled body.

    Args:
        make_spec: Returns a new specification of the unaltered body.
        model: The unaltered body, compiled.
        variant: What differs.
        scalable: Segments of the body; None if it cannot be scaled.

    Raises:
        TargetError: If the body lacks a named part, or does not take a value.
    """
    if variant.size:
        if scalable is None:
            raise TargetError("this body has no table of segments, so it cannot be given a size")
        spec, model = sized_spec(make_spec, model, variant.size, scalable)
    else:
        spec = make_spec()
    for actuator in spec.actuators:
        actuator.lengthrange[:] = model.actuator(actuator.name).lengthrange
    apply_strength(spec, dict(variant.strength))
    apply_joint_range(spec, model, dict(variant.joint_range))
    apply_added_mass(spec, model, dict(variant.added_mass))
    return spec
