"""Parts of a body that all its clips share: rigid groups of bones, muscle paths and colours, and names."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.pipelines.rendering.drawing import drawing_model
from musclemap.pipelines.rendering.muscles import MuscleColours, MusclePaths


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
        muscles: Names of the muscles and the tendon of each.
        joints: Names of the hinges and the column of each in qpos.
    """

    def __init__(self, name: str) -> None:
        """Compile a body by name.

        Raises:
            RenderError: If the body is unknown; the message lists the available bodies.
        """
        self.model = drawing_model(name)
        self.solids = solids(self.model)
        self.paths, self.colours = MusclePaths(self.model), MuscleColours(self.model)
        model = self.model
        self.muscles = {
            model.actuator(k).name: int(model.actuator_trnid[k, 0])
            for k in np.flatnonzero(model.actuator_trntype == mujoco.mjtTrn.mjTRN_TENDON)
        }
        self.joints = {
            model.joint(k).name: int(model.jnt_qposadr[k])
            for k in np.flatnonzero(model.jnt_type == mujoco.mjtJoint.mjJNT_HINGE)
        }


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
