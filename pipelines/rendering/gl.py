"""Drawing with OpenGL through MuJoCo's own renderer; no display is needed."""

import copy
import functools
import importlib
import os
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import mujoco
import numpy as np

from .camera import CameraPath, follow
from .drawing import FORCE_RGB, GLOW, Markers, RenderError, markers, place
from .loads import ARROW_RADIUS, PAD_HEIGHT, PAD_RADIUS, Loads
from .muscles import TendonLook

INSTALL_HINT = "apt-get install libegl1 libgl1-mesa-dri"

_PROBE = """
import mujoco
context = mujoco.GLContext(16, 16)
context.make_current()
mujoco.MjrContext(mujoco.MjModel.from_xml_string("<mujoco/>"), mujoco.mjtFontScale.mjFONTSCALE_100.value).free()
context.free()
"""
_PROBE_SECONDS = 60.0
_MAX_GEOM = 10_000
_COARSE = 8, 2
"""Slices and stacks of muscles, arrows and pads in pictures without balls. Muscles are a few pixels wide."""
_LAYER = 0.06  # offset towards the eye of each further group of markers in the overlay [m]


def find_gl() -> str | None:
    """Find an OpenGL backend that works on this machine.

    Each backend is tried in a child process: a missing library fails on import, a missing driver fails when the
    context is created, a broken driver may end the process, and PyOpenGL binds a process to the first backend it loads.
    MUJOCO_GL, if set, is the only candidate. This process is left unchanged.

    Returns:
        "egl", "osmesa", "glfw", "" for the platform's default, or None if no backend works.
    """
    return _first_working(_candidates(os.environ))


def _candidates(environ: Mapping[str, str]) -> tuple[str, ...]:
    if environ.get("MUJOCO_GL"):
        return (environ["MUJOCO_GL"].strip().lower(),)
    if sys.platform != "linux":
        return ("",)
    display = environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY")
    return ("egl", "osmesa", "glfw") if display else ("egl", "osmesa")


@functools.cache
def _first_working(names: tuple[str, ...]) -> str | None:
    return next((name for name in names if _works(name)), None)


def _works(name: str) -> bool:
    environ = {**os.environ, "MUJOCO_GL": name}
    command = [sys.executable, "-P", "-c", _PROBE]  # -P: the current folder may hold downloaded files
    try:
        result = subprocess.run(command, env=environ, capture_output=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return result.returncode == 0


def render_frames(
    model: mujoco.MjModel, qpos: np.ndarray, *, target_pos: np.ndarray | None = None,
    landmark_pos: np.ndarray | None = None, landmark_names: Sequence[str] = (), frames: Sequence[int] | None = None,
    fps: float = 100.0, size: tuple[int, int] = (960, 720), camera: str = "three-quarter", muscles: bool = True,
    tendons: TendonLook | None = None, loads: Loads | None = None, camera_path: CameraPath | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Draw frames of a motion one by one.

    Args:
        model: Body, from `drawing_model`.
        qpos: Configurations of the whole motion, shape (nframe, nq).
        target_pos: Landmark targets [m], shape (nframe, nlandmark, 3), world frame; drawn as balls.
        landmark_pos: Landmark positions reached [m], same shape; drawn as smaller, dark balls.
        landmark_names: Names of the landmarks; their side sets the colour of the target.
        frames: Indices of the frames to draw, in order; all if None. The camera follows the whole motion.
        fps: Frames per second of `qpos`.
        size: Width and height of the picture in pixels.
        camera: "side", "front" or "three-quarter".
        muscles: Whether to draw the paths of the muscles.
        tendons: Colours and widths of the tendons; one grey for all if None.
        loads: Ground forces to draw as arrows, and pads where parts bear load.
        camera_path: Camera of every frame; replaces the one derived from `fps`, `size` and `camera`.

    Yields:
        Pictures, shape (height, width, 3) uint8.

    Raises:
        RenderError: If OpenGL is unavailable or `camera` is unknown.
    """
    name = find_gl()
    if name is None:
        raise RenderError(f"OpenGL is unavailable on this machine; install it with `{INSTALL_HINT}`")
    camera_path = camera_path or follow(model, qpos, fps=fps, camera=camera, size=size, target_pos=target_pos)
    marks = markers(target_pos=target_pos, landmark_pos=landmark_pos, landmark_names=landmark_names)
    return _draw(model, qpos, marks, camera_path, range(len(qpos)) if frames is None else frames, muscles=muscles,
                 tendons=tendons, loads=loads, name=name)  # fmt: skip


def _draw(
    model: mujoco.MjModel, qpos: np.ndarray, marks: Sequence[Markers], camera_path: CameraPath, frames: Iterable[int],
    *, muscles: bool, tendons: TendonLook | None, loads: Loads | None, name: str,
) -> Iterator[np.ndarray]:  # fmt: skip
    model = copy.copy(model)  # the model holds the size of the picture
    width, height = model.vis.global_.offwidth, model.vis.global_.offheight = camera_path.size
    if not marks:
        model.vis.quality.numslices, model.vis.quality.numstacks = _COARSE
    data, width_in_model = mujoco.MjData(model), model.tendon_width.copy()
    body, overlay = mujoco.MjvScene(model, _MAX_GEOM), mujoco.MjvScene(model, _MAX_GEOM)
    body.flags[mujoco.mjtRndFlag.mjRND_HAZE] = True
    overlay.flags[:] = False  # no sky, no shadow: pixels without a mark stay black
    option = mujoco.MjvOption()
    option.flags[mujoco.mjtVisFlag.mjVIS_TENDON] = muscles
    eye = mujoco.MjvCamera()
    eye.azimuth, eye.elevation, eye.distance = camera_path.azimuth_deg, camera_path.elevation_deg, camera_path.distance
    view = mujoco.MjrRect(0, 0, width, height)
    with _context(name, model, camera_path.size) as context:
        for frame in frames:
            data.qpos[:] = qpos[frame]
            if tendons is not None:
                model.tendon_rgba[:, :3] = tendons.rgb[frame] / 255.0
                model.tendon_width[:] = width_in_model * tendons.width[frame]
            place(model, data)
            eye.lookat[:] = camera_path.lookat[frame]
            mujoco.mjv_updateScene(model, data, option, None, eye, mujoco.mjtCatBit.mjCAT_ALL.value, body)
            mujoco.mjv_updateScene(model, data, option, None, eye, 0, overlay)
            for layer, mark in enumerate(marks):
                _add_balls(body, mark.pos[frame], mark)
                _add_balls(overlay, _towards_eye(mark.pos[frame], camera_path, frame, by=layer * _LAYER), mark)
            if loads is not None:
                _add_loads(body, loads, frame)
                _add_loads(overlay, loads, frame)
            picture = _read(body, view, context)
            if overlay.ngeom:
                _blend(picture, _read(overlay, view, context))
            yield picture


def _read(scene: mujoco.MjvScene, view: mujoco.MjrRect, context: mujoco.MjrContext) -> np.ndarray:
    picture = np.empty((view.height, view.width, 3), dtype=np.uint8)
    mujoco.mjr_render(view, scene, context)
    mujoco.mjr_readPixels(picture, None, view, context)
    return np.ascontiguousarray(picture[::-1])  # OpenGL counts rows from the bottom


def _blend(picture: np.ndarray, overlay: np.ndarray) -> None:
    """Blend marks, drawn without the body, into a picture at 50 %, so that marks inside a limb stay visible."""
    mark = overlay.any(axis=-1)
    picture[mark] = picture[mark] // 2 + overlay[mark] // 2


def _towards_eye(pos: np.ndarray, camera_path: CameraPath, frame: int, *, by: float) -> np.ndarray:
    """Move points, shape (n, 3) [m], along their line of sight, so that a ball inside a larger one is drawn on top."""
    sight = camera_path.eye(frame) - pos
    return pos + by * sight / np.linalg.norm(sight, axis=1, keepdims=True)


def _add_balls(scene: Any, pos: np.ndarray, mark: Markers) -> None:
    for centre, rgb in zip(pos, mark.rgb, strict=True):
        _add_geom(scene, mujoco.mjtGeom.mjGEOM_SPHERE, np.full(3, mark.radius), centre, rgb)


def _add_loads(scene: Any, loads: Loads, frame: int) -> None:
    rgb, arrow = np.array(FORCE_RGB, np.float32), mujoco.mjtGeom.mjGEOM_ARROW
    for centre in loads.pads(frame):
        _add_geom(scene, mujoco.mjtGeom.mjGEOM_CYLINDER, np.array([PAD_RADIUS, PAD_HEIGHT / 2.0, 0.0]), centre, rgb)
    for start, tip in loads.arrows(frame):
        geom = _add_geom(scene, arrow, np.full(3, ARROW_RADIUS), start, rgb)
        mujoco.mjv_connector(geom, arrow, ARROW_RADIUS, start, 2.0 * tip - start)  # drawn at half its length


def _add_geom(scene: Any, kind: Any, size: np.ndarray, pos: np.ndarray, rgb: np.ndarray) -> Any:
    if scene.ngeom >= scene.maxgeom:
        raise RenderError(f"the scene holds at most {scene.maxgeom} geoms; draw it without muscles")
    geom, rgba = scene.geoms[scene.ngeom], np.append(rgb, np.float32(1.0))
    mujoco.mjv_initGeom(geom, kind, size, pos.astype(np.float64), np.eye(3).ravel(), rgba)
    geom.emission = GLOW
    scene.ngeom += 1
    return geom


@contextmanager
def _context(name: str, model: mujoco.MjModel, size: tuple[int, int]) -> Iterator[mujoco.MjrContext]:
    try:
        window = _context_class(name)(*size)
        window.make_current()
        context = mujoco.MjrContext(model, mujoco.mjtFontScale.mjFONTSCALE_100.value)
    except (ImportError, AttributeError, RuntimeError, mujoco.FatalError) as error:
        raise RenderError(
            f"OpenGL ({name or 'default'}) works on this machine but not in this process: {error}"
        ) from error
    try:
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN.value, context)
        yield context
    finally:
        window.make_current()
        context.free()
        window.free()


def _context_class(name: str) -> Any:
    """Return the class that MuJoCo selects for MUJOCO_GL=name; MuJoCo itself reads that variable only once."""
    if name in ("egl", "osmesa", "glfw"):
        return importlib.import_module(f"mujoco.{name}").GLContext
    return mujoco.GLContext
