"""Rollouts in a model of the body instead of its physics, and what they promise: differentiable from end to end.

A policy is improved by the derivative of the return along such a rollout (Heess et al. 2015, arXiv 1510.09142; with
the value of its last state, Xu et al. 2022, arXiv 2204.07137). The reference ahead is encoded for all steps at once,
outside the recurrence; the derivative with respect to the state is bounded, world by world, at every step on its way
back.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.ppo import normaliser as normalising
from musclemap.imitation.ppo.networks import Params, Precision, apply_mlp, first_layer, product_type
from musclemap.imitation.ppo.normaliser import Normaliser
from musclemap.imitation.task import observation
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import Task

from .coordinates import Moving
from .replay import Start
from .world_model import Dynamics, ModelState, WorldModel


class ActorCritic(NamedTuple):
    """What acts and what judges in a rollout.

    Attributes:
        policy: The policy's network; derivatives are wanted of it.
        value: Network that the value of what comes later is taken from.
        normaliser: Of observations.
    """

    policy: Params
    value: Params
    normaliser: Normaliser


class Rollout(NamedTuple):
    """What was imagined, arrays lead with (nstep, n).

    Attributes:
        seen: Normalised observation of the body before each step, without the goals.
        goals: Normalised goals before each step.
        excitation: What the policy did.
        reward: Reward of the step, 0 where it failed.
        next_value: Value of the state after it.
        failed: Nothing comes after.
        over: The clip ends here.
        broken: The state was not finite and is made up from here on.
    """

    seen: Array
    goals: Array
    excitation: Array
    reward: Array
    next_value: Array
    failed: Array
    over: Array
    broken: Array


UNJUDGED = ("activation", "excitation")
"""Parts of an observation that the value does not see. The policy sets them as it likes, so it would find any error
that the value makes there before it finds a better motion: promises then rise above what rewards could add up to."""


class Imagination:
    """Rolls policies out in a world model.

    Args:
        task: The task; on flat ground and without latency, which the model knows nothing of.
        model: Of the same body.
        precision: Type of the networks' matrix products, a dtype's name.
    """

    def __init__(self, task: Task, model: WorldModel, precision: Precision) -> None:
        self.task, self.model = task, model
        self._dtype = product_type(precision)
        self._nbody = task.nobs - observation.goal_width(task.body, task.config.future_steps)
        parts = observation.layout(task.body, task.config.future_steps).items()
        judged = np.repeat([name not in UNJUDGED for name, _ in parts], [size for _, size in parts])
        self._judged = np.flatnonzero(judged[: self._nbody])

    @property
    def nvalue(self) -> int:
        """Width of what the value sees."""
        return len(self._judged) + self.task.nobs - self._nbody

    def judged(self, seen: Array, goals: Array) -> Array:
        """What the value sees of normalised observations of the body and goals, shape (..., nvalue)."""
        return jnp.concatenate([seen[..., self._judged], goals], axis=-1)

    def rollout(
        self, actor_critic: ActorCritic, dynamics: Dynamics, reference: Reference, start: Start, bound: Array, *,
        nstep: int,
        most: float,
    ) -> Rollout:  # fmt: skip
        """Imagine some control steps.

        Args:
            minds: What acts and judges.
            dynamics: What was learned of the body.
            reference: Frames.
            start: Real states to begin with, of n worlds.
            bound: Zeros, shape (2,); its derivative counts the rows of gradients that were shortened, and dropped.
            nstep: Control steps.
            most: Norm that the derivative with respect to one world's state is kept below.
        """
        task, model = self.task, self.model
        frame = start.frame + jnp.arange(nstep + 1)[:, None]
        rows = reference.rows(jnp.broadcast_to(start.clip, frame.shape), frame)
        goals = self._goals(actor_critic.normaliser, reference, start.clip, frame)
        policy_goals = first_layer(actor_critic.policy, goals[:-1], dtype=self._dtype)
        value_goals = first_layer(actor_critic.value, goals[1:], dtype=self._dtype)
        now = jax.tree.map(lambda array: array[0], rows)
        seen = self._seen(actor_critic.normaliser, start.state, self._moving(start.state), start.before, now)

        def step(carry: tuple[ModelState, Array, Array], given: tuple[Reference, Array, Array]) -> tuple[Any, Any]:
            state, before, seen = carry
            ref, for_policy, for_value = given
            excitation = task.excitation(apply_mlp(actor_critic.policy, seen, dtype=self._dtype, given=for_policy))
            after = model.step(dynamics, state, excitation)
            good = _finite(after)
            after = jax.tree.map(lambda new, old: jnp.where(good[:, None], new, old), after, start.state)
            limited: Any = limit_gradient((after, excitation), bound, most)
            after, carried = limited
            moving = self._moving(after)
            score = task.score(ref, model.to_physics(after), moving.xpos, moving.linvel, excitation, before)
            later = self._seen(actor_critic.normaliser, after, moving, carried, ref)
            value = apply_mlp(actor_critic.value, later[:, self._judged], dtype=self._dtype, given=for_value)[..., 0]
            failed = score.lost | ~good
            message = {
                "seen": seen, "excitation": excitation, "reward": jnp.where(failed, 0.0, score.reward),
                "next_value": value, "failed": failed, "broken": ~good,
            }  # fmt: skip
            return (after, carried, later), message

        later_rows = jax.tree.map(lambda array: array[1:], rows)
        _, message = jax.lax.scan(
            step, (start.state, start.before, seen), (later_rows, policy_goals, value_goals)
        )  # fmt: skip
        over = frame[1:] >= reference.length[start.clip] - 1
        return Rollout(goals=goals[:-1], over=over, **message)

    def _moving(self, state: ModelState) -> Moving:
        return self.model.coordinates.landmarks(state.q, state.velocity)

    def _seen(self, known: Normaliser, state: ModelState, moving: Moving, before: Array, now: Reference) -> Array:
        """Normalised observation of the body and its error."""
        ground = jnp.zeros(len(before), before.dtype)
        physics = self.model.to_physics(state)
        seen = observation.observe_body(self.task.body, physics, moving.xpos, moving.linvel, before, now, ground)
        return normalising.normalise(_part(known, slice(None, self._nbody)), seen)

    def _goals(self, known: Normaliser, reference: Reference, clip: Array, frame: Array) -> Array:
        """Normalised goals at all steps, shape (nstep + 1, n, ngoal)."""
        flat = frame.ravel()
        clips = jnp.broadcast_to(clip, frame.shape).ravel()
        now = reference.rows(clips, flat)
        ahead = reference.rows(clips[:, None], flat[:, None] + jnp.asarray(self.task.config.future_steps))
        goals = observation.observe_goals(self.task.body, now, ahead)
        return normalising.normalise(_part(known, slice(self._nbody, None)), goals).reshape(*frame.shape, -1)


def returns(rollout: Rollout, *, discount: float, trace: float) -> Array:
    """Lambda-returns of every step (Sutton & Barto 2018, 12.1), rewards times 1 - discount; shape (nstep, n).

    Nothing follows a failure; the end of a clip goes on in the value of what is seen there.
    """
    ended = rollout.failed | rollout.over

    def back(later: Array, row: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        reward, value, failed, ended = row
        ahead = jnp.where(ended, value, (1.0 - trace) * value + trace * later)
        result = (1.0 - discount) * reward + discount * jnp.where(failed, 0.0, ahead)
        return result, result

    rows = (rollout.reward, rollout.next_value, rollout.failed, ended)
    return jax.lax.scan(back, rollout.next_value[-1], rows, reverse=True)[1]


def alive(rollout: Rollout) -> Array:
    """1 for steps that begin before a failure or the clip's end, shape (nstep, n)."""
    ended = (rollout.failed | rollout.over).astype(rollout.reward.dtype)
    gone = jnp.cumsum(ended, axis=0) - ended
    return (gone == 0).astype(rollout.reward.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def limit_gradient(state: Any, bound: Array, most: float) -> Any:
    """The state itself; on the way back each row's derivative is shortened to a norm, or dropped if not finite.

    Args:
        state: Tree of arrays, (n, ...).
        bound: Zeros, shape (2,): its derivative is the number of rows that were shortened, and dropped.
        most: The norm.
    """
    return state


def _limit_forward(state: Any, bound: Array, most: float) -> tuple[Any, None]:
    return state, None


def _limit_backward(most: float, _: None, grad: Any) -> tuple[Any, Array]:
    norm = jnp.sqrt(sum(jnp.sum(part**2, axis=1) for part in jax.tree.leaves(grad)))
    fine = jnp.isfinite(norm)
    scale = jnp.where(norm > most, most / norm, 1.0)
    cut = jax.tree.map(lambda part: jnp.where(fine[:, None], part * scale[:, None], 0.0), grad)
    count = jnp.stack([jnp.sum(fine & (norm > most)), jnp.sum(~fine)]).astype(norm.dtype)
    return cut, count


limit_gradient.defvjp(_limit_forward, _limit_backward)


def _finite(state: ModelState) -> Array:
    """Worlds whose state is finite, shape (n,)."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(part), axis=1) for part in state]), axis=0)


def _part(known: Normaliser, columns: slice) -> Normaliser:
    return Normaliser(known.mean[columns], known.var[columns], known.count)
