"""Learning through a model: the model from what worlds went through, policy and value from what it imagines."""

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax import Array

from musclemap.imitation.ppo import normaliser as normalising
from musclemap.imitation.ppo.networks import Params, apply_mlp, make_mlp, product_type
from musclemap.imitation.ppo.normaliser import Normaliser
from musclemap.imitation.ppo.optimisers import make_optimizer
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import Task

from .imagination import ActorCritic, Imagination, Rollout, alive, returns
from .replay import Replay, Steps, draw_starts, draw_windows
from .world_config import WorldModelConfig
from .world_model import Dynamics, ModelState, WorldModel

JUDGED = 64
"""Windows that the model is judged by after each rollout."""

SMOOTH = 0.9
"""Share of the old that is kept of figures that decisions are made by."""

EFFORT_RAMP = 0.1
"""Rise of the mean reward over which effort comes to count in full."""

SATURATED = 0.95
"""Excitation above which a muscle counts as saturated."""

OPEN_LOOP = (1, 8, 32)
"""Steps at which the model's error is told."""


class WorldLearner(NamedTuple):
    """All that learning changes.

    Attributes:
        policy: The policy's network.
        average: Its average over gradient steps; what acts.
        value: The value's network.
        target: Its average, which returns are computed with.
        optimizer: Of policy, value and model, in this order.
        normaliser: Of observations.
        dynamics: The model.
        error: Open-loop error of the landmarks over the way they went, for each horizon.
        horizon: Which of the horizons is imagined.
        tracking: Mean reward of a step of sweepers, smoothed.
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


class WorldLearning:
    """Improves a `WorldLearner`. Methods are pure.

    Args:
        task: The task.
        model: Of the task's body.
        config: Settings.
    """

    def __init__(self, task: Task, model: WorldModel, config: WorldModelConfig) -> None:
        self.task, self.model, self.config = task, model, config
        self._imagination = Imagination(task, model, config.precision)
        self._dtype = product_type(config.precision)
        make = partial(make_optimizer, config.optimizer, max_grad_norm=config.max_grad_norm, hidden_only=True)
        self._optimizers = (
            make(learning_rate=config.learning_rate),
            make(learning_rate=config.value_learning_rate),
            make_optimizer("adamw", learning_rate=config.dynamics.learning_rate, max_grad_norm=config.max_grad_norm),
        )

    def begin(self, key: Array) -> WorldLearner:
        """Networks that know nothing: excitations near the resting ones, values near nothing."""
        first, second, third = jax.random.split(key, 3)
        nobs, nu, hidden = self.task.nobs, self.task.body.model.nu, self.config.hidden
        policy = make_mlp(first, (nobs, *hidden, nu), last_scale=0.01)
        value = make_mlp(second, (self._imagination.nvalue, *hidden, 1), last_scale=0.01)
        dynamics = self.model.begin(third)
        made = (policy, value, dynamics.params)
        return WorldLearner(
            policy=policy,
            average=policy,
            value=value,
            target=value,
            optimizer=tuple(o.init(p) for o, p in zip(self._optimizers, made, strict=True)),  # pyright: ignore[reportArgumentType]
            normaliser=normalising.make_normaliser(nobs),
            dynamics=dynamics,
            error=jnp.ones(len(self.config.horizons)),
            horizon=jnp.zeros((), jnp.int32),
            tracking=jnp.zeros(()),
        )

    def act(self, learner: WorldLearner, obs: Array) -> Array:
        """Excitations of the averaged policy, without noise, shape (nworld, nu)."""
        x = normalising.normalise(learner.normaliser, obs)
        return self.task.excitation(apply_mlp(learner.average, x, dtype=self._dtype))

    def take_in(self, learner: WorldLearner, obs: Array, steps: Steps, tracking: Array) -> WorldLearner:
        """Let the normalisers see a rollout.

        Args:
            learner: What was learned.
            obs: Observations, shape (nstep, nworld, nobs).
            steps: The rollout.
            tracking: Mean reward of the sweepers in it, or of all worlds where there are none.
        """
        flat = lambda array: array.reshape(-1, *array.shape[2:])  # noqa: E731
        start = ModelState(flat(steps.q), flat(steps.velocity), flat(steps.act))
        after = ModelState(flat(steps.next_q), flat(steps.next_velocity), flat(steps.act))
        valid = flat(steps.fine).astype(jnp.float32)
        clean = jax.tree.map(jnp.nan_to_num, (start, after))
        kept = SMOOTH * learner.tracking + (1.0 - SMOOTH) * tracking
        return learner._replace(
            normaliser=normalising.take_in(learner.normaliser, flat(obs)),
            dynamics=self.model.take_in(learner.dynamics, clean[0], flat(steps.ctrl), clean[1], valid),
            tracking=kept,
        )

    def fit(
        self, learner: WorldLearner, replay: Replay, key: Array, *, window: int, held: int
    ) -> tuple[WorldLearner, dict[str, Array]]:
        """Fit the model to windows of real motion.

        Args:
            learner: What was learned.
            replay: Real motion.
            key: Random key.
            window: Steps of a window.
            held: Worlds that are left out.
        """
        config = self.config.dynamics

        def step(carry: tuple[Dynamics, Any], key: Array) -> tuple[tuple[Dynamics, Any], tuple[Array, Array]]:
            known, state = carry
            drawn = draw_windows(replay, key, config.batch_size, window, failures=config.failure_fraction, held=held)

            def loss(params: Params) -> Array:
                trying = known._replace(params=params)
                return self.model.loss(trying, drawn.start, drawn.ctrl, drawn.true, drawn.valid)

            value, grad = jax.value_and_grad(loss)(known.params)
            params, state, norm = self._moved(2, grad, state, known.params)
            return (known._replace(params=params), state), (value, norm)

        keys = jax.random.split(key, config.gradient_steps)
        (dynamics, state), (loss, norm) = jax.lax.scan(step, (learner.dynamics, learner.optimizer[2]), keys)
        learner = learner._replace(dynamics=dynamics, optimizer=(*learner.optimizer[:2], state))
        return learner, {"model_loss": jnp.mean(loss), "model_grad_norm": jnp.mean(norm)}

    def judge(
        self, learner: WorldLearner, replay: Replay, key: Array, *, held: int
    ) -> tuple[WorldLearner, dict[str, Array]]:
        """Measure the model open-loop in worlds that it is not fitted to; trust it with a longer horizon if it is good.

        Args:
            learner: What was learned.
            replay: Real motion.
            key: Random key.
            held: Worlds that the model is not fitted to.
        """
        horizons = self.config.horizons
        nstep = max(*horizons, *OPEN_LOOP)
        drawn = draw_windows(replay, key, JUDGED, nstep, failures=self.config.dynamics.failure_fraction, held=-held)
        off, way = self.open_loop(learner.dynamics, drawn.start, drawn.ctrl, drawn.true)
        mean = lambda array, k: jnp.nanmean(jnp.where(drawn.valid > 0, array, jnp.nan)[k - 1])  # noqa: E731
        error = jnp.stack([mean(off, k) / jnp.maximum(mean(way, k), 1e-3) for k in horizons])
        kept = jnp.where(jnp.isfinite(error), SMOOTH * learner.error + (1.0 - SMOOTH) * error, learner.error)
        trusted = jnp.cumprod(kept < self.config.horizon_error)
        horizon = jnp.clip(jnp.sum(trusted) - 1, learner.horizon, len(horizons) - 1)
        figures = {f"model_error_mm_{k}": 1000.0 * mean(off, k) for k in OPEN_LOOP}
        figures |= {f"model_error_share_{k}": kept[i] for i, k in enumerate(horizons)}
        return learner._replace(error=kept, horizon=horizon.astype(jnp.int32)), figures

    def open_loop(self, known: Dynamics, start: ModelState, ctrl: Array, true: ModelState) -> tuple[Array, Array]:
        """Mean distance of the landmarks between foretold and real, and way that they really went from the start [m].

        Args:
            known: The model.
            start: Real states, (n, ...).
            ctrl: Excitations, shape (nstep, n, nu).
            true: States after each step.

        Returns:
            Shapes (nstep, n).
        """
        result = self.model.predict(known, start, ctrl)
        place = lambda state: self.model.coordinates.landmarks(state.q, state.velocity).xpos  # noqa: E731
        foretold, real = (jax.vmap(place)(state._replace(act=state.q[..., :0])) for state in (result, true))
        far = lambda a, b: jnp.mean(jnp.linalg.norm(a - b, axis=-1), axis=-1)  # noqa: E731
        return far(foretold, real), far(real, place(start)[None])

    def improve(
        self, learner: WorldLearner, reference: Reference, replay: Replay, key: Array, *, nstep: int
    ) -> tuple[WorldLearner, dict[str, Array]]:
        """Improve policy and value by imagined rollouts from real states.

        Args:
            learner: What was learned.
            reference: Frames.
            replay: Real motion.
            key: Random key.
            nstep: Steps that are imagined.
        """
        keys = jax.random.split(key, self.config.gradient_steps)
        run = partial(self._improve_once, reference, replay, nstep)
        learner, figures = jax.lax.scan(run, learner, keys)
        return learner, jax.tree.map(jnp.mean, figures) | {"horizon": jnp.asarray(nstep, jnp.float32)}

    def _improve_once(
        self, reference: Reference, replay: Replay, nstep: int, learner: WorldLearner, key: Array
    ) -> tuple[WorldLearner, dict[str, Array]]:
        config = self.config
        start = draw_starts(replay, key, config.batch_size)
        share = jnp.clip((learner.tracking - config.effort_min_reward) / EFFORT_RAMP, 0.0, 1.0)

        def loss(policy: Params, bound: Array) -> tuple[Array, tuple[Rollout, Array, Array]]:
            actor_critic = ActorCritic(policy, learner.target, learner.normaliser)
            rollout = self._imagination.rollout(
                actor_critic, learner.dynamics, reference, start, bound, nstep=nstep,
                most=config.max_state_grad_norm / config.batch_size,
            )  # fmt: skip
            result = returns(rollout, discount=config.gamma, trace=config.return_lambda)
            going = alive(rollout)
            sound = 1.0 - jnp.any(rollout.broken, axis=0)
            effort = jnp.sum(jnp.mean(rollout.excitation**2, axis=-1) * going) / jnp.maximum(jnp.sum(going), 1.0)
            gain = jnp.sum(result[0] * sound) / config.batch_size
            return config.effort_coef * share * effort - gain, (rollout, result, going)

        (_, (rollout, result, going)), (grad, bound) = jax.value_and_grad(loss, argnums=(0, 1), has_aux=True)(
            learner.policy, jnp.zeros(2)
        )
        policy, policy_state, policy_norm = self._moved(0, grad, learner.optimizer[0], learner.policy)
        weight = going * (1.0 - rollout.broken)

        def value_loss(value: Params) -> Array:
            x = self._imagination.judged(rollout.seen, rollout.goals)
            off = apply_mlp(value, x, dtype=self._dtype)[..., 0] - jax.lax.stop_gradient(result)
            return jnp.sum(off**2 * weight) / jnp.maximum(jnp.sum(weight), 1.0)

        value_error, value_grad = jax.value_and_grad(value_loss)(learner.value)
        value, value_state, value_norm = self._moved(1, value_grad, learner.optimizer[1], learner.value)
        mix = lambda share: lambda old, new: share * old + (1.0 - share) * new  # noqa: E731
        steps = jnp.maximum(jnp.sum(going), 1.0)
        rows = config.batch_size * nstep
        figures = {
            "imagined_reward": jnp.sum(rollout.reward * going) / steps,
            "imagined_return": jnp.mean(result[0]),
            "imagined_failed": jnp.mean(jnp.any(rollout.failed & (going > 0), axis=0)),
            "value_loss": value_error,
            "grad_norm": policy_norm,
            "value_grad_norm": value_norm,
            "rows_clipped": bound[0] / rows,
            "rows_dropped": (bound[1] + jnp.sum(rollout.broken)) / rows,
            "saturated": jnp.mean(rollout.excitation > SATURATED),
            "effort_share": share,
        }
        return learner._replace(
            policy=policy,
            average=jax.tree.map(mix(config.policy_ema_decay), learner.average, policy),
            value=value,
            target=jax.tree.map(mix(config.target_ema_decay), learner.target, value),
            optimizer=(policy_state, value_state, learner.optimizer[2]),
        ), figures

    def _moved(self, which: int, grad: Params, state: Any, params: Params) -> tuple[Params, Any, Array]:
        """A gradient step, or none where the gradient is not finite; its norm is told."""
        norm = optax.tree.norm(grad)
        change, after = self._optimizers[which].update(grad, state, params)
        make = jnp.isfinite(norm)
        pick = lambda new, old: jnp.where(make, new, old)  # noqa: E731
        moved = jax.tree.map(pick, optax.apply_updates(params, change), params)
        return moved, jax.tree.map(pick, after, state), jnp.nan_to_num(norm)
