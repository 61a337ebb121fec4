"""State of many worlds that track clips: control steps, and resets of the worlds whose episodes end.

One step takes three calls: `delayed_excitation` for the policy's action, the engine's step, and `post_step`. No data
return to the host in between.
"""

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

import jax
import jax.numpy as jnp
from jax import Array

from musclemap.imitation.physics.engine import PhysicsState, SensorData

from .reference import Reference
from .sampler import Sampler, sample_starts, update_sampler
from .task import StepResult, Task, TaskState

TreeT = TypeVar("TreeT")


@dataclass(frozen=True, kw_only=True)
class ResetConfig:
    """Where episodes start.

    Attributes:
        sweepers: Number of worlds, the first ones, that track every clip in turn from frame 0.
        by_return: Whether seconds with little reward are sampled more often too, not only those with failures.
    """

    sweepers: int = 0
    by_return: bool = False


DEFAULT_RESETS = ResetConfig()


class RolloutStats(NamedTuple):
    """Sums over steps and over completed episodes since the last log line.

    Attributes:
        steps: Control steps.
        reward: Training rewards.
        published: Published rewards.
        landmark_error: Landmark errors [m].
        root_error: Root errors [m].
        excitation: Mean excitations.
        episodes: Completed episodes.
        terminated: Episodes that terminated, as opposed to truncated ones.
        length: Steps of the completed episodes.
        coverage: Fractions of the available frames that the completed episodes covered.
        bad: Steps of worlds with bad physics.
        overflow: Steps of worlds whose contacts or constraints overflowed their buffers.
    """

    steps: Array
    reward: Array
    published: Array
    landmark_error: Array
    root_error: Array
    excitation: Array
    episodes: Array
    terminated: Array
    length: Array
    coverage: Array
    bad: Array
    overflow: Array


class NanGuard(NamedTuple):
    """Latest world with bad physics: its state before the step, its excitations, and its clip and frame."""

    triggered: Array
    physics: PhysicsState
    ctrl: Array
    clip: Array
    frame: Array


class Worlds(NamedTuple):
    """State of all worlds that, together with the policy, determines the next step."""

    physics: PhysicsState
    task: TaskState
    sensors: SensorData
    obs: Array
    sampler: Sampler
    stats: RolloutStats
    nan_guard: NanGuard
    key: Array


def zero_stats() -> RolloutStats:
    """Empty sums."""
    return RolloutStats(*(jnp.zeros(()) for _ in RolloutStats._fields))


@jax.jit
def clear_stats(worlds: Worlds) -> Worlds:
    """Clear the sums and the NaN guard. The function is compiled so that arrays stay on their device."""
    return worlds._replace(stats=zero_stats(), nan_guard=worlds.nan_guard._replace(triggered=jnp.zeros((), bool)))


def init_worlds(
    task: Task, reference: Reference, sampler: Sampler, key: Array, nworld: int, resets: ResetConfig = DEFAULT_RESETS
) -> Worlds:  # fmt: skip
    """Create worlds at the start of their first episodes."""
    key, start_key, delay_key = jax.random.split(key, 3)
    nclip = len(reference.length)
    clip, frame = _next_start(sampler, start_key, jnp.arange(nworld) - resets.sweepers, nclip, resets)
    physics, state = task.reset(reference, clip, frame, delay_key)
    sensors = task.initial_sensors(reference, state)
    one_world = jax.tree.map(lambda array: jnp.zeros_like(array[0]), (physics, state.excitation, clip, frame))
    return Worlds(
        physics=physics,
        task=state,
        sensors=sensors,
        obs=task.observe(reference, physics, sensors, state),
        sampler=sampler,
        stats=zero_stats(),
        nan_guard=NanGuard(jnp.zeros((), bool), *one_world),
        key=key,
    )


def select_worlds(mask: Array, new: TreeT, old: TreeT) -> TreeT:
    """Merge two trees of arrays of equal shapes, world by world.

    Args:
        mask: Worlds to take from `new`, shape (nworld,) bool.
        new: Arrays that lead with (nworld,).
        old: Arrays of the same shapes, for the other worlds.
    """
    pick = lambda a, b: jnp.where(mask.reshape(-1, *(1,) * (b.ndim - 1)), a, b)  # noqa: E731
    return jax.tree.map(pick, new, old)


def delayed_excitation(task: Task, worlds: Worlds, action: Array) -> Array:
    """Excitations that reach the muscles in this step, shape (nworld, nu)."""
    return task.apply_latency(worlds.task, task.excitation(action))[0]


def _next_start(
    sampler: Sampler, key: Array, last_clip: Array, nclip: int, resets: ResetConfig
) -> tuple[Array, Array]:  # fmt: skip
    """Clip and frame of the next episode; `last_clip` is the previous clip of each world, shape (nworld,)."""
    clip, frame = sample_starts(sampler, key, len(last_clip))
    if not resets.sweepers:
        return clip, frame
    is_sweeper = jnp.arange(len(last_clip)) < resets.sweepers
    return jnp.where(is_sweeper, (last_clip + resets.sweepers) % nclip, clip), jnp.where(is_sweeper, 0, frame)


def post_step(
    task: Task,
    reference: Reference,
    worlds: Worlds,
    action: Array,
    physics: PhysicsState,
    sensors: SensorData,
    resets: ResetConfig = DEFAULT_RESETS,
) -> tuple[Worlds, StepResult, Array]:
    """Evaluate a step made by the engine, and reset the worlds whose episodes end.

    Args:
        task: The task.
        reference: Frames.
        worlds: Worlds before the step.
        action: Actions of the policy, shape (nworld, nu).
        physics: State after a step with the excitations from `delayed_excitation`.
        sensors: Sensor data of that state.
        resets: Where new episodes start.

    Returns:
        Worlds for the next step; results of this step; and the observations at its end, before any reset.
    """
    ctrl, state = task.apply_latency(worlds.task, task.excitation(action))
    state = task.advance(state)
    result = task.evaluate_step(reference, physics, sensors, state, worlds.task.excitation)
    done = result.terminated | result.truncated
    last_obs = jnp.nan_to_num(task.observe(reference, physics, sensors, state))

    key, start_key, delay_key, push_key = jax.random.split(worlds.key, 4)
    clip, frame = _next_start(worlds.sampler, start_key, state.clip, len(reference.length), resets)
    fresh_physics, fresh_state = task.reset(reference, clip, frame, delay_key)
    fresh_sensors = task.initial_sensors(reference, fresh_state)
    pushed = task.push(physics, push_key)
    next_physics, next_state, next_sensors = select_worlds(
        done, (fresh_physics, fresh_state, fresh_sensors), (pushed, state, sensors)
    )
    obs = jnp.where(done[:, None], task.observe(reference, next_physics, next_sensors, next_state), last_obs)
    fps = task.body.control_fps
    shortfall = 1.0 - result.reward if resets.by_return else None
    return (
        Worlds(
            physics=next_physics,
            task=next_state,
            sensors=next_sensors,
            obs=obs,
            sampler=update_sampler(
                worlds.sampler, state.clip, state.frame, result.terminated, fps=fps, shortfall=shortfall
            ),
            stats=_add_stats(worlds.stats, reference, result, state, sensors, ctrl),
            nan_guard=_update_nan_guard(worlds, sensors, ctrl),
            key=key,
        ),
        result,
        last_obs,
    )


def _add_stats(
    stats: RolloutStats,
    reference: Reference,
    result: StepResult,
    state: TaskState,
    sensors: SensorData,
    ctrl: Array,
) -> RolloutStats:
    done = result.terminated | result.truncated
    steps = state.frame - state.start_frame
    available = reference.length[state.clip] - 1 - state.start_frame
    coverage = jnp.where(result.truncated, 1.0, steps / jnp.maximum(available, 1))
    finite = ~sensors.bad
    step_stats = RolloutStats(
        steps=jnp.ones_like(result.reward),
        reward=result.reward,
        published=result.published,
        landmark_error=jnp.where(finite, result.landmark_error, 0.0),
        root_error=jnp.where(finite, result.root_error, 0.0),
        excitation=jnp.mean(ctrl, axis=-1),
        episodes=done,
        terminated=result.terminated,
        length=jnp.where(done, steps, 0),
        coverage=jnp.where(done, coverage, 0.0),
        bad=sensors.bad,
        overflow=sensors.overflow,
    )
    return jax.tree.map(lambda total, value: total + jnp.sum(value.astype(jnp.float32)), stats, step_stats)


def _update_nan_guard(worlds: Worlds, sensors: SensorData, ctrl: Array) -> NanGuard:
    index = jnp.argmax(sensors.bad)
    current = NanGuard(
        sensors.bad[index],
        jax.tree.map(lambda array: array[index], worlds.physics),
        ctrl[index],
        worlds.task.clip[index],
        worlds.task.frame[index],
    )
    old = worlds.nan_guard
    latest = jax.tree.map(lambda new, previous: jnp.where(current.triggered, new, previous), current, old)
    return latest._replace(triggered=old.triggered | current.triggered)
