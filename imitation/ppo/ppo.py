"""Proximal policy optimisation (Schulman et al. 2017, arXiv 1707.06347) for muscles.

Deviations from the textbook algorithm, and their reasons:
- The end of a clip is a truncation: the value of the last observation, before the reset, is bootstrapped.
- Observations are normalised with statistics that stay fixed while a rollout is collected and learned from.
- Rewards are multiplied by 1 - gamma, so that values lie between 0 and 1 for any horizon.
- Once the KL divergence from the rollout's policy is too large, updates stop until the next rollout.
- Training that begins at a given policy fits the critic first, because the advantages of an untrained one are noise and
  would destroy the policy. Then the loss includes the KL divergence from the starting policy, with a coefficient that
  falls to 0 (kickstarting, Schmitt et al. 2018, arXiv 1803.03835). The normaliser is constant until then, so that only
  gradient steps change the policy.
"""

import math
from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array

from .networks import Params, apply_mlp, make_mlp, matmul_dtype
from .normaliser import Normaliser, make_normaliser, normalise, update_normaliser
from .optimisers import make_optimizer
from .ppo_config import MAX_ACTION_STD, MIN_ACTION_STD, PPOConfig, default_minibatch_size

TreeT = TypeVar("TreeT")

LOG_TAU = 1.8378770664093453  # log(2 pi)


class StartPolicy(NamedTuple):
    """Policy that training began at; constant.

    Attributes:
        policy: Its network.
        log_std: Logarithm of the initial exploration noise, shape (nu,).
        normaliser: Its normaliser of observations.
    """

    policy: Params
    log_std: Array
    normaliser: Normaliser


class LearnerState(NamedTuple):
    """State that updates change.

    Attributes:
        params: Networks `policy` and `value`, and `log_std`, shape (nu,).
        optimizer: Optimiser state.
        normaliser: Normaliser of observations.
        updates: Number of updates.
        start: Policy that training began at; None if it began from scratch.
    """

    params: Params
    optimizer: Any
    normaliser: Normaliser
    updates: Array
    start: StartPolicy | None = None


class _Schedule(NamedTuple):
    """What an update of a learner that began at a given policy changes.

    Attributes:
        frozen: Whether only the critic learns.
        kl_coef: Coefficient of the KL divergence from the starting policy.
    """

    frozen: Array
    kl_coef: Array


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

    def begin_at(
        self, learner: LearnerState, policy: Params, normaliser: Normaliser, *, log_std: Array | None = None,
        value: Params | None = None,
    ) -> LearnerState:  # fmt: skip
        """Begin at a given policy.

        Args:
            learner: From `init`; provides the critic if `value` is None.
            policy: Network of the policy, of the same shapes as the learner's.
            normaliser: Its normaliser.
            log_std: Logarithm of its exploration noise, shape (nu,), if known. `PPOConfig.start.noise_std` limits it.
            value: Network of its critic, if known.
        """
        limit = jnp.full(self.nu, math.log(self.config.start.noise_std), jnp.float32)
        log_std = limit if log_std is None else jnp.clip(log_std, jnp.log(MIN_ACTION_STD), limit)
        params = {"policy": policy, "log_std": log_std, "value": learner.params["value"] if value is None else value}
        start = StartPolicy(policy, log_std, normaliser)
        return LearnerState(params, self._optimizer.init(params), normaliser, jnp.zeros(()), start)

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
        batch_size = min(config.minibatch_size or default_minibatch_size(nsample), nsample)
        schedule = self._schedule(learner, nsample)
        if learner.start is not None:
            samples["start_mean"] = self._start_mean(learner.start, obs, batch_size)
        keys = jax.random.split(key, config.epochs)
        order = jax.vmap(lambda k: jax.random.permutation(k, nsample)[: nsample // batch_size * batch_size])(keys)
        batches = order.reshape(config.epochs, -1, batch_size)
        carry = (learner.params, self._initial_optimizer(learner), jnp.zeros((), bool))
        step = partial(self._step, samples, schedule, learner.start)
        (params, optimizer, _), metrics = jax.lax.scan(step, carry, batches.reshape(-1, batch_size))
        applied = metrics.pop("applied")
        means = {name: jnp.sum(value * applied) / jnp.maximum(jnp.sum(applied), 1.0) for name, value in metrics.items()}
        means |= self._measure(params, samples, learner.start, batches[-1])
        variance = jnp.var(flatten(target))
        means |= {
            "explained_variance": 1.0 - jnp.mean((flatten(target) - flatten(rollout.value)) ** 2) / (variance + 1e-8),
            "steps_skipped": jnp.sum(1.0 - applied),
            "noise": jnp.mean(jnp.exp(_log_std(params))),
        }
        normaliser = update_normaliser(learner.normaliser, obs)
        if schedule is not None:
            means["start_kl_coef"] = schedule.kl_coef
            constant = schedule.frozen | (schedule.kl_coef > 0)
            normaliser = _where(constant, learner.normaliser, normaliser)
        return LearnerState(params, optimizer, normaliser, learner.updates + 1, learner.start), means

    def _schedule(self, learner: LearnerState, nsample: int) -> _Schedule | None:
        """What this update changes; None if training began from scratch."""
        if learner.start is None:
            return None
        config = self.config.start
        actor_updates = learner.updates - config.critic_rollouts
        share = jnp.clip(1.0 - actor_updates * nsample / config.kl_fade_steps, 0.0, 1.0)
        return _Schedule(frozen=actor_updates < 0, kl_coef=config.kl_coef * share)

    def _initial_optimizer(self, learner: LearnerState) -> Any:
        """Optimiser state of the first gradient step: reset before the actor's first one.

        While the actor is constant, the optimiser counts steps without gradients, so that its first ones would be too
        large.
        """
        if learner.start is None:
            return learner.optimizer
        is_first = learner.updates == self.config.start.critic_rollouts
        return _where(is_first, self._optimizer.init(learner.params), learner.optimizer)

    def _start_mean(self, start: StartPolicy, obs: Array, batch_size: int) -> Array:
        """Actions of the starting policy without noise, shape (n, nu)."""
        action = lambda row: self._mean({"policy": start.policy}, normalise(start.normaliser, row))  # noqa: E731
        return jax.lax.map(action, obs, batch_size=batch_size)

    def _step(
        self, samples: dict[str, Array], schedule: _Schedule | None, start: StartPolicy | None,
        carry: tuple[Params, Any, Array], rows: Array,
    ) -> tuple[tuple[Params, Any, Array], dict[str, Array]]:  # fmt: skip
        """Make one gradient step, unless the policy has moved too far or the gradient is not finite."""
        params, optimizer, stopped = carry
        batch = {name: array[rows] for name, array in samples.items()}
        (_, metrics), grad = jax.value_and_grad(self._loss, has_aux=True)(params, batch, schedule, start)
        norm = optax.tree.norm(grad)
        stopped = stopped | (metrics.pop("kl") > self.config.target_kl)
        apply = ~stopped & jnp.isfinite(norm)
        step, next_optimizer = self._optimizer.update(grad, optimizer, params)
        new_params: Any = optax.apply_updates(params, step)
        if schedule is not None:  # weight decay would change the actor even without a gradient
            actor = {name: params[name] for name in ("policy", "log_std")}
            new_params = {**new_params, **_where(schedule.frozen, actor, {name: new_params[name] for name in actor})}
        params, optimizer = _where(apply, (new_params, next_optimizer), (params, optimizer))
        return (params, optimizer, stopped), {
            **metrics, "grad_norm": jnp.nan_to_num(norm), "applied": apply.astype(jnp.float32)
        }  # fmt: skip

    def _loss(
        self, params: Params, batch: dict[str, Array], schedule: _Schedule | None, start: StartPolicy | None
    ) -> tuple[Array, dict[str, Array]]:
        mean, log_std = self._mean(params, batch["x"]), _log_std(params)
        surrogate = policy_loss(
            log_prob(batch["action"], mean, log_std),
            batch["log_prob"],
            batch["advantage"],
            clip_eps=self.config.clip_eps,
        )
        entropy = jnp.sum(log_std + 0.5 * (LOG_TAU + 1.0))
        value = 0.5 * jnp.mean((self._value(params, batch["x"]) - batch["target"]) ** 2)
        loss = surrogate["policy_loss"] - self.config.ent_coef * entropy
        if schedule is not None and start is not None:
            kl = jnp.mean(gaussian_kl(batch["start_mean"], start.log_std, mean, log_std))
            loss = jnp.where(schedule.frozen, 0.0, loss + schedule.kl_coef * kl)
        metrics = {name: surrogate[name] for name in ("policy_loss", "kl")}
        return loss + self.config.vf_coef * value, {**metrics, "value_loss": value, "entropy": entropy}

    def _measure(
        self, params: Params, samples: dict[str, Array], start: StartPolicy | None, batches: Array
    ) -> dict[str, Array]:
        """How far an update has moved the policy on its rollout; `batches` has shape (nbatch, batch_size)."""
        log_std = _log_std(params)

        def measure(rows: Array) -> dict[str, Array]:
            batch = {name: array[rows] for name, array in samples.items()}
            mean = self._mean(params, batch["x"])
            new = log_prob(batch["action"], mean, log_std)
            surrogate = policy_loss(new, batch["log_prob"], batch["advantage"], clip_eps=self.config.clip_eps)
            metrics = {name: surrogate[name] for name in ("kl", "clipped")}
            if start is not None:
                metrics["start_kl"] = jnp.mean(gaussian_kl(batch["start_mean"], start.log_std, mean, log_std))
            return metrics

        return jax.tree.map(jnp.mean, jax.lax.map(measure, batches))

    def _mean(self, params: Params, x: Array) -> Array:
        return apply_mlp(params["policy"], x, dtype=self._dtype)

    def _value(self, params: Params, x: Array) -> Array:
        return apply_mlp(params["value"], x, dtype=self._dtype)[..., 0]


def _log_std(params: Params) -> Array:
    return jnp.clip(params["log_std"], jnp.log(MIN_ACTION_STD), jnp.log(MAX_ACTION_STD))


def _where(condition: Array, new: TreeT, old: TreeT) -> TreeT:
    """`new` if a scalar condition holds, else `old`; trees of arrays of equal shapes."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def gaussian_kl(mean_p: Array, log_std_p: Array, mean_q: Array, log_std_q: Array) -> Array:
    """KL divergence of Gaussian p from Gaussian q, both with independent components; means have shape (..., n).

    Returns:
        KL(p || q), shape (...).
    """
    variance_ratio = jnp.exp(2.0 * (log_std_p - log_std_q))
    distance = (mean_p - mean_q) * jnp.exp(-log_std_q)
    return 0.5 * jnp.sum(variance_ratio + distance**2 - 1.0 - 2.0 * (log_std_p - log_std_q), axis=-1)


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
