"""A specification of a body, scaled to a person's size before compilation."""

import mujoco
import numpy as np

from musclemap.skeletons.reduced import reduce_model

from .ageing import age_muscles
from .body_size import BodySize, Scaling, scaling_of
from .geometry import body_factors, scale_geometry
from .masses import scale_masses, segment_masses, shape_limbs
from .muscles import fit_fibres, force_ratio, joint_samples, path_lengths, scale_muscles
from .segments import ScalableBody


def apply_size(
    spec: mujoco.MjSpec, size: BodySize, body: ScalableBody, *, model: mujoco.MjModel
) -> mujoco.MjSpec:  # fmt: skip
    """Scale a specification to a person's size, in place, and return it.

    Args:
        spec: Specification of the unscaled body.
        size: The size.
        body: Segments of the body.
        model: The unscaled body, compiled.

    Raises:
        TargetError: If no person has this size, or the model cannot be scaled.
    """
    scaling = scaling_of(size, body)
    apply_scaling(spec, scaling, body, model=model, sex=size.sex, masses=size.masses, force=size.force)
    if size.age is not None:
        age_muscles(spec, size.age)
    return spec


def apply_scaling(
    spec: mujoco.MjSpec, scaling: Scaling, body: ScalableBody, *, model: mujoco.MjModel,
    sex: str | None = None, masses: str = "regression", force: str = "mass-height",
) -> None:  # fmt: skip
    """Scale geometry, masses and muscles of a specification, in place.

    Args:
        spec: Specification of the unscaled body.
        scaling: Factors and mass.
        body: Segments of the body.
        model: The unscaled body, compiled.
        sex: Sex, for masses by regression; None for the mean of both.
        masses: How mass is shared, one of `MASS_METHODS`.
        force: How peak forces follow, one of `FORCE_METHODS`.
    """
    factor = body_factors(model, body, scaling.factors)
    scale_geometry(spec, model, factor, body)
    shares = segment_masses(body, scaling.factors, mass=scaling.mass, sex=sex, method=masses)
    scale_masses(spec, model, body, factor, shares)
    if masses == "regression":
        shape_limbs(spec, model, body, factor, sex=sex)
    if not model.nu:
        return
    lengths = [_sampled_lengths(m) for m in (model, spec.copy().compile())]
    fit = fit_fibres(*lengths, lowest=float(factor[1:].min()), highest=float(factor[1:].max()))
    released = body.mass, body.height
    ratio = force_ratio(fit.slope, method=force, mass=scaling.mass, height=scaling.height, released=released)
    scale_muscles(spec, model, fit, ratio)


def _sampled_lengths(model: mujoco.MjModel) -> np.ndarray:
    """Lengths of all muscles' paths over the ranges of the joints, shape (nsample, nu) [m]."""
    fixed = bool(model.jnt_type[0] != mujoco.mjtJoint.mjJNT_FREE)
    reduced = reduce_model(model, fixed=fixed)
    return path_lengths(model, reduced.expand(joint_samples(reduced)))
