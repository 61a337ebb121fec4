"""Rollouts and updates in turn: one iteration of learning, its whole state in one tree of arrays."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.imitation.physics.engine import Engine, PhysicsState, SensorData
from musclemap.imitation.physics.split_engine import SplitEngine
from musclemap.imitation.task import worlds as living
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.sampler import make_sampler
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.worlds import Worlds

from .networks import Params
from .normaliser import Normaliser
from .ppo import PPO, Learner, Rollout


class TrainState(NamedTuple):
    """All that the next iteration depends on; saved whole, it goes on as if never stopped.

    Attributes:
        learner: What was learned.
        worlds: All worlds, the sampler and the random state of their episodes.
        key: Random state of the updates.
        iterations: Iterations made.
    """

    learner: Learner
    worlds: Worlds
    key: Array
    iterations: Array


@dataclass(frozen=True)
class _Choice:
    """What a policy wants in one step."""

    action: Array
    log_prob: Array
    value: Array


jax.tree_util.register_dataclass(_Choice, data_fields=["action", "log_prob", "value"], meta_fields=[])


class Trainer:
    """Learns by PPO in the worlds of an engine.

    Args:
        engine: Physics.
        task: What is to be done; of the engine's body.
        reference: Frames to track.
        ppo: How to learn.
    """

    def __init__(self, engine: Engine, task: Task, reference: Reference, ppo: PPO) -> None:
        self.engine, self.task, self.ppo = engine, task, ppo
        self.reference = engine.copied(reference) if isinstance(engine, SplitEngine) else reference
        self._begin = jax.jit(partial(living.begin, task, nworld=engine.nworld))
        self._choose = jax.jit(self._chosen)
        self._settle = jax.jit(self._settled)
        self._learn = jax.jit(self._learned)

    @property
    def steps_per_iteration(self) -> int:
        """Control steps of all worlds in one iteration."""
        return self.ppo.config.num_steps * self.engine.nworld

    def begin(self, seed: int) -> TrainState:
        """A policy that knows nothing, in worlds at the start of their first episodes."""
        first, second, third = jax.random.split(jax.random.PRNGKey(seed), 3)
        length = jax.device_get(self.reference.length)
        sampler = make_sampler(length, fps=self.task.body.control_fps)
        worlds = self._begin(self.reference, sampler, first)
        state = TrainState(self.ppo.begin(second), worlds, third, jnp.zeros((), jnp.int32))
        if isinstance(self.engine, SplitEngine):
            return self.engine.copied(state)._replace(worlds=self.engine.cut(worlds))
        return jax.device_put(state, self.engine.device)

    def begin_with(self, state: TrainState, learner: Learner) -> TrainState:
        """A state that begins with what another run has learned."""
        return state._replace(learner=learner)

    def saved(self, state: TrainState) -> TrainState:
        """What a checkpoint holds: all of it."""
        return state

    def resumed(self, state: TrainState) -> TrainState:
        """A state to go on with from a checkpoint."""
        return state

    def forgets(self, state: TrainState) -> bool:
        """Whether the run shall go on as if taken up from a checkpoint: never, as all is in it."""
        return False

    def policy(self, state: TrainState) -> tuple[Params, Normaliser]:
        """Network and normaliser of the policy."""
        return state.learner.params["policy"], state.learner.normaliser

    def iterate(self, state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        """Collect a rollout and learn from it.

        Returns:
            The state after it, and figures of the update, still on the device.
        """
        worlds, rows = state.worlds, []
        for _ in range(self.ppo.config.num_steps):
            choice, ctrl, worlds = self._choose(state.learner, worlds)
            physics, reading = self.engine.step(worlds.physics, ctrl)
            worlds, row = self._settle(self.reference, state.learner, worlds, choice, physics, reading)
            rows.append(row)
        learner, key, figures = self._learn(state.learner, rows, state.key)
        return TrainState(learner, worlds, key, state.iterations + 1), figures

    def _chosen(self, learner: Learner, worlds: Worlds) -> tuple[_Choice, Array, Worlds]:
        key, own = jax.random.split(worlds.key)
        action, log_prob, value = self.ppo.act(learner, worlds.obs, own)
        return _Choice(action, log_prob, value), living.command(self.task, worlds, action), worlds._replace(key=key)

    def _settled(
        self, reference: Reference, learner: Learner, worlds: Worlds, choice: _Choice, physics: PhysicsState,
        reading: SensorData,
    ) -> tuple[Worlds, Rollout]:  # fmt: skip
        after, outcome, last_obs = living.post_step(self.task, reference, worlds, choice.action, physics, reading)
        return after, Rollout(
            obs=worlds.obs,
            action=choice.action,
            log_prob=choice.log_prob,
            value=choice.value,
            next_value=self.ppo.value(learner, last_obs),
            reward=outcome.reward,
            failed=outcome.failed.astype(jnp.float32),
            ended=(outcome.failed | outcome.cut).astype(jnp.float32),
        )

    def _learned(self, learner: Learner, rows: list[Rollout], key: Array) -> tuple[Learner, Array, dict[str, Any]]:
        key, own = jax.random.split(key)
        rollout = jax.tree.map(lambda *parts: jnp.stack(parts), *rows)
        learner, figures = self.ppo.update(learner, rollout, own)
        return learner, key, figures
