"""Geometry of a scaled body: positions, sizes, meshes, and the joints that slide."""

import mujoco
import numpy as np

from musclemap.errors import TargetError

from .segments import ScalableBody, segment_of_bodies


def body_factors(model: mujoco.MjModel, body: ScalableBody, factors: dict[str, float]) -> np.ndarray:
    """Scale factor of each body of a model, 1 for the world, shape (nbody,).

    Args:
        model: The unscaled model.
        body: Its segments.
        factors: Factor by name of each segment that has its own.
    """
    by_segment = np.array([factors[segment.follows or segment.name] for segment in body.segments])
    index = segment_of_bodies(model, body.segments)
    return np.where(index < 0, 1.0, by_segment[index])


def scale_geometry(
    spec: mujoco.MjSpec, model: mujoco.MjModel, factor: np.ndarray, table: ScalableBody
) -> None:  # fmt: skip
    """Scale a specification in place, each body about its own frame, uniformly in all directions.

    A body's position and the joints that slide it are lengths of its parent, like the translations of a joint in
    OpenSim's scaling; all other lengths are the body's own. Masses are unchanged.

    Args:
        spec: Specification of the model.
        model: The same, compiled.
        factor: Scale factor of each body, shape (nbody,).
        table: Segments of the body.

    Raises:
        TargetError: If bodies of different factors share a mesh, or a slide follows another slide or a tendon.
    """
    of = {model.body(b).name: float(factor[b]) for b in range(1, model.nbody)}
    of_parent = {model.body(b).name: float(factor[model.body_parentid[b]]) for b in range(1, model.nbody)}
    meshes: dict[str, float] = {}
    apart = _joint_parts(model, factor, table)
    for body in spec.bodies[1:]:
        own = of[body.name]
        body.pos *= of_parent[body.name]
        for joint in body.joints:
            joint.pos *= own
            if joint.type == mujoco.mjtJoint.mjJNT_SLIDE:
                _scale_slide(joint, of_parent[body.name])
        for geom in body.geoms:
            _scale_geom(geom, apart.get(geom.name, own))
            if geom.meshname and meshes.setdefault(geom.meshname, own) != own:
                raise TargetError(f"mesh {geom.meshname!r} is used by bodies of different scale")
        for site in body.sites:
            site.pos *= apart.get(site.name, own)
            site.size *= own
            site.fromto *= own
        for item in (*body.cameras, *body.lights):
            item.pos *= own
    for mesh in spec.meshes:
        mesh.scale *= meshes.get(mesh.name, 1.0)
        mesh.refpos *= meshes.get(mesh.name, 1.0)
    slides = {j.name: of_parent[b.name] for b in spec.bodies for j in b.joints if j.type == mujoco.mjtJoint.mjJNT_SLIDE}
    _scale_couplings(spec, slides)


def _joint_parts(model: mujoco.MjModel, factor: np.ndarray, table: ScalableBody) -> dict[str, float]:
    """Factors of wrapping objects that belong to a joint, and of the sites that say on which side a path passes."""
    region = {name: s.joint_region for s in table.segments if s.joint_region for name in s.bodies}
    parts: dict[str, float] = {}
    solid = np.isin(model.wrap_type, [int(mujoco.mjtWrap.mjWRAP_SPHERE), int(mujoco.mjtWrap.mjWRAP_CYLINDER)])
    for wrap in np.flatnonzero(solid):
        geom, side = int(model.wrap_objid[wrap]), int(model.wrap_prm[wrap])
        body = int(model.geom_bodyid[geom])
        if np.linalg.norm(model.geom_pos[geom]) < region.get(model.body(body).name, 0.0):
            across = float(factor[model.body_parentid[body]])
            parts[model.geom(geom).name] = across
            if side >= 0:
                parts[model.site(side).name] = across
    return parts


def _scale_geom(geom: mujoco.MjsGeom, factor: float) -> None:
    geom.pos *= factor
    geom.size *= factor
    geom.fromto *= factor


def _scale_slide(joint: mujoco.MjsJoint, factor: float) -> None:
    joint.range *= factor
    joint.ref *= factor
    joint.springref *= factor


def _scale_couplings(spec: mujoco.MjSpec, slides: dict[str, float]) -> None:
    """Scale the polynomials that give a slide's translation from an angle."""
    for equality in spec.equalities:
        if equality.type != mujoco.mjtEq.mjEQ_JOINT:
            continue
        if equality.name2 in slides:
            raise TargetError(f"the slide {equality.name2} drives {equality.name1}; such a coupling cannot be scaled")
        equality.data[:5] *= slides.get(equality.name1, 1.0)
