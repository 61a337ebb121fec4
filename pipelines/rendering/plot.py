"""Drawing without OpenGL: matplotlib fills triangles from back to front. Plainer, but needs no system library."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import mujoco
import numpy as np

from .camera import CameraPath, follow
from .drawing import (
    BONE_RGB,
    FORCE_RGB,
    GRID_RGB,
    HORIZON_RGB,
    LAMP_DIR,
    NEUTRAL_RGB,
    SKY_RGB,
    Markers,
    coarsen,
    markers,
    place,
)
from .loads import ARROW_RADIUS, PAD_RADIUS, Loads
from .muscles import TendonLook

_CELL = 0.010  # size of the smallest detail kept in the bones [m]: 24,000 triangles instead of 309,000
_GROUND_RGB = (0.89, 0.89, 0.89)
_SHADOW_RGB = (0.72, 0.72, 0.73)
_GRID_STEP, _GRID_REACH = 0.5, 6.0  # [m]
_MAX_PIECE = 0.03  # longest piece of a muscle [m], short enough to be sorted by depth
_NEAR = 0.2  # distance of the near clipping plane [m]
_HEAD = 6.0  # length of an arrow's head relative to the radius of its shaft
_DPI = 100.0


def plot_frames(
    model: mujoco.MjModel, qpos: np.ndarray, *, target_pos: np.ndarray | None = None,
    landmark_pos: np.ndarray | None = None, landmark_names: Sequence[str] = (), frames: Sequence[int] | None = None,
    fps: float = 100.0, size: tuple[int, int] = (960, 720), camera: str = "three-quarter", muscles: bool = True,
    tendons: TendonLook | None = None, loads: Loads | None = None, camera_path: CameraPath | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Draw frames of a motion with the arguments, results and errors of `gl.render_frames`; needs no OpenGL."""
    camera_path = camera_path or follow(model, qpos, fps=fps, camera=camera, size=size, target_pos=target_pos)
    marks = markers(target_pos=target_pos, landmark_pos=landmark_pos, landmark_names=landmark_names)
    return _draw(model, qpos, marks, camera_path, range(len(qpos)) if frames is None else frames, muscles=muscles,
                 tendons=tendons, loads=loads)  # fmt: skip


def _draw(
    model: mujoco.MjModel, qpos: np.ndarray, marks: Sequence[Markers], camera_path: CameraPath, frames: Iterable[int],
    *, muscles: bool, tendons: TendonLook | None, loads: Loads | None,
) -> Iterator[np.ndarray]:  # fmt: skip
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = camera_path.size
    data = mujoco.MjData(model)
    triangles, owner = _triangles(model)
    figure = Figure(figsize=(width / _DPI, height / _DPI), dpi=_DPI)
    canvas = FigureCanvasAgg(figure)
    for frame in frames:
        data.qpos[:] = qpos[frame]
        place(model, data)
        xmat = data.geom_xmat.reshape(-1, 3, 3)[owner]
        bones = data.geom_xpos[owner, None] + np.einsum("tij,tkj->tki", xmat, triangles)
        figure.clear()
        axes = figure.add_axes((0.0, 0.0, 1.0, 1.0), xlim=(0, width), ylim=(height, 0))
        axes.set_axis_off()
        _draw_ground(axes, camera_path, frame)
        _draw_shadow(axes, camera_path, frame, bones)
        look = None if tendons is None else (tendons.rgb[frame] / 255.0, tendons.width[frame])
        _draw_body(axes, camera_path, frame, bones, _muscle_paths(model, data, look) if muscles else None)
        if loads is not None:
            _draw_loads(axes, camera_path, frame, loads)
        for mark in marks:
            _draw_balls(axes, camera_path, frame, mark)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[:height, :width, :3].copy()


def _triangles(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of all bones in the frames of their geoms [m], shape (ntriangle, 3, 3), and the geom of each."""
    model = copy.copy(model)
    coarsen(model, cell=_CELL)
    triangles, owner = [], []
    for geom in np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH):
        mesh = model.geom_dataid[geom]
        vert = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        face = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        triangles.append(vert[face])
        owner.append(np.full(len(face), geom))
    return np.concatenate(triangles).astype(np.float64), np.concatenate(owner)


def _muscle_paths(
    model: mujoco.MjModel, data: mujoco.MjData, look: tuple[np.ndarray, np.ndarray] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Split the paths of all muscles into short straight pieces.

    Returns:
        Ends of the pieces [m], shape (n, 2, 3), world frame; radii [m], shape (n,); and colours from 0 to 1, shape
        (n, 3): those of the tendons in `look`, which also has their widths, or three tints of grey if it is None.
    """
    point = data.wrap_xpos.reshape(-1, 3)[: data.ten_wrapnum.sum()]
    width = model.tendon_width if look is None else model.tendon_width * look[1]
    radius = np.repeat(width, data.ten_wrapnum)
    last = np.zeros(len(point), dtype=bool)
    last[data.ten_wrapadr + data.ten_wrapnum - 1] = True
    start = np.flatnonzero(~last)
    origin, span = point[start], point[start + 1] - point[start]
    count = np.maximum(np.ceil(np.linalg.norm(span, axis=1) / _MAX_PIECE).astype(int), 1)
    piece = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    origin, step = np.repeat(origin, count, axis=0), np.repeat(span / count[:, None], count, axis=0)
    ends = origin[:, None] + step[:, None] * (piece[:, None, None] + np.array([[0.0], [1.0]]))
    if look is None:
        tint = np.resize([0.80, 0.95, 0.88], len(ends))  # neighbouring muscles stay distinguishable
        return ends, np.repeat(radius[start], count), tint[:, None] * NEUTRAL_RGB
    tendon = np.repeat(np.arange(model.ntendon), data.ten_wrapnum)
    return ends, np.repeat(radius[start], count), look[0][np.repeat(tendon[start], count)]


def _draw_ground(axes: Any, camera_path: CameraPath, frame: int) -> None:
    from matplotlib.collections import LineCollection

    width, height = camera_path.size
    rise = np.tan(np.radians(-camera_path.elevation_deg)) / np.tan(np.radians(camera_path.fovy_deg) / 2.0)
    horizon = height / 2.0 * (1.0 - rise)
    shade = np.linspace(0.0, 1.0, 64)[:, None, None]
    sky = (1.0 - shade) * np.array(SKY_RGB) + shade * np.array(HORIZON_RGB)
    axes.imshow(sky, extent=(0, width, horizon, 0), aspect="auto", interpolation="bilinear", zorder=0)
    axes.axhspan(horizon, height, color=_GROUND_RGB, linewidth=0, zorder=0)
    axes.set(xlim=(0, width), ylim=(height, 0))
    middle = np.round(camera_path.lookat[frame, :2] / _GRID_STEP) * _GRID_STEP
    offset = np.arange(-_GRID_REACH, _GRID_REACH + _GRID_STEP / 2, _GRID_STEP)
    across, along = np.meshgrid(offset, offset, indexing="ij")
    along_y = np.stack([middle[0] + across, middle[1] + along, np.zeros_like(across)], axis=-1)
    along_x = np.stack([middle[0] + along, middle[1] + across, np.zeros_like(across)], axis=-1)
    pixel, depth = camera_path.project(np.concatenate([along_y, along_x]), frame=frame)
    visible = (depth[:, :-1] > _NEAR) & (depth[:, 1:] > _NEAR)
    pieces = np.stack([pixel[:, :-1], pixel[:, 1:]], axis=2)[visible]
    fade = np.clip(1.0 - (depth[:, :-1][visible] - camera_path.distance) / _GRID_REACH, 0.0, 1.0)
    colors = np.column_stack([np.tile(GRID_RGB, (len(fade), 1)), fade])
    axes.add_collection(LineCollection(list(pieces), colors=colors, linewidths=1.0, zorder=1))


def _draw_shadow(axes: Any, camera_path: CameraPath, frame: int, bones: np.ndarray) -> None:
    from matplotlib.collections import PolyCollection

    fall = np.array(LAMP_DIR) / -LAMP_DIR[2]
    ground = bones + fall * np.maximum(bones[..., 2:], 0.0)
    ground[..., 2] = 0.0
    pixel, depth = camera_path.project(ground, frame=frame)
    visible = (depth > _NEAR).all(axis=1)
    axes.add_collection(
        PolyCollection(
            cast(Any, pixel[visible]), facecolors=[_SHADOW_RGB], edgecolors="none", antialiased=False, zorder=2
        )
    )


def _draw_body(
    axes: Any,
    camera_path: CameraPath,
    frame: int,
    bones: np.ndarray,
    paths: tuple[np.ndarray, np.ndarray, np.ndarray] | None,
) -> None:
    """Draw bones and muscles together from back to front, triangles as quadrilaterals that repeat their last corner."""
    from matplotlib.collections import PolyCollection

    forward = camera_path.axes()[2]
    centre = bones.mean(axis=1)
    normal = np.cross(bones[:, 1] - bones[:, 0], bones[:, 2] - bones[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    front = ((centre - camera_path.eye(frame)) * normal).sum(axis=1) < 0
    bones, normal = bones[front], normal[front]
    lamp = -np.array(LAMP_DIR) / np.linalg.norm(LAMP_DIR)
    light = 0.46 + 0.46 * np.maximum(normal @ lamp, 0.0) + 0.26 * np.maximum(-normal @ forward, 0.0)
    bone_px, bone_depth = camera_path.project(bones, frame=frame)
    bone_rgb = np.clip(light[:, None] * BONE_RGB, 0.0, 1.0)

    shape, rgb, depth = [bone_px[:, [0, 1, 2, 2]]], [bone_rgb], [bone_depth.mean(axis=1)]
    if paths is not None:
        ribbons, ribbon_depth = _ribbons(camera_path, frame, *paths[:2])
        shape, rgb, depth = [*shape, ribbons], [*rgb, paths[2]], [*depth, ribbon_depth]
    far = np.concatenate(depth)
    order = np.argsort(-far)[: (far > _NEAR).sum()]
    corners, colors = np.concatenate(shape)[order], np.concatenate(rgb)[order]
    axes.add_collection(
        PolyCollection(cast(Any, corners), facecolors=colors, edgecolors="face", linewidths=0.3, zorder=3)
    )


def _ribbons(
    camera_path: CameraPath, frame: int, paths: np.ndarray, radius: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of muscle as quadrilaterals [px], shape (n, 4, 2), and the depth of their near sides [m], shape (n,)."""
    pixel, depth = camera_path.project(paths, frame=frame)
    along = pixel[:, 1] - pixel[:, 0]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    half = across * (radius * camera_path.focal_px / depth.mean(axis=1))[:, None]
    start, stop = pixel[:, 0], pixel[:, 1]
    return np.stack([start - half, start + half, stop + half, stop - half], axis=1), depth.mean(axis=1) - radius


def _draw_loads(axes: Any, camera_path: CameraPath, frame: int, loads: Loads) -> None:
    """Draw pads as discs on the ground, and arrows as flat shapes that face the camera, over the body."""
    from matplotlib.collections import PolyCollection

    turn = np.linspace(0.0, 2.0 * np.pi, 24, endpoint=False)
    rim = PAD_RADIUS * np.stack([np.cos(turn), np.sin(turn), np.zeros_like(turn)], axis=1)
    shapes = [centre + rim for centre in loads.pads(frame)]
    forward = camera_path.axes()[2]
    for start, tip in loads.arrows(frame):
        along = tip - start
        across = np.cross(along, forward)
        across *= ARROW_RADIUS / max(float(np.linalg.norm(across)), 1e-9)
        neck = tip - along * min(_HEAD * ARROW_RADIUS / float(np.linalg.norm(along)), 0.6)
        half = [start - across, neck - across, neck - 2.5 * across]
        shapes.append(np.array([*half, tip, neck + 2.5 * across, neck + across, start + across]))
    projected = [camera_path.project(shape, frame=frame) for shape in shapes]
    visible = [pixel for pixel, depth in projected if (depth > _NEAR).all()]
    axes.add_collection(
        PolyCollection(cast(Any, visible), facecolors=[(*FORCE_RGB, 0.9)], edgecolors="none", zorder=3.5)
    )


def _draw_balls(axes: Any, camera_path: CameraPath, frame: int, mark: Markers) -> None:
    from matplotlib.collections import EllipseCollection

    pixel, depth = camera_path.project(mark.pos[frame], frame=frame)
    visible = depth > _NEAR
    across = 2.0 * mark.radius * camera_path.focal_px / depth[visible]
    axes.add_collection(
        EllipseCollection(
            across, across, np.zeros_like(across), units="xy", offsets=pixel[visible], offset_transform=axes.transData,
            facecolors=np.column_stack([mark.rgb[visible], np.full(visible.sum(), 0.85)]), edgecolors="white",
            linewidths=0.6, zorder=4,
        )
    )  # fmt: skip
