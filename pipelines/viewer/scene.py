"""What is to be seen in one frame of a clip, worked out by MuJoCo alone."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.pipelines.rendering.camera import Track, follow
from musclemap.pipelines.rendering.stage import landmark_rgb, place

from .body import Body

COLOURINGS: tuple[str, ...] = ("length", "activation")


@dataclass(frozen=True, kw_only=True)
class Frame:
    """One frame of a clip, world frame, in metres."""

    body_pos: np.ndarray
    """Positions of the solids, shape (nsolid, 3)."""
    body_quat: np.ndarray
    """Their orientations, shape (nsolid, 4), wxyz."""
    muscle: np.ndarray
    """Ends of the muscles' segments, shape (nsegment, 2, 3)."""
    muscle_rgb: np.ndarray
    """Colours of the segments, shape (nsegment, 3) uint8."""
    target: np.ndarray
    """Landmarks asked for, shape (nlandmark, 3)."""
    ghost: np.ndarray
    """The same joined to a stick figure, shape (nbone, 2, 3)."""
    contact: np.ndarray
    """Left heel, left toe, right heel, right toe; shape (4, 3), or (0, 3) where the body has no feet."""
    standing: np.ndarray
    """Which of them stand, shape (4,) or (0,) bool."""
    outside: int
    """Muscles shorter or longer than their operating range."""
    error: float
    """Mean distance of the landmarks reached from those asked for."""


class Scene:
    """A clip on its body.

    Attributes:
        clip: Motion.
        body: Body it is for.
        activation: Activations of the muscles, shape (nframe, nu), or None where the clip has none of this body.
        target_rgb: Colours of the targets by side, shape (nlandmark, 3), from 0 to 1.
        track: Camera that stands well for the whole clip; its `lookat` goes along with the body.
    """

    def __init__(self, clip: Clip, body: Body) -> None:
        """Prepare a clip; `RenderError` where its configurations are not of this body."""
        self.clip, self.body = clip, body
        fits = clip.activation is not None and clip.activation.shape[1] == body.model.nu
        self.activation = clip.activation if fits else None
        self.track: Track = follow(body.model, clip.qpos, fps=clip.fps, target_pos=clip.target_pos)
        self.target_rgb = landmark_rgb(clip.landmark_names, nlandmark=clip.target_pos.shape[1])
        self._data = mujoco.MjData(body.model)
        self._solid = np.array([solid.body for solid in body.solids], dtype=int)
        self._sticks = sticks(body.model, clip.landmark_names)
        self._error = np.linalg.norm(clip.landmark_pos - clip.target_pos, axis=-1).mean(axis=-1)

    def frame(self, index: int, *, colouring: str = "length") -> Frame:
        """Work out one frame; without activations the muscles are coloured by length whatever `colouring` says."""
        data, clip, body = self._data, self.clip, self.body
        data.qpos[:] = clip.qpos[index]
        place(body.model, data)
        if colouring == "activation" and self.activation is not None:
            rgb = body.colours.by_activation(self.activation[index])
        else:
            rgb = body.colours.by_length(data.ten_length)
        fraction = body.colours.fraction(data.ten_length)
        xmat = data.xmat[body.foot].reshape(-1, 3, 3)
        return Frame(
            body_pos=data.xpos[self._solid], body_quat=data.xquat[self._solid], muscle=body.paths.segments(data),
            muscle_rgb=rgb[body.paths.tendon], target=clip.target_pos[index],
            ghost=clip.target_pos[index][self._sticks],
            contact=data.xpos[body.foot] + np.einsum("nij,nj->ni", xmat, body.foot_offset),
            standing=clip.contact[index][: len(body.foot)] > 0,
            outside=int(((fraction < 0.0) | (fraction > 1.0)).sum()), error=float(self._error[index]),
        )  # fmt: skip


def sticks(model: mujoco.MjModel, landmark_names: tuple[str, ...]) -> np.ndarray:
    """Join every landmark with the next one on the way to the root, shape (nstick, 2), places in `landmark_names`.

    Where there is none on the way (pelvis and spine both begin at the root), the first such landmark stands for the
    root. Landmarks are bodies; names that the body does not have stay unjoined.
    """
    ids = [mujoco.mj_name2id(model, mujoco.mjtObj.mjOBJ_BODY, name) for name in landmark_names]
    place_of = {body: place for place, body in enumerate(ids) if body > 0}
    joined, first = [], None
    for body, landmark in place_of.items():
        above = int(model.body_parentid[body])
        while above and above not in place_of:
            above = int(model.body_parentid[above])
        if above:
            joined.append((place_of[above], landmark))
        elif first is None:
            first = landmark
        else:
            joined.append((first, landmark))
    return np.array(joined, dtype=int).reshape(-1, 2)
