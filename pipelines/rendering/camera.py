"""A camera that goes along with the body: where it stands, and where a point of the world falls in its picture."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from scipy.ndimage import gaussian_filter1d

from .stage import TARGET_RADIUS, RenderError

VIEWS = {"side": (90.0, -7.0), "front": (180.0, -8.0), "three-quarter": (135.0, -11.0)}
"""Direction of view [deg]: turned about the vertical from the subject's heading (so "side" looks at the right side and
the subject walks to the right), and up."""

_SMOOTHING = 0.4  # standard deviation of the camera's following [s]: below it a step's sway stays visible
_MARGIN = 0.92  # part of the picture that the body may fill
_FORWARD = np.array([0.0, -1.0, 0.0])  # where MyoFullBody faces when its root is not turned
_MAX_POSES = 60  # poses looked at to find the distance


@dataclass(frozen=True, kw_only=True)
class Track:
    """A camera for every frame of a motion. It moves, but neither turns nor zooms."""

    lookat: np.ndarray
    """Point in the middle of the picture [m], shape (nframe, 3), world frame."""
    azimuth_deg: float
    """Direction of view about the vertical, from x towards y."""
    elevation_deg: float
    """Direction of view above the horizontal; looking down is negative."""
    distance: float
    """From the eye to `lookat` [m]."""
    fovy_deg: float
    """Angle of view from the lower to the upper edge."""
    size: tuple[int, int]
    """Width and height of the picture in pixels."""

    @property
    def focal_px(self) -> float:
        """Pixels that a length fills at its own distance from the eye."""
        return self.size[1] / (2.0 * float(np.tan(np.radians(self.fovy_deg) / 2.0)))

    def axes(self) -> np.ndarray:
        """Right, up and forward in the world, rows of shape (3, 3)."""
        az, el = np.radians([self.azimuth_deg, self.elevation_deg])
        forward = np.array([np.cos(el) * np.cos(az), np.cos(el) * np.sin(az), np.sin(el)])
        right = np.array([np.sin(az), -np.cos(az), 0.0])
        return np.stack([right, np.cross(right, forward), forward])

    def eye(self, frame: int) -> np.ndarray:
        """Where the camera stands, shape (3,) [m], world frame."""
        return self.lookat[frame] - self.distance * self.axes()[2]

    def project(self, points: np.ndarray, *, frame: int) -> tuple[np.ndarray, np.ndarray]:
        """Find where points of the world, shape (..., 3) [m], fall in the picture.

        Returns:
            Pixels from the upper left corner, x to the right and y down, shape (..., 2), and the distance along the
            direction of view [m], shape (...); where that is not positive the pixels mean nothing.
        """
        right, up, depth = np.moveaxis((points - self.lookat[frame]) @ self.axes().T, -1, 0)
        depth = depth + self.distance
        width, height = self.size
        scale = self.focal_px / np.where(depth > 0, depth, np.nan)
        return np.stack([width / 2.0 + right * scale, height / 2.0 - up * scale], axis=-1), depth


def follow(
    model: mujoco.MjModel, qpos: np.ndarray, *, fps: float, camera: str = "three-quarter",
    size: tuple[int, int] = (960, 720), target_pos: np.ndarray | None = None,
) -> Track:  # fmt: skip
    """Set a camera that follows the pelvis smoothly, as near as it can be with the whole body always in the picture.

    Args:
        model: Body, as `drawing_model` gives it.
        qpos: Configurations, shape (nframe, nq).
        fps: Frames a second of `qpos`.
        camera: A name in `VIEWS`.
        size: Width and height of the picture in pixels.
        target_pos: Points to keep in the picture as well [m], shape (nframe, nlandmark, 3), world frame.

    Raises:
        RenderError: There is no such camera, no frame, or `qpos` is of another body.
    """
    track = _along(model, qpos, fps=fps, camera=camera, size=size)
    return _stand_back(track, _outline(model, qpos, track.lookat, target_pos))


def follow_both(
    model: mujoco.MjModel, one: np.ndarray, other: np.ndarray, *, fps: float, camera: str = "three-quarter",
    size: tuple[int, int] = (960, 720),
) -> tuple[Track, Track]:  # fmt: skip
    """Set a camera for each of two motions, to be shown side by side: the direction of view, that of the first, and the
    distance are the same. Arguments and errors are those of `follow`.
    """
    tracks = [_along(model, qpos, fps=fps, camera=camera, size=size) for qpos in (one, other)]
    outline = [_outline(model, qpos, t.lookat, None) for qpos, t in zip((one, other), tracks, strict=True)]
    first = _stand_back(tracks[0], np.concatenate(outline))
    aside = first.lookat - tracks[0].lookat
    return first, replace(first, lookat=tracks[1].lookat + aside[0])


def _along(model: mujoco.MjModel, qpos: np.ndarray, *, fps: float, camera: str, size: tuple[int, int]) -> Track:
    """A camera with its direction of view, which looks at the pelvis from no distance yet."""
    if qpos.ndim != 2 or not len(qpos) or qpos.shape[1] != model.nq:
        raise RenderError(
            f"configurations of shape (nframe, {model.nq}) can be drawn on this body; these have {qpos.shape}"
        )
    if camera not in VIEWS:
        raise RenderError(f"no camera named {camera!r}; there are {', '.join(VIEWS)}")
    turn, elevation = VIEWS[camera]
    root, heading = _root(model, qpos)
    return Track(
        lookat=_smooth(root, sigma=_SMOOTHING * fps), azimuth_deg=float(np.degrees(heading) + turn),
        elevation_deg=elevation, distance=0.0, fovy_deg=float(model.vis.global_.fovy), size=size,
    )  # fmt: skip


def _smooth(path: np.ndarray, *, sigma: float) -> np.ndarray:
    """Gaussian mean along a path, shape (nframe, 3), that runs on at its own speed beyond both ends."""
    margin = int(np.ceil(4.0 * sigma))
    longer = np.pad(path, ((margin, margin), (0, 0)), mode="reflect", reflect_type="odd")
    return gaussian_filter1d(longer, sigma=sigma, axis=0)[margin : margin + len(path)]


def _root(model: mujoco.MjModel, qpos: np.ndarray) -> tuple[np.ndarray, float]:
    """Position of the root, shape (nframe, 3) [m], and the mean heading [rad]; a fixed body stands where it stands."""
    free = np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_FREE)
    if not len(free):
        return np.tile(model.stat.center, (len(qpos), 1)), float(np.arctan2(_FORWARD[1], _FORWARD[0]))
    adr = int(model.jnt_qposadr[free[0]])
    w, xyz = qpos[:, adr + 3, None], qpos[:, adr + 4 : adr + 7]
    ahead = _FORWARD + 2.0 * np.cross(xyz, np.cross(xyz, _FORWARD) + w * _FORWARD)
    mean = ahead.mean(axis=0)
    if np.hypot(mean[0], mean[1]) < 0.3:  # turned all round, or lying: the first frame decides
        mean = ahead[0]
    return qpos[:, adr : adr + 3].astype(np.float64), float(np.arctan2(mean[1], mean[0]))


def _outline(model: mujoco.MjModel, qpos: np.ndarray, lookat: np.ndarray, target_pos: np.ndarray | None) -> np.ndarray:
    """Corners of the boxes around all bones, and the targets, relative to the point looked at, shape (n, 3) [m]."""
    data = mujoco.MjData(model)
    bones = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
    signs = np.array(np.meshgrid(*[[-1, 1]] * 3)).reshape(3, 8).T
    corner = model.geom_aabb[bones, None, :3] + signs * model.geom_aabb[bones, None, 3:]
    points = []
    for frame in np.unique(np.linspace(0, len(qpos) - 1, _MAX_POSES).round().astype(int)):
        data.qpos[:] = qpos[frame]
        mujoco.mj_kinematics(model, data)
        xmat = data.geom_xmat[bones].reshape(-1, 3, 3)
        world = data.geom_xpos[bones, None] + np.einsum("gij,gkj->gki", xmat, corner)
        points.append(world.reshape(-1, 3) - lookat[frame])
        if target_pos is not None:
            balls = target_pos[frame][:, None] + TARGET_RADIUS * signs
            points.append(balls.reshape(-1, 3) - lookat[frame])
    return np.concatenate(points)


def _stand_back(track: Track, points: np.ndarray) -> Track:
    """Move the camera sideways, up and back until all points, relative to `lookat`, are in the picture."""
    axes = track.axes()
    seen = points @ axes.T
    middle = (seen[:, :2].min(axis=0) + seen[:, :2].max(axis=0)) / 2.0
    half = np.tan(np.radians(track.fovy_deg) / 2.0) * _MARGIN * np.array([track.size[0] / track.size[1], 1.0])
    distance = (np.abs(seen[:, :2] - middle) / half - seen[:, 2:]).max()
    return Track(
        lookat=track.lookat + middle @ axes[:2], azimuth_deg=track.azimuth_deg, elevation_deg=track.elevation_deg,
        distance=float(distance), fovy_deg=track.fovy_deg, size=track.size,
    )  # fmt: skip
