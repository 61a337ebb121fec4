"""Imagined rollouts: gradients match finite differences, steps match the task, and returns match a plain loop."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.ppo.networks import apply_mlp, make_mlp
from musclemap.imitation.ppo.normaliser import Normaliser, normalise
from musclemap.imitation.task import observation
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task import Task
from musclemap.imitation.world_model.coordinates import ModelState
from musclemap.imitation.world_model.imagination import (
    ActorCritic,
    Imagination,
    ImaginedRollout,
    alive_mask,
    lambda_returns,
    limit_gradient,
)
from musclemap.imitation.world_model.replay import ImaginationStart
from musclemap.imitation.world_model.tendons import TendonConfig, Tendons, fit_tendons
from musclemap.imitation.world_model.world_model import Dynamics, ModelConfig, WorldModel

ROUGH = TendonConfig(num_samples=200, gradient_steps=30, hidden=8)
SMALL = ModelConfig(hidden=(16, 16))


class Setting:
    """A body with a world model and a policy of random weights, at frames of a clip."""

    def __init__(self, body: SimulationBody, clip: Clip, tendons: Tendons, frames: list[int]) -> None:
        self.task = Task(body)
        self.model = WorldModel(body, SMALL, tendons)
        self.reference = make_library([("clip", clip)], body, resting=0.1).reference
        self.imagination = Imagination(self.task, self.model, "float32")
        nobs, nu = self.task.nobs, body.model.nu
        keys = jax.random.split(jax.random.PRNGKey(0), 3)
        rng = np.random.default_rng(0)
        self.actor_critic = ActorCritic(
            policy=make_mlp(keys[0], (nobs, 16, nu), last_scale=1.0),
            value=make_mlp(keys[1], (self.imagination.value_width, 16, 1)),
            normaliser=Normaliser(
                jnp.asarray(rng.normal(0, 0.1, nobs), jnp.float32), jnp.full(nobs, 0.7), jnp.ones(())
            ),
        )
        dynamics = self.model.init(keys[2])
        params = {**dynamics.params, "w2": 30.0 * dynamics.params["w2"]}
        self.dynamics = Dynamics(
            params, dynamics.inputs, dynamics.change._replace(var=jnp.full_like(dynamics.change.var, 0.05))
        )
        rows = self.reference.rows(jnp.zeros(len(frames), jnp.int32), jnp.array(frames))
        q, velocity = self.model.coordinates.reduce(rows.qpos, rows.qvel)
        self.start = ImaginationStart(
            ModelState(q, velocity, rows.act), rows.act, jnp.zeros(len(frames), jnp.int32), jnp.array(frames)
        )

    def rollout(self, nstep: int, **changes: object) -> ImaginedRollout:
        arguments = {name: getattr(self, name) for name in ("actor_critic", "dynamics", "reference", "start")}
        return self.imagination.rollout(
            **{**arguments, **changes}, grad_counter=jnp.zeros(2), nstep=nstep, max_norm=1e9
        )  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def arm_setting(arm: SimulationBody) -> Setting:
    return Setting(arm, arm_clips(1, 1.0)[0][1], fit_tendons(arm, ROUGH), [0, 10, 40, 97])


@pytest.fixture(scope="module")
def human_setting(human: SimulationBody, walk_clip: Clip) -> Setting:
    return Setting(human, walk_clip, fit_tendons(human, ROUGH), [20, 200])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm_setting", "human_setting"])
def test_the_gradient_of_the_imagined_return_matches_finite_differences(
    name: str, request: pytest.FixtureRequest
) -> None:
    """In float64, through muscles, tendons, kinematics, reward and value function."""
    setting: Setting = request.getfixturevalue(name)
    with jax.enable_x64(True):
        to_float64 = lambda tree: jax.tree.map(  # noqa: E731
            lambda a: jnp.asarray(np.asarray(a), jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree
        )
        actor_critic, dynamics, reference, start = map(
            to_float64, (setting.actor_critic, setting.dynamics, setting.reference, setting.start)
        )

        @jax.jit
        @jax.value_and_grad
        def gain(policy: dict[str, jax.Array]) -> jax.Array:
            rollout = setting.imagination.rollout(
                actor_critic._replace(policy=policy), dynamics, reference, start, jnp.zeros(2), nstep=6, max_norm=1e9
            )
            return jnp.mean(lambda_returns(rollout, gamma=0.9, lambda_=0.8)[0])

        _, gradient = gain(actor_critic.policy)
        assert gradient["w0"].dtype == jnp.float64
        rng = np.random.default_rng(1)
        for _ in range(4):
            direction = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), actor_critic.policy)
            slope = sum(
                jnp.sum(a * b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(direction), strict=True)
            )
            shifted = lambda e: gain(jax.tree.map(lambda a, b: a + e * b, actor_critic.policy, direction))[0]  # noqa: E731, B023
            step = 1e-6
            numerical = (shifted(step) - shifted(-step)) / (2 * step)
            assert float(slope) == pytest.approx(float(numerical), rel=2e-4, abs=1e-9)
            assert abs(float(slope)) > 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm_setting", "human_setting"])
def test_imagined_steps_give_the_observations_and_rewards_of_the_task(
    name: str, request: pytest.FixtureRequest
) -> None:
    """After one step, the task's observation, reward and termination of the imagined state are the same."""
    setting: Setting = request.getfixturevalue(name)
    task, model, start = setting.task, setting.model, setting.start
    rollout = setting.rollout(2)
    physics, state = task.reset(setting.reference, start.clip, start.frame, jax.random.PRNGKey(0))
    obs = task.observe(setting.reference, physics, task.initial_sensors(setting.reference, state), state)
    policy_obs = jnp.concatenate([rollout.body_obs[0], rollout.goal_obs[0]], axis=-1)
    np.testing.assert_allclose(policy_obs, normalise(setting.actor_critic.normaliser, obs), atol=2e-3)
    excitation = task.excitation(apply_mlp(setting.actor_critic.policy, policy_obs))
    np.testing.assert_allclose(rollout.excitation[0], excitation, atol=1e-4)

    after = model.step(setting.dynamics, start.state, rollout.excitation[0])
    motion = model.coordinates.landmarks(after.q, after.velocity)
    sensors = task.initial_sensors(setting.reference, state)._replace(xpos=motion.xpos, linvel=motion.linvel)
    next_state = task.advance(state)._replace(excitation=rollout.excitation[0])
    step_result = task.evaluate_step(setting.reference, model.to_physics(after), sensors, next_state, state.excitation)
    np.testing.assert_allclose(rollout.reward[0], step_result.reward, atol=1e-4)
    np.testing.assert_array_equal(rollout.terminated[0], step_result.terminated)
    np.testing.assert_array_equal(rollout.truncated[0], step_result.truncated)
    obs = task.observe(setting.reference, model.to_physics(after), sensors, next_state)
    policy_obs = jnp.concatenate([rollout.body_obs[1], rollout.goal_obs[1]], axis=-1)
    np.testing.assert_allclose(policy_obs, normalise(setting.actor_critic.normaliser, obs), atol=2e-3)
    value_input = setting.imagination.value_input(rollout.body_obs[1], rollout.goal_obs[1])
    np.testing.assert_allclose(
        rollout.next_value[0], apply_mlp(setting.actor_critic.value, value_input)[:, 0], atol=1e-4
    )
    assert value_input.shape[1] == task.nobs - 2 * task.body.model.nu  # without activations and last excitations


def test_goals_are_the_end_of_an_observation(human: SimulationBody) -> None:
    names = list(observation.layout(human))
    goal_obs = [name for name in names if name.startswith("goal_")]
    assert names[-len(goal_obs) :] == goal_obs
    assert observation.goal_width(human) == 6 * (31 + 51 + 51 + 6)


def make_rollout(
    reward: np.ndarray, value: np.ndarray, terminated: np.ndarray, truncated: np.ndarray
) -> ImaginedRollout:
    empty = jnp.zeros((*reward.shape, 0))
    return ImaginedRollout(
        body_obs=empty, goal_obs=empty, excitation=empty, reward=jnp.asarray(reward), next_value=jnp.asarray(value),
        terminated=jnp.asarray(terminated), truncated=jnp.asarray(truncated), nonfinite=jnp.zeros(reward.shape, bool),
    )  # fmt: skip


def test_lambda_returns_match_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.uniform(size=(5, 3)), rng.uniform(size=(5, 3))
    terminated, truncated = np.zeros((5, 3), bool), np.zeros((5, 3), bool)
    terminated[2, 1], truncated[3, 2] = True, True
    rollout = make_rollout(reward, value, terminated, truncated)
    result = lambda_returns(rollout, gamma=0.9, lambda_=0.7)
    for world in range(3):
        next_return = value[4, world]
        for k in range(4, -1, -1):
            bootstrap = value[k, world] if truncated[k, world] else 0.3 * value[k, world] + 0.7 * next_return
            next_return = 0.1 * reward[k, world] + (0.0 if terminated[k, world] else 0.9 * bootstrap)
            assert float(result[k, world]) == pytest.approx(next_return, rel=1e-5)
    np.testing.assert_array_equal(alive_mask(rollout).T, [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])


def test_state_gradients_are_clipped_per_row_and_dropped_if_not_finite() -> None:
    state = ModelState(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones((3, 1)))
    slopes = jnp.array([0.1, 50.0, jnp.nan])

    def loss(state: ModelState, grad_counter: jax.Array) -> jax.Array:
        limited: ModelState = limit_gradient(state, grad_counter, 1.0)  # pyright: ignore[reportAssignmentType]
        return jnp.sum(slopes * (limited.q[:, 0] + limited.act[:, 0]))

    gradient, count = jax.grad(loss, argnums=(0, 1))(state, jnp.zeros(2))
    rows = np.concatenate(gradient, axis=1)
    np.testing.assert_allclose(rows[0], [0.1, 0, 0, 0, 0.1])
    assert np.linalg.norm(rows[1]) == pytest.approx(1.0)
    np.testing.assert_array_equal(rows[2], 0.0)
    np.testing.assert_array_equal(count, [1, 1])


def test_a_non_finite_state_ends_only_its_own_rollout(arm_setting: Setting) -> None:
    start = arm_setting.start
    diverging = start._replace(state=start.state._replace(velocity=start.state.velocity.at[1].set(jnp.inf)))
    rollout = arm_setting.rollout(3, start=diverging)
    assert bool(rollout.nonfinite[0, 1])
    assert bool(rollout.terminated[0, 1])
    unchanged = arm_setting.rollout(3)
    others = np.array([0, 2, 3])
    np.testing.assert_array_equal(rollout.reward[:, others], unchanged.reward[:, others])
    assert np.isfinite(rollout.reward).all()
