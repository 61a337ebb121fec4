"""Motions of the small arm, generated from a seed: training and test data for runs that take minutes.

The joints move from one random configuration to the next along minimum-jerk paths (Flash & Hogan 1985, J Neurosci 5)
and pause after each movement. Static optimisation of each frame finds the smallest activations that produce the motion.
"""

import mujoco
import numpy as np
from scipy.optimize import lsq_linear

from musclemap import __version__
from musclemap.datasets.clip import Clip
from musclemap.datasets.clip_schema import CONTACTS
from musclemap.skeletons.bodies.small_arm import ARM_LANDMARKS, ARM_NAME, load_small_arm
from musclemap.skeletons.model_hash import model_hash

FPS = 100.0

MARGIN = 0.5
"""Distance of configurations from the joint limits [rad]; the muscles are too weak for some closer ones."""

MOVE, REST = (0.7, 1.4), (0.05, 0.3)
"""Shortest and longest duration of a movement and of the pause after it [s]."""

ACTIVATION_WEIGHT = 1e-2
"""Weight of an activation relative to a residual torque over `TORQUE_SCALE`, before both are squared."""

TORQUE_SCALE = 10.0
"""Typical torque of the arm [Nm]."""

MAX_RESIDUAL_TORQUE = 1.0
"""Largest residual torque at a joint that causes no warning [Nm]."""


def arm_clips(count: int, seconds: float, seed: int = 0) -> list[tuple[str, Clip]]:
    """Generate clips of the small arm; the same arguments give the same clips.

    Args:
        count: Number of clips.
        seconds: Duration of each clip [s].
        seed: Seed of the configurations. Clip k of a seed does not depend on `count`.

    Returns:
        Names (`arm_000`, `arm_001`, ...) and clips at 100 frames per second. `metrics` holds the largest activation and
        the largest residual torque [Nm]; a clip with a residual torque above `MAX_RESIDUAL_TORQUE` is marked "warn".
    """
    return [(arm_name(k), arm_clip(k, seconds, seed=seed)) for k in range(count)]


def arm_name(number: int) -> str:
    """Name of a clip: `arm_000`, `arm_001`, ..."""
    return f"arm_{number:03}"


def arm_source(number: int, seed: int = 0) -> str:
    """Source of a clip in its file and in a manifest."""
    return f"arm/seed_{seed}/{arm_name(number)}"


def arm_clip(number: int, seconds: float, seed: int = 0) -> Clip:
    """Generate one of the clips of `arm_clips`."""
    return _clip(load_small_arm(), round(seconds * FPS) + 1, seed=seed, number=number)


def minimum_jerk(phase: np.ndarray) -> np.ndarray:
    """Fraction of the path, 0 to 1, at a fraction of the duration; 0 before the movement and 1 after it."""
    s = np.clip(phase, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def _clip(model: mujoco.MjModel, nframe: int, *, seed: int, number: int) -> Clip:
    qpos = _configurations(model, nframe, np.random.default_rng([seed, number])).astype(np.float32)
    qvel = np.gradient(qpos.astype(np.float64), 1.0 / FPS, axis=0)
    activation, residual = muscle_activations(model, qpos, qvel)
    landmarks = _landmarks(model, qpos)
    largest_residual = np.abs(residual).max(axis=1)
    value, nframe_above = float(largest_residual.max()), int(sum(largest_residual > MAX_RESIDUAL_TORQUE))
    reason = {"rule": "unmet_torque_nm", "value": value, "limit": MAX_RESIDUAL_TORQUE, "frames": nframe_above}
    reasons = (reason,) if reason["frames"] else ()
    return Clip(
        qpos=qpos, qvel=qvel.astype(np.float32), landmark_pos=landmarks, target_pos=landmarks,
        contact=np.zeros((nframe, len(CONTACTS)), np.uint8), fps=FPS,
        joint_names=tuple(model.joint(j).name for j in range(model.njnt)), landmark_names=ARM_LANDMARKS,
        model=ARM_NAME, model_version=__version__, model_sha256=model_hash(model),
        source=arm_source(number, seed), source_sha256="", source_fps=None, fps_source="made at 100",
        body_model="none", subject_scale=1.0, hands="locked", config={"seed": seed, "number": number},
        software={"musclemap": __version__, "mujoco": mujoco.__version__}, licence="Apache-2.0",
        metrics={"activation_max": float(activation.max()), "unmet_torque_max_nm": reason["value"]},
        verdict="warn" if reasons else "feasible", reasons=reasons, activation=activation, activation_residual=residual,
    )  # fmt: skip


def _configurations(model: mujoco.MjModel, nframe: int, rng: np.random.Generator) -> np.ndarray:
    """Joint angles, shape (nframe, nq)."""
    lower, upper = model.jnt_range[:, 0] + MARGIN, model.jnt_range[:, 1] - MARGIN
    time = np.arange(nframe) / FPS
    current, start_time = rng.uniform(lower, upper), rng.uniform(*REST)
    qpos = np.tile(current, (nframe, 1))
    while start_time < time[-1]:
        target, duration = rng.uniform(lower, upper), rng.uniform(*MOVE)
        qpos += (target - current) * minimum_jerk((time - start_time) / duration)[:, None]
        current, start_time = target, start_time + duration + rng.uniform(*REST)
    return qpos


def muscle_activations(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Find the smallest activations that move a body without a free root, frame by frame.

    Args:
        model: The body; muscles must be its only actuators.
        qpos: Configurations, shape (nframe, nq), at 100 frames per second.
        qvel: Velocities, shape (nframe, nv).

    Returns:
        Activations, shape (nframe, nu), and residual torques [Nm], shape (nframe, nv); float32.
    """
    qacc = np.gradient(qvel, 1.0 / FPS, axis=0)
    data = mujoco.MjData(model)
    torque, torque_per_activation = np.empty((len(qpos), model.nv)), np.empty((len(qpos), model.nv, model.nu))
    for frame in range(len(qpos)):
        data.qpos, data.qvel, data.qacc = qpos[frame], qvel[frame], qacc[frame]
        mujoco.mj_inverse(model, data)
        passive = _muscle_torque(model, data, np.zeros(model.nu))
        torque[frame] = data.qfrc_inverse - passive
        columns = [_muscle_torque(model, data, row) - passive for row in np.eye(model.nu)]
        torque_per_activation[frame] = np.stack(columns, axis=1)
    solutions = [_least_activations(*frame) for frame in zip(torque_per_activation, torque, strict=True)]
    activation = np.array(solutions, np.float32)
    residual = torque - np.einsum("fvu,fu->fv", torque_per_activation, activation)
    return activation, residual.astype(np.float32)


def _muscle_torque(model: mujoco.MjModel, data: mujoco.MjData, act: np.ndarray) -> np.ndarray:
    """Torque of all muscles at given activations; requires MuJoCo's positions and velocities in `data`."""
    data.act = act
    mujoco.mj_fwdActuation(model, data)
    return data.qfrc_actuator.copy()


def _least_activations(torque_per_activation: np.ndarray, torque: np.ndarray) -> np.ndarray:
    """Minimise |A a - torque|^2 / TORQUE_SCALE^2 + ACTIVATION_WEIGHT^2 |a|^2 over 0 <= a <= 1.

    A is `torque_per_activation`, shape (nv, nu); torque has shape (nv,).
    """
    nu = torque_per_activation.shape[1]
    matrix = np.concatenate([torque_per_activation / TORQUE_SCALE, ACTIVATION_WEIGHT * np.eye(nu)])
    return lsq_linear(matrix, np.concatenate([torque / TORQUE_SCALE, np.zeros(nu)]), bounds=(0.0, 1.0), method="bvls").x


def _landmarks(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """Positions of the landmark bodies [m], shape (nframe, nlandmark, 3)."""
    ids, data = [model.body(name).id for name in ARM_LANDMARKS], mujoco.MjData(model)
    xpos = np.empty((len(qpos), len(ids), 3), np.float32)
    for frame, q in enumerate(qpos):
        data.qpos = q
        mujoco.mj_kinematics(model, data)
        xpos[frame] = data.xpos[ids]
    return xpos
