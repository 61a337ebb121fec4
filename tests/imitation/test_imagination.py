"""Imagined rollouts: their derivative is right, they agree with the real task, and their returns with a plain loop."""

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
from musclemap.imitation.world_model.imagination import (
    ActorCritic,
    Imagination,
    Rollout,
    alive,
    limit_gradient,
    returns,
)
from musclemap.imitation.world_model.replay import Start
from musclemap.imitation.world_model.tendons import TendonConfig, Tendons, fit_tendons
from musclemap.imitation.world_model.world_model import Dynamics, ModelConfig, ModelState, WorldModel

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
            value=make_mlp(keys[1], (self.imagination.nvalue, 16, 1)),
            normaliser=Normaliser(
                jnp.asarray(rng.normal(0, 0.1, nobs), jnp.float32), jnp.full(nobs, 0.7), jnp.ones(())
            ),
        )
        known = self.model.begin(keys[2])
        params = {**known.params, "w2": 30.0 * known.params["w2"]}
        self.dynamics = Dynamics(params, known.inputs, known.change._replace(var=jnp.full_like(known.change.var, 0.05)))
        rows = self.reference.rows(jnp.zeros(len(frames), jnp.int32), jnp.array(frames))
        q, velocity = self.model.coordinates.take(rows.qpos, rows.qvel)
        self.start = Start(
            ModelState(q, velocity, rows.act), rows.act, jnp.zeros(len(frames), jnp.int32), jnp.array(frames)
        )

    def rollout(self, nstep: int, **changed: object) -> Rollout:
        given = {name: getattr(self, name) for name in ("actor_critic", "dynamics", "reference", "start")}
        return self.imagination.rollout(**{**given, **changed}, bound=jnp.zeros(2), nstep=nstep, most=1e9)  # pyright: ignore[reportArgumentType]


@pytest.fixture(scope="module")
def arm_setting(arm: SimulationBody) -> Setting:
    return Setting(arm, arm_clips(1, 1.0)[0][1], fit_tendons(arm, ROUGH), [0, 10, 40, 97])


@pytest.fixture(scope="module")
def human_setting(human: SimulationBody, walk_clip: Clip) -> Setting:
    return Setting(human, walk_clip, fit_tendons(human, ROUGH), [20, 200])


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm_setting", "human_setting"])
def test_the_gradient_of_the_imagined_return_is_right(name: str, request: pytest.FixtureRequest) -> None:
    """Against finite differences, in float64, through muscles, tendons, kinematics, reward and value."""
    setting: Setting = request.getfixturevalue(name)
    with jax.enable_x64(True):
        wide = lambda tree: jax.tree.map(  # noqa: E731
            lambda a: jnp.asarray(np.asarray(a), jnp.float64) if jnp.issubdtype(a.dtype, jnp.floating) else a, tree
        )
        actor_critic, dynamics, reference, start = map(
            wide, (setting.actor_critic, setting.dynamics, setting.reference, setting.start)
        )

        @jax.jit
        def gain(policy: dict[str, jax.Array]) -> jax.Array:
            rollout = setting.imagination.rollout(
                actor_critic._replace(policy=policy), dynamics, reference, start, jnp.zeros(2), nstep=6, most=1e9
            )
            return jnp.mean(returns(rollout, discount=0.9, trace=0.8)[0])

        gradient = jax.jit(jax.grad(gain))(actor_critic.policy)
        assert gradient["w0"].dtype == jnp.float64
        rng = np.random.default_rng(1)
        for _ in range(4):
            way = jax.tree.map(lambda a: jnp.asarray(rng.standard_normal(a.shape)), actor_critic.policy)
            slope = sum(jnp.sum(a * b) for a, b in zip(jax.tree.leaves(gradient), jax.tree.leaves(way), strict=True))
            moved = lambda e: gain(jax.tree.map(lambda a, b: a + e * b, actor_critic.policy, way))  # noqa: E731, B023
            step = 1e-6
            measured = (moved(step) - moved(-step)) / (2 * step)
            assert float(slope) == pytest.approx(float(measured), rel=2e-4, abs=1e-9)
            assert abs(float(slope)) > 1e-7


@pytest.mark.slow
@pytest.mark.parametrize("name", ["arm_setting", "human_setting"])
def test_what_is_imagined_is_seen_and_judged_as_real(name: str, request: pytest.FixtureRequest) -> None:
    """One step, then the task's own observation, reward and limits of the state that was imagined."""
    setting: Setting = request.getfixturevalue(name)
    task, model, start = setting.task, setting.model, setting.start
    rollout = setting.rollout(2)
    physics, state = task.begin(setting.reference, start.clip, start.frame, jax.random.PRNGKey(0))
    obs = task.observe(setting.reference, physics, task.first_reading(setting.reference, state), state)
    seen = jnp.concatenate([rollout.seen[0], rollout.goals[0]], axis=-1)
    np.testing.assert_allclose(seen, normalise(setting.actor_critic.normaliser, obs), atol=2e-3)
    excitation = task.excitation(apply_mlp(setting.actor_critic.policy, seen))
    np.testing.assert_allclose(rollout.excitation[0], excitation, atol=1e-4)

    after = model.step(setting.dynamics, start.state, rollout.excitation[0])
    moving = model.coordinates.landmarks(after.q, after.velocity)
    reading = task.first_reading(setting.reference, state)._replace(xpos=moving.xpos, linvel=moving.linvel)
    later = task.advance(state)._replace(excitation=rollout.excitation[0])
    outcome = task.judge(setting.reference, model.to_physics(after), reading, later, state.excitation)
    np.testing.assert_allclose(rollout.reward[0], outcome.reward, atol=1e-4)
    np.testing.assert_array_equal(rollout.failed[0], outcome.failed)
    np.testing.assert_array_equal(rollout.over[0], outcome.cut)
    obs = task.observe(setting.reference, model.to_physics(after), reading, later)
    seen = jnp.concatenate([rollout.seen[1], rollout.goals[1]], axis=-1)
    np.testing.assert_allclose(seen, normalise(setting.actor_critic.normaliser, obs), atol=2e-3)
    judged = setting.imagination.judged(rollout.seen[1], rollout.goals[1])
    np.testing.assert_allclose(rollout.next_value[0], apply_mlp(setting.actor_critic.value, judged)[:, 0], atol=1e-4)
    assert judged.shape[1] == task.nobs - 2 * task.body.model.nu  # all but activations and last excitations


def test_goals_are_the_end_of_an_observation(human: SimulationBody) -> None:
    names = list(observation.layout(human))
    goals = [name for name in names if name.startswith("goal_")]
    assert names[-len(goals) :] == goals
    assert observation.goal_width(human) == 6 * (31 + 51 + 51 + 6)


def made(reward: np.ndarray, value: np.ndarray, failed: np.ndarray, over: np.ndarray) -> Rollout:
    empty = jnp.zeros((*reward.shape, 0))
    return Rollout(
        seen=empty, goals=empty, excitation=empty, reward=jnp.asarray(reward), next_value=jnp.asarray(value),
        failed=jnp.asarray(failed), over=jnp.asarray(over), broken=jnp.zeros(reward.shape, bool),
    )  # fmt: skip


def test_returns_against_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    reward, value = rng.uniform(size=(5, 3)), rng.uniform(size=(5, 3))
    failed, over = np.zeros((5, 3), bool), np.zeros((5, 3), bool)
    failed[2, 1], over[3, 2] = True, True
    rollout = made(reward, value, failed, over)
    result = returns(rollout, discount=0.9, trace=0.7)
    for world in range(3):
        later = value[4, world]
        for k in range(4, -1, -1):
            ahead = value[k, world] if over[k, world] else 0.3 * value[k, world] + 0.7 * later
            later = 0.1 * reward[k, world] + (0.0 if failed[k, world] else 0.9 * ahead)
            assert float(result[k, world]) == pytest.approx(later, rel=1e-5)
    np.testing.assert_array_equal(alive(rollout).T, [[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [1, 1, 1, 1, 0]])


def test_derivatives_of_states_are_shortened_row_by_row_and_dropped_where_not_finite() -> None:
    state = ModelState(jnp.ones((3, 2)), jnp.ones((3, 2)), jnp.ones((3, 1)))
    slopes = jnp.array([0.1, 50.0, jnp.nan])

    def loss(state: ModelState, bound: jax.Array) -> jax.Array:
        kept: ModelState = limit_gradient(state, bound, 1.0)  # pyright: ignore[reportAssignmentType]
        return jnp.sum(slopes * (kept.q[:, 0] + kept.act[:, 0]))

    gradient, count = jax.grad(loss, argnums=(0, 1))(state, jnp.zeros(2))
    rows = np.concatenate(gradient, axis=1)
    np.testing.assert_allclose(rows[0], [0.1, 0, 0, 0, 0.1])
    assert np.linalg.norm(rows[1]) == pytest.approx(1.0)
    np.testing.assert_array_equal(rows[2], 0.0)
    np.testing.assert_array_equal(count, [1, 1])


def test_a_state_that_is_not_finite_ends_its_rollout_alone(arm_setting: Setting) -> None:
    start = arm_setting.start
    wild = start._replace(state=start.state._replace(velocity=start.state.velocity.at[1].set(jnp.inf)))
    rollout = arm_setting.rollout(3, start=wild)
    assert bool(rollout.broken[0, 1])
    assert bool(rollout.failed[0, 1])
    usual = arm_setting.rollout(3)
    others = np.array([0, 2, 3])
    np.testing.assert_array_equal(rollout.reward[:, others], usual.reward[:, others])
    assert np.isfinite(rollout.reward).all()
