"""The small arm with meshes in place of its capsules and spheres: the renderers draw meshes only."""

import mujoco
import numpy as np
import trimesh

from musclemap.skeletons.bodies.small_arm import load_small_arm, small_arm_spec

_ROUND = 24  # vertices around a limb
_HIDDEN = 5  # geom group that MuJoCo does not draw
_TRUNK_OFFSET = (0.0, 0.13, 0.0)  # moves the trunk behind the arm, whose plane of motion it would hide [m]


def arm_drawing_spec() -> mujoco.MjSpec:
    """Build the arm with a mesh in place of every capsule and sphere; qpos keeps its layout. For drawing only."""
    spec, model = small_arm_spec(), load_small_arm()
    for geom in spec.geoms:
        kind, size = model.geom(geom.name).type[0], model.geom(geom.name).size
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            shape = trimesh.creation.capsule(height=2.0 * size[1], radius=size[0], count=(_ROUND, _ROUND))
        elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            shape = trimesh.creation.uv_sphere(radius=size[0], count=(_ROUND, _ROUND))
        else:
            continue
        vertices = shape.vertices - shape.bounds.mean(axis=0)
        spec.add_mesh(name=geom.name, uservert=vertices.ravel().tolist(), userface=shape.faces.ravel().tolist())
        geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, geom.name
        geom.fromto = np.full(6, np.nan)
        geom.pos, geom.quat = model.geom(geom.name).pos, model.geom(geom.name).quat
    spec.geom("trunk").pos = spec.geom("trunk").pos + np.array(_TRUNK_OFFSET)
    for site in spec.sites:
        site.group = _HIDDEN
    return spec
