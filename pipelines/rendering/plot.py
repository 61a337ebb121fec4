"""Drawing without OpenGL: matplotlib fills triangles, the far ones first. Plainer, but it needs no system library."""

import copy
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, cast

import mujoco
import numpy as np

from .camera import Track, follow
from .stage import (
    BONE_RGB,
    GRID_RGB,
    HORIZON_RGB,
    LAMP_DIR,
    MUSCLE_RGB,
    SKY_RGB,
    Markers,
    coarsen,
    markers,
    place,
)

_CELL = 0.010  # detail kept in the bones [m]: 24,000 triangles instead of 309,000
_GROUND_RGB = (0.89, 0.89, 0.89)
_SHADOW_RGB = (0.72, 0.72, 0.73)
_GRID_STEP, _GRID_REACH = 0.5, 6.0  # [m]
_PIECE = 0.03  # muscles are cut into pieces not longer than this, so that depth can sort them [m]
_NEAR = 0.2  # nearer to the eye than this nothing is drawn [m]
_DPI = 100.0


def plot_frames(
    model: mujoco.MjModel, qpos: np.ndarray, *, target_pos: np.ndarray | None = None,
    landmark_pos: np.ndarray | None = None, landmark_names: Sequence[str] = (), frames: Sequence[int] | None = None,
    fps: float = 100.0, size: tuple[int, int] = (960, 720), camera: str = "three-quarter", muscles: bool = True,
    tendon_rgb: np.ndarray | None = None, track: Track | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Draw frames of a motion; arguments, pictures and errors are those of `gl.render_frames`, but for the OpenGL."""
    track = track or follow(model, qpos, fps=fps, camera=camera, size=size, target_pos=target_pos)
    marks = markers(target_pos=target_pos, landmark_pos=landmark_pos, landmark_names=landmark_names)
    return _draw(model, qpos, marks, track, range(len(qpos)) if frames is None else frames, muscles=muscles,
                 tendon_rgb=tendon_rgb)  # fmt: skip


def _draw(
    model: mujoco.MjModel, qpos: np.ndarray, marks: Sequence[Markers], track: Track, frames: Iterable[int],
    *, muscles: bool, tendon_rgb: np.ndarray | None,
) -> Iterator[np.ndarray]:  # fmt: skip
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    width, height = track.size
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
        _draw_ground(axes, track, frame)
        _draw_shadow(axes, track, frame, bones)
        rgb = None if tendon_rgb is None else tendon_rgb[frame] / 255.0
        _draw_body(axes, track, frame, bones, _muscle_paths(model, data, rgb) if muscles else None)
        for mark in marks:
            _draw_balls(axes, track, frame, mark)
        canvas.draw()
        yield np.asarray(canvas.buffer_rgba())[:height, :width, :3].copy()


def _triangles(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Triangles of all bones, shape (ntriangle, 3, 3) [m], in the frames of their geoms, and the geom of each."""
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
    model: mujoco.MjModel, data: mujoco.MjData, tendon_rgb: np.ndarray | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Straight short pieces of all muscles' paths, shape (n, 2, 3) [m], world frame, their radii (n,) [m], and colours
    (n, 3), 0 to 1: given for each tendon, or one red in three tints."""
    point = data.wrap_xpos.reshape(-1, 3)[: data.ten_wrapnum.sum()]
    radius = np.repeat(model.tendon_width, data.ten_wrapnum)
    last = np.zeros(len(point), dtype=bool)
    last[data.ten_wrapadr + data.ten_wrapnum - 1] = True
    start = np.flatnonzero(~last)
    one, way = point[start], point[start + 1] - point[start]
    count = np.maximum(np.ceil(np.linalg.norm(way, axis=1) / _PIECE).astype(int), 1)
    piece = np.arange(count.sum()) - np.repeat(np.cumsum(count) - count, count)
    one, step = np.repeat(one, count, axis=0), np.repeat(way / count[:, None], count, axis=0)
    ends = one[:, None] + step[:, None] * (piece[:, None, None] + np.array([[0.0], [1.0]]))
    if tendon_rgb is None:
        tint = np.resize([0.80, 0.95, 0.88], len(ends))  # neighbours can be told apart
        return ends, np.repeat(radius[start], count), tint[:, None] * MUSCLE_RGB
    tendon = np.repeat(np.arange(model.ntendon), data.ten_wrapnum)
    return ends, np.repeat(radius[start], count), tendon_rgb[np.repeat(tendon[start], count)]


def _draw_ground(axes: Any, track: Track, frame: int) -> None:
    from matplotlib.collections import LineCollection

    width, height = track.size
    rise = np.tan(np.radians(-track.elevation_deg)) / np.tan(np.radians(track.fovy_deg) / 2.0)
    horizon = height / 2.0 * (1.0 - rise)
    shade = np.linspace(0.0, 1.0, 64)[:, None, None]
    sky = (1.0 - shade) * np.array(SKY_RGB) + shade * np.array(HORIZON_RGB)
    axes.imshow(sky, extent=(0, width, horizon, 0), aspect="auto", interpolation="bilinear", zorder=0)
    axes.axhspan(horizon, height, color=_GROUND_RGB, linewidth=0, zorder=0)
    axes.set(xlim=(0, width), ylim=(height, 0))
    middle = np.round(track.lookat[frame, :2] / _GRID_STEP) * _GRID_STEP
    offset = np.arange(-_GRID_REACH, _GRID_REACH + _GRID_STEP / 2, _GRID_STEP)
    across, along = np.meshgrid(offset, offset, indexing="ij")
    one = np.stack([middle[0] + across, middle[1] + along, np.zeros_like(across)], axis=-1)
    other = np.stack([middle[0] + along, middle[1] + across, np.zeros_like(across)], axis=-1)
    pixel, depth = track.project(np.concatenate([one, other]), frame=frame)
    seen = (depth[:, :-1] > _NEAR) & (depth[:, 1:] > _NEAR)
    pieces = np.stack([pixel[:, :-1], pixel[:, 1:]], axis=2)[seen]
    fade = np.clip(1.0 - (depth[:, :-1][seen] - track.distance) / _GRID_REACH, 0.0, 1.0)
    colors = np.column_stack([np.tile(GRID_RGB, (len(fade), 1)), fade])
    axes.add_collection(LineCollection(list(pieces), colors=colors, linewidths=1.0, zorder=1))


def _draw_shadow(axes: Any, track: Track, frame: int, bones: np.ndarray) -> None:
    from matplotlib.collections import PolyCollection

    fall = np.array(LAMP_DIR) / -LAMP_DIR[2]
    ground = bones + fall * np.maximum(bones[..., 2:], 0.0)
    ground[..., 2] = 0.0
    pixel, depth = track.project(ground, frame=frame)
    seen = (depth > _NEAR).all(axis=1)
    axes.add_collection(
        PolyCollection(cast(Any, pixel[seen]), facecolors=[_SHADOW_RGB], edgecolors="none", antialiased=False, zorder=2)
    )


def _draw_body(
    axes: Any, track: Track, frame: int, bones: np.ndarray, paths: tuple[np.ndarray, np.ndarray, np.ndarray] | None
) -> None:
    """Bones and muscles in one go, the far ones first; a triangle is a quadrangle whose last corner is there twice."""
    from matplotlib.collections import PolyCollection

    forward = track.axes()[2]
    centre = bones.mean(axis=1)
    normal = np.cross(bones[:, 1] - bones[:, 0], bones[:, 2] - bones[:, 0])
    normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-12)
    front = ((centre - track.eye(frame)) * normal).sum(axis=1) < 0
    bones, normal = bones[front], normal[front]
    lamp = -np.array(LAMP_DIR) / np.linalg.norm(LAMP_DIR)
    light = 0.46 + 0.46 * np.maximum(normal @ lamp, 0.0) + 0.26 * np.maximum(-normal @ forward, 0.0)
    bone_px, bone_depth = track.project(bones, frame=frame)
    bone_rgb = np.clip(light[:, None] * BONE_RGB, 0.0, 1.0)

    shape, rgb, depth = [bone_px[:, [0, 1, 2, 2]]], [bone_rgb], [bone_depth.mean(axis=1)]
    if paths is not None:
        ribbons, ribbon_depth = _ribbons(track, frame, *paths[:2])
        shape, rgb, depth = [*shape, ribbons], [*rgb, paths[2]], [*depth, ribbon_depth]
    far = np.concatenate(depth)
    order = np.argsort(-far)[: (far > _NEAR).sum()]
    corners, colors = np.concatenate(shape)[order], np.concatenate(rgb)[order]
    axes.add_collection(
        PolyCollection(cast(Any, corners), facecolors=colors, edgecolors="face", linewidths=0.3, zorder=3)
    )


def _ribbons(track: Track, frame: int, paths: np.ndarray, radius: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Pieces of muscle as quadrangles in the picture, shape (n, 4, 2), and the depth of their near sides (n,) [m]."""
    pixel, depth = track.project(paths, frame=frame)
    along = pixel[:, 1] - pixel[:, 0]
    across = np.stack([-along[:, 1], along[:, 0]], axis=1) / np.maximum(np.linalg.norm(along, axis=1), 1e-9)[:, None]
    half = across * (radius * track.focal_px / depth.mean(axis=1))[:, None]
    one, other = pixel[:, 0], pixel[:, 1]
    return np.stack([one - half, one + half, other + half, other - half], axis=1), depth.mean(axis=1) - radius


def _draw_balls(axes: Any, track: Track, frame: int, mark: Markers) -> None:
    from matplotlib.collections import EllipseCollection

    pixel, depth = track.project(mark.pos[frame], frame=frame)
    seen = depth > _NEAR
    across = 2.0 * mark.radius * track.focal_px / depth[seen]
    axes.add_collection(
        EllipseCollection(
            across, across, np.zeros_like(across), units="xy", offsets=pixel[seen], offset_transform=axes.transData,
            facecolors=np.column_stack([mark.rgb[seen], np.full(seen.sum(), 0.85)]), edgecolors="white",
            linewidths=0.6, zorder=4,
        )
    )  # fmt: skip
