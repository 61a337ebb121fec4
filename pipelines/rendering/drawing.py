"""Models for drawing: bones and muscles on a light ground with a grid and one shadow-casting lamp, nothing else."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import mujoco
import numpy as np

from musclemap.errors import MusclemapError
from musclemap.skeletons.bodies import BODIES, DEFAULT_BODY, load_body
from musclemap.skeletons.bodies.small_arm import ARM_NAME
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .arm_meshes import arm_drawing_spec

BONE_RGB = (0.93, 0.89, 0.80)
MUSCLE_RGB = (0.72, 0.20, 0.18)
FLOOR_RGB = (1.0, 1.0, 1.0)
GRID_RGB = (0.68, 0.72, 0.78)
SKY_RGB = (0.74, 0.82, 0.90)
HORIZON_RGB = (0.93, 0.945, 0.96)
LAMP_DIR = (0.35, 0.50, -1.0)
"""Direction of the lamp's light, world frame. The lamp follows the body, and so does the shadow."""

LEFT_RGB = (0.11, 0.47, 0.81)
RIGHT_RGB = (0.95, 0.55, 0.06)
CENTRE_RGB = (0.16, 0.60, 0.32)
REACHED_RGB = (0.08, 0.08, 0.10)
TARGET_RADIUS = 0.026
"""Radius of the ball at a target [m]."""
REACHED_RADIUS = 0.013
"""Radius of the ball at the position reached [m]; it emerges from the target's ball at 13 mm of error."""

CROWDED = 0.25
"""Size of the balls of landmarks, such as finger joints, whose balls would overlap."""

MESH_CELL = 0.003
"""Smallest detail kept in the bones [m]: about one pixel of a body 720 pixels high, and a fifth of the triangles."""

_DRAWN, _GROUND, _HIDDEN = 0, 2, 5  # geom groups; MuJoCo draws groups 0 to 2 by default


class RenderError(MusclemapError):
    """A picture or film cannot be drawn or written."""


def drawing_model(
    name: str = DEFAULT_BODY, *, variant: BodyVariant = UNALTERED, mesh_cell: float = MESH_CELL
) -> mujoco.MjModel:
    """Compile a body for drawing; qpos keeps its layout.

    Args:
        name: Name of the body, as in a clip's `model`.
        variant: What differs from its table, as in a clip's `variant`.
        mesh_cell: Size of the smallest detail to keep in the bones [m]; 0 keeps everything.

    Raises:
        RenderError: If the body is unknown; the message lists the available bodies.
        TargetError: If the body does not take the variant.
    """
    if name not in BODIES:
        raise RenderError(f"no body named {name!r}; available: {', '.join(sorted(BODIES))}")
    spec = arm_drawing_spec() if name == ARM_NAME else load_body(name, variant=variant).make_spec()
    style_for_drawing(spec)
    model = spec.compile()
    if mesh_cell > 0:
        coarsen(model, cell=mesh_cell)
    return model


def style_for_drawing(spec: mujoco.MjSpec) -> None:
    """Add ground, sky, lamp and colours to a body in place, and hide geoms that serve contact or wrapping only."""
    _light(spec)
    _ground(spec)
    for geom in spec.geoms:
        if geom.type == mujoco.mjtGeom.mjGEOM_MESH:
            geom.group, geom.rgba = _DRAWN, (*BONE_RGB, 1.0)
        elif geom.type != mujoco.mjtGeom.mjGEOM_PLANE:
            geom.group = _HIDDEN
    for site in spec.sites:
        site.group = _HIDDEN
    for tendon in spec.tendons:
        tendon.rgba = (*MUSCLE_RGB, 1.0)


def coarsen(model: mujoco.MjModel, *, cell: float) -> None:
    """Merge the vertices of every mesh that share a cube of edge `cell` [m], in place. For drawing only.

    For thin bones the cubes are half as wide as the bone is thick; otherwise fingertips would vanish. The original
    bones have 309,000 triangles, enough for close-ups; a software renderer draws each one twice with shadows.
    """
    for mesh in range(model.nmesh):
        vert = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        face = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        face_normal = model.mesh_facenormal[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        edge = min(cell, float(np.ptp(vert, axis=0).min()) / 2.0)
        _, first, cube = np.unique(np.round(vert / edge), axis=0, return_index=True, return_inverse=True)
        representative = first[cube.ravel()]
        normal = np.zeros(len(vert), dtype=face_normal.dtype)
        normal[face] = face_normal
        merged = representative[face]
        has_area = (merged[:, 0] != merged[:, 1]) & (merged[:, 1] != merged[:, 2]) & (merged[:, 0] != merged[:, 2])
        merged = np.unique(merged[has_area], axis=0)
        face[: len(merged)] = merged
        face_normal[: len(merged)] = normal[merged]
        model.mesh_facenum[mesh] = len(merged)


def place(model: mujoco.MjModel, data: mujoco.MjData) -> None:
    """Update everything that is drawn to `data.qpos`: bones, lamp and muscle paths."""
    mujoco.mj_kinematics(model, data)
    mujoco.mj_comPos(model, data)
    mujoco.mj_camlight(model, data)
    mujoco.mj_tendon(model, data)


@dataclass(frozen=True, kw_only=True)
class Markers:
    """Balls of one size that move over the frames of a motion."""

    pos: np.ndarray
    """Centres [m], shape (nframe, n, 3), world frame."""
    rgb: np.ndarray
    """Colours from 0 to 1, shape (n, 3) float32."""
    radius: float
    """Radius [m]."""


def markers(
    *, target_pos: np.ndarray | None, landmark_pos: np.ndarray | None, landmark_names: Sequence[str]
) -> tuple[Markers, ...]:
    """Balls at the targets, coloured by side, and smaller dark balls at the positions reached.

    Balls of landmarks that would overlap, judged by the first frame, are smaller.
    """
    result = []
    if target_pos is not None:
        result += _balls(target_pos, landmark_rgb(landmark_names, nlandmark=target_pos.shape[1]), TARGET_RADIUS)
    if landmark_pos is not None:
        rgb = np.tile(np.array(REACHED_RGB, dtype=np.float32), (landmark_pos.shape[1], 1))
        result += _balls(landmark_pos, rgb, REACHED_RADIUS)
    return tuple(result)


def _balls(pos: np.ndarray, rgb: np.ndarray, radius: float) -> list[Markers]:
    """Balls of one kind, those that are crowded apart from the others."""
    gap = np.linalg.norm(pos[0][:, None] - pos[0][None], axis=-1) + np.diag(np.full(pos.shape[1], np.inf))
    crowded = gap.min(axis=1, initial=np.inf) < 2.0 * TARGET_RADIUS
    groups = ((~crowded, radius), (crowded, CROWDED * radius))
    return [Markers(pos=pos[:, part], rgb=rgb[part], radius=size) for part, size in groups if part.any()]


def landmark_rgb(names: Sequence[str], *, nlandmark: int) -> np.ndarray:
    """Colours of landmarks from 0 to 1, shape (nlandmark, 3): left blue, right orange, midline green."""
    colours = [_side_rgb(name) for name in names] if len(names) == nlandmark else [CENTRE_RGB] * nlandmark
    return np.array(colours, dtype=np.float32).reshape(nlandmark, 3)


def _side_rgb(name: str) -> tuple[float, float, float]:
    if name.endswith("_l") or name.startswith("left"):
        return LEFT_RGB
    if name.endswith("_r") or name.startswith("right"):
        return RIGHT_RGB
    return CENTRE_RGB


def _light(spec: mujoco.MjSpec) -> None:
    """Set up one lamp that follows the body and casts a fine shadow, and a weak light from the eye."""
    visual: Any = spec.visual
    visual.global_.fovy = 30.0
    # 1,400 pieces of tendon: the default of 28 slices takes 5 times as long
    visual.quality.numslices, visual.quality.numstacks = 10, 5
    # a wider lamp keeps the artefacts at its edge out of view
    visual.quality.shadowsize, visual.map.shadowclip = 2048, 2.0
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
    """Replace the floor and sky of the scene by a grid with lines 0.5 m apart under a pale sky."""
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
        plane.pos = plane.pos + np.array([0.25, 0.25, 0.0])  # puts the lines of the grid at multiples of 0.5 m
