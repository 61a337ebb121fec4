"""Corrections of a released body model: a table in the body's file, applied to its specification before compilation."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.errors import TargetError


@dataclass(frozen=True, kw_only=True)
class InertiaCorrection:
    """Another moment of inertia for bodies whose released one is not physical.

    Attributes:
        bodies: Names of the bodies.
        published: Principal moments of inertia in the release [kg m^2].
        corrected: Principal moments of inertia to use instead [kg m^2].
        source: Evidence for the fault and for the value.
    """

    bodies: tuple[str, ...]
    published: tuple[float, float, float]
    corrected: tuple[float, float, float]
    source: str


def apply_corrections(spec: mujoco.MjSpec, corrections: Sequence[InertiaCorrection]) -> mujoco.MjSpec:
    """Apply corrections to a specification in place, and return it.

    Raises:
        TargetError: If a body is missing, or its inertia is not the one to be corrected: the package has changed, and
            the table must be checked against the new release.
    """
    for correction in corrections:
        for name in correction.bodies:
            body = spec.body(name)
            if body is None:
                raise TargetError(f"the model has no body {name!r}, whose inertia a correction replaces")
            if not np.allclose(body.inertia, correction.published, rtol=1e-6, atol=0.0):
                raise TargetError(
                    f"the inertia of {name} is {body.inertia.tolist()} kg m^2, not {list(correction.published)}: the "
                    f"installed model is another release than the one that the corrections were made for"
                )
            body.inertia = correction.corrected
    return spec
