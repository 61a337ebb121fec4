"""Parts of a body that can bear its weight, and the lowest points of their geoms.

A capsule is two spheres at its ends and an ellipsoid is itself: each support point is the lowest point of an ellipsoid
whose axes and centre are fixed to a body.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np


@dataclass(frozen=True, kw_only=True)
class SupportPart:
    """A part of the body that can bear weight.

    Attributes:
        name: Name, as in a clip's `support_names`.
        bodies: Bodies of the model; their descendants belong to the part too, unless another part claims them.
        carriers: Source joint that moves each of these bodies.
    """

    name: str
    bodies: tuple[str, ...]
    carriers: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class SupportPoints:
    """Ellipsoids whose lowest points can touch the ground.

    Attributes:
        names: Names of the parts, shape (npart,).
        part: Part of each point, shape (npoint,).
        body: Body of each point, shape (npoint,).
        carrier: Index into the bodies of all parts, in their order, of the one that each point belongs to, shape
            (npoint,).
        offset: Centre in the body's frame [m], shape (npoint, 3).
        rot: Orientation of the axes in the body's frame, shape (npoint, 3, 3).
        size: Half axes [m], shape (npoint, 3).
    """

    names: tuple[str, ...]
    part: np.ndarray
    body: np.ndarray
    carrier: np.ndarray
    offset: np.ndarray
    rot: np.ndarray
    size: np.ndarray

    def __len__(self) -> int:
        return len(self.part)

    @property
    def nother(self) -> int:
        """Number of parts but the two feet, which come first."""
        return max(len(self.names) - 2, 0)

    def take(self, keep: np.ndarray) -> "SupportPoints":
        """Select points by a mask or by indices."""
        return SupportPoints(
            names=self.names, part=self.part[keep], body=self.body[keep], carrier=self.carrier[keep],
            offset=self.offset[keep], rot=self.rot[keep], size=self.size[keep],
        )  # fmt: skip

    def lowest(self, centre: np.ndarray, bone_rot: np.ndarray, rot: np.ndarray) -> np.ndarray:
        """Lowest point of each ellipsoid.

        Args:
            centre: Centres, world frame, shape (nframe, npoint, 3) [m].
            bone_rot: Orientations of the bones that the ellipsoids are fixed to, shape (nframe, npoint, 3, 3).
            rot: Orientation of each ellipsoid's axes in the bone's frame, shape (npoint, 3, 3).

        Returns:
            Points, world frame, shape (nframe, npoint, 3) [m].
        """
        half = rot * self.size[:, None]
        vertical = np.swapaxes(bone_rot[:, :, 2], 0, 1)  # in the bone's frame, point by point: few, large products
        scaled = vertical @ half
        reach = np.linalg.norm(scaled, axis=-1, keepdims=True)
        in_bone = np.swapaxes((scaled / reach) @ np.swapaxes(half, 1, 2), 0, 1)
        return centre - np.einsum("tpij,tpj->tpi", bone_rot, in_bone)


def find_support_points(
    model: mujoco.MjModel, parts: Sequence[SupportPart], *, ignored_joints: Sequence[str] = ()
) -> SupportPoints:
    """Find the capsules, spheres and ellipsoids of each part that can collide.

    Args:
        model: Model of the body.
        parts: Parts.
        ignored_joints: Joints below which bodies are ignored: the fingers, because the palm bears.
    """
    ignored = {int(model.joint(name).bodyid[0]) for name in ignored_joints}
    roots = {model.body(body).id: (p, k) for k, (p, body) in enumerate(
        (p, body) for p, part in enumerate(parts) for body in part.bodies)}  # fmt: skip
    rows: list[tuple[int, int, int, np.ndarray, np.ndarray, np.ndarray]] = []
    for geom in np.flatnonzero((model.geom_contype != 0) | (model.geom_conaffinity != 0)):
        body = ancestor = int(model.geom_bodyid[geom])
        while ancestor and ancestor not in roots and ancestor not in ignored:
            ancestor = int(model.body_parentid[ancestor])
        if ancestor not in roots:
            continue
        part, carrier = roots[ancestor]
        mat = np.empty(9)
        mujoco.mju_quat2Mat(mat, model.geom_quat[geom])
        rot, size, kind = mat.reshape(3, 3), model.geom_size[geom], model.geom_type[geom]
        if kind == mujoco.mjtGeom.mjGEOM_ELLIPSOID:
            rows.append((part, body, carrier, model.geom_pos[geom].copy(), rot, size.copy()))
        elif kind == mujoco.mjtGeom.mjGEOM_SPHERE:
            rows.append((part, body, carrier, model.geom_pos[geom].copy(), rot, np.full(3, size[0])))
        elif kind == mujoco.mjtGeom.mjGEOM_CAPSULE:
            for sign in (-1.0, 1.0):
                rows.append((part, body, carrier, model.geom_pos[geom] + sign * size[1] * rot[:, 2], rot,
                             np.full(3, size[0])))  # fmt: skip
    column = lambda k, shape, dtype=float: np.array([row[k] for row in rows], dtype).reshape(-1, *shape)  # noqa: E731
    return SupportPoints(
        names=tuple(part.name for part in parts), part=column(0, (), int), body=column(1, (), int),
        carrier=column(2, (), int), offset=column(3, (3,)), rot=column(4, (3, 3)), size=column(5, (3,)),
    )  # fmt: skip
