"""Parts of a body that all its clips share: rigid groups of bones, muscle paths and colours, and contact points."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.pipelines.rendering.drawing import drawing_model
from musclemap.pipelines.rendering.muscles import MuscleColours, MusclePaths
from musclemap.skeletons.bodies import BODIES, load_body
from musclemap.skeletons.soles import find_sole
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant


@dataclass(frozen=True, kw_only=True)
class Solid:
    """Bones that move as one piece, as triangles in the frame of their body."""

    name: str
    body: int
    vertices: np.ndarray
    """Shape (nvertex, 3) [m]."""
    faces: np.ndarray
    """Shape (nface, 3)."""


class DrawnBody:
    """A body compiled for drawing, with its parts.

    Attributes:
        model: Model for drawing; its qpos has the layout of the original.
        solids: Bones.
        paths: Paths of the muscles.
        colours: Colours of the muscles.
        foot: Body ids of the heels and toes, shape (4,), or (0,) without feet.
        foot_offset: Contact points in the frames of these bodies [m], shape (4, 3) or (0, 3).
    """

    def __init__(self, name: str, *, variant: BodyVariant = UNALTERED) -> None:
        """Compile a body by name, and what differs from its table.

        Raises:
            RenderError: If the body is unknown; the message lists the available bodies.
        """
        self.model = drawing_model(name, variant=variant)
        self.solids = solids(self.model)
        self.paths, self.colours = MusclePaths(self.model), MuscleColours(self.model)
        self.foot, self.foot_offset = contact_points(self.model, name)


def solids(model: mujoco.MjModel) -> tuple[Solid, ...]:
    """Collect the meshes of a model, one solid per group of welded bodies, without unused vertices."""
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


def contact_points(model: mujoco.MjModel, name: str) -> tuple[np.ndarray, np.ndarray]:
    """Contact points of a body's soles, at which the contacts of its clips are detected.

    Args:
        model: Body compiled for drawing.
        name: Name of the body.

    Returns:
        Body ids, shape (ncontact,), and points in the frames of these bodies [m], shape (ncontact, 3); empty without
        feet.
    """
    parts = load_body(name).contact_parts if name in BODIES else ()
    points = find_sole(model, parts).contact if parts else ()
    offsets = np.array([point.offset for point in points], float).reshape(-1, 3)
    return np.array([point.body for point in points], int), offsets
