"""The body dressed for drawing: light ground with a grid, one lamp with a shadow, bones and muscles, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import musclemimic_models
import numpy as np

from musclemap.errors import MusclemapError
from musclemap.skeletons.bodies.small_arm import ARM_NAME

from .arm import arm_drawing_spec

BONE_RGB = (0.93, 0.89, 0.80)
MUSCLE_RGB = (0.72, 0.20, 0.18)
FLOOR_RGB = (1.0, 1.0, 1.0)
GRID_RGB = (0.68, 0.72, 0.78)
SKY_RGB = (0.74, 0.82, 0.90)
HORIZON_RGB = (0.93, 0.945, 0.96)
LAMP_DIR = (0.35, 0.50, -1.0)
"""Where the lamp's light goes, world frame; it hangs on the body, so that the shadow goes along."""

LEFT_RGB = (0.11, 0.47, 0.81)
RIGHT_RGB = (0.95, 0.55, 0.06)
CENTRE_RGB = (0.16, 0.60, 0.32)
REACHED_RGB = (0.08, 0.08, 0.10)
TARGET_RADIUS = 0.026
"""Radius of the ball at a target [m]."""
REACHED_RADIUS = 0.013
"""Radius of the ball at the landmark that was reached [m]: it is out of the target's ball from 13 mm of error on."""

MESH_CELL = 0.003
"""Detail kept in the bones [m]: about one pixel of a body 720 pixels high, and a fifth of the triangles."""

_DRAWN, _GROUND, _HIDDEN = 0, 2, 5  # geom groups; MuJoCo draws 0 to 2 unless told otherwise


class RenderError(MusclemapError):
    """A picture cannot be drawn or written."""


def drawing_model(name: str = "myofullbody", *, mesh_cell: float = MESH_CELL) -> mujoco.MjModel:
    """Compile a body for drawing: the small arm, or one of musclemimic-models. Its qpos is the same as the original's.

    Args:
        name: Name of the arm, or in the registry of musclemimic-models, in any case of letters.
        mesh_cell: Detail to keep in the bones [m]; 0 keeps all of it.

    Raises:
        RenderError: There is no such body; the message lists those there are.
    """
    if name.lower() == ARM_NAME.lower():
        spec = arm_drawing_spec()
    elif name.lower() in musclemimic_models.REGISTRY:
        spec = mujoco.MjSpec.from_file(str(musclemimic_models.get_xml_path(name.lower())))
    else:
        known = ", ".join(sorted(musclemimic_models.REGISTRY))
        raise RenderError(f"no body named {name!r} to draw; there are {ARM_NAME}, and of musclemimic-models {known}")
    dress(spec)
    model = spec.compile()
    if mesh_cell > 0:
        coarsen(model, cell=mesh_cell)
    return model


def dress(spec: mujoco.MjSpec) -> None:
    """Give a body ground, sky, lamp and colours, in place, and hide what is there for contact and wrapping only."""
    _light(spec)
    _ground(spec)
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH:
            geom.group, geom.rgba = _DRAWN, (*BONE_RGB, 1.0)
        elif geom.type != mujoco.mjtGeom.mjGEOM_PLANE:
            geom.group = _HIDDEN
    for tendon in spec.tendons:
        tendon.rgba = (*MUSCLE_RGB, 1.0)


def coarsen(model: mujoco.MjModel, *, cell: float) -> None:
    """Join the vertices of every mesh that lie in one cube of edge `cell` [m], in place. For drawing only.

    Thin bones are cut into smaller cubes, half as wide as they are thick, or a finger's tip would go.
    Bones hold 309,000 triangles, made for close-ups; a software renderer pays for each, twice where there is a shadow.
    """
    for mesh in range(model.nmesh):
        vert = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        face = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        face_normal = model.mesh_facenormal[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        edge = min(cell, float(np.ptp(vert, axis=0).min()) / 2.0)
        _, first, cube = np.unique(np.round(vert / edge), axis=0, return_index=True, return_inverse=True)
        keeper = first[cube.ravel()]
        normal = np.zeros(len(vert), dtype=face_normal.dtype)
        normal[face] = face_normal
        kept = keeper[face]
        solid = (kept[:, 0] != kept[:, 1]) & (kept[:, 1] != kept[:, 2]) & (kept[:, 0] != kept[:, 2])
        kept = np.unique(kept[solid], axis=0)
        face[: len(kept)] = kept
        face_normal[: len(kept)] = normal[kept]
        model.mesh_facenum[mesh] = len(kept)


def place(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Bring all that is drawn to where `data.qpos` puts it: bones, lamp and the paths of the muscles."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
    mujoco.mj_tendon(model, data)


@dataclass(frozen=True, kw_only=True)
class Markers:
    """Balls of one size that go through the motion."""

    pos: np.ndarray
    """Centres [m], shape (nframe, n, 3), world frame."""
    rgb: np.ndarray
    """Colours from 0 to 1, shape (n, 3) float32."""
    radius: float
    """[m]."""


def markers(
    *, target_pos: np.ndarray | None, landmark_pos: np.ndarray | None, landmark_names: Sequence[str]
) -> tuple[Markers, ...]:
    """Balls for the points asked for, coloured by side, and smaller dark ones for the points reached."""
    result = []
    if target_pos is not None:
        rgb = landmark_rgb(landmark_names, nlandmark=target_pos.shape[1])
        result.append(Markers(pos=target_pos, rgb=rgb, radius=TARGET_RADIUS))
    if landmark_pos is not None:
        rgb = np.tile(np.array(REACHED_RGB, dtype=np.float32), (landmark_pos.shape[1], 1))
        result.append(Markers(pos=landmark_pos, rgb=rgb, radius=REACHED_RADIUS))
    return tuple(result)


def landmark_rgb(names: Sequence[str], *, nlandmark: int) -> np.ndarray:
    """Colour of every landmark by its side: left blue, right orange, in between green. Shape (nlandmark, 3), 0 to 1."""
    sides = [_side(name) for name in names] if len(names) == nlandmark else [CENTRE_RGB] * nlandmark
    return np.array(sides, dtype=np.float32).reshape(nlandmark, 3)


def _side(name: str) -> tuple[float, float, float]:
    if name.endswith("_l") or name.startswith("left"):
        return LEFT_RGB
    if name.endswith("_r") or name.startswith("right"):
        return RIGHT_RGB
    return CENTRE_RGB


def _light(spec: mujoco.MjSpec) -> None:
    """One lamp that follows the body and casts the shadow, a weak light from the eye, and fine shadows."""
    visual: Any = spec.visual
    visual.global_.fovy = 30.0
    visual.quality.numslices, visual.quality.numstacks = (
        10,
        5,
    )  # 1,400 pieces of tendon: 28 slices cost 5 times the time
    visual.quality.shadowsize, visual.map.shadowclip = 2048, 2.0  # a wider lamp: specks at its edge stay out of view
    visual.headlight.ambient, visual.headlight.diffuse = (0.46,) * 3, (0.26,) * 3
    visual.headlight.specular = (0.05,) * 3
    visual.rgba.haze = (*HORIZON_RGB, 1.0)
    for light in spec.worldbody.lights:
        spec.delete(light)
    root = spec.worldbody.first_body()
    lamp = root.add_light() if root is not None else spec.worldbody.add_light()
    lamp.type = mujoco.mjtLightType.mjLIGHT_DIRECTIONAL
    lamp.mode = mujoco.mjtCamLight.mjCAMLIGHT_TRACKCOM
    lamp.pos, lamp.dir = -4.0 * np.array(LAMP_DIR), np.array(LAMP_DIR)
    lamp.castshadow = True
    lamp.ambient, lamp.diffuse, lamp.specular = (np.full(3, x, np.float32) for x in (0.0, 0.46, 0.15))


def _ground(spec: mujoco.MjSpec) -> None:
    """A floor with lines half a metre apart under a pale sky, in place of whatever the scene brings."""
    for texture in list(spec.textures):
        if texture.type == mujoco.mjtTexture.mjTEXTURE_SKYBOX:
            spec.delete(texture)
    spec.add_texture(
        name="drawing_sky", type=mujoco.mjtTexture.mjTEXTURE_SKYBOX, builtin=mujoco.mjtBuiltin.mjBUILTIN_GRADIENT,
        rgb1=SKY_RGB, rgb2=HORIZON_RGB, width=256, height=1536,
    )  # fmt: skip
    spec.add_texture(
        name="drawing_grid", type=mujoco.mjtTexture.mjTEXTURE_2D, builtin=mujoco.mjtBuiltin.mjBUILTIN_FLAT,
        rgb1=FLOOR_RGB, rgb2=FLOOR_RGB, mark=mujoco.mjtMark.mjMARK_EDGE, markrgb=GRID_RGB, width=160, height=160,
    )  # fmt: skip
    grid = spec.add_material(name="drawing_floor", texrepeat=(4, 4), texuniform=True, reflectance=0.0, specular=0.0)
    grid.textures[mujoco.mjtTextureRole.mjTEXROLE_RGB] = "drawing_grid"
    floor = [geom for geom in spec.geoms if geom.type == mujoco.mjtGeom.mjGEOM_PLANE]
    if not floor:
        floor = [spec.worldbody.add_geom(type=mujoco.mjtGeom.mjGEOM_PLANE, size=(0, 0, 0.1), contype=0, conaffinity=0)]
    for plane in floor:
        plane.material, plane.group, plane.rgba = "drawing_floor", _GROUND, np.ones(4, np.float32)
        plane.pos = plane.pos + np.array([0.25, 0.25, 0.0])  # brings the grid's lines to multiples of 0.5 m
