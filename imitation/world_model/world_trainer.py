"""World-model training iterations: collect a real rollout, fit the model, improve the policy in imagined rollouts."""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.errors import SettingsError
from musclemap.imitation.physics.engine import Engine, PhysicsState, SensorData
from musclemap.imitation.physics.split_engine import SplitEngine
from musclemap.imitation.ppo.networks import Params
from musclemap.imitation.ppo.normaliser import Normaliser
from musclemap.imitation.task.reference import Library, Reference, refuse_moving_base
from musclemap.imitation.task.sampler import make_sampler
from musclemap.imitation.task.task import Task, TaskState
from musclemap.imitation.task.worlds import ResetConfig, Worlds, delayed_excitation, init_worlds, post_step

from .episode_files import Episodes
from .recorded_steps import recorded_transitions
from .replay import ReplayBuffer, Transitions, make_replay_buffer, write_transitions
from .world_config import WorldModelConfig
from .world_learner import WorldLearnerState, WorldModelLearner
from .world_model import WorldModel

GOOD_TRACKING = 0.1
"""Landmark error below which a world's activations are stored for clips without activations [m]."""

NOISE_KEY = 1000
"""Index that derives the noise's random keys; those that `post_step` splits off have small indices and must differ."""

RECORDED_STEPS = 16384
"""Recorded steps that the model's normalisers are updated with at a time."""

WARMUP_STEPS = 20
"""Control steps of an episode before its activations are stored."""


class WorldTrainState(NamedTuple):
    """State that determines all further iterations.

    Attributes:
        learner: Networks, optimiser state and statistics.
        worlds: All worlds, with the sampler and the random state of their episodes.
        act: Activations at which episodes start, shape (nrow, nu); empty if every clip has activations.
        noise: Noise of the excitations, shape (nworld, nu).
        key: Random state of the updates.
        iterations: Number of completed iterations.
        replay: Replay buffer; None in checkpoints.
    """

    learner: WorldLearnerState
    worlds: Worlds
    act: Array
    noise: Array
    key: Array
    iterations: Array
    replay: ReplayBuffer | None


def check_supported(task: Task) -> None:
    """Reject tasks that a world model does not support.

    Raises:
        SettingsError: If the ground is not flat or excitations have latency.
    """
    if task.body.ground is not None or task.config.latency_steps:
        raise SettingsError("a world model supports only flat ground and no latency; use --algo ppo for other tasks")


class WorldTrainer:
    """Trains through a world model in the worlds of an engine.

    Args:
        engine: Physics.
        task: The task, for the engine's body.
        library: Clips to track.
        model: Model of the body's dynamics.
        config: Settings.
        episodes: Recorded episodes that fill the replay buffer, at the start and whenever it is cleared.

    Raises:
        SettingsError: If the task has terrain, latency or a moving base, which the model does not support, or if the
            worlds are spread over several GPUs.
        TrainingError: If the episodes have too few steps.
    """

    def __init__(
        self, engine: Engine, task: Task, library: Library, model: WorldModel, config: WorldModelConfig,
        episodes: Sequence[Episodes] = (),
    ) -> None:  # fmt: skip
        check_supported(task)
        refuse_moving_base(library, "a world model")
        if isinstance(engine, SplitEngine):
            raise SettingsError("a world model can be trained on one GPU only: set gpus = 1")
        self.engine, self.task, self.config = engine, task, config
        self.reference = library.reference
        self._learner = WorldModelLearner(task, model, config)
        self._model = model
        n = engine.nworld
        self._resets = ResetConfig(sweepers=math.floor(config.sweep_fraction * n), by_return=True)
        self._nheldout = (
            max(math.floor(config.validation_fraction * n), 1) if n > 1 and config.validation_fraction else 0
        )
        self._nrow = max(config.buffer_size // n // config.num_steps, 1) * config.num_steps
        self._min_filled = math.ceil(min(config.learning_starts, 0.5 * self._nrow * n) / n)
        self._recorded = (
            recorded_transitions(episodes, model, library, nworld=n, nrow=self._nrow, multiple=config.num_steps)
            if episodes
            else None
        )
        without_activation = jnp.asarray(~library.has_activation)
        self._without_activation: Array | None = without_activation if library.without_activation else None
        self._init_worlds = jax.jit(partial(init_worlds, task, nworld=n, resets=self._resets))
        self._act = jax.jit(self._sample_excitations)
        self._post_step = jax.jit(self._make_transition)
        self._store = jax.jit(self._store_rollout, donate_argnums=0)
        self._write = jax.jit(write_transitions, donate_argnums=0)
        self._fit_model = jax.jit(self._learner.fit_model, static_argnames=("window", "held_out"))
        self._evaluate_model = jax.jit(self._learner.evaluate_model, static_argnames="held_out")
        self._improve_policy = jax.jit(self._learner.improve_policy, static_argnames="nstep")

    @property
    def steps_per_iteration(self) -> int:
        """Control steps per iteration, summed over the worlds."""
        return self.config.num_steps * self.engine.nworld

    def steps_after(self, iterations: int) -> int:
        """Control steps of a number of iterations."""
        return iterations * self.steps_per_iteration

    def close(self) -> None:
        """Release what the trainer holds outside its state: nothing."""

    def init(self, seed: int) -> WorldTrainState:
        """Initialise policy and model, and all worlds at the start of their first episodes."""
        worlds_key, learner_key, update_key = jax.random.split(jax.random.PRNGKey(seed), 3)
        sampler = make_sampler(jax.device_get(self.reference.length), fps=self.task.body.control_fps)
        worlds = self._init_worlds(self.reference, sampler, worlds_key)
        learner = self._learner.init(learner_key)
        if self._recorded is not None:
            learner = self._normalise_recorded(learner, self._recorded)
        state = WorldTrainState(
            learner=learner,
            worlds=worlds,
            act=self.reference.act if self._without_activation is not None else self.reference.act[:0],
            noise=jnp.zeros_like(worlds.task.excitation),
            key=update_key,
            iterations=jnp.zeros((), jnp.int32),
            replay=None,
        )
        return self.from_checkpoint(jax.device_put(state, self.engine.device))

    def warm_start(self, state: WorldTrainState, learner: WorldLearnerState) -> WorldTrainState:
        """Replace the learner's state with that of another run, but reset its estimates of the model's accuracy."""
        initial = state.learner
        restarted = learner._replace(
            error=initial.error, horizon=initial.horizon, tracking=initial.tracking, actor_delay=self._actor_delay()
        )
        return state._replace(learner=restarted)

    def warm_start_policy(self, state: WorldTrainState, policy: Params, normaliser: Normaliser) -> WorldTrainState:
        """Begin at a policy that any algorithm trained."""
        learner = state.learner._replace(
            policy=policy, average=policy, normaliser=normaliser, actor_delay=self._actor_delay()
        )
        return state._replace(learner=jax.device_put(learner, self.engine.device))

    def learned_like(self, state: WorldTrainState) -> WorldLearnerState:
        """The part of a learner that `warm_start` takes over from another run, with the shapes of this run."""
        return state.learner._replace(actor_delay=None)

    def _normalise_recorded(self, learner: WorldLearnerState, steps: Transitions) -> WorldLearnerState:
        """Update the model's normalisers with recorded steps, in parts that fit into memory."""
        update = jax.jit(self._learner.update_model_normalisers)
        count = max(RECORDED_STEPS // self.engine.nworld, 1)
        for first in range(0, len(steps.clip), count):
            part = jax.tree.map(lambda array, first=first: array[first : first + count], steps)
            learner = update(learner, jax.device_put(part, self.engine.device))
        return learner

    def _actor_delay(self) -> Array:
        """Initial `actor_delay` of a run that begins at a policy."""
        return jax.device_put(jnp.asarray(self.config.start.critic_iterations, jnp.int32), self.engine.device)

    def to_checkpoint(self, state: WorldTrainState) -> WorldTrainState:
        """The part of the state that a checkpoint stores: all except the replay buffer."""
        return state._replace(replay=None)

    def from_checkpoint(self, state: WorldTrainState) -> WorldTrainState:
        """Complete a state read from a checkpoint with a replay buffer of the recorded episodes; iterations fill it."""
        worlds = state.worlds
        _, ctrl, _ = self._act(state.learner, worlds, state.noise)
        transition = _transition_of(self._model, worlds, ctrl, worlds.physics, worlds.sensors, worlds)
        like = jax.tree.map(lambda array: jnp.broadcast_to(array[None], (1, *array.shape)), transition)
        replay = jax.device_put(make_replay_buffer(like, self._nrow), self.engine.device)
        if self._recorded is not None:
            replay = self._write(replay, jax.device_put(self._recorded, self.engine.device))
        return state._replace(replay=replay)

    def resets_replay(self, state: WorldTrainState) -> bool:
        """Whether to clear the replay buffer now, as a restart from a checkpoint would."""
        interval, steps = self.config.buffer_reset_interval, int(state.iterations) * self.steps_per_iteration
        return bool(interval) and steps // interval > (steps - self.steps_per_iteration) // interval

    def policy(self, state: WorldTrainState) -> tuple[Params, Normaliser]:
        """Network and normaliser of the policy that acts."""
        return state.learner.average, state.learner.normaliser

    def iterate(self, state: WorldTrainState) -> tuple[WorldTrainState, dict[str, Array]]:
        """Collect a rollout; learn from it and from the replay buffer.

        Returns:
            The new state, and metrics of the update, which stay on the device.
        """
        state, metrics = self.collect(state)
        assert state.replay is not None
        learner, replay = state.learner, state.replay
        if int(replay.filled) >= self._min_filled:
            key, *keys = jax.random.split(state.key, 4)
            horizon = self.config.horizons[int(learner.horizon)]
            window = self.config.dynamics.sequence_length * (2 if horizon > self.config.horizons[0] else 1)
            learner, model_metrics = self._fit_model(learner, replay, keys[0], window=window, held_out=self._nheldout)
            learner, evaluation = self._evaluate_model(learner, replay, keys[1], held_out=self._nheldout)
            metrics = {**metrics, **model_metrics, **evaluation}
            if learner.actor_delay is not None or self._has_explored(state):
                learner, policy_metrics = self._improve_policy(
                    learner, self._reference(state), replay, keys[2], nstep=horizon
                )
                metrics |= policy_metrics
            state = state._replace(learner=learner, key=key)
        return state._replace(iterations=state.iterations + 1), metrics

    def _has_explored(self, state: WorldTrainState) -> bool:
        """Whether enough steps were collected to normalise observations, of which recorded episodes have none."""
        return (int(state.iterations) + 1) * self.config.num_steps >= self._min_filled

    def collect(self, state: WorldTrainState) -> tuple[WorldTrainState, dict[str, Array]]:
        """Collect a rollout, store it in the replay buffer, and update the normalisers.

        Returns:
            The new state, and metrics, which stay on the device.
        """
        assert state.replay is not None
        reference, worlds, noise, act = self._reference(state), state.worlds, state.noise, state.act
        transitions = []
        for _ in range(self.config.num_steps):
            noise, ctrl, action = self._act(state.learner, worlds, noise)
            physics, sensors = self.engine.step(worlds.physics, ctrl)
            worlds, act, transition = self._post_step(reference, worlds, act, action, ctrl, physics, sensors)
            transitions.append(transition)
        replay, learner, metrics = self._store(state.replay, state.learner, transitions)
        return state._replace(learner=learner, worlds=worlds, act=act, noise=noise, replay=replay), metrics

    def _reference(self, state: WorldTrainState) -> Reference:
        """The clips, with the activations at which episodes currently start."""
        return self.reference if self._without_activation is None else self.reference._replace(act=state.act)

    def _sample_excitations(
        self, learner: WorldLearnerState, worlds: Worlds, noise: Array
    ) -> tuple[Array, Array, Array]:
        """Noise of this step, excitations that reach the muscles, and the actions that request them."""
        config = self.config
        key = jax.random.fold_in(worlds.key, NOISE_KEY)
        step_noise = jax.random.normal(key, noise.shape) * config.exploration_noise
        noise = config.noise_correlation * noise + math.sqrt(1.0 - config.noise_correlation**2) * step_noise
        is_noisy = jnp.arange(len(noise)) >= self._resets.sweepers
        excitation = self._learner.act(learner, worlds.obs) + jnp.where(is_noisy[:, None], noise, 0.0)
        action = self.task.action(excitation)
        return noise, delayed_excitation(self.task, worlds, action), action

    def _make_transition(
        self, reference: Reference, worlds: Worlds, act: Array, action: Array, ctrl: Array, physics: PhysicsState,
        sensors: SensorData,
    ) -> tuple[Worlds, Array, tuple[Transitions, Array, Array]]:  # fmt: skip
        next_worlds, result, _ = post_step(
            self.task, reference, worlds, action, physics, sensors, self._resets
        )  # fmt: skip
        transition = _transition_of(self._model, worlds, ctrl, physics, sensors, next_worlds)._replace(
            terminated=result.terminated
        )
        if self._without_activation is not None:
            frame = worlds.task.frame + 1
            is_tracking = (result.landmark_error < GOOD_TRACKING) & ~result.terminated
            is_tracking &= frame - worlds.task.start_frame >= WARMUP_STEPS
            row = reference.start[worlds.task.clip] + frame
            row = jnp.where(is_tracking & self._without_activation[worlds.task.clip], row, len(act))
            act = act.at[row].set(physics.act, mode="drop")
        return next_worlds, act, (transition, worlds.obs, result.reward)

    def _store_rollout(
        self, replay: ReplayBuffer, learner: WorldLearnerState, transitions: list[tuple[Transitions, Array, Array]]
    ) -> tuple[ReplayBuffer, WorldLearnerState, dict[str, Any]]:
        steps, obs, reward = jax.tree.map(lambda *parts: jnp.stack(parts), *transitions)
        sweepers = self._resets.sweepers
        sweep_reward = jnp.mean(reward[:, :sweepers]) if sweepers else jnp.mean(reward)
        learner = self._learner.update_normalisers(learner, obs, steps, sweep_reward)
        return write_transitions(replay, steps), learner, {"sweep_reward": sweep_reward}


def _transition_of(
    model: WorldModel, worlds: Worlds, ctrl: Array, physics: PhysicsState, sensors: SensorData, next_worlds: Worlds
) -> Transitions:  # fmt: skip
    """Transition of a step; `terminated` only covers bad physics and must be completed."""
    state, next_state = model.from_physics(worlds.physics), model.from_physics(physics)
    equal = lambda a, b: jnp.all(a == b, axis=1)  # noqa: E731
    task: TaskState = worlds.task
    return Transitions(
        q=state.q, velocity=state.velocity, act=state.act, prev_excitation=task.excitation, ctrl=ctrl,
        next_q=next_state.q, next_velocity=next_state.velocity, clip=task.clip, frame=task.frame,
        contiguous=equal(next_worlds.physics.qpos, physics.qpos) & equal(next_worlds.physics.qvel, physics.qvel),
        terminated=sensors.bad, valid=~sensors.bad,
    )  # fmt: skip
