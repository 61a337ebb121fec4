"""The small arm for drawing: its capsules and balls as meshes, which is what all drawing here works with."""

import mujoco
import numpy as np
import trimesh

from musclemap.skeletons.bodies.small_arm import load_small_arm, small_arm_spec

_ROUND = 24  # corners around a limb
_HIDDEN = 5  # group that MuJoCo does not draw
_BEHIND = (0.0, 0.13, 0.0)  # where the trunk is drawn, or it would hide the arm that moves through its plane [m]


def arm_drawing_spec() -> mujoco.MjSpec:
    """The arm with a mesh in place of every capsule and ball. Its qpos is the same; only the picture uses it."""
    spec, model = small_arm_spec(), load_small_arm()
    for geom in spec.geoms:
        kind, size = model.geom(geom.name).type[0], model.geom(geom.name).size
        if kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            shape = trimesh.creation.capsule(height=2.0 * size[1], radius=size[0], count=(_ROUND, _ROUND))
        elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            shape = trimesh.creation.uv_sphere(radius=size[0], count=(_ROUND, _ROUND))
        else:
            continue
        corners = shape.vertices - shape.bounds.mean(axis=0)
        spec.add_mesh(name=geom.name, uservert=corners.ravel().tolist(), userface=shape.faces.ravel().tolist())
        geom.type, geom.meshname = mujoco.mjtGeom.mjGEOM_MESH, geom.name
        geom.fromto = np.full(6, np.nan)
        geom.pos, geom.quat = model.geom(geom.name).pos, model.geom(geom.name).quat
    spec.geom("trunk").pos = spec.geom("trunk").pos + np.array(_BEHIND)
    for site in spec.sites:
        site.group = _HIDDEN
    return spec
