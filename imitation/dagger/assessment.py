"""Evaluation of the policy alone between rounds, from starts with noise in the velocities that never change."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.imitation.eval.evaluation import evaluation_config
from musclemap.imitation.physics.engine import Engine, PhysicsState, SensorData
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.imitation.task.task import Task, TaskState

from .starts import StartNoise

SEED = 20_26
"""Seed of the starts, the same in every run, so that rounds and runs compare."""


class Assessment(NamedTuple):
    """Episodes of the running evaluation, one per world, and the results of the last finished one.

    Attributes:
        physics: State of the worlds.
        sensors: Sensor data of that state.
        task: Episode state.
        alive: Episodes that have neither failed nor ended, shape (nworld,) bool.
        steps: Steps of each episode, shape (nworld,).
        reward: Sum of its published rewards, shape (nworld,).
        available: Steps from its start to its end, shape (nworld,).
        results: Means of the last finished evaluation: see `NAMES`; NaN before the first.
    """

    physics: PhysicsState
    sensors: SensorData
    task: TaskState
    alive: Array
    steps: Array
    reward: Array
    available: Array
    results: Array


NAMES = ("student_survived", "student_survived_anywhere", "student_completed", "student_return")
"""Share of the frames survived from frame 0, from any frame, share of the episodes that reached their end, normalised
return."""


class Assessor:
    """Runs the policy without noise: half of the worlds from frame 0 of each clip in turn, half from any frame.

    Args:
        engine: Physics.
        task: Task that the policy is trained for.
        reference: Frames.
        noise: Noise of the starts.
        longest: Most steps of an episode.
    """

    def __init__(self, engine: Engine, task: Task, reference: Reference, noise: StartNoise, longest: int) -> None:
        self._engine, self._reference, self._noise, self._longest = engine, reference, noise, longest
        self._task = Task(task.body, evaluation_config(task.config))
        self._start = jax.jit(self._starts)
        self._observe = jax.jit(lambda reference, *state: jnp.nan_to_num(self._task.observe(reference, *state)))
        self._finish_step = jax.jit(self._after_step)
        self._base = jax.jit(self._task.base)

    def begin(self, results: Array) -> Assessment:
        """Episodes at their starts.

        Args:
            results: Results of the last evaluation, kept until this one ends.
        """
        physics, task, available = self._start(self._reference)
        count = self._engine.nworld
        return Assessment(
            physics=physics,
            sensors=self._engine.read(physics),
            task=task,
            alive=jnp.ones(count, bool),
            steps=jnp.zeros(count, jnp.int32),
            reward=jnp.zeros(count),
            available=available,
            results=results,
        )

    def run(self, state: Assessment, act: Callable[[Array], Array], nstep: int) -> Assessment:
        """Simulate some steps, or fewer once every episode has ended.

        Args:
            state: Episodes.
            act: Excitations for observations.
            nstep: Number of control steps.
        """
        for _ in range(nstep):
            if not bool(state.alive.any()):
                break
            ctrl = act(self._observe(self._reference, state.physics, state.sensors, state.task))
            physics, sensors = self._engine.step(state.physics, ctrl, self._base(self._reference, state.task))
            state = self._finish_step(self._reference, state, physics, sensors, ctrl)
        return state

    def finish(self, state: Assessment) -> Assessment:
        """Compute the results."""
        share = state.steps / state.available
        half = max(len(share) // 2, 1)
        anywhere = share[half:] if len(share) > 1 else share
        values = (share[:half], anywhere, share >= 1.0, state.reward / (MAX_PUBLISHED_REWARD * state.available))
        return state._replace(results=jnp.stack([jnp.mean(value.astype(jnp.float32)) for value in values]))

    def _starts(self, reference: Reference) -> tuple[PhysicsState, TaskState, Array]:
        count = self._engine.nworld
        key, noise_key = jax.random.split(jax.random.PRNGKey(SEED))
        clip = jnp.arange(count) % len(reference.length)
        last = reference.length[clip] - 1
        anywhere = (jax.random.uniform(key, (count,)) * last).astype(jnp.int32)
        frame = jnp.where(jnp.arange(count) < max(count // 2, 1), 0, anywhere)
        physics, task = self._task.reset(reference, clip, frame, key)
        physics = physics._replace(qvel=physics.qvel + self._noise(noise_key, physics.qpos))
        return physics, task, jnp.minimum(last - frame, self._longest)

    def _after_step(
        self, reference: Reference, state: Assessment, physics: PhysicsState, sensors: SensorData, ctrl: Array
    ) -> Assessment:
        task = self._task.advance(state.task._replace(excitation=ctrl))
        result = self._task.evaluate_step(reference, physics, sensors, task, state.task.excitation)
        survived = state.alive & ~result.terminated
        steps = state.steps + survived
        return state._replace(
            physics=physics,
            sensors=sensors,
            task=task,
            alive=survived & (steps < state.available),
            steps=steps,
            reward=state.reward + jnp.where(survived, result.published, 0.0),
        )
