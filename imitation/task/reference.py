"""Reference clips on the device: all frames of all clips in one table, gathered by row."""

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, refusal
from musclemap.skeletons.base_motion import STILL

LOOK_AHEAD = 32
"""Default number of future steps that the task observes; a clip needs as many frames plus two."""

FPS_TOLERANCE = 1e-3

FRAMES_PER_TASK = 500
"""Approximate number of frames that a thread processes at a time."""


class Reference(NamedTuple):
    """Concatenated frames of all clips, as JAX arrays.

    Attributes:
        qpos: Configurations of the body, shape (nrow, nq).
        qvel: Velocities, shape (nrow, nv).
        act: Muscle activations, shape (nrow, nu); the resting activation for clips that have none.
        xpos: Landmark positions [m], world, shape (nrow, nlandmark, 3).
        xquat: Landmark orientations wxyz, shape (nrow, nlandmark, 4).
        linvel: Linear velocities of the landmarks [m/s], world axes, shape (nrow, nlandmark, 3).
        angvel: Angular velocities of the landmarks [rad/s], world axes, shape (nrow, nlandmark, 3).
        contact: Foot contacts, shape (nrow, 4).
        base: Motion of the base, rows as in a clip's `base_motion`, shape (nrow, 4, 3); (nrow, 0, 3) for a body without
            a base.
        start: First row of each clip, shape (nclip,).
        length: Number of frames of each clip, shape (nclip,).
    """

    qpos: Array
    qvel: Array
    act: Array
    xpos: Array
    xquat: Array
    linvel: Array
    angvel: Array
    contact: Array
    base: Array
    start: Array
    length: Array

    def rows(self, clip: Array, frame: Array) -> "Reference":
        """Gather frames by clip and frame number, clamped to the clip.

        Arrays lead with the shape of `clip` and `frame`.
        """
        row = self.start[clip] + jnp.clip(frame, 0, self.length[clip] - 1)
        gathered = {name: array[row] for name, array in self._asdict().items() if name not in ("start", "length")}
        return Reference(**gathered, start=self.start[clip], length=self.length[clip])


@dataclass(frozen=True, kw_only=True)
class Library:
    """Clips that can be tracked.

    Attributes:
        reference: Their frames.
        names: Names of the clips, in the order of `reference.start`.
        left_out: Unusable clips, each with the reason.
        has_activation: Whether each clip contains activations, shape (nclip,) bool.
        moving_base: Whether the base of any clip moves.
    """

    reference: Reference
    names: tuple[str, ...]
    left_out: Mapping[str, str]
    has_activation: np.ndarray
    moving_base: bool = False

    @property
    def without_activation(self) -> int:
        """Number of clips without activations."""
        return int(np.sum(~self.has_activation))


def make_library(
    clips: Sequence[tuple[str, Clip]], body: SimulationBody, *, resting: float, look_ahead: int = LOOK_AHEAD
) -> Library:
    """Put clips on the device.

    Args:
        clips: Names and clips.
        body: Body that tracks the clips.
        resting: Muscle activation assumed for clips without activations.
        look_ahead: Number of future steps that the task observes.

    Raises:
        TrainingError: If a clip was made for another body or version of it, or if no clip is usable.
    """
    min_frames = look_ahead + 2
    left_out: dict[str, str] = {}
    usable: list[tuple[str, Clip]] = []
    for name, clip in clips:
        _check_body(name, clip, body)
        if abs(clip.fps - body.control_fps) > FPS_TOLERANCE:
            left_out[name] = f"it has {clip.fps:g} frames per second, but control runs at {body.control_fps:g} Hz"
        elif clip.nframe < min_frames:
            left_out[name] = f"it has {clip.nframe} frames; the look-ahead needs {min_frames}"
        else:
            usable.append((name, clip))
    if not usable:
        reasons = "; ".join(f"{name}: {why}" for name, why in list(left_out.items())[:5])
        raise TrainingError(f"no clip can be learned from{': ' if reasons else ''}{reasons}")
    parts = [_arrays(clip, body, resting=resting) for _, clip in usable]
    length = np.array([clip.nframe for _, clip in usable])
    joined = {key: jnp.asarray(np.concatenate([part[key] for part in parts]), jnp.float32) for key in parts[0]}
    start = np.concatenate([[0], np.cumsum(length)[:-1]])
    reference = Reference(**joined, start=jnp.asarray(start, jnp.int32), length=jnp.asarray(length, jnp.int32))
    return Library(
        reference=reference,
        names=tuple(name for name, _ in usable),
        left_out=left_out,
        has_activation=np.array([clip.activation is not None for _, clip in usable]),
        moving_base=any(clip.base_motion is not None for _, clip in usable),
    )


def refuse_moving_base(library: Library, what: str) -> None:
    """Reject clips with a moving base for a method that simulates without it.

    Args:
        library: Clips.
        what: The method, as the subject of the message.

    Raises:
        SettingsError: If the base of a clip moves.
    """
    if library.moving_base:
        raise SettingsError(
            f"{what} does not know the forces of a moving chest; use --algo ppo, or convert with --chest fixed"
        )


def _check_body(name: str, clip: Clip, body: SimulationBody) -> None:
    if reason := refusal(body, clip):
        raise TrainingError(
            f"{name} {reason}, so a policy would learn on another body. Convert its source again"
        )  # fmt: skip


def _arrays(clip: Clip, body: SimulationBody, *, resting: float) -> dict[str, np.ndarray]:
    qpos, qvel = clip.qpos[:, body.clip_qpos], clip.qvel[:, body.clip_qvel]
    act = np.full((clip.nframe, body.model.nu), resting, np.float32)
    if clip.activation is not None:
        act = clip.activation[:, body.clip_act]
    base = np.zeros((clip.nframe, 0, 3)) if body.target.base is None else np.tile(STILL, (clip.nframe, 1, 1))
    if body.target.base is not None and clip.base_motion is not None:
        base = clip.base_motion
    arrays = {"qpos": qpos, "qvel": qvel, "act": act, "contact": clip.contact, "base": base}
    return arrays | landmark_motion(body, qpos, qvel)


def landmark_motion(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray) -> dict[str, np.ndarray]:
    """Compute landmark poses and velocities with MuJoCo: xpos, xquat, linvel and angvel of `Reference`.

    Args:
        body: The body.
        qpos: Shape (nframe, nq).
        qvel: Shape (nframe, nv).
    """
    parts = np.array_split(np.arange(len(qpos)), max(len(qpos) // FRAMES_PER_TASK, 1))
    with ThreadPoolExecutor() as pool:
        motions = list(pool.map(lambda rows: _motion(body, qpos[rows], qvel[rows]), parts))
    return {key: np.concatenate([part[key] for part in motions]) for key in motions[0]}


def _motion(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray) -> dict[str, np.ndarray]:
    model, ids = body.model, body.landmark_ids
    data = mujoco.MjData(model)
    n, k = len(qpos), len(ids)
    xpos, xquat, cvel, com = np.empty((n, k, 3)), np.empty((n, k, 4)), np.empty((n, k, 6)), np.empty((n, k, 3))
    for frame in range(n):
        data.qpos, data.qvel = qpos[frame], qvel[frame]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        xpos[frame], xquat[frame], cvel[frame] = data.xpos[ids], data.xquat[ids], data.cvel[ids]
        com[frame] = data.subtree_com[model.body_rootid[ids]]
    angvel = cvel[..., :3]  # MuJoCo's velocities refer to the centre of mass of the root's subtree
    return {"xpos": xpos, "xquat": xquat, "linvel": cvel[..., 3:] + np.cross(angvel, xpos - com), "angvel": angvel}
