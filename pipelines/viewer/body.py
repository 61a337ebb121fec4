"""What a body brings to every clip of it: bones as solid pieces, paths and colours of its muscles, heels and toes."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.pipelines.rendering.muscles import MuscleColours, MusclePaths
from musclemap.pipelines.rendering.stage import drawing_model

_FEET = (("calcn_l", "toes_l"), ("toes_l", None), ("calcn_r", "toes_r"), ("toes_r", None))
"""Body of each contact in the clip's order, and the body that it is at the far end from: a heel is behind the toes."""


@dataclass(frozen=True, kw_only=True)
class Solid:
    """Bones that are one piece, as triangles in the frame of their body."""

    name: str
    body: int
    vertices: np.ndarray
    """Shape (nvertex, 3) [m]."""
    faces: np.ndarray
    """Shape (nface, 3)."""


class Body:
    """A body that is compiled and taken apart once.

    Attributes:
        model: Compiled for drawing; its qpos is the original's.
        solids: Bones.
        paths: Where its muscles run.
        colours: What colours they have.
        foot: Bodies of the heels and toes, shape (4,), or (0,) without feet.
        foot_offset: Points in them near the sole [m], shape (4, 3) or (0, 3).
    """

    def __init__(self, name: str) -> None:
        """Compile a body by its name in musclemimic-models.

        Raises:
            RenderError: There is no such body; the message lists those there are.
        """
        self.model = drawing_model(name)
        self.solids = solids(self.model)
        self.paths, self.colours = MusclePaths(self.model), MuscleColours(self.model)
        self.foot, self.foot_offset = contact_points(self.model)


def solids(model: mujoco.MjModel) -> tuple[Solid, ...]:
    """Meshes of a body, those of bodies that are welded together in one, with the vertices that triangles use only."""
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    meshes = np.flatnonzero(model.geom_type == mujoco.mjtGeom.mjGEOM_MESH)
    weld = model.body_weldid[model.geom_bodyid[meshes]]
    return tuple(_solid(model, data, int(body), meshes[weld == body]) for body in np.unique(weld))


def _solid(model: mujoco.MjModel, data: mujoco.MjData, body: int, geoms: np.ndarray) -> Solid:
    vertices, faces, count = [], [], 0
    xmat = data.xmat[body].reshape(3, 3)
    for geom in geoms:
        mesh = model.geom_dataid[geom]
        vert = model.mesh_vert[model.mesh_vertadr[mesh] :][: model.mesh_vertnum[mesh]]
        face = model.mesh_face[model.mesh_faceadr[mesh] :][: model.mesh_facenum[mesh]]
        used, face = np.unique(face, return_inverse=True)
        world = data.geom_xpos[geom] + vert[used] @ data.geom_xmat[geom].reshape(3, 3).T
        vertices.append((world - data.xpos[body]) @ xmat)
        faces.append(face.reshape(-1, 3) + count)
        count += len(used)
    name = model.body(body).name.replace("/", "_") or f"body{body}"
    return Solid(
        name=name, body=body, vertices=np.concatenate(vertices).astype(np.float32),
        faces=np.concatenate(faces).astype(np.uint32),
    )  # fmt: skip


def contact_points(model: mujoco.MjModel) -> tuple[np.ndarray, np.ndarray]:
    """Heels and toes: bodies, shape (4,), and points in them at the sole, shape (4, 3) [m]; none without such feet.

    They are the points that a clip's contacts were found at: under the rear ends of the heel's capsules and under the
    middle of the toes'. In the default configuration the sole's down is the world's.
    """
    bodies = [[_body(model, name) for name in pair if name is not None] for pair in _FEET]
    if min(body for pair in bodies for body in pair) < 0:
        return np.zeros(0, dtype=int), np.zeros((0, 3))
    data = mujoco.MjData(model)
    mujoco.mj_kinematics(model, data)
    return np.array([pair[0] for pair in bodies]), np.array([_contact_point(model, data, *pair) for pair in bodies])


def _body(model: mujoco.MjModel, name: str) -> int:
    return mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name)


def _contact_point(model: mujoco.MjModel, data: mujoco.MjData, body: int, other: int | None = None) -> np.ndarray:
    capsule = np.flatnonzero((model.geom_bodyid == body) & (model.geom_type == mujoco.mjtGeom.mjGEOM_CAPSULE))
    axis = data.geom_xmat[capsule].reshape(-1, 3, 3)[:, :, 2] * model.geom_size[capsule, 1:2]
    ends = data.geom_xpos[capsule] + np.stack([axis, -axis])
    if other is not None:
        far = np.linalg.norm(ends - data.xpos[other], axis=-1).argmax(axis=0)
        ends = ends[far, np.arange(len(capsule))][None]
    low = (ends[..., 2] - model.geom_size[capsule, 0]).min()
    point = np.array([*ends[..., :2].mean(axis=(0, 1)), low])
    return (point - data.xpos[body]) @ data.xmat[body].reshape(3, 3)
