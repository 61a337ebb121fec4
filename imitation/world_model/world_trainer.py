"""Real rollouts and imagined ones in turn: one iteration of learning through a model of the body's dynamics."""

import math
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
from musclemap.imitation.task import worlds as living
from musclemap.imitation.task.reference import Library, Reference
from musclemap.imitation.task.sampler import make_sampler
from musclemap.imitation.task.task import Task, TaskState
from musclemap.imitation.task.worlds import ResetConfig, Worlds

from .replay import Replay, Steps, make_replay, write
from .world_config import WorldModelConfig
from .world_learner import WorldLearner, WorldLearning
from .world_model import WorldModel

TRACKED = 0.1
"""Landmark error below which a world's activations are kept for clips that have none of their own [m]."""

NOISE = 1000
"""Number of the noise's random keys; those that `post_step` splits off are small numbers and must not be used twice."""

SETTLED = 20
"""Control steps after its beginning from which they are."""


class WorldTrainState(NamedTuple):
    """All that the next iteration depends on.

    Attributes:
        learner: What was learned.
        worlds: All worlds, the sampler and the random state of their episodes.
        act: Activations that episodes begin with, shape (nrow, nu); the reference's own where all clips have some.
        noise: Of the excitations, shape (nworld, nu).
        key: Random state of the updates.
        iterations: Iterations made.
        replay: What worlds went through lately, or None where it is not kept, on disk.
    """

    learner: WorldLearner
    worlds: Worlds
    act: Array
    noise: Array
    key: Array
    iterations: Array
    replay: Replay | None


def check_known(task: Task) -> None:
    """Refuse what a world model does not know.

    Raises:
        SettingsError: The ground is not flat, or excitations come late.
    """
    if task.body.ground is not None or task.config.latency_steps:
        raise SettingsError("a world model knows flat ground and no latency; use --algo ppo for the others")


class WorldTrainer:
    """Learns through a world model in the worlds of an engine.

    Args:
        engine: Physics.
        task: What is to be done; of the engine's body.
        library: Clips to track.
        model: Of the body's dynamics.
        config: How to learn.

    Raises:
        SettingsError: The model does not know what the task asks for, ground that is not flat or latency; or worlds
            are spread over several GPUs.
    """

    def __init__(
        self, engine: Engine, task: Task, library: Library, model: WorldModel, config: WorldModelConfig
    ) -> None:
        check_known(task)
        if isinstance(engine, SplitEngine):
            raise SettingsError("a world model is learned on one GPU: set gpus = 1")
        self.engine, self.task, self.config = engine, task, config
        self.reference = library.reference
        self._learning = WorldLearning(task, model, config)
        self._model = model
        n = engine.nworld
        self._beginnings = ResetConfig(sweepers=math.floor(config.sweep_fraction * n), by_return=True)
        self._held = max(math.floor(config.validation_fraction * n), 1) if n > 1 and config.validation_fraction else 0
        self._nrow = max(config.buffer_size // n // config.num_steps, 1) * config.num_steps
        self._least = math.ceil(min(config.learning_starts, 0.5 * self._nrow * n) / n)
        bare = jnp.asarray(~library.has_activation)
        self._bare: Array | None = bare if library.without_activation else None
        begin = partial(living.begin, task, nworld=n, beginnings=self._beginnings)
        self._begin = jax.jit(begin)
        self._choose = jax.jit(self._chosen)
        self._settle = jax.jit(self._settled)
        self._keep = jax.jit(self._kept, donate_argnums=0)
        self._fit = jax.jit(self._learning.fit, static_argnames=("window", "held"))
        self._judge = jax.jit(self._learning.judge, static_argnames="held")
        self._improve = jax.jit(self._learning.improve, static_argnames="nstep")

    @property
    def steps_per_iteration(self) -> int:
        """Control steps of all worlds in one iteration."""
        return self.config.num_steps * self.engine.nworld

    def begin(self, seed: int) -> WorldTrainState:
        """A policy and a model that know nothing, in worlds at the start of their first episodes."""
        first, second, third = jax.random.split(jax.random.PRNGKey(seed), 3)
        sampler = make_sampler(jax.device_get(self.reference.length), fps=self.task.body.control_fps)
        worlds = self._begin(self.reference, sampler, first)
        state = WorldTrainState(
            learner=self._learning.begin(second),
            worlds=worlds,
            act=self.reference.act if self._bare is not None else self.reference.act[:0],
            noise=jnp.zeros_like(worlds.task.excitation),
            key=third,
            iterations=jnp.zeros((), jnp.int32),
            replay=None,
        )
        return self.resumed(jax.device_put(state, self.engine.device))

    def begin_with(self, state: WorldTrainState, learner: WorldLearner) -> WorldTrainState:
        """A state that begins with what another run has learned; how far the model can be trusted is found out anew."""
        fresh = state.learner
        known = learner._replace(error=fresh.error, horizon=fresh.horizon, tracking=fresh.tracking)
        return state._replace(learner=known)

    def saved(self, state: WorldTrainState) -> WorldTrainState:
        """What a checkpoint holds: all but what worlds went through."""
        return state._replace(replay=None)

    def resumed(self, state: WorldTrainState) -> WorldTrainState:
        """A state to go on with from a checkpoint: nothing is remembered, and iterations collect until enough is."""
        worlds = state.worlds
        _, ctrl, _ = self._choose(state.learner, worlds, state.noise)
        row = _row(self._model, worlds, ctrl, worlds.physics, worlds.reading, worlds)
        like = jax.tree.map(lambda array: jnp.broadcast_to(array[None], (1, *array.shape)), row)
        return state._replace(replay=jax.device_put(make_replay(like, self._nrow), self.engine.device))

    def forgets(self, state: WorldTrainState) -> bool:
        """Whether the run shall go on as if it had been taken up from a checkpoint."""
        every, steps = self.config.buffer_reset_interval, int(state.iterations) * self.steps_per_iteration
        return bool(every) and steps // every > (steps - self.steps_per_iteration) // every

    def policy(self, state: WorldTrainState) -> tuple[Params, Normaliser]:
        """Network and normaliser of the policy that acts."""
        return state.learner.average, state.learner.normaliser

    def iterate(self, state: WorldTrainState) -> tuple[WorldTrainState, dict[str, Array]]:
        """Collect a rollout and learn from it and from what is remembered.

        Returns:
            The state after it, and figures of the update, still on the device.
        """
        state, figures = self.collect(state)
        assert state.replay is not None
        learner, replay = state.learner, state.replay
        if int(replay.filled) >= self._least:
            key, *keys = jax.random.split(state.key, 4)
            horizon = self.config.horizons[int(learner.horizon)]
            window = self.config.dynamics.sequence_length * (2 if horizon > self.config.horizons[0] else 1)
            learner, fitted = self._fit(learner, replay, keys[0], window=window, held=self._held)
            learner, judged = self._judge(learner, replay, keys[1], held=self._held)
            learner, improved = self._improve(learner, self._reference(state), replay, keys[2], nstep=horizon)
            state = state._replace(learner=learner, key=key)
            figures = {**figures, **fitted, **judged, **improved}
        return state._replace(iterations=state.iterations + 1), figures

    def collect(self, state: WorldTrainState) -> tuple[WorldTrainState, dict[str, Array]]:
        """Let all worlds go on for a rollout, which is remembered and seen by the normalisers.

        Returns:
            The state after it, and figures, still on the device.
        """
        assert state.replay is not None
        reference, worlds, noise, act = self._reference(state), state.worlds, state.noise, state.act
        rows = []
        for _ in range(self.config.num_steps):
            noise, ctrl, action = self._choose(state.learner, worlds, noise)
            physics, reading = self.engine.step(worlds.physics, ctrl)
            worlds, act, row = self._settle(reference, worlds, act, action, ctrl, physics, reading)
            rows.append(row)
        replay, learner, figures = self._keep(state.replay, state.learner, rows)
        return state._replace(learner=learner, worlds=worlds, act=act, noise=noise, replay=replay), figures

    def _reference(self, state: WorldTrainState) -> Reference:
        """The clips, with the activations that episodes begin with by now."""
        return self.reference if self._bare is None else self.reference._replace(act=state.act)

    def _chosen(self, learner: WorldLearner, worlds: Worlds, noise: Array) -> tuple[Array, Array, Array]:
        """Noise of this step, excitations, and the actions that give them."""
        config = self.config
        key = jax.random.fold_in(worlds.key, NOISE)
        fresh = jax.random.normal(key, noise.shape) * config.exploration_noise
        noise = config.noise_correlation * noise + math.sqrt(1.0 - config.noise_correlation**2) * fresh
        noisy = jnp.arange(len(noise)) >= self._beginnings.sweepers
        ref = self._learning.act(learner, worlds.obs) + jnp.where(noisy[:, None], noise, 0.0)
        action = self.task.action(ref)
        return noise, living.command(self.task, worlds, action), action

    def _settled(
        self, reference: Reference, worlds: Worlds, act: Array, action: Array, ctrl: Array, physics: PhysicsState,
        reading: SensorData,
    ) -> tuple[Worlds, Array, tuple[Steps, Array, Array]]:  # fmt: skip
        after, outcome, _ = living.post_step(
            self.task, reference, worlds, action, physics, reading, self._beginnings
        )  # fmt: skip
        row = _row(self._model, worlds, ctrl, physics, reading, after)._replace(failed=outcome.failed)
        if self._bare is not None:
            frame = worlds.task.frame + 1
            good = (outcome.landmark_error < TRACKED) & (frame - worlds.task.first >= SETTLED) & ~outcome.failed
            at = reference.start[worlds.task.clip] + frame
            at = jnp.where(good & self._bare[worlds.task.clip], at, len(act))
            act = act.at[at].set(physics.act, mode="drop")
        return after, act, (row, worlds.obs, outcome.reward)

    def _kept(
        self, replay: Replay, learner: WorldLearner, rows: list[tuple[Steps, Array, Array]]
    ) -> tuple[Replay, WorldLearner, dict[str, Any]]:
        steps, obs, reward = jax.tree.map(lambda *parts: jnp.stack(parts), *rows)
        sweepers = self._beginnings.sweepers
        swept = jnp.mean(reward[:, :sweepers]) if sweepers else jnp.mean(reward)
        learner = self._learning.take_in(learner, obs, steps, swept)
        return write(replay, steps), learner, {"sweep_reward": swept}


def _row(
    model: WorldModel, worlds: Worlds, ctrl: Array, physics: PhysicsState, reading: SensorData, after: Worlds
) -> Steps:  # fmt: skip
    """What a step was, to be remembered; `failed` is still to be filled in."""
    before, then = model.of(worlds.physics), model.of(physics)
    same = lambda a, b: jnp.all(a == b, axis=1)  # noqa: E731
    task: TaskState = worlds.task
    return Steps(
        q=before.q, velocity=before.velocity, act=before.act, before=task.excitation, ctrl=ctrl,
        next_q=then.q, next_velocity=then.velocity, clip=task.clip, frame=task.frame,
        chained=same(after.physics.qpos, physics.qpos) & same(after.physics.qvel, physics.qvel),
        failed=reading.bad, fine=~reading.bad,
    )  # fmt: skip
