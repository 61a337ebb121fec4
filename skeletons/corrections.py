"""Corrections of a released body model: a table in the body's file, applied to its specification before compilation."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import mujoco
import numpy as np

from musclemap.errors import TargetError

_FPMAX = 7
"""Index of the largest passive force among a muscle's parameters."""

_RELEASE = "the installed model is another release than the one that the corrections were made for"


class _KeepsInertia:
    """What corrections of anything but inertia have in common."""

    bodies: ClassVar[tuple[str, ...]] = ()
    """Bodies whose inertia changes: none."""


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

    @property
    def text(self) -> str:
        """The correction as a sentence."""
        values = f"{self.corrected} instead of {self.published} kg m^2"
        return f"inertia of {', '.join(self.bodies)}: {values}; {self.source}"

    def apply(self, spec: mujoco.MjSpec) -> None:
        """Change the specification in place; errors are those of `apply_corrections`."""
        for name in self.bodies:
            body = spec.body(name)
            if body is None:
                raise TargetError(f"the model has no body {name!r}, whose inertia a correction replaces")
            if not np.allclose(body.inertia, self.published, rtol=1e-6, atol=0.0):
                raise TargetError(
                    f"the inertia of {name} is {body.inertia.tolist()} kg m^2, not {list(self.published)}: {_RELEASE}"
                )
            body.inertia[:] = self.corrected


@dataclass(frozen=True, kw_only=True)
class PassiveForceCorrection(_KeepsInertia):
    """Another passive force for muscles that pull too hard without activation.

    Attributes:
        muscles: Names of the muscles.
        published: Passive force in the release at the end of the passive curve, in units of the peak active force
            (MuJoCo's `fpmax`).
        corrected: The value to use instead.
        source: Evidence for the fault and for the value.
    """

    muscles: tuple[str, ...]
    published: float
    corrected: float
    source: str

    @property
    def text(self) -> str:
        """The correction as a sentence."""
        values = f"{self.corrected:g} instead of {self.published:g} peak forces"
        return f"passive force of {', '.join(self.muscles)}: {values}; {self.source}"

    def apply(self, spec: mujoco.MjSpec) -> None:
        """Change the specification in place; errors are those of `apply_corrections`."""
        for name in self.muscles:
            muscle = spec.actuator(name)
            if muscle is None:
                raise TargetError(f"the model has no muscle {name!r}, whose passive force a correction replaces")
            if not np.isclose(muscle.biasprm[_FPMAX], self.published, rtol=1e-4, atol=0.0):
                raise TargetError(
                    f"the passive force of {name} is {muscle.biasprm[_FPMAX]:g}, not {self.published:g}: {_RELEASE}"
                )
            muscle.gainprm[_FPMAX] = muscle.biasprm[_FPMAX] = self.corrected


@dataclass(frozen=True, kw_only=True)
class JointCorrection(_KeepsInertia):
    """Another damping and armature for hinges.

    Attributes:
        joints: Names of the joints.
        published: Damping [Nm s/rad] and armature [kg m^2] in the release.
        corrected: The values to use instead.
        source: Evidence for the fault and for the values.
    """

    joints: tuple[str, ...]
    published: tuple[float, float]
    corrected: tuple[float, float]
    source: str

    @property
    def text(self) -> str:
        """The correction as a sentence."""
        values = f"{self.corrected} instead of {self.published} Nm s/rad and kg m^2"
        return f"damping and armature of {', '.join(self.joints)}: {values}; {self.source}"

    def apply(self, spec: mujoco.MjSpec) -> None:
        """Change the specification in place; errors are those of `apply_corrections`."""
        for name in self.joints:
            joint = spec.joint(name)
            if joint is None:
                raise TargetError(f"the model has no joint {name!r}, whose damping a correction replaces")
            released = (float(joint.damping[0]), float(joint.armature))
            if not np.allclose(released, self.published, rtol=1e-6, atol=0.0):
                raise TargetError(
                    f"damping and armature of {name} are {list(released)}, not {list(self.published)}: {_RELEASE}"
                )
            joint.damping[0], joint.armature = self.corrected


@dataclass(frozen=True, kw_only=True)
class GeomRemoval(_KeepsInertia):
    """Geoms to leave out.

    Attributes:
        geoms: Names of the geoms.
        source: Why they are left out.
    """

    geoms: tuple[str, ...]
    source: str

    @property
    def text(self) -> str:
        """The correction as a sentence."""
        return f"without {', '.join(self.geoms)}: {self.source}"

    def apply(self, spec: mujoco.MjSpec) -> None:
        """Change the specification in place; errors are those of `apply_corrections`."""
        for name in self.geoms:
            geom = spec.geom(name)
            if geom is None:
                raise TargetError(f"the model has no geom {name!r}, which a correction removes: {_RELEASE}")
            spec.delete(geom)


Correction = InertiaCorrection | PassiveForceCorrection | JointCorrection | GeomRemoval


def apply_corrections(spec: mujoco.MjSpec, corrections: Sequence[Correction]) -> mujoco.MjSpec:
    """Apply corrections to a specification in place, and return it.

    Raises:
        TargetError: If a body, muscle, joint or geom is missing, or its value is not the one to be corrected: the
            package has changed, and the table must be checked against the new release.
    """
    for correction in corrections:
        correction.apply(spec)
    return spec
