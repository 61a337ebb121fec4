"""The tracking task: pure functions from states to observations, rewards, ends and new beginnings.

An episode begins at a frame of a clip, in the reference's own state, and follows the clip to its end. It fails where
the body has left the reference; the end of a clip, or of an episode's time, cuts it off without a failure.
"""

from dataclasses import field
from typing import Annotated, NamedTuple

import jax
import jax.numpy as jnp
from jax import Array
from pydantic import AfterValidator, Field

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.terrain import height_at
from musclemap.settings import NonNegativeFloat, PositiveFloat, Sequence, settings

from . import observation, reward
from .frames import TINY
from .reference import Reference
from .reward import RewardConfig

EDGE = 1e-4
"""Excitations nearer to 0 or 1 than this are not asked for by way of actions."""


def _distinct(steps: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(steps)) < len(steps):
        raise ValueError("no two alike")
    return steps


FutureSteps = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1, max_length=64), *Sequence,
    AfterValidator(_distinct),
]  # fmt: skip
"""Steps ahead of the present, up to 10 s."""


@settings
class TaskConfig:
    """Settings of the task.

    Attributes:
        future_steps: Steps ahead at which the policy observes the reference.
        episode_length: Longest episode [control steps].
        max_landmark_error: Mean distance of the landmarks, relative to the root, at which an episode terminates [m].
        max_root_error: Distance of the root at which an episode terminates [m].
        resting_excitation: Excitation of an action of zero, and activation of clips without their own.
        latency_steps: Largest delay of excitations [control steps]; each episode has its own.
        push_interval: Mean time between pushes at the root [s]; 0 for none.
        push_speed: Largest change of the root's horizontal speed by a push [m/s].
        reward: The reward to learn from.
    """

    future_steps: FutureSteps = observation.AHEAD
    # Steps are counted in 32 bits; delayed excitations are kept in memory for every world.
    episode_length: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1000
    max_landmark_error: PositiveFloat = 0.3
    max_root_error: PositiveFloat = 0.5
    resting_excitation: Annotated[float, Field(ge=EDGE, le=1.0 - EDGE)] = 0.1
    latency_steps: Annotated[int, Field(ge=0, le=1000)] = 0
    push_interval: NonNegativeFloat = 0.0
    push_speed: NonNegativeFloat = 0.5
    reward: RewardConfig = field(default_factory=RewardConfig)


class TaskState(NamedTuple):
    """Where each world is in its episode.

    Attributes:
        clip: Number of its clip, shape (nworld,).
        frame: Frame that its state should match, shape (nworld,).
        first: Frame that the episode began at, shape (nworld,).
        excitation: Last excitations asked for, shape (nworld, nu).
        queue: Excitations that were asked for and have not come yet, oldest first, shape (nworld, latency_steps, nu).
        delay: Steps that excitations come late, shape (nworld,).
        place: Where on the ground the clip's origin lies [m], shape (nworld, 2); zero on flat ground.
    """

    clip: Array
    frame: Array
    first: Array
    excitation: Array
    queue: Array
    delay: Array
    place: Array


class Score(NamedTuple):
    """How states compare with their frames, shapes (nworld,).

    Attributes:
        reward: To learn from, also where the limits are broken.
        landmark_error: Mean distance of the landmarks relative to the root [m].
        root_error: Distance of the root [m].
        lost: The limits are broken.
    """

    reward: Array
    landmark_error: Array
    root_error: Array
    lost: Array


class Outcome(NamedTuple):
    """What a control step led to, shapes (nworld,).

    Attributes:
        reward: To learn from.
        published: The published reward.
        landmark_error: Mean distance of the landmarks relative to the root [m].
        root_error: Distance of the root [m].
        failed: The body left the reference, or its physics went bad: nothing comes after.
        cut: The clip or the episode's time is over; it could go on.
    """

    reward: Array
    published: Array
    landmark_error: Array
    root_error: Array
    failed: Array
    cut: Array


class Task:
    """Tracking of a body's clips. Methods are pure; arrays lead with the number of worlds.

    Args:
        body: The body.
        config: Settings.
    """

    def __init__(self, body: SimulationBody, config: TaskConfig = TaskConfig()) -> None:  # noqa: B008 (frozen)
        self.body, self.config = body, config
        self.nobs = observation.width(body, config.future_steps)
        self._bias = float(jnp.log(config.resting_excitation / (1.0 - config.resting_excitation)))

    def excitation(self, action: Array) -> Array:
        """Excitations from actions of any size: a sigmoid has no dead range; zero gives the resting excitation."""
        return jax.nn.sigmoid(action + self._bias)

    def action(self, excitation: Array) -> Array:
        """Actions that give excitations, which are kept within `EDGE` of both ends."""
        kept = jnp.clip(excitation, EDGE, 1.0 - EDGE)
        return jnp.log(kept / (1.0 - kept)) - self._bias

    def begin(self, reference: Reference, clip: Array, frame: Array, key: Array) -> tuple[PhysicsState, TaskState]:
        """Start episodes in the reference's own state.

        Args:
            reference: Frames.
            clip: Clip of each world, shape (nworld,).
            frame: Frame to begin at, shape (nworld,).
            key: For the delays.
        """
        n, steps = len(clip), self.config.latency_steps
        delays, places = jax.random.split(key)
        state = TaskState(
            clip=clip,
            frame=frame,
            first=frame,
            excitation=jnp.zeros((n, self.body.model.nu)),
            queue=jnp.zeros((n, steps, self.body.model.nu)),
            delay=jax.random.randint(delays, (n,), 0, steps + 1),
            place=self._places(reference, clip, frame, places),
        )
        rows = self._first_rows(reference, state)
        physics = PhysicsState(rows.qpos, rows.qvel, rows.act, jnp.zeros_like(rows.qvel))
        return physics, state._replace(excitation=rows.act, queue=jnp.repeat(rows.act[:, None], steps, axis=1))

    def _places(self, reference: Reference, clip: Array, frame: Array, key: Array) -> Array:
        """Origins that put roots anywhere in the inner half of the ground."""
        ground, n = self.body.ground, len(clip)
        if ground is None:
            return jnp.zeros((n, 2))
        half = 0.5 * ground.extent
        return jax.random.uniform(key, (n, 2), minval=-half, maxval=half) - reference.rows(clip, frame).xpos[:, 0, :2]

    def ref(self, reference: Reference, task: TaskState, frame: Array) -> Reference:
        """Frames as they lie on the ground: moved to the world's place and lifted by what is below the root.

        Args:
            reference: Frames.
            task: Of the worlds.
            frame: Shape (nworld,) or (nworld, nahead).
        """
        clip, place = (task.clip, task.place) if frame.ndim == 1 else (task.clip[:, None], task.place[:, None])
        rows = reference.rows(clip, frame)
        if self.body.ground is None:
            return rows
        return _moved(rows, place, height_at(self.body.ground, rows.xpos[..., 0, :2] + place))

    def _first_rows(self, reference: Reference, task: TaskState) -> Reference:
        """Frames that episodes begin at: lifted so far that no landmark, and no foot, is in the ground."""
        rows = reference.rows(task.clip, task.frame)
        if self.body.ground is None:
            return rows
        below = height_at(self.body.ground, rows.xpos[..., :2] + task.place[:, None], highest=True)
        return _moved(rows, task.place, jnp.max(below, axis=1))

    def first_reading(self, reference: Reference, task: TaskState) -> SensorData:
        """What is seen of a state that an episode begins in: the reference's landmarks, known without any physics."""
        rows = self._first_rows(reference, task)
        no = jnp.zeros(len(task.clip), bool)
        return SensorData(rows.xpos, rows.xquat, rows.linvel, rows.angvel, rows.contact, overflow=no, bad=no)

    def delayed(self, task: TaskState, excitation: Array) -> tuple[Array, TaskState]:
        """Excitations that arrive at the muscles now, and the state that remembers those under way."""
        line = jnp.concatenate([task.queue, excitation[:, None]], axis=1)
        place = line.shape[1] - 1 - task.delay
        arrived = jnp.take_along_axis(line, place[:, None, None], axis=1)[:, 0]
        return arrived, task._replace(queue=line[:, 1:], excitation=excitation)

    def advance(self, task: TaskState) -> TaskState:
        """Go on to the next frame."""
        return task._replace(frame=task.frame + 1)

    def push(self, physics: PhysicsState, key: Array) -> PhysicsState:
        """Change the root's horizontal velocity now and then."""
        if not (self.body.free and self.config.push_interval):
            return physics
        when, what = jax.random.split(key)
        n = len(physics.qpos)
        rate = 1.0 / (self.config.push_interval * self.body.control_fps)
        kick = self.config.push_speed * jax.random.uniform(what, (n, 2), minval=-1.0)
        kick = jnp.where(jax.random.bernoulli(when, rate, (n, 1)), kick, 0.0)
        return physics._replace(qvel=physics.qvel.at[:, :2].add(kick))

    def observe(self, reference: Reference, physics: PhysicsState, reading: SensorData, task: TaskState) -> Array:
        """Observations, shape (nworld, nobs)."""
        now = self.ref(reference, task, task.frame)
        ahead = self.ref(reference, task, task.frame[:, None] + jnp.asarray(self.config.future_steps))
        ground = jnp.zeros(len(task.clip))
        if self.body.ground is not None:
            ground = height_at(self.body.ground, reading.xpos[:, 0, :2])
        seen = observation.observe_body(
            self.body, physics, reading.xpos, reading.linvel, task.excitation, now, ground
        )  # fmt: skip
        return jnp.concatenate([seen, observation.observe_goals(self.body, now, ahead)], axis=-1)

    def judge(
        self, reference: Reference, physics: PhysicsState, reading: SensorData, task: TaskState, before: Array
    ) -> Outcome:
        """What a step led to.

        Args:
            reference: Frames.
            physics: State after the step.
            reading: Of the same moment.
            task: Already advanced to the frame that the state should match.
            before: Excitations of the step before, shape (nworld, nu).
        """
        ref = self.ref(reference, task, task.frame)
        result = self.score(ref, physics, reading.xpos, reading.linvel, task.excitation, before)
        failed = result.lost | reading.bad
        over = (task.frame >= reference.length[task.clip] - 1) | (task.frame - task.first >= self.config.episode_length)
        published = reward.published_reward(reward.deviations(self.body, physics, reading, ref))
        return Outcome(
            reward=jnp.where(failed, 0.0, result.reward),
            published=jnp.where(failed, 0.0, published),
            landmark_error=result.landmark_error,
            root_error=result.root_error,
            failed=failed,
            cut=over & ~failed,
        )

    def score(
        self, ref: Reference, physics: PhysicsState, xpos: Array, linvel: Array, excitation: Array, before: Array
    ) -> Score:
        """Compare states with frames; differentiable.

        Args:
            ref: Frame that each world should match; arrays lead with (nworld,).
            physics: States.
            xpos: Their landmarks [m], shape (nworld, nlandmark, 3).
            linvel: Velocities of the landmarks [m/s], shape (nworld, nlandmark, 3).
            excitation: Of the step that led here, shape (nworld, nu).
            before: Of the step before, shape (nworld, nu).
        """
        deviation = reward.tracking_deviations(self.body, physics, xpos, linvel, ref)
        relative = (xpos[:, 1:] - xpos[:, :1]) - (ref.xpos[:, 1:] - ref.xpos[:, :1])
        landmark_error = jnp.mean(_length(relative), axis=-1)
        root_error = _length(xpos[:, 0] - ref.xpos[:, 0])
        return Score(
            reward=reward.learning_reward(deviation, excitation, before, self.config.reward),
            landmark_error=landmark_error,
            root_error=root_error,
            lost=(landmark_error > self.config.max_landmark_error) | (root_error > self.config.max_root_error),
        )


def _moved(rows: Reference, place: Array, lift: Array) -> Reference:
    """Frames of a body with a free root, moved over the ground and lifted; `lift` is (...), `place` (..., 2)."""
    shift = jnp.concatenate([jnp.broadcast_to(place, (*lift.shape, 2)), lift[..., None]], axis=-1)
    return rows._replace(qpos=rows.qpos.at[..., :3].add(shift), xpos=rows.xpos + shift[..., None, :])


def _length(vector: Array) -> Array:
    return jnp.sqrt(jnp.sum(vector**2, axis=-1) + TINY)
