"""The tracking task: pure functions for resets, observations, rewards, termination and truncation.

An episode starts at a frame of a clip, in the reference state, and follows the clip to its end. It terminates when the
body strays too far from the reference; the end of the clip or the episode's time limit truncates it.
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.terrain import height_at

from . import observation, reward
from .frames import TINY
from .reference import Reference
from .task_config import EDGE, TaskConfig


class TaskState(NamedTuple):
    """Episode state of each world.

    Attributes:
        clip: Index of the clip, shape (nworld,).
        frame: Frame that the body should match, shape (nworld,).
        start_frame: Frame at which the episode started, shape (nworld,).
        excitation: Last requested excitations, shape (nworld, nu).
        queue: Requested excitations still to reach the muscles, oldest first, shape (nworld, latency_steps, nu).
        delay: Latency of excitations [control steps], shape (nworld,).
        origin: Position of the clip's origin on the ground [m], shape (nworld, 2); zero on flat ground.
    """

    clip: Array
    frame: Array
    start_frame: Array
    excitation: Array
    queue: Array
    delay: Array
    origin: Array


class TrackingScore(NamedTuple):
    """Comparison of states with reference frames, shapes (nworld,).

    Attributes:
        reward: Training reward, also beyond the termination limits.
        landmark_error: Mean distance of the landmarks from the reference, relative to the root [m].
        root_error: Distance of the root from the reference [m].
        terminated: The state exceeds a termination limit.
    """

    reward: Array
    landmark_error: Array
    root_error: Array
    terminated: Array


class StepResult(NamedTuple):
    """Rewards, errors and episode ends after a control step, shapes (nworld,).

    Attributes:
        reward: Training reward.
        published: The published reward.
        landmark_error: Mean distance of the landmarks from the reference, relative to the root [m].
        root_error: Distance of the root from the reference [m].
        terminated: The body strayed too far from the reference, or its physics is bad; no value follows.
        truncated: The clip or the episode's time limit ended; the motion itself could continue.
    """

    reward: Array
    published: Array
    landmark_error: Array
    root_error: Array
    terminated: Array
    truncated: Array


class Task:
    """Tracking of clips by a body. Methods are pure; arrays lead with the number of worlds.

    Args:
        body: The body.
        config: Settings.
    """

    def __init__(self, body: SimulationBody, config: TaskConfig = TaskConfig()) -> None:  # noqa: B008 (frozen)
        self.body, self.config = body, config
        self.nobs = observation.width(body, config.future_steps)
        self._bias = float(jnp.log(config.resting_excitation / (1.0 - config.resting_excitation)))

    def excitation(self, action: Array) -> Array:
        """Map actions to excitations by a sigmoid, which has no dead zone; 0 gives the resting excitation."""
        return jax.nn.sigmoid(action + self._bias)

    def action(self, excitation: Array) -> Array:
        """Map excitations to actions; excitations are clipped to a distance of `EDGE` from 0 and 1."""
        clipped = jnp.clip(excitation, EDGE, 1.0 - EDGE)
        return jnp.log(clipped / (1.0 - clipped)) - self._bias

    def reset(self, reference: Reference, clip: Array, frame: Array, key: Array) -> tuple[PhysicsState, TaskState]:
        """Start episodes in the reference state.

        Args:
            reference: Frames.
            clip: Clip of each world, shape (nworld,).
            frame: Frame at which each episode starts, shape (nworld,).
            key: Random key for latencies and positions.
        """
        n, steps = len(clip), self.config.latency_steps
        delay_key, origin_key = jax.random.split(key)
        state = TaskState(
            clip=clip,
            frame=frame,
            start_frame=frame,
            excitation=jnp.zeros((n, self.body.model.nu)),
            queue=jnp.zeros((n, steps, self.body.model.nu)),
            delay=jax.random.randint(delay_key, (n,), 0, steps + 1),
            origin=self._origins(reference, clip, frame, origin_key),
        )
        rows = self._initial_rows(reference, state)
        physics = PhysicsState(rows.qpos, rows.qvel, rows.act, jnp.zeros_like(rows.qvel))
        return physics, state._replace(excitation=rows.act, queue=jnp.repeat(rows.act[:, None], steps, axis=1))

    def _origins(self, reference: Reference, clip: Array, frame: Array, key: Array) -> Array:
        """Sample clip origins that place the roots anywhere in the inner half of the ground."""
        ground, n = self.body.ground, len(clip)
        if ground is None:
            return jnp.zeros((n, 2))
        half = 0.5 * ground.extent
        return jax.random.uniform(key, (n, 2), minval=-half, maxval=half) - reference.rows(clip, frame).xpos[:, 0, :2]

    def ref(self, reference: Reference, task: TaskState, frame: Array) -> Reference:
        """Reference frames placed on the ground: moved to the world's origin and lifted by the height below the root.

        Args:
            reference: Frames.
            task: Episode state of the worlds.
            frame: Shape (nworld,) or (nworld, nahead).
        """
        clip, origin = (task.clip, task.origin) if frame.ndim == 1 else (task.clip[:, None], task.origin[:, None])
        rows = reference.rows(clip, frame)
        if self.body.ground is None:
            return rows
        return _shift(rows, origin, height_at(self.body.ground, rows.xpos[..., 0, :2] + origin))

    def base(self, reference: Reference, task: TaskState) -> Array | None:
        """Motion of the base during the next control step, shape (nworld, 4, 3); None for a body without a base.

        It is the mean of the frames before and after the step.
        """
        if self.body.target.base is None:
            return None
        before, after = (reference.rows(task.clip, task.frame + k).base for k in (0, 1))
        return 0.5 * (before + after)

    def _initial_rows(self, reference: Reference, task: TaskState) -> Reference:
        """Frames at which episodes start, lifted until no landmark and no foot is below the ground."""
        rows = reference.rows(task.clip, task.frame)
        if self.body.ground is None:
            return rows
        below = height_at(self.body.ground, rows.xpos[..., :2] + task.origin[:, None], highest=True)
        return _shift(rows, task.origin, jnp.max(below, axis=1))

    def initial_sensors(self, reference: Reference, task: TaskState) -> SensorData:
        """Sensor data at the start of an episode, taken from the reference without any physics."""
        rows = self._initial_rows(reference, task)
        none = jnp.zeros(len(task.clip), bool)
        return SensorData(rows.xpos, rows.xquat, rows.linvel, rows.angvel, rows.contact, overflow=none, bad=none)

    def apply_latency(self, task: TaskState, excitation: Array) -> tuple[Array, TaskState]:
        """Queue excitations; return those that reach the muscles now and the state with the new queue."""
        pending = jnp.concatenate([task.queue, excitation[:, None]], axis=1)
        index = pending.shape[1] - 1 - task.delay
        ctrl = jnp.take_along_axis(pending, index[:, None, None], axis=1)[:, 0]
        return ctrl, task._replace(queue=pending[:, 1:], excitation=excitation)

    def advance(self, task: TaskState) -> TaskState:
        """Advance to the next frame."""
        return task._replace(frame=task.frame + 1)

    def push(self, physics: PhysicsState, key: Array) -> PhysicsState:
        """Change the root's horizontal velocity at random times."""
        if not (self.body.free and self.config.push_interval):
            return physics
        time_key, push_key = jax.random.split(key)
        n = len(physics.qpos)
        rate = 1.0 / (self.config.push_interval * self.body.control_fps)
        change = self.config.push_speed * jax.random.uniform(push_key, (n, 2), minval=-1.0)
        change = jnp.where(jax.random.bernoulli(time_key, rate, (n, 1)), change, 0.0)
        return physics._replace(qvel=physics.qvel.at[:, :2].add(change))

    def observe(self, reference: Reference, physics: PhysicsState, sensors: SensorData, task: TaskState) -> Array:
        """Observations, shape (nworld, nobs)."""
        ref = self.ref(reference, task, task.frame)
        ahead = self.ref(reference, task, task.frame[:, None] + jnp.asarray(self.config.future_steps))
        ground = jnp.zeros(len(task.clip))
        if self.body.ground is not None:
            ground = height_at(self.body.ground, sensors.xpos[:, 0, :2])
        body_obs = observation.observe_body(
            self.body, physics, sensors.xpos, sensors.linvel, task.excitation, ref, ground
        )  # fmt: skip
        return jnp.concatenate([body_obs, observation.observe_goals(self.body, ref, ahead)], axis=-1)

    def evaluate_step(
        self, reference: Reference, physics: PhysicsState, sensors: SensorData, task: TaskState, prev_excitation: Array
    ) -> StepResult:
        """Compute rewards, errors, termination and truncation after a step.

        Args:
            reference: Frames.
            physics: State after the step.
            sensors: Sensor data of that state.
            task: Episode state, already advanced to the frame that the body should match.
            prev_excitation: Excitations of the previous step, shape (nworld, nu).
        """
        ref = self.ref(reference, task, task.frame)
        score = self.score(ref, physics, sensors.xpos, sensors.linvel, task.excitation, prev_excitation)
        terminated = score.terminated | sensors.bad
        finished = task.frame >= reference.length[task.clip] - 1
        finished |= task.frame - task.start_frame >= self.config.episode_length
        published = reward.published_reward(reward.deviations(self.body, physics, sensors, ref))
        return StepResult(
            reward=jnp.where(terminated, 0.0, score.reward),
            published=jnp.where(terminated, 0.0, published),
            landmark_error=score.landmark_error,
            root_error=score.root_error,
            terminated=terminated,
            truncated=finished & ~terminated,
        )

    def score(
        self,
        ref: Reference,
        physics: PhysicsState,
        xpos: Array,
        linvel: Array,
        excitation: Array,
        prev_excitation: Array,
    ) -> TrackingScore:
        """Compare states with reference frames; differentiable.

        Args:
            ref: Reference frame of each world; arrays lead with (nworld,).
            physics: States.
            xpos: Landmark positions [m], shape (nworld, nlandmark, 3).
            linvel: Landmark velocities [m/s], shape (nworld, nlandmark, 3).
            excitation: Excitations of the step that led to the state, shape (nworld, nu).
            prev_excitation: Excitations of the previous step, shape (nworld, nu).
        """
        deviation = reward.tracking_deviations(self.body, physics, xpos, linvel, ref)
        relative = (xpos[:, 1:] - xpos[:, :1]) - (ref.xpos[:, 1:] - ref.xpos[:, :1])
        landmark_error = jnp.mean(_length(relative), axis=-1)
        root_error = _length(xpos[:, 0] - ref.xpos[:, 0])
        return TrackingScore(
            reward=reward.learning_reward(deviation, excitation, prev_excitation, self.config.reward),
            landmark_error=landmark_error,
            root_error=root_error,
            terminated=(landmark_error > self.config.max_landmark_error) | (root_error > self.config.max_root_error),
        )


def _shift(rows: Reference, origin: Array, lift: Array) -> Reference:
    """Move frames of a body with a free root over the ground and lift them; `origin` is (..., 2), `lift` (...)."""
    shift = jnp.concatenate([jnp.broadcast_to(origin, (*lift.shape, 2)), lift[..., None]], axis=-1)
    return rows._replace(qpos=rows.qpos.at[..., :3].add(shift), xpos=rows.xpos + shift[..., None, :])


def _length(vector: Array) -> Array:
    return jnp.sqrt(jnp.sum(vector**2, axis=-1) + TINY)
