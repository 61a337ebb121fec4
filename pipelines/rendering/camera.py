"""A camera that follows the body: its position in every frame, and the projection of world points onto its picture."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d

from .drawing import TARGET_RADIUS, RenderError

VIEWS = {"side": (90.0, -7.0), "front": (180.0, -8.0), "three-quarter": (135.0, -11.0)}
"""Azimuth relative to the subject's heading and elevation of each view [deg].

"side" looks at the subject's right side, so the subject walks to the right.
"""

_SMOOTHING = 0.4  # standard deviation of the smoothed path [s]; slow enough to leave the sway of a step visible
_MARGIN = 0.92  # fraction of the picture that the body may fill
_FORWARD = np.array([0.0, -1.0, 0.0])  # heading of MyoFullBody with an unrotated root
_MAX_SAMPLES = 60  # frames sampled to set the distance


@dataclass(frozen=True, kw_only=True)
class CameraPath:
    """Camera of every frame of a motion. It translates, but neither rotates nor zooms."""

    lookat: np.ndarray
    """World point at the centre of the picture [m], shape (nframe, 3)."""
    azimuth_deg: float
    """Direction of view about the vertical axis, from x towards y."""
    elevation_deg: float
    """Direction of view above the horizontal; looking down is negative."""
    distance: float
    """Distance from the eye to `lookat` [m]."""
    fovy_deg: float
    """Vertical field of view."""
    size: tuple[int, int]
    """Width and height of the picture in pixels."""

    @property
    def focal_px(self) -> float:
        """Focal length in pixels: the image size of a length seen from a distance equal to that length."""
        return self.size[1] / (2.0 * float(np.tan(np.radians(self.fovy_deg) / 2.0)))

    def axes(self) -> np.ndarray:
        """Right, up and forward axes of the camera in the world frame, rows of shape (3, 3)."""
        az, el = np.radians([self.azimuth_deg, self.elevation_deg])
        forward = np.array([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)])
        right = np.array([np.sin(az), -np.cos(az), 0.0])
        return np.stack([right, np.cross(right, forward), forward])

    def eye(self, frame: int) -> np.ndarray:
        """Position of the camera [m], shape (3,), world frame."""
        return self.lookat[frame] - self.distance * self.axes()[2]

    def project(self, points: np.ndarray, *, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Project world points, shape (..., 3) [m], onto the picture of a frame.

        Returns:
            Pixels from the upper left corner, x to the right and y down, shape (..., 2), and depth along the direction
            of view [m], shape (...). Pixels are NaN where the depth is not positive.
        """
        right, up, depth = np.moveaxis((points - self.lookat[frame]) @ self.axes().T, -1, 0)
        depth = depth + self.distance
        width, height = self.size
        scale = self.focal_px / np.where(depth > 0, depth, np.nan)
        return np.stack([width / 2.0 + right * scale, height / 2.0 - up * scale], axis=-1), depth


def follow(
    model: mujoco.MjModel, qpos: np.ndarray, *, fps: float, camera: str = "three-quarter",
    size: tuple[int, int] = (960, 720), target_pos: np.ndarray | None = None,
) -> CameraPath:  # fmt: skip
    """Place a camera that follows the pelvis smoothly, as close as possible with the whole body always in the picture.

    Args:
        model: Body, from `drawing_model`.
        qpos: Configurations, shape (nframe, nq).
        fps: Frames per second of `qpos`.
        camera: A name in `VIEWS`.
        size: Width and height of the picture in pixels.
        target_pos: Targets to keep in the picture too [m], shape (nframe, nlandmark, 3), world frame.

    Raises:
        RenderError: If `camera` is unknown, or `qpos` has no frames or does not fit the body.
    """
    camera_path = _aimed_path(model, qpos, fps=fps, camera=camera, size=size)
    return _fit_in_picture(camera_path, _outline(model, qpos, camera_path.lookat, target_pos))


def follow_both(
    model: mujoco.MjModel, first_qpos: np.ndarray, second_qpos: np.ndarray, *, fps: float | tuple[float, float],
    camera: str = "three-quarter", size: tuple[int, int] = (960, 720),
) -> tuple[CameraPath, CameraPath]:  # fmt: skip
    """Place one camera per motion for a side-by-side view.

    Both cameras share the direction of view of the first motion and one distance. `fps` is that of both motions, or a
    pair. See `follow` for the other arguments and the errors.
    """
    motions, rates = (first_qpos, second_qpos), fps if isinstance(fps, tuple) else (fps, fps)
    paths = [
        _aimed_path(model, qpos, fps=rate, camera=camera, size=size) for qpos, rate in zip(motions, rates, strict=True)
    ]
    outlines = [_outline(model, qpos, path.lookat, None) for qpos, path in zip(motions, paths, strict=True)]
    first = _fit_in_picture(paths[0], np.concatenate(outlines))
    offset = first.lookat - paths[0].lookat
    return first, replace(first, lookat=paths[1].lookat + offset[0])


def _aimed_path(
    model: mujoco.MjModel, qpos: np.ndarray, *, fps: float, camera: str, size: tuple[int, int]
) -> CameraPath:
    """Camera that looks at the pelvis in the direction of a view; its distance is still 0."""
    if qpos.ndim != 2 or not len(qpos) or qpos.shape[1] != model.nq:
        raise RenderError(
            f"this body needs configurations of shape (nframe, {model.nq}) with nframe > 0, not {qpos.shape}"
        )
    if camera not in VIEWS:
        raise RenderError(f"no camera named {camera!r}; available: {', '.join(VIEWS)}")
    turn, elevation = VIEWS[camera]
    root, heading = _root(model, qpos)
    return CameraPath(
        lookat=_smooth(root, sigma=_SMOOTHING * fps), azimuth_deg=float(np.degrees(heading) + turn),
        elevation_deg=elevation, distance=0.0, fovy_deg=float(model.vis.global_.fovy), size=size,
    )  # fmt: skip


def _smooth(path: np.ndarray, *, sigma: float) -> np.ndarray:
    """Smooth a path, shape (nframe, 3), with a Gaussian; both ends are extrapolated at constant velocity."""
    margin = int(np.ceil(4.0 * sigma))
    padded = np.pad(path, ((margin, margin), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(padded, sigma=sigma, axis=0)[margin : margin + len(path)]


def _root(model: mujoco.MjModel, qpos: np.ndarray) -> tuple[np.ndarray, float]:
    """Root position [m], shape (nframe, 3), and mean heading [rad]; a fixed body has its centre and `_FORWARD`."""
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    if not len(free):
        return np.tile(model.stat.center, (len(qpos), 1)), float(np.arctan2(_FORWARD[1], _FORWARD[0]))
    adr = int(model.jnt_qposadr[free[0]])
    w, xyz = qpos[:, adr + 3, None], qpos[:, adr + 4 : adr + 7]
    ahead = _FORWARD + 2.0 * np.cross(xyz, np.cross(xyz, _FORWARD) + w * _FORWARD)
    mean = ahead.mean(axis=0)
    if np.hypot(mean[0], mean[1]) < 0.3:  # lying down, or turning full circle: take the first frame
        mean = ahead[0]
    return qpos[:, adr : adr + 3].astype(np.float64), float(np.arctan2(mean[1], mean[0]))


def _outline(model: mujoco.MjModel, qpos: np.ndarray, lookat: np.ndarray, target_pos: np.ndarray | None) -> np.ndarray:
    """Corners of the boxes around all bones and targets, relative to `lookat` [m], shape (n, 3)."""
    data = mujoco.MjData(model)
    bones = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, 8).T
    corner = model.geom_aabb[bones, None, :3] + signs * model.geom_aabb[bones, None, 3:]
    points = []
    for frame in np.unique(np.linspace(0, len(qpos) - 1, _MAX_SAMPLES).round().astype(int)):
        data.qpos[:] = qpos[frame]
        mujoco.mj_kinematics(model, data)
        xmat = data.geom_xmat[bones].reshape(-1, 3, 3)
        world = data.geom_xpos[bones, None] + np.einsum("gij,gkj->gki", xmat, corner)
        points.append(world.reshape(-1, 3) - lookat[frame])
        if target_pos is not None:
            balls = target_pos[frame][:, None] + TARGET_RADIUS * signs
            points.append(balls.reshape(-1, 3) - lookat[frame])
    return np.concatenate(points)


def _fit_in_picture(camera_path: CameraPath, points: np.ndarray) -> CameraPath:
    """Move the camera sideways, up and back until all points, relative to `lookat`, lie in the picture."""
    axes = camera_path.axes()
    in_view = points @ axes.T
    middle = (in_view[:, :2].min(axis=0) + in_view[:, :2].max(axis=0)) / 2.0
    aspect = camera_path.size[0] / camera_path.size[1]
    half = np.tan(np.radians(camera_path.fovy_deg) / 2.0) * _MARGIN * np.array([aspect, 1.0])
    distance = (np.abs(in_view[:, :2] - middle) / half - in_view[:, 2:]).max()
    return replace(camera_path, lookat=camera_path.lookat + middle @ axes[:2], distance=float(distance))
