"""What the ground does to a body, as it is drawn: an arrow for each force and a pad where a part bears load."""

from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.skeletons.bodies import BODIES, load_body
from musclemap.skeletons.soles import find_sole

ARROW_SCALE = 0.5
"""Length of the arrow of a force as large as the body's weight [m]."""
ARROW_RADIUS = 0.011
"""Radius of an arrow's shaft [m]."""
SHORTEST_ARROW = 0.02
"""Forces with shorter arrows [m] are not drawn."""
PAD_RADIUS, PAD_HEIGHT = 0.05, 0.006
"""Size of a pad [m]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Loads:
    """Arrows and pads over the frames of a motion, n of each."""

    pos: np.ndarray
    """Where arrows start and pads lie [m], shape (nframe, n, 3), world frame."""
    arrow: np.ndarray
    """From the start of each arrow to its tip [m], shape (nframe, n, 3)."""
    bears: np.ndarray
    """Whether a pad is drawn, shape (nframe, n) bool."""
    meaning: str
    """What pads mean, for the legend."""

    def arrows(self, frame: int) -> np.ndarray:
        """Both ends of the arrows of a frame [m], shape (narrow, 2, 3)."""
        long = np.linalg.norm(self.arrow[frame], axis=-1) >= SHORTEST_ARROW
        start = self.pos[frame][long]
        return np.stack([start, start + self.arrow[frame][long]], axis=1)

    def pads(self, frame: int) -> np.ndarray:
        """Centres of the pads of a frame [m], shape (npad, 3)."""
        return self.pos[frame][self.bears[frame]]


def force_loads(model: mujoco.MjModel, force: np.ndarray, centre: np.ndarray, bears: np.ndarray) -> Loads:
    """Arrows and pads of ground forces.

    Args:
        model: Body, which gives the weight.
        force: Forces on the body [N], shape (nframe, n, 3), world frame.
        centre: Centres of pressure [m], shape (nframe, n, 3), world frame.
        bears: Whether a part bears, shape (nframe, n) bool.
    """
    weight = float(model.body_mass.sum() * np.linalg.norm(model.opt.gravity))
    return Loads(pos=centre, arrow=force * (ARROW_SCALE / weight), bears=bears, meaning="bears load")


def clip_loads(model: mujoco.MjModel, clip: Clip) -> Loads | None:
    """Ground forces of a clip with pads where its parts bear; without forces, pads where heels and toes are held still.

    Args:
        model: Body, from `drawing_model`.
        clip: Clip on this body.

    Returns:
        Arrows and pads, or None for a body without feet and a clip without forces.
    """
    if clip.ground_force is not None and clip.centre_of_pressure is not None:
        bears = clip.ground_force[..., 2] > 0 if clip.bearing is None else clip.bearing > 0
        return force_loads(model, clip.ground_force.astype(float), clip.centre_of_pressure.astype(float), bears)
    foot, offset = contact_points(model, clip.model)
    if not len(foot):
        return None
    data, pos = mujoco.MjData(model), np.empty((clip.nframe, len(foot), 3))
    for frame, qpos in enumerate(clip.qpos):
        data.qpos[:] = qpos
        mujoco.mj_kinematics(model, data)
        pos[frame] = data.xpos[foot] + np.einsum("nij,nj->ni", data.xmat[foot].reshape(-1, 3, 3), offset)
    return Loads(pos=pos, arrow=np.zeros_like(pos), bears=clip.contact[:, : len(foot)] > 0, meaning="held still")


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
