"""A clip as the controller follows it: everything about the reference motion that does not depend on the state."""

from dataclasses import dataclass, replace

import mujoco
import numpy as np
from scipy.ndimage import distance_transform_edt
from scipy.signal import butter, sosfiltfilt

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.base_forces import step_motion
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.intervals import runs

from .clip_check import check_clip
from .dofs import ControlledDofs

_ACCELERATION_CUTOFF = 10.0
"""Cutoff of the low-pass filter before velocities are differentiated [Hz]."""

_MIN_STANCE = 8
"""Frames; a shorter contact within the clip is a scuff, not a step."""

_STEPPING, _STANDING = 0.15, 0.3
"""Times from the nearest swing phase up to which a stance belongs to a step, and from which the body stands [s]."""

_MIN_STEP = 15
"""Frames; a foot that moves for that long while the other one stands makes a step."""


@dataclass(frozen=True, kw_only=True, eq=False)
class FootReference:
    """Motion of the feet in the reference.

    Attributes:
        position: World, shape (nframe, nfoot, 3) [m].
        velocity: Shape (nframe, nfoot, 3) [m/s].
        acceleration: Shape (nframe, nfoot, 3) [m/s²].
        rotation: Orientation, shape (nframe, nfoot, 3, 3).
        angular_velocity: World axes, shape (nframe, nfoot, 3) [rad/s].
        angular_acceleration: Shape (nframe, nfoot, 3) [rad/s²].
        swing: Whether the foot does not bear, shape (nframe, nfoot) bool.
        load: Share of each foot in the force on the feet, shape (nframe, nfoot); zeros in flight.
        stepping: 1 within 0.15 s of a swing phase, falling to 0 within 0.3 s, shape (nframe,).
        phase: Elapsed part of the swing phase, shape (nframe, nfoot); 0 in stance.
        time_to_landing: Remaining time of the swing phase, shape (nframe, nfoot) [s]; 0 in stance.
        outwards: Horizontal unit vector from the other foot to this one, shape (nframe, nfoot, 2).
        joint_change: Change of the leg's joints that moves the foot by a unit of length and does not turn it, for each
            foot an array of shape (nframe, nleg, 3) [rad/m].
        pressure: Centre of pressure in the foot's frame, shape (nframe, nfoot, 3) [m]; the foot's origin where unknown.
    """

    position: np.ndarray
    velocity: np.ndarray
    acceleration: np.ndarray
    rotation: np.ndarray
    angular_velocity: np.ndarray
    angular_acceleration: np.ndarray
    swing: np.ndarray
    load: np.ndarray
    stepping: np.ndarray
    phase: np.ndarray
    time_to_landing: np.ndarray
    outwards: np.ndarray
    joint_change: tuple[np.ndarray, ...]
    pressure: np.ndarray


@dataclass(frozen=True, kw_only=True, eq=False)
class ReferenceMotion:
    """A motion to follow, in the coordinates of the simulated model.

    Attributes:
        qpos: Configurations, shape (nframe, nq).
        qvel: Velocities, shape (nframe, nv).
        acceleration: Accelerations of the controlled dofs, shape (nframe, ndof) [rad/s² or m/s²].
        moment: Net moment of the muscles at each independent joint, shape (nframe, njoint) [Nm]; None if unknown.
        activation: Activations of the clip, shape (nframe, nu); None if it has none.
        landmarks: Landmark positions, shape (nframe, nlandmark, 3) [m], world.
        com: Centre of mass, shape (nframe, 3) [m].
        com_velocity: Its velocity, shape (nframe, 3) [m/s].
        com_acceleration: Its acceleration, shape (nframe, 3) [m/s²].
        feet: The feet; None for a body without.
        base: Motion of the base during the control step after each frame, float32, shape (nframe, 4, 3), the last one
            repeated; None if it does not move.
    """

    qpos: np.ndarray
    qvel: np.ndarray
    acceleration: np.ndarray
    moment: np.ndarray | None
    activation: np.ndarray | None
    landmarks: np.ndarray
    com: np.ndarray
    com_velocity: np.ndarray
    com_acceleration: np.ndarray
    feet: FootReference | None
    base: np.ndarray | None = None

    @property
    def nframe(self) -> int:
        """Number of frames."""
        return len(self.qpos)


def make_reference(
    body: SimulationBody, dofs: ControlledDofs, clip: Clip, *, contact_depth: float = 0.0
) -> ReferenceMotion:
    """Prepare a clip for tracking.

    Args:
        body: Simulated body.
        dofs: Degrees of freedom that the controller controls.
        clip: Clip of the same body at the control rate.
        contact_depth: How far below the clip the body stands, because MuJoCo's contacts carry weight only when they
            are pressed together [m]; landmarks stay those of the clip.

    Raises:
        TrackingError: If the clip belongs to another body, has another frame rate or fewer than 3 frames.
    """
    check_clip(body, clip)
    qpos = clip.qpos[:, body.clip_qpos].astype(float)
    qvel = clip.qvel[:, body.clip_qvel].astype(float)
    if body.free:
        qpos[:, 2] -= contact_depth
    swing = _swing(body, clip)
    force = None
    if swing is not None and clip.ground_force is not None and clip.support_names[:2] == body.target.support_names[:2]:
        force = np.asarray(clip.ground_force[:, :2, 2], float)
    reference = reference_of_motion(body, dofs, qpos, qvel, swing, force)
    landmarks = reference.landmarks
    if body.free:
        landmarks = landmarks + np.array([0.0, 0.0, contact_depth])
    if reference.feet is not None and force is not None and clip.centre_of_pressure is not None:
        feet = reference.feet
        offset = np.asarray(clip.centre_of_pressure[:, :2], float) - feet.position
        pressure = np.einsum("tkji,tkj->tki", feet.rotation, offset)
        reference = replace(reference, feet=replace(feet, pressure=np.where(feet.swing[..., None], 0.0, pressure)))
    activation = None if clip.activation is None else np.asarray(clip.activation[:, body.clip_act], float)
    base = None
    if clip.base_motion is not None:
        steps = step_motion(clip.base_motion)
        base = np.concatenate([steps, steps[-1:]])
    return replace(reference, landmarks=landmarks, moment=_moment(body, clip), activation=activation, base=base)


def base_at(reference: ReferenceMotion, frame: int) -> np.ndarray | None:
    """Motion of the base during the control step after a frame, shape (4, 3), or None."""
    return None if reference.base is None else reference.base[min(frame, reference.nframe - 1)]


def reference_of_motion(
    body: SimulationBody,
    dofs: ControlledDofs,
    qpos: np.ndarray,
    qvel: np.ndarray,
    swing: np.ndarray | None,
    force: np.ndarray | None = None,
) -> ReferenceMotion:
    """Reference from a motion of the simulated model.

    Args:
        body: Simulated body.
        dofs: Degrees of freedom that the controller controls.
        qpos: Configurations, shape (nframe, nq).
        qvel: Velocities, shape (nframe, nv).
        swing: Whether each foot does not bear, shape (nframe, nfoot) bool; None for a body without feet.
        force: Vertical force on each foot, shape (nframe, nfoot) [N]; equal shares if None.
    """
    model, data, rate = body.model, mujoco.MjData(body.model), body.control_fps
    nframe, nfoot = len(qpos), len(dofs.feet)
    landmarks = np.zeros((nframe, len(body.landmark_ids), 3))
    com, com_velocity = np.zeros((nframe, 3)), np.zeros((nframe, 3))
    position, rotation = np.zeros((nframe, nfoot, 3)), np.zeros((nframe, nfoot, 3, 3))
    velocity, angular = np.zeros((nframe, nfoot, 3)), np.zeros((nframe, nfoot, 3))
    joint_change = tuple(np.zeros((nframe, len(leg), 3)) for leg in dofs.legs)
    toes = np.zeros((nframe, nfoot, 3))
    jacobian, turn = np.zeros((3, model.nv)), np.zeros((3, model.nv))
    for t in range(nframe):
        data.qpos[:], data.qvel[:] = qpos[t], qvel[t]
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_comVel(model, data)
        mujoco.mj_subtreeVel(model, data)
        landmarks[t] = data.xpos[body.landmark_ids]
        com[t], com_velocity[t] = data.subtree_com[dofs.root], data.subtree_linvel[dofs.root]
        tangent = dofs.tangent(qpos[t])
        toes[t] = data.xpos[list(dofs.toes)] if nfoot else 0.0
        for k, foot in enumerate(dofs.feet):
            mujoco.mj_jacBody(model, data, jacobian, turn, foot)
            position[t, k], rotation[t, k] = data.xpos[foot], data.xmat[foot].reshape(3, 3)
            velocity[t, k], angular[t, k] = jacobian @ qvel[t], turn @ qvel[t]
            joint_change[k][t] = _joint_change((jacobian @ tangent)[:, dofs.legs[k]], (turn @ tangent)[:, dofs.legs[k]])
    feet = None
    if swing is not None and nfoot:
        phase, time_to_landing = _phases(swing, rate)
        feet = FootReference(
            position=position,
            velocity=velocity,
            acceleration=_rate_of_change(velocity, rate),
            rotation=rotation,
            angular_velocity=angular,
            angular_acceleration=_rate_of_change(angular, rate),
            swing=swing,
            load=_load_share(swing, force),
            stepping=_stepping(swing, rate),
            phase=phase,
            time_to_landing=time_to_landing,
            outwards=_outwards(position, toes - position),
            joint_change=joint_change,
            pressure=np.zeros_like(position),
        )
    return ReferenceMotion(
        qpos=qpos,
        qvel=qvel,
        acceleration=_rate_of_change(_smooth(qvel[:, dofs.index], rate), rate),
        moment=None,
        activation=None,
        landmarks=landmarks,
        com=com,
        com_velocity=com_velocity,
        com_acceleration=_rate_of_change(com_velocity, rate),
        feet=feet,
    )


def _moment(body: SimulationBody, clip: Clip) -> np.ndarray | None:
    """Joint moments of a clip in the order of the body's independent joints."""
    if clip.joint_moment is None or not set(body.joint_names) <= set(clip.moment_names):
        return None
    columns = [clip.moment_names.index(name) for name in body.joint_names]
    return np.asarray(clip.joint_moment[:, columns], float)


def _rate_of_change(values: np.ndarray, rate: float) -> np.ndarray:
    return np.asarray(np.gradient(values, 1 / rate, axis=0))


def _smooth(velocity: np.ndarray, rate: float) -> np.ndarray:
    sections = butter(2, _ACCELERATION_CUTOFF, fs=rate, output="sos")
    padding = min(len(velocity) - 1, int(rate / _ACCELERATION_CUTOFF))
    return sosfiltfilt(sections, velocity, axis=0, padlen=padding)


def _joint_change(move: np.ndarray, turn: np.ndarray) -> np.ndarray:
    """Least change of the leg's joints per unit displacement of the foot without rotation, shape (nleg, 3)."""
    rows = np.concatenate([move, 0.3 * turn])  # 0.3 m: a foot's length makes angles comparable with lengths
    return (rows.T @ np.linalg.inv(rows @ rows.T + 1e-4 * np.eye(6)))[:, :3]


def _swing(body: SimulationBody, clip: Clip) -> np.ndarray | None:
    """Frames in which each foot does not bear, shape (nframe, nfoot), left foot first; None for a body without feet."""
    parts = body.target.contact_parts
    if not parts:
        return None
    held = np.asarray(np.asarray(clip.contact, bool).reshape(clip.nframe, -1, 2).any(axis=2))
    if clip.bearing is not None and clip.support_names[:2] == body.target.support_names[:2]:
        bearing = np.asarray(clip.bearing[:, :2], bool).copy()
        for k, foot in enumerate(held.T):  # a foot that moves while the other is held still steps, however low
            moving = ~foot & held[:, 1 - k]
            for first, end in runs(moving):
                bearing[first:end, k] &= end - first < _MIN_STEP
    else:
        bearing = held  # clips of earlier releases
    for foot in bearing.T:
        for first, end in runs(foot):
            if end - first < _MIN_STANCE and first > 0 and end < len(foot):
                foot[first:end] = False
    return ~bearing


def _load_share(swing: np.ndarray, force: np.ndarray | None) -> np.ndarray:
    """Share of each foot that bears, shape (nframe, nfoot)."""
    weight = np.where(swing, 0.0, 1.0 if force is None else np.maximum(force, 1.0))
    return weight / np.maximum(weight.sum(axis=1, keepdims=True), 1e-9)


def _stepping(swing: np.ndarray, rate: float) -> np.ndarray:
    """How close each frame is to a swing phase of either foot, shape (nframe,)."""
    if not swing.any():
        return np.zeros(len(swing))
    distance = np.asarray(distance_transform_edt(~swing.any(axis=1)), float) / rate
    return np.clip((_STANDING - distance) / (_STANDING - _STEPPING), 0.0, 1.0)


def _phases(swing: np.ndarray, rate: float) -> tuple[np.ndarray, np.ndarray]:
    phase, time_to_landing = np.zeros(swing.shape), np.zeros(swing.shape)
    for k, flags in enumerate(swing.T):
        for first, end in runs(flags):
            frames = np.arange(first, end)
            phase[first:end, k] = (frames - first + 1) / (end - first)
            time_to_landing[first:end, k] = (end - frames) / rate
    return phase, time_to_landing


def _outwards(position: np.ndarray, toes: np.ndarray) -> np.ndarray:
    """Sideways direction from the other foot, perpendicular to where the toes point, shape (nframe, nfoot, 2)."""
    forward = toes[..., :2].sum(axis=1)
    sideways = np.stack([-forward[:, 1], forward[:, 0]], axis=1)
    sideways /= np.maximum(np.linalg.norm(sideways, axis=1, keepdims=True), 1e-6)
    between = position[:, 0, :2] - position[:, 1, :2]
    left = 1.0 if (between * sideways).sum(axis=1).mean() >= 0 else -1.0
    return np.stack([left * sideways, -left * sideways], axis=1)
