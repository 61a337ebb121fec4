"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) for muscles, in one sitting.

What differs from the textbook is here for a reason:
- The end of a clip is no failure: the value of what is truly seen there, before the world starts anew, is bootstrapped.
- Observations are normalised with figures that stand still while a rollout is collected and learned from.
- Rewards are multiplied by 1 - gamma, so that values lie between 0 and 1, whatever the horizon.
- Updates stop for the rest of a rollout once the policy has moved too far (KL), instead of diverging.
"""

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from . import normaliser as normalising
from .networks import Params, apply_mlp, make_mlp, product_type
from .normaliser import Normaliser
from .optimisers import make_optimizer
from .ppo_config import PPOConfig

LOG_TAU = 1.8378770664093453  # log(2 pi)
LOWEST_STD, HIGHEST_STD = 0.05, 2.0
"""Exploration noise is kept between these, in actions before the sigmoid."""


class Learner(NamedTuple):
    """All that learning changes: networks, optimiser, normaliser, and how many updates there were."""

    params: Params
    optimizer: Any
    normaliser: Normaliser
    updates: Array


class Rollout(NamedTuple):
    """What worlds went through, shapes (nstep, nworld, ...).

    Attributes:
        obs: What was seen.
        action: What was done, before the sigmoid.
        log_prob: Its log-probability then.
        value: Value of what was seen.
        next_value: Value of what was seen after the step, before a world started anew.
        reward: Reward.
        failed: Nothing came after.
        ended: The episode ended, failed or cut.
    """

    obs: Array
    action: Array
    log_prob: Array
    value: Array
    next_value: Array
    reward: Array
    failed: Array
    ended: Array


class PPO:
    """Makes, applies and improves a Gaussian policy with a value function.

    Args:
        nobs: Width of an observation.
        nu: Width of an action.
        config: Settings.
    """

    def __init__(self, nobs: int, nu: int, config: PPOConfig) -> None:
        self.nobs, self.nu, self.config = nobs, nu, config
        self._dtype = product_type(config.precision)
        self._optimizer = make_optimizer(
            config.optimizer, learning_rate=config.learning_rate, weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
        )  # fmt: skip

    def begin(self, key: Array) -> Learner:
        """Networks that know nothing: actions near zero, so excitations near the resting ones."""
        first, second = jax.random.split(key)
        hidden = self.config.hidden
        params = {
            "policy": make_mlp(first, (self.nobs, *hidden, self.nu), last_scale=0.01),
            "log_std": jnp.full(self.nu, math.log(self.config.init_noise_std), jnp.float32),
            "value": make_mlp(second, (self.nobs, *hidden, 1), last_scale=1.0),
        }
        return Learner(params, self._optimizer.init(params), normalising.make_normaliser(self.nobs), jnp.zeros(()))

    def mean(self, learner: Learner, obs: Array) -> Array:
        """Action without noise, shape (..., nu)."""
        return self._mean(learner.params, normalising.normalise(learner.normaliser, obs))

    def act(self, learner: Learner, obs: Array, key: Array) -> tuple[Array, Array, Array]:
        """Action with noise, its log-probability, and the value of what is seen."""
        x = normalising.normalise(learner.normaliser, obs)
        mean, log_std = self._mean(learner.params, x), _log_std(learner.params)
        action = mean + jnp.exp(log_std) * jax.random.normal(key, mean.shape)
        return action, log_prob(action, mean, log_std), self._value(learner.params, x)

    def value(self, learner: Learner, obs: Array) -> Array:
        """Value of what is seen, shape (...)."""
        return self._value(learner.params, normalising.normalise(learner.normaliser, obs))

    def update(self, learner: Learner, rollout: Rollout, key: Array) -> tuple[Learner, dict[str, Array]]:
        """Learn from a rollout; its observations enter the normaliser afterwards.

        Returns:
            What was learned, and figures for the log.
        """
        config = self.config
        advantage, target = advantages(
            rollout.reward * (1.0 - config.gamma), rollout.value, rollout.next_value, rollout.failed, rollout.ended,
            discount=config.gamma, trace=config.gae_lambda,
        )  # fmt: skip
        flat = lambda array: array.reshape(-1, *array.shape[2:])  # noqa: E731
        obs = flat(rollout.obs)
        samples = {
            "x": normalising.normalise(learner.normaliser, obs), "action": flat(rollout.action),
            "log_prob": flat(rollout.log_prob), "advantage": flat(advantage), "target": flat(target),
        }  # fmt: skip
        count = len(obs)
        size = min(config.minibatch_size, count)
        keys = jax.random.split(key, config.epochs)
        order = jax.vmap(lambda k: jax.random.permutation(k, count)[: count // size * size])(keys)
        carry = (learner.params, learner.optimizer, jnp.zeros((), bool))
        (params, optimizer, _), figures = jax.lax.scan(partial(self._step, samples), carry, order.reshape(-1, size))
        made = figures.pop("made")
        message = {name: jnp.sum(value * made) / jnp.maximum(jnp.sum(made), 1.0) for name, value in figures.items()}
        spread = jnp.var(flat(target))
        message |= {
            "explained_variance": 1.0 - jnp.mean((flat(target) - flat(rollout.value)) ** 2) / (spread + 1e-8),
            "steps_skipped": jnp.sum(1.0 - made),
            "noise": jnp.mean(jnp.exp(_log_std(params))),
        }
        known = normalising.take_in(learner.normaliser, obs)
        return Learner(params, optimizer, known, learner.updates + 1), message

    def _step(
        self, samples: dict[str, Array], carry: tuple[Params, Any, Array], rows: Array
    ) -> tuple[tuple[Params, Any, Array], dict[str, Array]]:
        """One gradient step, or none once the policy has moved too far or a gradient is not finite."""
        params, optimizer, stopped = carry
        batch = {name: array[rows] for name, array in samples.items()}
        (_, figures), grad = jax.value_and_grad(self._loss, has_aux=True)(params, batch)
        norm = optax.tree.norm(grad)
        stopped = stopped | (figures["kl"] > self.config.target_kl)
        make = ~stopped & jnp.isfinite(norm)
        step, next_optimizer = self._optimizer.update(grad, optimizer, params)
        moved = optax.apply_updates(params, step)
        pick = lambda new, old: jnp.where(make, new, old)  # noqa: E731
        params, optimizer = jax.tree.map(pick, (moved, next_optimizer), (params, optimizer))
        return (params, optimizer, stopped), {
            **figures, "grad_norm": jnp.nan_to_num(norm), "made": make.astype(jnp.float32)
        }  # fmt: skip

    def _loss(self, params: Params, batch: dict[str, Array]) -> tuple[Array, dict[str, Array]]:
        mean, log_std = self._mean(params, batch["x"]), _log_std(params)
        result = policy_loss(
            log_prob(batch["action"], mean, log_std), batch["log_prob"], batch["advantage"], clip=self.config.clip_eps
        )
        entropy = jnp.sum(log_std + 0.5 * (LOG_TAU + 1.0))
        value = 0.5 * jnp.mean((self._value(params, batch["x"]) - batch["target"]) ** 2)
        loss = result["policy_loss"] + self.config.vf_coef * value - self.config.ent_coef * entropy
        return loss, {**result, "value_loss": value, "entropy": entropy}

    def _mean(self, params: Params, x: Array) -> Array:
        return apply_mlp(params["policy"], x, dtype=self._dtype)

    def _value(self, params: Params, x: Array) -> Array:
        return apply_mlp(params["value"], x, dtype=self._dtype)[..., 0]


def _log_std(params: Params) -> Array:
    return jnp.clip(params["log_std"], jnp.log(LOWEST_STD), jnp.log(HIGHEST_STD))


def log_prob(action: Array, mean: Array, log_std: Array) -> Array:
    """Log-density of a Gaussian with independent components, summed over them."""
    return -0.5 * jnp.sum(((action - mean) * jnp.exp(-log_std)) ** 2 + 2.0 * log_std + LOG_TAU, axis=-1)


def policy_loss(new: Array, old: Array, advantage: Array, *, clip: float) -> dict[str, Array]:
    """Clipped surrogate of a minibatch, its advantages made comparable first.

    Args:
        new: Log-probabilities now, shape (n,).
        old: Log-probabilities when the actions were taken.
        advantage: Their advantages.
        clip: How far the ratio may go from 1.

    Returns:
        `policy_loss`, the estimate of the KL divergence of Schulman (http://joschu.net/blog/kl-approx.html), and the
        share of ratios that were clipped.
    """
    advantage = (advantage - jnp.mean(advantage)) / (jnp.std(advantage) + 1e-8)
    log_ratio = new - old
    ratio = jnp.exp(log_ratio)
    clipped = jnp.clip(ratio, 1.0 - clip, 1.0 + clip)
    return {
        "policy_loss": -jnp.mean(jnp.minimum(ratio * advantage, clipped * advantage)),
        "kl": jnp.mean(ratio - 1.0 - log_ratio),
        "clipped": jnp.mean(jnp.abs(ratio - 1.0) > clip),
    }


def advantages(
    reward: Array, value: Array, next_value: Array, failed: Array, ended: Array, *, discount: float, trace: float
) -> tuple[Array, Array]:
    """Generalised advantage estimation (Schulman et al. 2016, arXiv 1506.02438).

    Nothing follows a failure. An episode that was cut goes on in `next_value`, but the trace does not: what comes next
    in the row is another episode.

    Args:
        reward: Shape (nstep, nworld).
        value: Value before each step.
        next_value: Value after it, of the same episode.
        failed: Whether nothing follows.
        ended: Whether the next row is another episode; failed or cut.
        discount: Gamma.
        trace: Lambda.

    Returns:
        Advantages, and targets of the value, shape (nstep, nworld).
    """
    delta = reward + discount * next_value * (1.0 - failed) - value

    def back(later: Array, row: tuple[Array, Array]) -> tuple[Array, Array]:
        now = row[0] + discount * trace * (1.0 - row[1]) * later
        return now, now

    _, result = jax.lax.scan(back, jnp.zeros_like(delta[0]), (delta, ended.astype(delta.dtype)), reverse=True)
    return result, result + value
