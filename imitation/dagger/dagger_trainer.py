"""Training iterations of DAgger: collect labels of the teacher, fit the policy, evaluate it.

Physics, episodes and resets are those of the other algorithms. In each control step the teacher labels the state of
every world, and the executed excitation mixes the teacher's with the policy's and adds noise; labels stay clean.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.errors import SettingsError
from musclemap.imitation.physics.engine import Engine
from musclemap.imitation.physics.split_engine import SplitEngine
from musclemap.imitation.ppo.networks import Params
from musclemap.imitation.ppo.normaliser import Normaliser
from musclemap.imitation.regulator.regulator import effects
from musclemap.imitation.task.reference import Library
from musclemap.imitation.task.sampler import make_sampler
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.worlds import ResetConfig, Worlds, init_worlds, post_step

from .assessment import NAMES, Assessment, Assessor
from .dagger_config import DaggerConfig
from .label_buffer import LabelBuffer, LabelledSteps, add_labels, make_label_buffer
from .label_pool import LabelPool
from .schedule import Schedule, Stage
from .starts import StartNoise, pushed, with_physics
from .student import Student, StudentState
from .teacher import QueryStates

KEYS = {"noise": 1001, "start": 1002}
"""Indices that derive random keys from that of the worlds; those that `post_step` splits off have small indices."""


class DaggerState(NamedTuple):
    """State that determines all further iterations. A run resumed from it continues exactly.

    Attributes:
        learner: Network, optimiser state and normaliser.
        worlds: All worlds, with the sampler and the random state of their episodes.
        noise: Noise of the excitations, shape (nworld, nu).
        landmark_error: Mean landmark error of the present state, shape (nworld,) [m].
        active: First guess for the controller's next programmes, shape (nworld, nu) int8.
        labels: Labels of all rounds.
        assessment: Evaluation of the policy.
        key: Random state of the fit.
        iterations: Number of completed iterations.
    """

    learner: StudentState
    worlds: Worlds
    noise: Array
    landmark_error: Array
    active: Array
    labels: LabelBuffer
    assessment: Assessment
    key: Array
    iterations: Array


def check_supported(task: Task) -> None:
    """Reject tasks that the controller does not support.

    Raises:
        SettingsError: If the ground is not flat or excitations have latency.
    """
    if task.body.ground is not None or task.config.latency_steps:
        raise SettingsError(
            "the tracking controller supports only flat ground and no latency; use --algo ppo for other tasks"
        )


class DaggerTrainer:
    """Trains a policy to imitate a regulator or the tracking controller.

    Args:
        engine: Physics.
        task: The task, for the engine's body.
        library: Clips to track.
        pool: The teacher, for the same clips in the same order.
        config: Settings.

    Raises:
        SettingsError: If the task has terrain or latency, or if the worlds are spread over several GPUs.
    """

    def __init__(self, engine: Engine, task: Task, library: Library, pool: LabelPool, config: DaggerConfig) -> None:
        check_supported(task)
        if isinstance(engine, SplitEngine):
            raise SettingsError("the tracking controller can be imitated on one GPU only: set gpus = 1")
        self.engine, self.task, self.config, self.reference = engine, task, config, library.reference
        longest = int(np.max(np.asarray(library.reference.length))) - 1
        self.schedule = Schedule(config, engine.nworld, longest)
        self._pool = pool
        length = np.asarray(library.reference.length)
        self._first_row = jnp.asarray(np.concatenate([[0], np.cumsum(length)[:-1]]), jnp.int32)
        self._student = Student(task, config, self._effect_table(length))
        self._start_noise = StartNoise(task.body, root=config.root_noise, joint=config.joint_noise)
        self._assessor = Assessor(engine, task, self.reference, self._start_noise, config.evaluation_steps)
        self._resets = ResetConfig(sweepers=math.floor(config.sweep_fraction * engine.nworld))
        self._init_worlds = jax.jit(partial(init_worlds, task, nworld=engine.nworld, resets=self._resets))
        self._act = jax.jit(self._student.excitation)
        self._base = jax.jit(task.base)
        self._execute = jax.jit(self._executed_excitation)
        self._post_step = jax.jit(partial(post_step, task, resets=self._resets))
        self._push = jax.jit(partial(pushed, self._start_noise))
        self._with_physics = jax.jit(partial(with_physics, task))
        self._store = jax.jit(self._store_labels, donate_argnums=0)
        self._project = jax.jit(self._student.inputs)
        self._fit = jax.jit(self._student.fit)
        self._inputs: Array | None = None  # of all labels, during the fit of a round

    def steps_after(self, iterations: int) -> int:
        """Control steps of the completed rounds, which the policy has learned from."""
        return self.schedule.steps_after(iterations)

    def init(self, seed: int) -> DaggerState:
        """Initialise the policy, and all worlds at the start of their first episodes."""
        worlds_key, learner_key, key = jax.random.split(jax.random.PRNGKey(seed), 3)
        sampler = make_sampler(jax.device_get(self.reference.length), fps=self.task.body.control_fps)
        worlds = self._init_worlds(self.reference, sampler, worlds_key)
        count, nu = worlds.task.excitation.shape
        capacity, directions = self.schedule.capacity, 0 if self._pool.regulated else self.config.directions
        state = DaggerState(
            learner=self._student.init(learner_key),
            worlds=self._perturbed(worlds, jnp.ones(count, bool)),
            noise=jnp.zeros((count, nu)),
            landmark_error=jnp.zeros(count),
            active=jnp.zeros((count, nu), jnp.int8),
            labels=make_label_buffer(capacity, self.task.nobs, nu, directions),
            assessment=self._assessor.begin(jnp.full(len(NAMES), jnp.nan)),
            key=key,
            iterations=jnp.zeros((), jnp.int32),
        )
        return jax.device_put(state, self.engine.device)

    def warm_start(self, state: DaggerState, learner: StudentState) -> DaggerState:
        """Begin at the policy of another run."""
        return self.warm_start_policy(state, learner.params, learner.normaliser)

    def warm_start_policy(self, state: DaggerState, params: Params, normaliser: Normaliser) -> DaggerState:
        """Begin at a policy; what it does with the last excitation is lost."""
        return state._replace(learner=self._student.begin_at(state.learner, params, normaliser))

    def learned_like(self, state: DaggerState) -> StudentState:
        """The part of the state that another run may start from."""
        return state.learner._replace(fitted=None, inputs=None, optimizer=None)

    def to_checkpoint(self, state: DaggerState) -> DaggerState:
        """The part of the state that a checkpoint stores: all of it."""
        return state

    def from_checkpoint(self, state: DaggerState) -> DaggerState:
        """Complete a state read from a checkpoint; there is nothing to add."""
        return state

    def resets_replay(self, state: DaggerState) -> bool:
        """Whether to clear the labels: never."""
        return False

    def policy(self, state: DaggerState) -> tuple[Params, Normaliser]:
        """Network and normaliser of the policy."""
        return state.learner.params, state.learner.normaliser

    def close(self) -> None:
        """End the processes that compute labels."""
        self._pool.close()

    def iterate(self, state: DaggerState) -> tuple[DaggerState, dict[str, Any]]:
        """Collect labels, fit the policy, or evaluate it: the next part of the round.

        Returns:
            The new state, and metrics, which stay on the device.
        """
        stage = self.schedule.stage(int(state.iterations))
        step = {"collect": self._collect, "fit": self._fit_policy, "evaluate": self._evaluate}[stage.kind]
        state, metrics = step(state, stage)
        state = state._replace(iterations=state.iterations + 1)
        results = dict(zip(NAMES, state.assessment.results, strict=True))
        facts = {
            "round": stage.round + 1,
            "labels": state.labels.filled,
            "teacher_share": self.schedule.share(stage.round),
        }
        return state, {**facts, **metrics, **results}

    def _collect(self, state: DaggerState, stage: Stage) -> tuple[DaggerState, dict[str, Any]]:
        """Simulate some steps with labels."""
        share, parts = self.schedule.share(stage.round), []
        worlds, noise, error, active = state.worlds, state.noise, state.landmark_error, state.active
        for _ in range(self.config.num_steps):
            physics, task = worlds.physics, worlds.task
            arrays = (np.asarray(array) for array in (*physics, task.clip, task.frame, active))
            labelled = self._pool.label(QueryStates(*arrays))
            active, activation, effect, valid = jax.device_put(
                (labelled.active, labelled.activation, labelled.effect, labelled.valid), self.engine.device
            )
            row = self._first_row[task.clip] + task.frame
            parts.append(LabelledSteps(obs=worlds.obs, activation=activation, effect=effect, row=row, valid=valid))
            noise, action, ctrl = self._execute(state.learner, worlds, noise, error, labelled.excitation, valid, share)
            physics, sensors = self.engine.step(physics, ctrl, self._base(self.reference, task))
            worlds, result, _ = self._post_step(self.reference, worlds, action, physics, sensors)
            started = result.terminated | result.truncated
            error = jnp.where(started, 0.0, result.landmark_error)
            if bool(started.any()):
                noise = jnp.where(started[:, None], 0.0, noise)
                worlds = self._perturbed(worlds, started)
        labels, learner = self._store(state.labels, state.learner, parts)
        valid = np.mean([np.mean(part.valid) for part in parts])
        state = state._replace(
            worlds=worlds, noise=noise, landmark_error=error, active=active, labels=labels, learner=learner
        )
        return state, {"labels_missing": 1.0 - valid}

    def _fit_policy(self, state: DaggerState, stage: Stage) -> tuple[DaggerState, dict[str, Any]]:
        key, fit_key = jax.random.split(state.key)
        start, end = stage.index / stage.count, (stage.index + 1) / stage.count
        learner = self._student.begin_fit(state.learner, state.labels) if stage.index == 0 else state.learner
        if self._inputs is None or stage.index == 0:
            self._inputs = self._project(learner, state.labels)
        learner, metrics = self._fit(learner, state.labels, self._inputs, fit_key, start, end)
        if stage.index == stage.count - 1:
            self._inputs = None
        return state._replace(learner=learner, key=key), metrics

    def _evaluate(self, state: DaggerState, stage: Stage) -> tuple[DaggerState, dict[str, Any]]:
        assessment = self._assessor.begin(state.assessment.results) if stage.index == 0 else state.assessment
        assessment = self._assessor.run(assessment, partial(self._act, state.learner), self.config.num_steps)
        if stage.index == stage.count - 1:
            assessment = self._assessor.finish(assessment)
        return state._replace(assessment=assessment), {}

    def _effect_table(self, length: np.ndarray) -> Array | None:
        """Effects of the regulators by frame, all clips in a row; None without regulators."""
        if not self._pool.regulated:
            return None
        config = self.config
        parts = [
            effects(regulated.gains, ndirection=config.directions, power=config.direction_power)
            for regulated in self._pool.regulated
        ]
        # The last frame of a clip has no control step.
        padded = [np.pad(part, ((0, n - len(part)), (0, 0), (0, 0))) for part, n in zip(parts, length, strict=True)]
        return jnp.asarray(np.concatenate(padded))

    def _perturbed(self, worlds: Worlds, started: Array) -> Worlds:
        """Add noise to the velocities of worlds whose episodes have just started."""
        key = jax.random.fold_in(worlds.key, KEYS["start"])
        physics = self._push(worlds.physics, started, key)
        return self._with_physics(self.reference, worlds, started, physics, self.engine.read(physics))

    def _executed_excitation(
        self,
        learner: StudentState,
        worlds: Worlds,
        noise: Array,
        error: Array,
        taught: Any,
        valid: Array,
        share: Array,
    ) -> tuple[Array, Array, Array]:
        """Noise of this step, action, and the excitations that reach the muscles."""
        config = self.config
        step_noise = jax.random.normal(jax.random.fold_in(worlds.key, KEYS["noise"]), noise.shape)
        correlation = config.noise_correlation
        noise = correlation * noise + math.sqrt(1.0 - correlation**2) * config.exploration_noise * step_noise
        share = jnp.where(error > config.handback, 1.0, share) * valid
        own = self._student.excitation(learner, worlds.obs)
        excitation = share[:, None] * taught + (1.0 - share[:, None]) * own + noise
        action = self.task.action(excitation)
        return noise, action, self.task.excitation(action)

    def _store_labels(
        self, labels: LabelBuffer, learner: StudentState, parts: list[LabelledSteps]
    ) -> tuple[LabelBuffer, StudentState]:
        steps = jax.tree.map(lambda *arrays: jnp.concatenate(arrays), *parts)
        return add_labels(labels, steps), self._student.observe(learner, steps.obs)
