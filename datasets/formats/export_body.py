"""The body as other programs use it, with or without finger joints, and the motion of each of its parts."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.errors import ClipError
from musclemap.skeletons.bare_tree import bare_tree
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.submodel_columns import columns_of


@dataclass(frozen=True, kw_only=True, eq=False)
class BodyMotion:
    """Motion of every body of a model, as in MuJoCo's data, one row per frame.

    Attributes:
        xpos: Origins [m], world, shape (nframe, nbody, 3).
        xquat: Orientations wxyz, shape (nframe, nbody, 4).
        xmat: Orientations as matrices, shape (nframe, nbody, 9).
        cvel: Velocities (rotation, translation) at the centre of mass of the whole body, world axes, shape (nframe,
            nbody, 6).
        subtree_com: Centres of mass of the subtrees [m], shape (nframe, nbody, 3).
    """

    xpos: np.ndarray
    xquat: np.ndarray
    xmat: np.ndarray
    cvel: np.ndarray
    subtree_com: np.ndarray


class ExportBody:
    """Kinematic tree of a target body with its couplings and masses, and the columns of its joints in a clip.

    Args:
        target: Target body.
        fingers: Whether to keep the 40 finger joints. Without them MyoFullBody has nq 89 and nv 88, as MuscleMimic's.
    """

    def __init__(self, target: TargetBody, *, fingers: bool = False) -> None:
        self.target, self.fingers = target, fingers
        self.model = bare_tree(target.model, without=frozenset() if fingers else frozenset(target.finger_joints))
        self.joint_names = tuple(self.model.joint(j).name for j in range(self.model.njnt))
        self.body_names = tuple(self.model.body(b).name for b in range(self.model.nbody))
        self._columns = columns_of(target.model, self.model)

    @property
    def nroot(self) -> int:
        """Columns of qpos that hold a free root: 7 or 0."""
        return 7 if self.target.free else 0

    @property
    def moving_joints(self) -> tuple[str, ...]:
        """Names of the hinges and slides, one per column of qpos after the root."""
        return self.joint_names[1:] if self.target.free else self.joint_names

    def state(self, clip: Clip) -> tuple[np.ndarray, np.ndarray]:
        """A clip's configurations and velocities on this body, float64, shapes (nframe, nq) and (nframe, nv).

        Raises:
            ClipError: If the clip is of another body, or of another version of this one.
        """
        if clip.joint_names != self.target.joint_names:
            raise ClipError(f"{clip.model} with {len(clip.joint_names)} joints is not the exported body")
        if clip.model_sha256 != self.target.sha256:
            raise ClipError(
                f"it was made for {clip.model} {clip.model_version} ({clip.model_sha256[:12]}), which is another "
                f"version of the body than this ({self.target.sha256[:12]}): convert its source again"
            )
        columns = self._columns
        return clip.qpos[:, columns.qpos].astype(np.float64), clip.qvel[:, columns.qvel].astype(np.float64)

    def motion(self, qpos: np.ndarray, qvel: np.ndarray) -> BodyMotion:
        """Compute the position and velocity of every body."""
        model, data, nframe = self.model, mujoco.MjData(self.model), len(qpos)
        arrays = {
            key: np.empty((nframe, model.nbody, width))
            for key, width in (("xpos", 3), ("xquat", 4), ("xmat", 9), ("cvel", 6), ("subtree_com", 3))
        }
        for frame in range(nframe):
            data.qpos, data.qvel = qpos[frame], qvel[frame]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_comVel(model, data)
            for key, array in arrays.items():
                array[frame] = getattr(data, key)
        return BodyMotion(**arrays)
