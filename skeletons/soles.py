"""Parts of a body that touch the ground: contact points under heels and toes, and the geoms of the feet."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.errors import TargetError

from .tree import BodyPoint


@dataclass(frozen=True, kw_only=True)
class ContactPart:
    """A part of the body that can touch the ground.

    Attributes:
        name: Name, as in a clip's `/contact`, for example "left_heel".
        body: Body of the model.
        rear: Whether the contact point is under the rear ends of the body's capsules, as at a heel, or under the middle
            of all their ends.
    """

    name: str
    body: str
    rear: bool


@dataclass(frozen=True, kw_only=True)
class Sole:
    """Points of the feet that touch the ground.

    Attributes:
        contact: A point under each contact part, in their order.
        centre: Centres of the spheres at both ends of the parts' capsules. Ellipsoids are inside the capsules' hull
            until the foot tilts by 80 degrees: a prone or kneeling foot can sink without being detected.
        radius: Radius of each sphere [m], shape (ncentre,).
    """

    contact: tuple[BodyPoint, ...]
    centre: tuple[BodyPoint, ...]
    radius: np.ndarray


@dataclass(frozen=True, kw_only=True)
class FootGeoms:
    """Capsules and ellipsoids that touch the ground: those of the right foot, then as many of the left.

    Attributes:
        geom: MuJoCo's id of each geom, shape (ngeom,).
        body: Body of each geom, shape (ngeom,).
        pos: Centre in the body's frame [m], shape (ngeom, 3).
        rot: Orientation in the body's frame, shape (ngeom, 3, 3).
        size: MuJoCo's sizes [m], shape (ngeom, 3).
        capsule: Whether each geom is a capsule, shape (ngeom,).
    """

    geom: np.ndarray
    body: np.ndarray
    pos: np.ndarray
    rot: np.ndarray
    size: np.ndarray
    capsule: np.ndarray

    def reach(self, up: np.ndarray) -> np.ndarray:
        """Depth of each geom's lowest point below its centre, shape (ngeom,) [m].

        Args:
            up: Vertical in each geom's frame, shape (ngeom, 3).
        """
        return reach_below(self.size, self.capsule, up)


def reach_below(size: np.ndarray, capsule: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Depth of the lowest points of capsules, spheres and ellipsoids below their centres, shape (..., ngeom) [m].

    Args:
        size: MuJoCo's sizes [m], shape (ngeom, 3).
        capsule: True for capsules and spheres (capsules of zero length), false for ellipsoids, shape (ngeom,).
        up: Vertical in each geom's frame, shape (..., ngeom, 3).
    """
    long = size[:, 0] + size[:, 1] * np.abs(up[..., 2])
    return np.where(capsule, long, np.linalg.norm(size * up, axis=-1))


def colliding_geoms(model: mujoco.MjModel, body: str) -> tuple[int, ...]:
    """Ids of the geoms of a body that can collide."""
    first, count = int(model.body(body).geomadr[0]), int(model.body(body).geomnum[0])
    return tuple(g for g in range(first, first + count) if model.geom_contype[g] or model.geom_conaffinity[g])


def find_foot_geoms(model: mujoco.MjModel, parts: Sequence[ContactPart]) -> FootGeoms:
    """Find the geoms of the contact parts, those of the right side first."""
    geoms = np.array([g for part in _right_first(parts) for g in colliding_geoms(model, part.body)], int)
    rot = np.empty((len(geoms), 9))
    for row, geom in zip(rot, geoms, strict=True):
        mujoco.mju_quat2Mat(row, model.geom_quat[geom])
    return FootGeoms(
        geom=geoms,
        body=model.geom_bodyid[geoms],
        pos=model.geom_pos[geoms],
        rot=rot.reshape(-1, 3, 3),
        size=model.geom_size[geoms],
        capsule=model.geom_type[geoms] == mujoco.mjtGeom.mjGEOM_CAPSULE,
    )


def find_sole(model: mujoco.MjModel, parts: Sequence[ContactPart]) -> Sole:
    """Find contact points in the order of the parts, and spheres with those of the right side first."""
    contact: dict[str, BodyPoint] = {}
    centres: list[BodyPoint] = []
    radii: list[float] = []
    for part in _right_first(parts):
        body = model.body(part.body).id
        ends: list[tuple[np.ndarray, float]] = []
        for geom in colliding_geoms(model, part.body):
            spheres = _spheres(model, geom)
            centres += [BodyPoint(body, tuple(p)) for p, _ in spheres]
            radii += [r for _, r in spheres]
            if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
                ends += spheres
        contact[part.name] = BodyPoint(body, _contact_point(model, body, ends, rear=part.rear))
    return Sole(
        contact=tuple(contact[part.name] for part in parts), centre=tuple(centres), radius=np.array(radii, float)
    )


def _right_first(parts: Sequence[ContactPart]) -> list[ContactPart]:
    return sorted(parts, key=lambda part: not part.body.endswith("_r"))


def _spheres(model: mujoco.MjModel, geom: int) -> list[tuple[np.ndarray, float]]:
    """Spheres inside a geom that include its lowest point (capsule), none for a flat ellipsoid; body frame."""
    pos, mat = model.geom_pos[geom], np.empty(9)
    mujoco.mju_quat2Mat(mat, model.geom_quat[geom])
    mat, size = mat.reshape(3, 3), model.geom_size[geom]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_CAPSULE:
        return [(pos + sign * size[1] * mat[:, 2], float(size[0])) for sign in (-1.0, 1.0)]
    if model.geom_type[geom] == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
        return []  # the hull of the foot's capsules contains it on the sole's side; a test checks this
    raise TargetError(f"foot geom {model.geom(geom).name!r} is neither capsule nor ellipsoid")


def _contact_point(
    model: mujoco.MjModel, body: int, ends: list[tuple[np.ndarray, float]], *, rear: bool
) -> tuple[float, float, float]:
    """Point under the rear ends of capsules, or under the middle of all ends, body frame."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    rot = data.xmat[body].reshape(3, 3)
    world = [rot @ p for p, _ in ends]
    keep = list(range(len(ends)))
    if rear:  # the model faces -y: the rear end of each capsule is the one with the larger y
        keep = [max(pair, key=lambda k: world[k][1]) for pair in zip(keep[0::2], keep[1::2], strict=True)]
    centre = np.mean([ends[k][0] for k in keep], axis=0)
    low = min(world[k][2] - ends[k][1] for k in keep)
    below = rot.T @ np.array([0.0, 0.0, low - (rot @ centre)[2]])
    return tuple(float(v) for v in centre + below)  # type: ignore[return-value]
