"""Geometry of one frame of a clip, computed with MuJoCo alone."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.pipelines.rendering.camera import CameraPath, follow
from musclemap.pipelines.rendering.drawing import NEUTRAL_RGB, landmark_rgb, place
from musclemap.pipelines.rendering.loads import Loads, clip_loads

from .drawn_body import DrawnBody

COLOURINGS: tuple[str, ...] = ("length", "activation")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """Geometry of one frame, in the world frame and in metres."""

    body_pos: np.ndarray
    """Positions of the solids, shape (nsolid, 3)."""
    body_quat: np.ndarray
    """Orientations of the solids, shape (nsolid, 4), wxyz."""
    muscle: np.ndarray
    """Ends of the muscle segments, shape (nsegment, 2, 3)."""
    muscle_rgb: np.ndarray
    """Colours of the segments, shape (nsegment, 3) uint8."""
    target: np.ndarray
    """Landmark targets, shape (nlandmark, 3)."""
    ghost: np.ndarray
    """Landmark targets joined to a stick figure, shape (nstick, 2, 3)."""
    contact: np.ndarray
    """Centres of pressure of the parts that can bear load, shape (ncontact, 3); without forces, contact points (left
    heel, left toe, right heel, right toe)."""
    standing: np.ndarray
    """Whether each part bears load or each contact point is held still, shape (ncontact,) bool."""
    arrow: np.ndarray
    """Both ends of the arrows of the ground forces, shape (narrow, 2, 3)."""
    outside: int
    """Number of muscles shorter or longer than their operating range."""
    error: float
    """Mean distance between the landmarks and their targets."""


class Scene:
    """A clip on its body.

    Attributes:
        clip: Clip.
        body: Body of the clip.
        loads: Ground forces, or contact without forces.
        activation: Muscle activations, shape (nframe, nu), or None if the clip has none for this body.
        errors: Mean distance between the landmarks and their targets [m], shape (nframe,).
        target_rgb: Colours of the targets by side, from 0 to 1, shape (nlandmark, 3).
        camera_path: Camera that keeps the whole clip in view; its `lookat` follows the body.
    """

    def __init__(self, clip: Clip, body: DrawnBody) -> None:
        """Prepare a clip.

        Raises:
            RenderError: If the configurations of the clip do not fit the body.
        """
        self.clip, self.body = clip, body
        fits = clip.activation is not None and clip.activation.shape[1] == body.model.nu
        self.activation = clip.activation if fits else None
        self.camera_path: CameraPath = follow(body.model, clip.qpos, fps=clip.fps, target_pos=clip.target_pos)
        self.target_rgb = landmark_rgb(clip.landmark_names, nlandmark=clip.target_pos.shape[1])
        no_loads = Loads(
            pos=np.zeros((clip.nframe, 0, 3)), arrow=np.zeros((clip.nframe, 0, 3)),
            bears=np.zeros((clip.nframe, 0), bool), meaning="",
        )  # fmt: skip
        self.loads = clip_loads(body.model, clip) or no_loads
        self._data = mujoco.MjData(body.model)
        self._solid = np.array([solid.body for solid in body.solids], dtype=int)
        self._sticks = sticks(body.model, clip.landmark_names)
        self.errors = np.linalg.norm(clip.landmark_pos - clip.target_pos, axis=-1).mean(axis=-1)

    def frame(self, index: int, *, colouring: str = "length") -> Frame:
        """Compute one frame; coloured by activation, the muscles of a clip without activations are grey."""
        data, clip, body = self._data, self.clip, self.body
        data.qpos[:] = clip.qpos[index]
        place(body.model, data)
        if colouring == "length":
            rgb = body.colours.by_length(data.ten_length)
        elif self.activation is None:
            rgb = np.tile(np.round(255.0 * np.array(NEUTRAL_RGB)).astype(np.uint8), (body.model.ntendon, 1))
        else:
            rgb = body.colours.by_activation(self.activation[index])
        fraction = body.colours.fraction(data.ten_length)
        return Frame(
            body_pos=data.xpos[self._solid], body_quat=data.xquat[self._solid], muscle=body.paths.segments(data),
            muscle_rgb=rgb[body.paths.tendon], target=clip.target_pos[index],
            ghost=clip.target_pos[index][self._sticks],
            contact=self.loads.pos[index], standing=self.loads.bears[index], arrow=self.loads.arrows(index),
            outside=int(((fraction < 0.0) | (fraction > 1.0)).sum()), error=float(self.errors[index]),
        )  # fmt: skip

    def lengths(self, muscle: str) -> np.ndarray:
        """Normalised length of a muscle in every frame, 0 to 1 over its operating range, shape (nframe,)."""
        model, which = self.body.model, list(self.body.muscles).index(muscle)
        result = np.empty(self.clip.nframe)
        for index, qpos in enumerate(self.clip.qpos):
            self._data.qpos[:] = qpos
            place(model, self._data)
            result[index] = self.body.colours.fraction(self._data.ten_length)[which]
        return result


def sticks(model: mujoco.MjModel, landmark_names: tuple[str, ...]) -> np.ndarray:
    """Join every landmark to the nearest landmark between it and the root of the body.

    Pelvis and spine both start at the root: the first landmark without another one above it stands in for the root.
    Landmarks are bodies; names that the body does not have stay unjoined.

    Returns:
        Pairs of indices into `landmark_names`, shape (nstick, 2).
    """
    ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name) for name in landmark_names]
    index_of = {body: index for index, body in enumerate(ids) if body > 0}
    pairs, first = [], None
    for body, landmark in index_of.items():
        above = int(model.body_parentid[body])
        while above and above not in index_of:
            above = int(model.body_parentid[above])
        if above:
            pairs.append((index_of[above], landmark))
        elif first is None:
            first = landmark
        else:
            pairs.append((first, landmark))
    return np.array(pairs, dtype=int).reshape(-1, 2)
