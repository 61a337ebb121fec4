"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) for muscles.

Deviations from the textbook algorithm, and their reasons:
- The end of a clip is a truncation: the value of the last observation, before the reset, is bootstrapped.
- Observations are normalised with statistics that stay fixed while a rollout is collected and learned from.
- Rewards are multiplied by 1 - gamma, so that values lie between 0 and 1 for any horizon.
- Once the KL divergence from the rollout's policy is too large, updates stop until the next rollout.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from .networks import Params, apply_mlp, make_mlp, matmul_dtype
from .normaliser import Normaliser, make_normaliser, normalise, update_normaliser
from .optimisers import make_optimizer
from .ppo_config import PPOConfig

LOG_TAU = 1.8378770664093453  # log(2 pi)
MIN_ACTION_STD, MAX_ACTION_STD = 0.05, 2.0
"""Limits of the exploration noise, in actions before the sigmoid."""


class LearnerState(NamedTuple):
    """Networks, optimiser state, normaliser, and the number of updates so far."""

    params: Params
    optimizer: Any
    normaliser: Normaliser
    updates: Array


class Rollout(NamedTuple):
    """Transitions of all worlds, shapes (nstep, nworld, ...).

    Attributes:
        obs: Observation.
        action: Action, before the sigmoid.
        log_prob: Log-probability of the action when it was taken.
        value: Value of the observation.
        next_value: Value of the observation after the step, before any reset.
        reward: Reward.
        terminated: 1 where the episode terminated.
        done: 1 where the episode ended, terminated or truncated.
    """

    obs: Array
    action: Array
    log_prob: Array
    value: Array
    next_value: Array
    reward: Array
    terminated: Array
    done: Array


class PPO:
    """Initialises, evaluates and updates a Gaussian policy and a value function.

    Args:
        nobs: Width of an observation.
        nu: Width of an action.
        config: Settings.
    """

    def __init__(self, nobs: int, nu: int, config: PPOConfig) -> None:
        self.nobs, self.nu, self.config = nobs, nu, config
        self._dtype = matmul_dtype(config.precision)
        self._optimizer = make_optimizer(
            config.optimizer, learning_rate=config.learning_rate, weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
        )  # fmt: skip

    def init(self, key: Array) -> LearnerState:
        """Initialise the networks; actions start near zero, so excitations start near the resting ones."""
        policy_key, value_key = jax.random.split(key)
        hidden = self.config.hidden
        params = {
            "policy": make_mlp(policy_key, (self.nobs, *hidden, self.nu), last_scale=0.01),
            "log_std": jnp.full(self.nu, math.log(self.config.init_noise_std), jnp.float32),
            "value": make_mlp(value_key, (self.nobs, *hidden, 1), last_scale=1.0),
        }
        return LearnerState(params, self._optimizer.init(params), make_normaliser(self.nobs), jnp.zeros(()))

    def mean(self, learner: LearnerState, obs: Array) -> Array:
        """Action without noise, shape (..., nu)."""
        return self._mean(learner.params, normalise(learner.normaliser, obs))

    def act(self, learner: LearnerState, obs: Array, key: Array) -> tuple[Array, Array, Array]:
        """Sample an action; return it, its log-probability, and the value of the observation."""
        x = normalise(learner.normaliser, obs)
        mean, log_std = self._mean(learner.params, x), _log_std(learner.params)
        action = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return action, log_prob(action, mean, log_std), self._value(learner.params, x)

    def value(self, learner: LearnerState, obs: Array) -> Array:
        """Value of an observation, shape (...)."""
        return self._value(learner.params, normalise(learner.normaliser, obs))

    def update(self, learner: LearnerState, rollout: Rollout, key: Array) -> tuple[LearnerState, dict[str, Array]]:
        """Learn from a rollout. Its observations update the normaliser afterwards.

        Returns:
            The new state, and metrics for the log.
        """
        config = self.config
        advantage, target = advantages(
            rollout.reward * (1.0 - config.gamma), rollout.value, rollout.next_value, rollout.terminated,
            rollout.done, gamma=config.gamma, gae_lambda=config.gae_lambda,
        )  # fmt: skip
        flatten = lambda array: array.reshape(-1, *array.shape[2:])  # noqa: E731
        obs = flatten(rollout.obs)
        samples = {
            "x": normalise(learner.normaliser, obs), "action": flatten(rollout.action),
            "log_prob": flatten(rollout.log_prob), "advantage": flatten(advantage), "target": flatten(target),
        }  # fmt: skip
        nsample = len(obs)
        batch_size = min(config.minibatch_size, nsample)
        keys = jax.random.split(key, config.epochs)
        order = jax.vmap(lambda k: jax.random.permutation(k, nsample)[: nsample // batch_size * batch_size])(keys)
        carry = (learner.params, learner.optimizer, jnp.zeros((), bool))
        batches = order.reshape(-1, batch_size)
        (params, optimizer, _), metrics = jax.lax.scan(partial(self._step, samples), carry, batches)
        applied = metrics.pop("applied")
        means = {name: jnp.sum(value * applied) / jnp.maximum(jnp.sum(applied), 1.0) for name, value in metrics.items()}
        variance = jnp.var(flatten(target))
        means |= {
            "explained_variance": 1.0 - jnp.mean((flatten(target) - flatten(rollout.value)) ** 2) / (variance + 1e-8),
            "steps_skipped": jnp.sum(1.0 - applied),
            "noise": jnp.mean(jnp.exp(_log_std(params))),
        }
        normaliser = update_normaliser(learner.normaliser, obs)
        return LearnerState(params, optimizer, normaliser, learner.updates + 1), means

    def _step(
        self, samples: dict[str, Array], carry: tuple[Params, Any, Array], rows: Array
    ) -> tuple[tuple[Params, Any, Array], dict[str, Array]]:
        """Make one gradient step, unless the policy has moved too far or the gradient is not finite."""
        params, optimizer, stopped = carry
        batch = {name: array[rows] for name, array in samples.items()}
        (_, metrics), grad = jax.value_and_grad(self._loss, has_aux=True)(params, batch)
        norm = optax.tree.norm(grad)
        stopped = stopped | (metrics["kl"] > self.config.target_kl)
        apply = ~stopped & jnp.isfinite(norm)
        step, next_optimizer = self._optimizer.update(grad, optimizer, params)
        new_params = optax.apply_updates(params, step)
        pick = lambda new, old: jnp.where(apply, new, old)  # noqa: E731
        params, optimizer = jax.tree.map(pick, (new_params, next_optimizer), (params, optimizer))
        return (params, optimizer, stopped), {
            **metrics, "grad_norm": jnp.nan_to_num(norm), "applied": apply.astype(jnp.float32)
        }  # fmt: skip

    def _loss(self, params: Params, batch: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        mean, log_std = self._mean(params, batch["x"]), _log_std(params)
        surrogate = policy_loss(
            log_prob(batch["action"], mean, log_std),
            batch["log_prob"],
            batch["advantage"],
            clip_eps=self.config.clip_eps,
        )
        entropy = jnp.sum(log_std + 0.5 * (LOG_TAU + 1.0))
        value = 0.5 * jnp.mean((self._value(params, batch["x"]) - batch["target"]) ** 2)
        loss = surrogate["policy_loss"] + self.config.vf_coef * value - self.config.ent_coef * entropy
        return loss, {**surrogate, "value_loss": value, "entropy": entropy}

    def _mean(self, params: Params, x: Array) -> Array:
        return apply_mlp(params["policy"], x, dtype=self._dtype)

    def _value(self, params: Params, x: Array) -> Array:
        return apply_mlp(params["value"], x, dtype=self._dtype)[..., 0]


def _log_std(params: Params) -> Array:
    return jnp.clip(params["log_std"], jnp.log(MIN_ACTION_STD), jnp.log(MAX_ACTION_STD))


def log_prob(action: Array, mean: Array, log_std: Array) -> Array:
    """Log-density of a Gaussian with independent components, summed over the components."""
    return -0.5 * jnp.sum(((action - mean) * jnp.exp(-log_std)) ** 2 + 2.0 * log_std + LOG_TAU, axis=-1)


def policy_loss(log_prob_new: Array, log_prob_old: Array, advantage: Array, *, clip_eps: float) -> dict[str, Array]:
    """Clipped surrogate loss of a minibatch with standardised advantages.

    Args:
        log_prob_new: Log-probabilities under the current policy, shape (n,).
        log_prob_old: Log-probabilities when the actions were taken.
        advantage: Advantages of the actions.
        clip_eps: Largest deviation of the probability ratio from 1 before it is clipped.

    Returns:
        `policy_loss`; `kl`, Schulman's estimate of the KL divergence (http://joschu.net/blog/kl-approx.html); and
        `clipped`, the fraction of clipped ratios.
    """
    advantage = (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)
    log_ratio = log_prob_new - log_prob_old
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip_eps, 1.0 + clip_eps)
    return {
        "policy_loss": -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage)),
        "kl": jnp.mean(ratio - 1.0 - log_ratio),
        "clipped": jnp.mean(jnp.abs(ratio - 1.0) > clip_eps),
    }


def advantages(
    reward: Array, value: Array, next_value: Array, terminated: Array, done: Array, *, gamma: float, gae_lambda: float
) -> tuple[Array, Array]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438).

    No value follows a termination. A truncated episode is bootstrapped with `next_value`, but its advantages do not
    accumulate further, because the next row belongs to another episode.

    Args:
        reward: Shape (nstep, nworld).
        value: Value before each step.
        next_value: Value after each step, in the same episode.
        terminated: Whether the episode terminated.
        done: Whether the episode ended, terminated or truncated, so that the next row belongs to another one.
        gamma: Discount factor.
        gae_lambda: Lambda.

    Returns:
        Advantages and value targets, shape (nstep, nworld).
    """
    delta = reward + gamma * next_value * (1.0 - terminated) - value

    def accumulate(next_advantage: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        advantage = row[0] + gamma * gae_lambda * (1.0 - row[1]) * next_advantage
        return advantage, advantage

    _, advantage = jax.lax.scan(accumulate, jnp.zeros_like(delta[0]), (delta, done.astype(delta.dtype)), reverse=True)
    return advantage, advantage + value
