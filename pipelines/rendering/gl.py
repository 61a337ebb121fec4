"""Drawing with OpenGL through MuJoCo's own renderer, on a machine without a display as well."""

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

from .camera import Track, follow
from .stage import Markers, RenderError, markers, place

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
_LAYER = 0.06  # how much nearer each further kind of ball is drawn where balls shine through [m]


def find_gl() -> str | None:
    """Name of a way to OpenGL that works here ("egl", "osmesa", "glfw", or "" for the platform's own), None without.

    Each is tried in a child process: a missing library shows at the import, a missing driver when the context is
    made, a broken one may end the process, and PyOpenGL binds a process to the first it meets. MUJOCO_GL decides
    where it is set. Nothing is changed in this process.
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
    command = [sys.executable, "-P", "-c", _PROBE]  # -P: the current folder may be one of downloaded files
    try:
        done = subprocess.run(command, env=environ, capture_output=True, timeout=_PROBE_SECONDS)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


def render_frames(
    model: mujoco.MjModel, qpos: np.ndarray, *, target_pos: np.ndarray | None = None,
    landmark_pos: np.ndarray | None = None, landmark_names: Sequence[str] = (), frames: Sequence[int] | None = None,
    fps: float = 100.0, size: tuple[int, int] = (960, 720), camera: str = "three-quarter", muscles: bool = True,
    tendon_rgb: np.ndarray | None = None, track: Track | None = None,
) -> Iterator[np.ndarray]:  # fmt: skip
    """Draw frames of a motion, one after the other.

    Args:
        model: Body, as `drawing_model` gives it.
        qpos: Configurations of the whole motion, shape (nframe, nq).
        target_pos: Points asked for [m], shape (nframe, nlandmark, 3), world frame; drawn as balls.
        landmark_pos: Points reached, of the same shape; drawn as smaller dark balls.
        landmark_names: Names of the landmarks, for the colour of their side.
        frames: Which frames to draw, in this order; all if None. The camera follows the whole motion.
        fps: Frames a second of `qpos`.
        size: Width and height of the picture in pixels.
        camera: "side", "front" or "three-quarter".
        muscles: Draw the muscles' paths.
        tendon_rgb: Colours of the tendons, shape (nframe, ntendon, 3) uint8; all the same red if None.
        track: A camera to use in place of one by `fps`, `size` and `camera`.

    Yields:
        Pictures, shape (height, width, 3) uint8.

    Raises:
        RenderError: There is no OpenGL here, or no such camera.
    """
    name = find_gl()
    if name is None:
        raise RenderError(f"no OpenGL to draw with was found on this machine; {INSTALL_HINT} brings one")
    track = track or follow(model, qpos, fps=fps, camera=camera, size=size, target_pos=target_pos)
    marks = markers(target_pos=target_pos, landmark_pos=landmark_pos, landmark_names=landmark_names)
    return _draw(model, qpos, marks, track, range(len(qpos)) if frames is None else frames, muscles=muscles,
                 tendon_rgb=tendon_rgb, name=name)  # fmt: skip


def _draw(
    model: mujoco.MjModel, qpos: np.ndarray, marks: Sequence[Markers], track: Track, frames: Iterable[int],
    *, muscles: bool, tendon_rgb: np.ndarray | None, name: str,
) -> Iterator[np.ndarray]:  # fmt: skip
    model = copy.copy(model)  # the picture's size is kept in the model
    width, height = model.vis.global_.offwidth, model.vis.global_.offheight = track.size
    data = mujoco.MjData(model)
    body, balls = mujoco.MjvScene(model, _MAX_GEOM), mujoco.MjvScene(model, _MAX_GEOM)
    body.flags[mujoco.mjtRndFlag.mjRND_HAZE] = True
    balls.flags[:] = False  # no sky, no shadow: black where there is no ball
    option = mujoco.MjvOption()
    option.flags[mujoco.mjtVisFlag.mjVIS_TENDON] = muscles
    eye = mujoco.MjvCamera()
    eye.azimuth, eye.elevation, eye.distance = track.azimuth_deg, track.elevation_deg, track.distance
    view = mujoco.MjrRect(0, 0, width, height)
    with _context(name, model, track.size) as context:
        for frame in frames:
            data.qpos[:] = qpos[frame]
            if tendon_rgb is not None:
                model.tendon_rgba[:, :3] = tendon_rgb[frame] / 255.0
            place(model, data)
            eye.lookat[:] = track.lookat[frame]
            mujoco.mjv_updateScene(model, data, option, None, eye, mujoco.mjtCatBit.mjCAT_ALL.value, body)
            mujoco.mjv_updateScene(model, data, option, None, eye, 0, balls)
            for layer, mark in enumerate(marks):
                _add_balls(body, mark.pos[frame], mark)
                _add_balls(balls, _nearer(mark.pos[frame], track, frame, by=layer * _LAYER), mark)
            picture = _read(body, view, context)
            if marks:
                _shine_through(picture, _read(balls, view, context))
            yield picture


def _read(scene: mujoco.MjvScene, view: mujoco.MjrRect, context: mujoco.MjrContext) -> np.ndarray:
    picture = np.empty((view.height, view.width, 3), dtype=np.uint8)
    mujoco.mjr_render(view, scene, context)
    mujoco.mjr_readPixels(picture, None, view, context)
    return np.ascontiguousarray(picture[::-1])  # OpenGL counts rows from below


def _shine_through(picture: np.ndarray, balls: np.ndarray) -> None:
    """Mix the balls, drawn without the body, half and half into a picture: those inside a limb stay visible."""
    ball = balls.any(axis=-1)
    picture[ball] = picture[ball] // 2 + balls[ball] // 2


def _nearer(pos: np.ndarray, track: Track, frame: int, *, by: float) -> np.ndarray:
    """Points, shape (n, 3) [m], moved along their line of sight, so that one ball lies over another it is inside of."""
    way = track.eye(frame) - pos
    return pos + by * way / np.linalg.norm(way, axis=1, keepdims=True)


def _add_balls(scene: Any, pos: np.ndarray, mark: Markers) -> None:
    size, upright = np.full(3, mark.radius), np.eye(3).ravel()
    for centre, rgb in zip(pos, mark.rgb, strict=True):
        if scene.ngeom >= scene.maxgeom:
            raise RenderError(f"the scene holds {scene.maxgeom} shapes at most; draw it without muscles")
        rgba = np.append(rgb, np.float32(1.0))
        kind = mujoco.mjtGeom.mjGEOM_SPHERE
        mujoco.mjv_initGeom(scene.geoms[scene.ngeom], kind, size, centre.astype(np.float64), upright, rgba)
        scene.ngeom += 1


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
    """The class that MuJoCo picks for MUJOCO_GL=name; picked here, as MuJoCo reads that variable only once."""
    if name in ("egl", "osmesa", "glfw"):
        return importlib.import_module(f"mujoco.{name}").GLContext
    return mujoco.GLContext
