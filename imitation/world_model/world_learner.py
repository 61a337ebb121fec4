"""Learning through a world model: the model is fitted to real steps, policy and value to imagined rollouts."""

from functools import partial
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jax import Array

from musclemap.imitation.ppo.networks import Params, apply_mlp, make_mlp, matmul_dtype
from musclemap.imitation.ppo.normaliser import Normaliser, make_normaliser, normalise, update_normaliser
from musclemap.imitation.ppo.optimisers import make_optimizer
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import Task

from .coordinates import ModelState
from .imagination import ActorCritic, Imagination, ImaginedRollout, alive_mask, lambda_returns
from .replay import ReplayBuffer, Transitions, sample_imagination_starts, sample_windows
from .world_config import WorldModelConfig
from .world_model import Dynamics, WorldModel

TreeT = TypeVar("TreeT")

NUM_EVAL_WINDOWS = 64
"""Number of windows on which the model is evaluated after each rollout."""

SMOOTHING = 0.9
"""Decay of the exponential averages on which decisions are based."""

EFFORT_RAMP = 0.1
"""Increase of the mean reward over which the effort penalty grows to its full weight."""

SATURATION = 0.95
"""Excitation above which a muscle counts as saturated."""

OPEN_LOOP_STEPS = (1, 8, 32)
"""Numbers of steps after which the model's error is logged."""


class WorldLearnerState(NamedTuple):
    """Networks, optimiser state and statistics that learning changes.

    Attributes:
        policy: Network of the policy.
        average: Exponential average of the policy over gradient steps, which acts in the worlds.
        value: Network of the value function.
        target: Exponential average of the value function, used for returns.
        optimizer: Optimiser states of policy, value and model, in this order.
        normaliser: Normaliser of observations.
        dynamics: Learned parameters of the model.
        error: Open-loop error of the landmarks relative to the distance they moved, for each horizon.
        horizon: Index of the horizon in use.
        tracking: Smoothed mean reward per step of the sweepers.
        actor_delay: Learning iterations left in which the policy is constant; None if learning began from scratch.
    """

    policy: Params
    average: Params
    value: Params
    target: Params
    optimizer: tuple[Any, Any, Any]
    normaliser: Normaliser
    dynamics: Dynamics
    error: Array
    horizon: Array
    tracking: Array
    actor_delay: Array | None = None


class WorldModelLearner:
    """Updates a `WorldLearnerState`. Methods are pure.

    Args:
        task: The task.
        model: World model of the task's body.
        config: Settings.
    """

    def __init__(self, task: Task, model: WorldModel, config: WorldModelConfig) -> None:
        self.task, self.model, self.config = task, model, config
        self._imagination = Imagination(task, model, config.precision)
        self._dtype = matmul_dtype(config.precision)
        make = partial(make_optimizer, config.optimizer, max_grad_norm=config.max_grad_norm, hidden_only=True)
        self._optimizers = (
            make(learning_rate=config.learning_rate),
            make(learning_rate=config.value_learning_rate),
            make_optimizer("adamw", learning_rate=config.dynamics.learning_rate, max_grad_norm=config.max_grad_norm),
        )

    def init(self, key: Array) -> WorldLearnerState:
        """Initialise the networks; excitations start near the resting ones, and values near zero."""
        policy_key, value_key, model_key = jax.random.split(key, 3)
        nobs, nu, hidden = self.task.nobs, self.task.body.model.nu, self.config.hidden
        policy = make_mlp(policy_key, (nobs, *hidden, nu), last_scale=0.01)
        value = make_mlp(value_key, (self._imagination.value_width, *hidden, 1), last_scale=0.01)
        dynamics = self.model.init(model_key)
        networks = (policy, value, dynamics.params)
        return WorldLearnerState(
            policy=policy,
            average=policy,
            value=value,
            target=value,
            optimizer=tuple(o.init(p) for o, p in zip(self._optimizers, networks, strict=True)),  # pyright: ignore[reportArgumentType]
            normaliser=make_normaliser(nobs),
            dynamics=dynamics,
            error=jnp.ones(len(self.config.horizons)),
            horizon=jnp.zeros((), jnp.int32),
            tracking=jnp.zeros(()),
        )

    def act(self, learner: WorldLearnerState, obs: Array) -> Array:
        """Excitations of the averaged policy, without noise, shape (nworld, nu)."""
        x = normalise(learner.normaliser, obs)
        return self.task.excitation(apply_mlp(learner.average, x, dtype=self._dtype))

    def update_normalisers(
        self, learner: WorldLearnerState, obs: Array, steps: Transitions, tracking: Array
    ) -> WorldLearnerState:
        """Update the normalisers with a rollout.

        Args:
            learner: Current state.
            obs: Observations, shape (nstep, nworld, nobs).
            steps: The rollout.
            tracking: Mean reward of its sweepers, or of all worlds if there are none.
        """
        smoothed = SMOOTHING * learner.tracking + (1.0 - SMOOTHING) * tracking
        normaliser = update_normaliser(learner.normaliser, obs.reshape(-1, obs.shape[-1]))
        if learner.actor_delay is not None:  # it is a part of the policy
            normaliser = _where(learner.actor_delay > 0, learner.normaliser, normaliser)
        learner = learner._replace(normaliser=normaliser, tracking=smoothed)
        return self.update_model_normalisers(learner, steps)

    def update_model_normalisers(self, learner: WorldLearnerState, steps: Transitions) -> WorldLearnerState:
        """Update the model's normalisers with transitions that lead with (nstep, nworld)."""
        flatten = lambda array: jnp.reshape(array, (-1, *array.shape[2:]))  # noqa: E731
        start = ModelState(flatten(steps.q), flatten(steps.velocity), flatten(steps.act))
        next_state = ModelState(flatten(steps.next_q), flatten(steps.next_velocity), flatten(steps.act))
        valid = flatten(steps.valid).astype(jnp.float32)
        clean = jax.tree.map(jnp.nan_to_num, (start, next_state))
        dynamics = self.model.update_normalisers(learner.dynamics, clean[0], flatten(steps.ctrl), clean[1], valid)
        return learner._replace(dynamics=dynamics)

    def fit_model(
        self, learner: WorldLearnerState, replay: ReplayBuffer, key: Array, *, window: int, held_out: int
    ) -> tuple[WorldLearnerState, dict[str, Array]]:
        """Fit the model to windows of real motion.

        Args:
            learner: Current state.
            replay: Real motion.
            key: Random key.
            window: Steps per window.
            held_out: Number of worlds to exclude.
        """
        config = self.config.dynamics

        def step(carry: tuple[Dynamics, Any], key: Array) -> tuple[tuple[Dynamics, Any], tuple[Array, Array]]:
            dynamics, state = carry
            windows = sample_windows(
                replay, key, config.batch_size, window, max_failure_share=config.failure_fraction, held_out=held_out
            )

            def loss(params: Params) -> Array:
                candidate = dynamics._replace(params=params)
                return self.model.loss(candidate, windows.start, windows.ctrl, windows.true, windows.valid)

            value, grad = jax.value_and_grad(loss)(dynamics.params)
            params, state, norm = self._gradient_step(2, grad, state, dynamics.params)
            return (dynamics._replace(params=params), state), (value, norm)

        keys = jax.random.split(key, config.gradient_steps)
        (dynamics, state), (loss, norm) = jax.lax.scan(step, (learner.dynamics, learner.optimizer[2]), keys)
        learner = learner._replace(dynamics=dynamics, optimizer=(*learner.optimizer[:2], state))
        return learner, {"model_loss": jnp.mean(loss), "model_grad_norm": jnp.mean(norm)}

    def evaluate_model(
        self, learner: WorldLearnerState, replay: ReplayBuffer, key: Array, *, held_out: int
    ) -> tuple[WorldLearnerState, dict[str, Array]]:
        """Measure the open-loop error in held-out worlds, and use a longer horizon if the model is accurate enough.

        Args:
            learner: Current state.
            replay: Real motion.
            key: Random key.
            held_out: Number of worlds that the model is not fitted to.
        """
        horizons = self.config.horizons
        nstep = max(*horizons, *OPEN_LOOP_STEPS)
        max_failure_share = self.config.dynamics.failure_fraction
        windows = sample_windows(
            replay, key, NUM_EVAL_WINDOWS, nstep, max_failure_share=max_failure_share, held_out=-held_out
        )
        position_error, distance = self.open_loop_error(learner.dynamics, windows.start, windows.ctrl, windows.true)
        mean = lambda array, k: jnp.nanmean(jnp.where(windows.valid > 0, array, jnp.nan)[k - 1])  # noqa: E731
        error = jnp.stack([mean(position_error, k) / jnp.maximum(mean(distance, k), 1e-3) for k in horizons])
        smoothed = jnp.where(jnp.isfinite(error), SMOOTHING * learner.error + (1.0 - SMOOTHING) * error, learner.error)
        is_trusted = jnp.cumprod(smoothed < self.config.horizon_error)
        horizon = jnp.clip(jnp.sum(is_trusted) - 1, learner.horizon, len(horizons) - 1)
        metrics = {f"model_error_mm_{k}": 1000.0 * mean(position_error, k) for k in OPEN_LOOP_STEPS}
        metrics |= {f"model_error_share_{k}": smoothed[i] for i, k in enumerate(horizons)}
        return learner._replace(error=smoothed, horizon=horizon.astype(jnp.int32)), metrics

    def open_loop_error(
        self, dynamics: Dynamics, start: ModelState, ctrl: Array, true: ModelState
    ) -> tuple[Array, Array]:
        """Mean distances of the landmarks [m]: from predicted to real positions, and from real to initial positions.

        Args:
            dynamics: Learned parameters of the model.
            start: Real initial states, (n, ...).
            ctrl: Excitations, shape (nstep, n, nu).
            true: Real states after each step.

        Returns:
            Shapes (nstep, n).
        """
        states = self.model.predict(dynamics, start, ctrl)
        landmarks = lambda state: self.model.coordinates.landmarks(state.q, state.velocity).xpos  # noqa: E731
        predicted, actual = (jax.vmap(landmarks)(state._replace(act=state.q[..., :0])) for state in (states, true))
        mean_distance = lambda a, b: jnp.mean(jnp.linalg.norm(a - b, axis=-1), axis=-1)  # noqa: E731
        return mean_distance(predicted, actual), mean_distance(actual, landmarks(start)[None])

    def improve_policy(
        self, learner: WorldLearnerState, reference: Reference, replay: ReplayBuffer, key: Array, *, nstep: int
    ) -> tuple[WorldLearnerState, dict[str, Array]]:
        """Improve policy and value by imagined rollouts from real states.

        Args:
            learner: Current state.
            reference: Frames.
            replay: Real motion.
            key: Random key.
            nstep: Steps per imagined rollout.
        """
        keys = jax.random.split(key, self.config.gradient_steps)
        run = partial(self._policy_step, reference, replay, nstep)
        learner, metrics = jax.lax.scan(run, learner, keys)
        if learner.actor_delay is not None:
            learner = learner._replace(actor_delay=jnp.maximum(learner.actor_delay - 1, 0))
        return learner, jax.tree.map(jnp.mean, metrics) | {"horizon": jnp.asarray(nstep, jnp.float32)}

    def _policy_step(
        self, reference: Reference, replay: ReplayBuffer, nstep: int, learner: WorldLearnerState, key: Array
    ) -> tuple[WorldLearnerState, dict[str, Array]]:
        config = self.config
        start = sample_imagination_starts(replay, key, config.batch_size)
        effort_share = jnp.clip((learner.tracking - config.effort_min_reward) / EFFORT_RAMP, 0.0, 1.0)

        def loss(policy: Params, grad_counter: Array) -> tuple[Array, tuple[ImaginedRollout, Array, Array]]:
            actor_critic = ActorCritic(policy, learner.target, learner.normaliser)
            rollout = self._imagination.rollout(
                actor_critic, learner.dynamics, reference, start, grad_counter, nstep=nstep,
                max_norm=config.max_state_grad_norm / config.batch_size,
            )  # fmt: skip
            step_returns = lambda_returns(rollout, gamma=config.gamma, lambda_=config.return_lambda)
            alive = alive_mask(rollout)
            is_finite = 1.0 - jnp.any(rollout.nonfinite, axis=0)
            effort = jnp.sum(jnp.mean(rollout.excitation**2, axis=-1) * alive) / jnp.maximum(jnp.sum(alive), 1.0)
            gain = jnp.sum(step_returns[0] * is_finite) / config.batch_size
            return config.effort_coef * effort_share * effort - gain, (rollout, step_returns, alive)

        value_and_grad = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)
        (_, (rollout, step_returns, alive)), (grad, grad_counts) = value_and_grad(learner.policy, jnp.zeros(2))
        policy, policy_state, policy_norm = self._gradient_step(0, grad, learner.optimizer[0], learner.policy)
        weight = alive * (1.0 - rollout.nonfinite)

        def value_loss(value: Params) -> Array:
            x = self._imagination.value_input(rollout.body_obs, rollout.goal_obs)
            error = apply_mlp(value, x, dtype=self._dtype)[..., 0] - jax.lax.stop_gradient(step_returns)
            return jnp.sum(error**2 * weight) / jnp.maximum(jnp.sum(weight), 1.0)

        value_error, value_grad = jax.value_and_grad(value_loss)(learner.value)
        value, value_state, value_norm = self._gradient_step(1, value_grad, learner.optimizer[1], learner.value)
        average = lambda decay: lambda old, new: decay * old + (1.0 - decay) * new  # noqa: E731
        metrics = {
            "imagined_return": jnp.mean(step_returns[0]),
            "value_loss": value_error,
            "grad_norm": policy_norm,
            "value_grad_norm": value_norm,
            "effort_share": effort_share,
            **_rollout_metrics(rollout, alive, grad_counts, nrow=config.batch_size * nstep),
        }
        actor = (policy, jax.tree.map(average(config.policy_ema_decay), learner.average, policy), policy_state)
        if learner.actor_delay is not None:
            old_actor = (learner.policy, learner.average, learner.optimizer[0])
            actor = _where(learner.actor_delay > 0, old_actor, actor)
        return learner._replace(
            policy=actor[0],
            average=actor[1],
            value=value,
            target=jax.tree.map(average(config.target_ema_decay), learner.target, value),
            optimizer=(actor[2], value_state, learner.optimizer[2]),
        ), metrics

    def _gradient_step(self, index: int, grad: Params, state: Any, params: Params) -> tuple[Params, Any, Array]:
        """Make a gradient step, unless the gradient is not finite; also return its norm."""
        norm = optax.tree.norm(grad)
        change, next_state = self._optimizers[index].update(grad, state, params)
        apply = jnp.isfinite(norm)
        pick = lambda new, old: jnp.where(apply, new, old)  # noqa: E731
        new_params = jax.tree.map(pick, optax.apply_updates(params, change), params)
        return new_params, jax.tree.map(pick, next_state, state), jnp.nan_to_num(norm)


def _where(condition: Array, new: TreeT, old: TreeT) -> TreeT:
    """`new` if a scalar condition holds, else `old`; trees of arrays of equal shapes."""
    return jax.tree.map(lambda a, b: jnp.where(condition, a, b), new, old)


def _rollout_metrics(rollout: ImaginedRollout, alive: Array, grad_counts: Array, *, nrow: int) -> dict[str, Array]:
    """Metrics of an imagined rollout; `grad_counts` are the clipped and the dropped derivatives."""
    return {
        "imagined_reward": jnp.sum(rollout.reward * alive) / jnp.maximum(jnp.sum(alive), 1.0),
        "imagined_terminated": jnp.mean(jnp.any(rollout.terminated & (alive > 0), axis=0)),
        "rows_clipped": grad_counts[0] / nrow,
        "rows_dropped": (grad_counts[1] + jnp.sum(rollout.nonfinite)) / nrow,
        "saturated": jnp.mean(rollout.excitation > SATURATION),
    }
