"""Imagined rollouts in a world model, in place of physics; their returns are differentiable end to end.

A policy is improved along the gradient of the return (Heess et al. 2015, arXiv 1510.09142; with the value of the last
state, Xu et al. 2022, arXiv 2204.07137). The upcoming reference is encoded for all steps at once, outside the
recurrence. The gradient with respect to the state is bounded per world at every step of the backward pass.
"""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.ppo.networks import Params, apply_mlp, matmul_dtype, partial_first_layer
from musclemap.imitation.ppo.normaliser import Normaliser, normalise
from musclemap.imitation.ppo.ppo_config import Precision
from musclemap.imitation.task import observation
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import Task

from .coordinates import LandmarkMotion, ModelState
from .replay import ImaginationStart
from .world_model import Dynamics, WorldModel


class ActorCritic(NamedTuple):
    """Policy and value function of a rollout.

    Attributes:
        policy: Network of the policy, which is differentiated.
        value: Network of the value function.
        normaliser: Normaliser of observations.
    """

    policy: Params
    value: Params
    normaliser: Normaliser


class ImaginedRollout(NamedTuple):
    """Steps of an imagined rollout; arrays lead with (nstep, n).

    Attributes:
        body_obs: Normalised observation before each step, without the goals.
        goal_obs: Normalised goals before each step.
        excitation: Excitations of the policy.
        reward: Reward of the step, 0 on termination.
        next_value: Value of the next state.
        terminated: The step terminates the episode.
        truncated: The clip ends.
        nonfinite: The state was not finite and was replaced.
    """

    body_obs: Array
    goal_obs: Array
    excitation: Array
    reward: Array
    next_value: Array
    terminated: Array
    truncated: Array
    nonfinite: Array


HIDDEN_FROM_VALUE = ("activation", "excitation")
"""Parts of an observation that the value function does not see. The policy controls them directly, so it would exploit
errors of the value function there before it finds a better motion: values then exceed any sum of rewards."""


class Imagination:
    """Rolls out policies in a world model.

    Args:
        task: The task, on flat ground and without latency, which the model does not represent.
        model: World model of the task's body.
        precision: Dtype name for the networks' matrix products.
    """

    def __init__(self, task: Task, model: WorldModel, precision: Precision) -> None:
        self.task, self.model = task, model
        self._dtype = matmul_dtype(precision)
        self._nbody = task.nobs - observation.goal_width(task.body, task.config.future_steps)
        parts = observation.layout(task.body, task.config.future_steps).items()
        value_input = np.repeat([name not in HIDDEN_FROM_VALUE for name, _ in parts], [size for _, size in parts])
        self._value_columns = np.flatnonzero(value_input[: self._nbody])

    @property
    def value_width(self) -> int:
        """Width of the value function's input."""
        return len(self._value_columns) + self.task.nobs - self._nbody

    def value_input(self, body_obs: Array, goal_obs: Array) -> Array:
        """Input of the value function from normalised body observations and goals, shape (..., value_width)."""
        return jnp.concatenate([body_obs[..., self._value_columns], goal_obs], axis=-1)

    def rollout(
        self,
        actor_critic: ActorCritic,
        dynamics: Dynamics,
        reference: Reference,
        start: ImaginationStart,
        grad_counter: Array,
        *,
        nstep: int,
        max_norm: float,
    ) -> ImaginedRollout:
        """Imagine several control steps.

        Args:
            actor_critic: Policy and value function.
            dynamics: Learned parameters of the world model.
            reference: Frames.
            start: Real initial states of n worlds.
            grad_counter: Zeros, shape (2,); their gradients count the state gradients that were clipped and dropped.
            nstep: Control steps.
            max_norm: Norm to which the gradient with respect to each world's state is clipped.
        """
        task, model = self.task, self.model
        frame = start.frame + jnp.arange(nstep + 1)[:, None]
        rows = reference.rows(jnp.broadcast_to(start.clip, frame.shape), frame)
        goal_obs = self._goal_obs(actor_critic.normaliser, reference, start.clip, frame)
        policy_offsets = partial_first_layer(actor_critic.policy, goal_obs[:-1], dtype=self._dtype)
        value_offsets = partial_first_layer(actor_critic.value, goal_obs[1:], dtype=self._dtype)
        ref = jax.tree.map(lambda array: array[0], rows)
        landmarks = self._landmarks(start.state)
        body_obs = self._body_obs(actor_critic.normaliser, start.state, landmarks, start.prev_excitation, ref)

        def step(carry: tuple[ModelState, Array, Array], inputs: tuple[Reference, Array, Array]) -> tuple[Any, Any]:
            state, prev_excitation, body_obs = carry
            ref, policy_offset, value_offset = inputs
            action = apply_mlp(actor_critic.policy, body_obs, dtype=self._dtype, offset=policy_offset)
            excitation = task.excitation(action)
            next_state = model.step(dynamics, state, excitation)
            finite = _finite(next_state)
            next_state = jax.tree.map(lambda new, old: jnp.where(finite[:, None], new, old), next_state, start.state)
            limited: Any = limit_gradient((next_state, excitation), grad_counter, max_norm)
            next_state, prev_limited = limited
            landmarks = self._landmarks(next_state)
            physics = model.to_physics(next_state)
            score = task.score(ref, physics, landmarks.xpos, landmarks.linvel, excitation, prev_excitation)
            next_obs = self._body_obs(actor_critic.normaliser, next_state, landmarks, prev_limited, ref)
            value_obs = next_obs[:, self._value_columns]
            value = apply_mlp(actor_critic.value, value_obs, dtype=self._dtype, offset=value_offset)[..., 0]
            terminated = score.terminated | ~finite
            step_output = {
                "body_obs": body_obs, "excitation": excitation, "reward": jnp.where(terminated, 0.0, score.reward),
                "next_value": value, "terminated": terminated, "nonfinite": ~finite,
            }  # fmt: skip
            return (next_state, prev_limited, next_obs), step_output

        next_rows = jax.tree.map(lambda array: array[1:], rows)
        _, step_output = jax.lax.scan(
            step, (start.state, start.prev_excitation, body_obs), (next_rows, policy_offsets, value_offsets)
        )  # fmt: skip
        truncated = frame[1:] >= reference.length[start.clip] - 1
        return ImaginedRollout(goal_obs=goal_obs[:-1], truncated=truncated, **step_output)

    def _landmarks(self, state: ModelState) -> LandmarkMotion:
        return self.model.coordinates.landmarks(state.q, state.velocity)

    def _body_obs(
        self,
        normaliser: Normaliser,
        state: ModelState,
        landmarks: LandmarkMotion,
        prev_excitation: Array,
        ref: Reference,
    ) -> Array:
        """Normalised observation of the body and its deviation from the reference."""
        ground = jnp.zeros(len(prev_excitation), prev_excitation.dtype)
        physics = self.model.to_physics(state)
        body_obs = observation.observe_body(
            self.task.body, physics, landmarks.xpos, landmarks.linvel, prev_excitation, ref, ground
        )
        return normalise(_slice_normaliser(normaliser, slice(None, self._nbody)), body_obs)

    def _goal_obs(self, normaliser: Normaliser, reference: Reference, clip: Array, frame: Array) -> Array:
        """Normalised goals at all steps, shape (nstep + 1, n, ngoal)."""
        flat = frame.ravel()
        clips = jnp.broadcast_to(clip, frame.shape).ravel()
        ref = reference.rows(clips, flat)
        ahead = reference.rows(clips[:, None], flat[:, None] + jnp.asarray(self.task.config.future_steps))
        goal_obs = observation.observe_goals(self.task.body, ref, ahead)
        goal_normaliser = _slice_normaliser(normaliser, slice(self._nbody, None))
        return normalise(goal_normaliser, goal_obs).reshape(*frame.shape, -1)


def lambda_returns(rollout: ImaginedRollout, *, gamma: float, lambda_: float) -> Array:
    """Lambda-returns of every step (Sutton & Barto 2018, 12.1) with rewards scaled by 1 - gamma; shape (nstep, n).

    No value follows a termination; the end of a clip is bootstrapped with the value of the next state.
    """
    done = rollout.terminated | rollout.truncated

    def accumulate(next_return: Array, row: tuple[Array, Array, Array, Array]) -> tuple[Array, Array]:
        reward, value, terminated, done = row
        bootstrap = jnp.where(done, value, (1.0 - lambda_) * value + lambda_ * next_return)
        step_return = (1.0 - gamma) * reward + gamma * jnp.where(terminated, 0.0, bootstrap)
        return step_return, step_return

    rows = (rollout.reward, rollout.next_value, rollout.terminated, done)
    return jax.lax.scan(accumulate, rollout.next_value[-1], rows, reverse=True)[1]


def alive_mask(rollout: ImaginedRollout) -> Array:
    """1 for steps before a termination or the clip's end, inclusive, shape (nstep, n)."""
    done = (rollout.terminated | rollout.truncated).astype(rollout.reward.dtype)
    ended_before = jnp.cumsum(done, axis=0) - done
    return (ended_before == 0).astype(rollout.reward.dtype)


@partial(jax.custom_vjp, nondiff_argnums=(2,))
def limit_gradient(state: Any, grad_counter: Array, max_norm: float) -> Any:
    """Identity whose backward pass clips each row's gradient to a norm, or drops it if it is not finite.

    Args:
        state: Tree of arrays, (n, ...).
        grad_counter: Zeros, shape (2,); their gradients are the numbers of clipped and of dropped rows.
        max_norm: The norm.
    """
    return state


def _limit_forward(state: Any, grad_counter: Array, max_norm: float) -> tuple[Any, None]:
    return state, None


def _limit_backward(max_norm: float, _: None, grad: Any) -> tuple[Any, Array]:
    norm = jnp.sqrt(sum(jnp.sum(part**2, axis=1) for part in jax.tree.leaves(grad)))
    finite = jnp.isfinite(norm)
    scale = jnp.where(norm > max_norm, max_norm / norm, 1.0)
    limited = jax.tree.map(lambda part: jnp.where(finite[:, None], part * scale[:, None], 0.0), grad)
    counts = jnp.stack([jnp.sum(finite & (norm > max_norm)), jnp.sum(~finite)]).astype(norm.dtype)
    return limited, counts


limit_gradient.defvjp(_limit_forward, _limit_backward)


def _finite(state: ModelState) -> Array:
    """Worlds whose state is finite, shape (n,)."""
    return jnp.all(jnp.stack([jnp.all(jnp.isfinite(part), axis=1) for part in state]), axis=0)


def _slice_normaliser(normaliser: Normaliser, columns: slice) -> Normaliser:
    return Normaliser(normaliser.mean[columns], normaliser.var[columns], normaliser.count)
