"""Ranges of joints: a contracture, an orthosis, a painful arc."""

from collections.abc import Mapping

import mujoco
import numpy as np

from musclemap.errors import TargetError
from musclemap.skeletons.couplings import couplings

from .names import require_names

_ROUNDING = 1e-6
"""Amount by which an end may exceed the body's own range, from rounding of degrees [rad or m]."""


def apply_joint_range(spec: mujoco.MjSpec, model: mujoco.MjModel, ranges: Mapping[str, tuple[float, float]]) -> None:
    """Narrow the ranges of joints in place.

    Args:
        spec: Specification of the body.
        model: The unaltered body, compiled.
        ranges: Lower and upper end of each joint's range [rad or m].

    Raises:
        TargetError: If the body has no such joint, a joint is driven by another one or free, or a range is not inside
            the body's own, in which alone its muscles' paths are valid.
    """
    joints = [model.joint(j) for j in range(model.njnt)]
    driver = {c.driven: c.driver for c in couplings(model)}
    movable = {j.name for j in joints if int(j.type[0]) != mujoco.mjtJoint.mjJNT_FREE}
    require_names(ranges, movable, noun="joint")
    for name, (low, high) in ranges.items():
        joint = model.joint(name)
        if joint.id in driver:
            by = driver[joint.id]
            cause = f"follows {joints[by].name}, whose range limits both" if by >= 0 else "does not move"
            raise TargetError(f"the range of {name} cannot be set: it {cause}")
        lower, upper = (float(end) for end in model.jnt_range[joint.id])
        if model.jnt_limited[joint.id] and not (lower - _ROUNDING <= low and high <= upper + _ROUNDING):
            turns = int(joint.type[0]) == mujoco.mjtJoint.mjJNT_HINGE
            unit, scale = ("degrees", 180.0 / np.pi) if turns else ("m", 1.0)
            given, own = (f"{scale * a:.4g} to {scale * b:.4g}" for a, b in ((low, high), (lower, upper)))
            raise TargetError(f"the range of {name} is {given} {unit}; it must lie inside the body's, {own} {unit}")
        narrowed = spec.joint(name)
        narrowed.limited = mujoco.mjtLimited.mjLIMITED_TRUE
        narrowed.range[:] = np.clip((low, high), lower, upper) if model.jnt_limited[joint.id] else (low, high)
