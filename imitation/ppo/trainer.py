"""PPO training iterations: collect a rollout, then update. The complete state is one tree of arrays."""

from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.imitation.physics.engine import Engine, PhysicsState, SensorData
from musclemap.imitation.physics.split_engine import SplitEngine
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.sampler import make_sampler
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.worlds import Worlds, delayed_excitation, init_worlds, post_step

from .networks import Params
from .normaliser import Normaliser
from .ppo import PPO, LearnerState, Rollout


class TrainState(NamedTuple):
    """State that determines all further iterations. A run resumed from it continues exactly.

    Attributes:
        learner: Networks, optimiser state and normaliser.
        worlds: All worlds, with the sampler and the random state of their episodes.
        key: Random state of the updates.
        iterations: Number of completed iterations.
    """

    learner: LearnerState
    worlds: Worlds
    key: Array
    iterations: Array


@dataclass(frozen=True)
class _PolicyOutput:
    """Output of the policy and the value function in one step."""

    action: Array
    log_prob: Array
    value: Array


jax.tree_util.register_dataclass(_PolicyOutput, data_fields=["action", "log_prob", "value"], meta_fields=[])


class Trainer:
    """Trains by PPO in the worlds of an engine.

    Args:
        engine: Physics.
        task: The task, for the engine's body.
        reference: Frames to track.
        ppo: The algorithm.
    """

    def __init__(self, engine: Engine, task: Task, reference: Reference, ppo: PPO) -> None:
        self.engine, self.task, self.ppo = engine, task, ppo
        self.reference = engine.replicate(reference) if isinstance(engine, SplitEngine) else reference
        self._init_worlds = jax.jit(partial(init_worlds, task, nworld=engine.nworld))
        self._act = jax.jit(self._sample_actions)
        self._base = jax.jit(task.base)
        self._post_step = jax.jit(self._make_transition)
        self._update = jax.jit(self._update_from_rollout)

    @property
    def steps_per_iteration(self) -> int:
        """Control steps per iteration, summed over the worlds."""
        return self.ppo.config.num_steps * self.engine.nworld

    def steps_after(self, iterations: int) -> int:
        """Control steps of a number of iterations."""
        return iterations * self.steps_per_iteration

    def close(self) -> None:
        """Release what the trainer holds outside its state: nothing."""

    def init(self, seed: int) -> TrainState:
        """Initialise the policy, and all worlds at the start of their first episodes."""
        worlds_key, learner_key, update_key = jax.random.split(jax.random.PRNGKey(seed), 3)
        length = jax.device_get(self.reference.length)
        sampler = make_sampler(length, fps=self.task.body.control_fps)
        worlds = self._init_worlds(self.reference, sampler, worlds_key)
        state = TrainState(self.ppo.init(learner_key), worlds, update_key, jnp.zeros((), jnp.int32))
        if isinstance(self.engine, SplitEngine):
            return self.engine.replicate(state)._replace(worlds=self.engine.shard(worlds))
        return jax.device_put(state, self.engine.device)

    def warm_start(self, state: TrainState, learner: LearnerState) -> TrainState:
        """Begin at the actor and the critic of another run."""
        params = learner.params
        return self.warm_start_policy(
            state, params["policy"], learner.normaliser, log_std=params["log_std"], value=params["value"]
        )

    def warm_start_policy(
        self, state: TrainState, policy: Params, normaliser: Normaliser, *, log_std: Array | None = None,
        value: Params | None = None,
    ) -> TrainState:  # fmt: skip
        """Begin at a policy that any algorithm trained; see `PPO.begin_at`."""
        learner = self.ppo.begin_at(state.learner, policy, normaliser, log_std=log_std, value=value)
        if isinstance(self.engine, SplitEngine):
            return state._replace(learner=self.engine.replicate(learner))
        return state._replace(learner=jax.device_put(learner, self.engine.device))

    def learned_like(self, state: TrainState) -> LearnerState:
        """The part of a learner that `warm_start` takes over from another run, with the shapes of this run."""
        return state.learner._replace(optimizer=None, start=None)

    def to_checkpoint(self, state: TrainState) -> TrainState:
        """The part of the state that a checkpoint stores: all of it."""
        return state

    def from_checkpoint(self, state: TrainState) -> TrainState:
        """Complete a state read from a checkpoint; there is nothing to add."""
        return state

    def resets_replay(self, state: TrainState) -> bool:
        """Whether to clear the replay buffer, as a restart from a checkpoint would: never, as PPO has none."""
        return False

    def policy(self, state: TrainState) -> tuple[Params, Normaliser]:
        """Network and normaliser of the policy."""
        return state.learner.params["policy"], state.learner.normaliser

    def iterate(self, state: TrainState) -> tuple[TrainState, dict[str, Array]]:
        """Collect a rollout and learn from it.

        Returns:
            The new state, and metrics of the update, which stay on the device.
        """
        worlds, transitions = state.worlds, []
        for _ in range(self.ppo.config.num_steps):
            output, ctrl, worlds = self._act(state.learner, worlds)
            base = self._base(self.reference, worlds.task)
            physics, sensors = self.engine.step(worlds.physics, ctrl, base)
            worlds, transition = self._post_step(self.reference, state.learner, worlds, output, physics, sensors)
            transitions.append(transition)
        learner, key, metrics = self._update(state.learner, transitions, state.key)
        return TrainState(learner, worlds, key, state.iterations + 1), metrics

    def _sample_actions(self, learner: LearnerState, worlds: Worlds) -> tuple[_PolicyOutput, Array, Worlds]:
        key, step_key = jax.random.split(worlds.key)
        action, log_prob, value = self.ppo.act(learner, worlds.obs, step_key)
        ctrl = delayed_excitation(self.task, worlds, action)
        return _PolicyOutput(action, log_prob, value), ctrl, worlds._replace(key=key)

    def _make_transition(
        self, reference: Reference, learner: LearnerState, worlds: Worlds, output: _PolicyOutput, physics: PhysicsState,
        sensors: SensorData,
    ) -> tuple[Worlds, Rollout]:  # fmt: skip
        next_worlds, result, last_obs = post_step(self.task, reference, worlds, output.action, physics, sensors)
        return next_worlds, Rollout(
            obs=worlds.obs,
            action=output.action,
            log_prob=output.log_prob,
            value=output.value,
            next_value=self.ppo.value(learner, last_obs),
            reward=result.reward,
            terminated=result.terminated.astype(jnp.float32),
            done=(result.terminated | result.truncated).astype(jnp.float32),
        )

    def _update_from_rollout(
        self, learner: LearnerState, transitions: list[Rollout], key: Array
    ) -> tuple[LearnerState, Array, dict[str, Any]]:
        key, step_key = jax.random.split(key)
        rollout = jax.tree.map(lambda *parts: jnp.stack(parts), *transitions)
        learner, metrics = self.ppo.update(learner, rollout, step_key)
        return learner, key, metrics
