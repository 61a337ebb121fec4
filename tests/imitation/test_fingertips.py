"""Fingertips: kinematics against MuJoCo, and their part in observation, reward and metrics."""

from dataclasses import replace
from typing import Any

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.scores import score_clip
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body, physics_for_clips
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task import observation
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.step_metrics import StepMetrics, step_metrics
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import RewardConfig, TaskConfig
from musclemap.skeletons.base_motion import base_motion
from musclemap.skeletons.bodies import load_body

from ..support.base_paths import arms_of, lively_motion
from ..support.data.base_clip import base_clip

BODIES = ("MyoFullBody", "MyoBimanualArm")


@pytest.fixture(scope="module")
def arms() -> SimulationBody:
    return load_simulation_body("MyoBimanualArm", PhysicsConfig(hands="free"))


@pytest.fixture(scope="module")
def clip() -> Clip:
    whole, part = load_body(), load_body("MyoBimanualArm")
    qpos, path = arms_of(part, whole, lively_motion(whole, nframe=30, fps=100.0))
    return replace(base_clip(part, qpos, base_motion(path, 100.0), fps=100.0), hands="tracked")


@pytest.fixture(scope="module")
def library(arms: SimulationBody, clip: Clip) -> Library:
    return make_library([("a", clip)], arms, resting=0.1, look_ahead=2)


def tips_of_mujoco(body: SimulationBody, qpos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fingertips in the hands' frames and relative to the first landmark, shapes (ntip, 3) [m]."""
    data = mujoco.MjData(body.model)
    data.qpos[:] = qpos
    mujoco.mj_kinematics(body.model, data)
    sites = [data.site(tip.site).xpos for tip in body.target.fingertips]
    hands = [data.body(tip.hand) for tip in body.target.fingertips]
    in_hand = [hand.xmat.reshape(3, 3).T @ (site - hand.xpos) for site, hand in zip(sites, hands, strict=True)]
    return np.array(in_hand), np.array(sites) - data.xpos[body.landmark_ids[0]]


@pytest.mark.parametrize("name", BODIES)
def test_fingertips_are_mujocos_sites(name: str) -> None:
    body = load_simulation_body(name, PhysicsConfig(hands="free"))
    assert body.fingertips is not None
    qpos = np.random.default_rng(0).uniform(-1.0, 1.0, (3, body.model.nq))
    ref = np.array([tips_of_mujoco(body, q)[0] for q in qpos])
    assert np.ptp(ref, axis=0).max() > 0.03  # the fingers have moved
    np.testing.assert_allclose(body.fingertips(jnp.asarray(qpos, jnp.float32)), ref, atol=1e-6)


def test_only_fingers_move_fingertips_in_the_hand(arms: SimulationBody) -> None:
    """Every finger joint moves a tip of its own side; no joint of the arm moves any."""
    tips = arms.fingertips
    assert tips is not None
    moved = np.abs(jax.jacfwd(tips)(jnp.zeros(arms.model.nq))).max(axis=1)  # (ntip, nq)
    for name, address in zip(arms.joint_names, arms.qposadr, strict=True):
        column = moved[:, address]
        if name not in arms.target.finger_joints:
            assert column.max() == 0.0, name
            continue
        side = [tip.hand[-1] == name[-1] for tip in arms.target.fingertips]
        assert column[side].max() > 1e-3, name
        assert column[np.logical_not(side)].max() == 0.0, name


def test_locked_fingers_change_neither_observation_nor_reward(clip: Clip) -> None:
    locked = load_simulation_body("MyoBimanualArm", PhysicsConfig(hands="locked"))
    assert locked.fingertips is None
    assert not [name for name in observation.layout(locked) if "fingertip" in name]


def test_observation_has_fingertips_their_error_and_their_goals(
    arms: SimulationBody, clip: Clip, library: Library
) -> None:
    config = TaskConfig(future_steps=(1, 2))
    task, data = Task(arms, config), library.reference
    physics, state = task.reset(data, jnp.array([0]), jnp.array([5]), jax.random.PRNGKey(0))
    qpos = physics.qpos.at[0, arms.qposadr].add(0.1)
    changed = physics._replace(qpos=qpos)
    obs = np.asarray(task.observe(data, changed, task.initial_sensors(data, state), state))[0]
    seen, start = {}, 0
    for name, width in observation.layout(arms, (1, 2)).items():
        seen[name], start = obs[start : start + width].reshape(-1, 3) if "fingertip" in name else None, start + width
    assert start == len(obs) == task.nobs
    tips = lambda frame: tips_of_mujoco(arms, clip.qpos[frame][arms.clip_qpos])[0]  # noqa: E731
    own = tips_of_mujoco(arms, np.asarray(qpos[0]))[0]
    ref = {"fingertip_pos": own, "fingertip_error": tips(5) - own, "goal_fingertip_1": tips(6),
           "goal_fingertip_2": tips(7)}  # fmt: skip
    assert {name for name, value in seen.items() if value is not None} == set(ref)
    for name, value in ref.items():
        np.testing.assert_allclose(seen[name], value, atol=2e-6, err_msg=name)


def _score(arms: SimulationBody, library: Library, bent: float, reward: RewardConfig) -> tuple[float, StepMetrics]:
    """Reward and metrics of the reference state with every outer finger joint bent by an angle [rad]."""
    task, data = Task(arms, TaskConfig(future_steps=(1, 2), reward=reward)), library.reference
    physics, state = task.reset(data, jnp.array([0]), jnp.array([5]), jax.random.PRNGKey(0))
    outer = [a for n, a in zip(arms.joint_names, arms.qposadr, strict=True) if n.startswith("md")]
    moved = physics._replace(qpos=physics.qpos.at[0, jnp.array(outer)].add(bent))
    sensors = MujocoEngine(arms, 1).read(moved)
    result = task.evaluate_step(data, moved, sensors, state, state.excitation)
    metrics = step_metrics(arms, moved, sensors, task.ref(data, state, state.frame), state.excitation, result)
    return float(result.reward[0]), metrics


def test_a_bent_finger_costs_reward_on_the_scale_of_millimetres(
    arms: SimulationBody, clip: Clip, library: Library
) -> None:
    """5 degrees in the last joints move tips by a millimetre or two, which no other landmark term resolves."""
    only = RewardConfig(
        landmark=1e-6, joint=0.0, joint_velocity=0.0, landmark_velocity=0.0, effort=0.0, action_rate=0.0
    )
    straight, at_rest = _score(arms, library, 0.0, only)
    bent, metrics = _score(arms, library, float(np.deg2rad(30.0)), only)
    assert straight == pytest.approx(1.0, abs=1e-4)
    q = clip.qpos[5][arms.clip_qpos].astype(float)
    away = q.copy()
    away[[a for n, a in zip(arms.joint_names, arms.qposadr, strict=True) if n.startswith("md")]] += np.deg2rad(30.0)
    for kind, name in enumerate(("fingertip_in_hand_error", "fingertip_error")):
        distance = np.linalg.norm(tips_of_mujoco(arms, away)[kind] - tips_of_mujoco(arms, q)[kind], axis=1)
        assert getattr(metrics, name)[0] == pytest.approx(distance.mean(), abs=1e-5), name
        assert getattr(at_rest, name)[0] == pytest.approx(0.0, abs=1e-5)
    distance = np.linalg.norm(tips_of_mujoco(arms, away)[0] - tips_of_mujoco(arms, q)[0], axis=1)
    relative = np.mean(distance**2) / only.fingertip_scale**2
    bell = 0.5 * np.exp(-relative) + 0.5 / (1.0 + relative / only.wide_factor**2)
    assert bent == pytest.approx(bell, abs=1e-3)
    wide = replace(only, fingertip_scale=only.landmark_scale)
    assert bent < _score(arms, library, float(np.deg2rad(30.0)), wide)[0]


def test_scores_have_the_fingertips_where_there_are_any() -> None:
    steps: dict[str, Any] = {name: np.zeros(4) for name in StepMetrics._fields}
    moved = StepMetrics(**{**steps, "fingertip_error": np.array([1e-3, 2e-3, 3e-3, 6e-3])})
    score = score_clip("a", moved, steps=4, root_limit=0.5)
    assert score.metrics["fingertip_error"] == pytest.approx(3e-3)
    unknown: Any = np.full(4, np.nan)
    none = moved._replace(fingertip_error=unknown, fingertip_in_hand_error=unknown)
    assert not [key for key in score_clip("a", none, steps=4, root_limit=0.5).metrics if "fingertip" in key]


def test_clips_with_tracked_hands_free_the_fingers(clip: Clip) -> None:
    locked = replace(clip, hands="locked")
    assert physics_for_clips([("a", locked), ("b", clip)], PhysicsConfig()).hands == "free"
    assert physics_for_clips([("a", locked)], PhysicsConfig()).hands == "locked"
    assert physics_for_clips([("a", clip)], PhysicsConfig(hands="locked")).hands == "locked"
    assert physics_for_clips([("a", locked)], PhysicsConfig(hands="free")).hands == "free"
    assert load_simulation_body("MyoBimanualArm").fingertips is None
