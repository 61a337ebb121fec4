"""Motions of the small arm, made from a seed: something to learn from, and to test with, in minutes.

Joints go from one random configuration to the next along minimum-jerk paths (Flash & Hogan 1985, J Neurosci 5) and rest
a moment there. Activations are the least that move the arm so, by static optimisation frame by frame.
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
"""Distance of configurations from the joint limits [rad]: nearer, some of them are beyond the muscles' strength."""

MOVE, REST = (0.7, 1.4), (0.05, 0.3)
"""Shortest and longest time of a movement and of the rest after it [s]."""

EFFORT = 1e-2
"""Weight of an activation beside an unmet torque over `TORQUE`, before both are squared."""

TORQUE = 10.0
"""Size of the arm's torques [Nm]."""

UNMET = 1.0
"""Torque that muscles may fall short of at a joint [Nm]."""


def arm_clips(count: int, seconds: float, seed: int = 0) -> list[tuple[str, Clip]]:
    """Make clips of the small arm; the same arguments give the same clips.

    Args:
        count: How many.
        seconds: Duration of each [s].
        seed: Of the configurations. Clip k of a seed does not depend on `count`.

    Returns:
        Name, `arm_000` and so on, and clip at 100 frames a second. The largest activation and the largest unmet torque
        [Nm] are in `metrics`; a clip whose unmet torque is above `UNMET` is marked "warn".
    """
    model = load_small_arm()
    nframe = round(seconds * FPS) + 1
    return [(f"arm_{k:03}", _clip(model, nframe, seed=seed, number=k)) for k in range(count)]


def minimum_jerk(share: np.ndarray) -> np.ndarray:
    """Way gone, 0 to 1, for a share of the movement's time; before it 0, after it 1."""
    s = np.clip(share, 0.0, 1.0)
    return s**3 * (10.0 - 15.0 * s + 6.0 * s**2)


def _clip(model: mujoco.MjModel, nframe: int, *, seed: int, number: int) -> Clip:
    qpos = _configurations(model, nframe, np.random.default_rng([seed, number])).astype(np.float32)
    qvel = np.gradient(qpos.astype(np.float64), 1.0 / FPS, axis=0)
    activation, residual = muscle_activations(model, qpos, qvel)
    landmarks = _landmarks(model, qpos)
    unmet = np.abs(residual).max(axis=1)
    short = {"rule": "unmet_torque_nm", "value": float(unmet.max()), "limit": UNMET, "frames": int(sum(unmet > UNMET))}
    reasons = (short,) if short["frames"] else ()
    return Clip(
        qpos=qpos, qvel=qvel.astype(np.float32), landmark_pos=landmarks, target_pos=landmarks,
        contact=np.zeros((nframe, len(CONTACTS)), np.uint8), fps=FPS,
        joint_names=tuple(model.joint(j).name for j in range(model.njnt)), landmark_names=ARM_LANDMARKS,
        model=ARM_NAME, model_version=__version__, model_sha256=model_hash(model),
        source=f"arm/seed_{seed}/arm_{number:03}", source_sha256="", source_fps=None, fps_source="made at 100",
        body_model="none", subject_scale=1.0, hands="locked", config={"seed": seed, "number": number},
        software={"musclemap": __version__, "mujoco": mujoco.__version__}, licence="Apache-2.0",
        metrics={"activation_max": float(activation.max()), "unmet_torque_max_nm": short["value"]},
        verdict="warn" if reasons else "feasible", reasons=reasons, activation=activation, activation_residual=residual,
    )  # fmt: skip


def _configurations(model: mujoco.MjModel, nframe: int, rng: np.random.Generator) -> np.ndarray:
    """Joint angles, shape (nframe, nq)."""
    low, high = model.jnt_range[:, 0] + MARGIN, model.jnt_range[:, 1] - MARGIN
    time = np.arange(nframe) / FPS
    now, at = rng.uniform(low, high), rng.uniform(*REST)
    qpos = np.tile(now, (nframe, 1))
    while at < time[-1]:
        then, duration = rng.uniform(low, high), rng.uniform(*MOVE)
        qpos += (then - now) * minimum_jerk((time - at) / duration)[:, None]
        now, at = then, at + duration + rng.uniform(*REST)
    return qpos


def muscle_activations(model: mujoco.MjModel, qpos: np.ndarray, qvel: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Least activations that move a body without a free root, frame by frame.

    Args:
        model: The body; its muscles are its only actuators.
        qpos: Configurations, shape (nframe, nq), at 100 frames a second.
        qvel: Velocities, shape (nframe, nv).

    Returns:
        Activations, shape (nframe, nu), and torque that they leave unmet, shape (nframe, nv) [Nm]; float32.
    """
    qacc = np.gradient(qvel, 1.0 / FPS, axis=0)
    data = mujoco.MjData(model)
    torque, pull = np.empty((len(qpos), model.nv)), np.empty((len(qpos), model.nv, model.nu))
    for frame in range(len(qpos)):
        data.qpos, data.qvel, data.qacc = qpos[frame], qvel[frame], qacc[frame]
        mujoco.mj_inverse(model, data)
        passive = _muscle_torque(model, data, np.zeros(model.nu))
        torque[frame] = data.qfrc_inverse - passive
        pull[frame] = np.stack([_muscle_torque(model, data, row) - passive for row in np.eye(model.nu)], axis=1)
    solved = [_least_activations(*frame) for frame in zip(pull, torque, strict=True)]
    activation = np.array(solved, np.float32)
    residual = torque - np.einsum("fvu,fu->fv", pull, activation)
    return activation, residual.astype(np.float32)


def _muscle_torque(model: mujoco.MjModel, data: mujoco.MjData, act: np.ndarray) -> np.ndarray:
    """Torque of all muscles at given activations; MuJoCo's positions and velocities are there already."""
    data.act = act
    mujoco.mj_fwdActuation(model, data)
    return data.qfrc_actuator.copy()


def _least_activations(pull: np.ndarray, torque: np.ndarray) -> np.ndarray:
    """Minimise |pull a - torque|^2 / TORQUE^2 + EFFORT^2 |a|^2 over 0 <= a <= 1; shapes (nv, nu) and (nv,)."""
    nu = pull.shape[1]
    matrix = np.concatenate([pull / TORQUE, EFFORT * np.eye(nu)])
    return lsq_linear(matrix, np.concatenate([torque / TORQUE, np.zeros(nu)]), bounds=(0.0, 1.0), method="bvls").x


def _landmarks(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    """Positions of the landmark bodies [m], shape (nframe, nlandmark, 3)."""
    ids, data = [model.body(name).id for name in ARM_LANDMARKS], mujoco.MjData(model)
    result = np.empty((len(qpos), len(ids), 3), np.float32)
    for frame, q in enumerate(qpos):
        data.qpos = q
        mujoco.mj_kinematics(model, data)
        result[frame] = data.xpos[ids]
    return result
