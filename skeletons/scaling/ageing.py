"""Muscles of old people: weaker, slower, and slower to relax."""

import mujoco

YOUNG, OLD = 30.0, 70.0
"""Ages between which muscles change [years]. Thelen 2003 compares young adults with adults of about 70 years; between
them we interpolate linearly. Nothing changes beyond."""

_OLD_FORCE, _OLD_VELOCITY, _OLD_DEACTIVATION = 0.7, 0.8, 1.2
"""Peak force, largest shortening velocity and time constant of deactivation at `OLD`, relative to young adults. The
loss of 30 % in force is that of Thelen 2003 (J Biomech Eng 125:70-77, doi:10.1115/1.1531112), who also slows
contraction and deactivation "modestly"; how much is our choice. His stiffer passive and stronger lengthening muscles
are left out."""

_PEAK, _VMAX, _DEACTIVATION = 2, 6, 1
"""Indices among MuJoCo's parameters of a muscle (gain, gain, dynamics)."""


def age_muscles(spec: mujoco.MjSpec, age: float) -> None:
    """Change a specification's muscles, in place, to those of an age [years]."""
    share = min(max((age - YOUNG) / (OLD - YOUNG), 0.0), 1.0)
    at = lambda old: 1.0 + share * (old - 1.0)  # noqa: E731
    for muscle in spec.actuators:
        for parameters in (muscle.gainprm, muscle.biasprm):
            parameters[_PEAK] *= at(_OLD_FORCE)
            parameters[_VMAX] *= at(_OLD_VELOCITY)
        muscle.dynprm[_DEACTIVATION] *= at(_OLD_DEACTIVATION)
