"""PPO's parts compared with plain loops and manual computations, and its sampler and normaliser."""

from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.errors import SettingsError
from musclemap.imitation.ppo import normaliser
from musclemap.imitation.ppo.networks import apply_mlp, make_mlp
from musclemap.imitation.ppo.ppo import PPO, PPOConfig, Rollout, advantages, gaussian_kl, log_prob, policy_loss
from musclemap.imitation.ppo.ppo_config import StartConfig, default_minibatch_size
from musclemap.imitation.task import sampler

CONFIG = PPOConfig(hidden=(32, 32), minibatch_size=64, num_steps=8, learning_rate=3e-3, optimizer="adamw", epochs=4)


def test_advantages_match_a_plain_loop() -> None:
    rng = np.random.default_rng(0)
    n, m, gamma, lam = 12, 5, 0.9, 0.8
    reward, value, next_value = rng.standard_normal((3, n, m))
    terminated = rng.random((n, m)) < 0.15
    done = terminated | (rng.random((n, m)) < 0.15)
    expected = np.zeros((n, m))
    for w in range(m):
        for t in range(n):  # the sum in the paper, up to the end of the episode
            weight = 1.0
            for k in range(t, n):
                delta = reward[k, w] + gamma * next_value[k, w] * (not terminated[k, w]) - value[k, w]
                expected[t, w] += weight * delta
                weight *= gamma * lam
                if done[k, w]:
                    break
    arguments = (jnp.asarray(a, jnp.float32) for a in (reward, value, next_value, terminated, done))
    result, target = advantages(*arguments, gamma=gamma, gae_lambda=lam)
    np.testing.assert_allclose(result, expected, atol=1e-5)
    np.testing.assert_allclose(target, expected + value, atol=1e-5)


def test_truncated_episodes_are_bootstrapped_and_terminated_ones_are_not() -> None:
    one = jnp.ones((1, 2))
    result, _ = advantages(
        0 * one, 0 * one, 5 * one, jnp.array([[1.0, 0.0]]), jnp.array([[1.0, 1.0]]), gamma=0.9, gae_lambda=0.95
    )
    np.testing.assert_allclose(result, [[0.0, 4.5]], rtol=1e-6)


def test_the_loss_matches_a_manual_computation() -> None:
    new, old = jnp.log(jnp.array([0.5, 0.9, 0.2])), jnp.log(jnp.array([0.5, 0.5, 0.4]))
    advantage = jnp.array([1.0, -1.0, 3.0])
    scaled = (np.array([1.0, -1.0, 3.0]) - 1.0) / np.std([1.0, -1.0, 3.0])
    ratio = np.array([1.0, 1.8, 0.5])
    manual = -np.mean([
        min(ratio[0] * scaled[0], 1.0 * scaled[0]),
        min(ratio[1] * scaled[1], 1.2 * scaled[1]),  # clipping never limits the penalty of a bad action
        min(ratio[2] * scaled[2], 0.8 * scaled[2]),
    ])  # fmt: skip
    result = policy_loss(new, old, advantage, clip_eps=0.2)
    assert float(result["policy_loss"]) == pytest.approx(manual, rel=1e-5)
    assert float(result["clipped"]) == pytest.approx(2 / 3)
    assert float(result["kl"]) == pytest.approx(np.mean(ratio - 1 - np.log(ratio)), rel=1e-5)


def test_log_probabilities_are_gaussian() -> None:
    rng = np.random.default_rng(1)
    action, mean, log_std = rng.standard_normal((7, 3)), rng.standard_normal((7, 3)), rng.standard_normal(3)
    std = np.exp(log_std)
    density = np.exp(-0.5 * ((action - mean) / std) ** 2) / (std * np.sqrt(2 * np.pi))
    result = log_prob(*(jnp.asarray(array) for array in (action, mean, log_std)))
    np.testing.assert_allclose(result, np.log(density).sum(axis=1), rtol=1e-4)


def bandit(ppo: PPO, learner, key):
    """A rollout of a task whose best action is 0.7 everywhere."""
    n = 16
    obs = jax.random.normal(key, (8, n, 3))
    action, logp, value = ppo.act(learner, obs, jax.random.fold_in(key, 1))
    reward = -jnp.sum((action - 0.7) ** 2, axis=-1)
    ones = jnp.ones_like(reward)
    return Rollout(obs, action, logp, value, jnp.zeros_like(value), reward, ones, ones)


@pytest.mark.parametrize("optimizer", ["adamw", "muon"])
def test_updates_find_the_best_action(optimizer: str) -> None:
    ppo = PPO(3, 2, replace(CONFIG, optimizer=optimizer))
    learner = ppo.init(jax.random.PRNGKey(0))
    update, figures = jax.jit(ppo.update), {}
    for k in range(60):
        key = jax.random.PRNGKey(k)
        learner, figures = update(learner, bandit(ppo, learner, key), key)
    assert np.isfinite(list(figures.values())).all()
    result = ppo.mean(learner, jax.random.normal(jax.random.PRNGKey(9), (50, 3)))
    assert float(jnp.abs(result - 0.7).max()) < 0.35
    assert float(jnp.abs(jnp.mean(result) - 0.7)) < 0.1


def test_a_small_rollout_is_learned_from_in_several_steps_and_measured_afterwards() -> None:
    assert [default_minibatch_size(n) for n in (1, 320, 1280, 8192 * 20)] == [1, 80, 320, 1280]
    ppo = PPO(3, 2, PPOConfig(hidden=(32, 32), learning_rate=0.01, optimizer="adamw", target_kl=10.0))
    learner = ppo.init(jax.random.PRNGKey(0))
    key = jax.random.PRNGKey(1)
    rollout = bandit(ppo, learner, key)  # 128 samples, a tenth of the largest minibatch
    after, figures = jax.jit(ppo.update)(learner, rollout, key)
    log_std = after.params["log_std"]
    x = normaliser.normalise(learner.normaliser, rollout.obs)
    log_ratio = log_prob(rollout.action, apply_mlp(after.params["policy"], x), log_std) - rollout.log_prob
    assert float(figures["kl"]) == pytest.approx(float(jnp.mean(jnp.exp(log_ratio) - 1 - log_ratio)), rel=1e-3)
    assert float(figures["clipped"]) == pytest.approx(float(jnp.mean(jnp.abs(jnp.exp(log_ratio) - 1) > 0.2)))
    assert float(figures["kl"]) > 1e-3
    assert float(figures["clipped"]) > 0.0


def test_the_divergence_of_gaussians_matches_samples() -> None:
    keys = jax.random.split(jax.random.PRNGKey(0), 5)
    mean_p, mean_q, log_std_p, log_std_q = (0.4 * jax.random.normal(key, (3,)) for key in keys[:4])
    sample = mean_p + jnp.exp(log_std_p) * jax.random.normal(keys[4], (200_000, 3))
    estimate = jnp.mean(log_prob(sample, mean_p, log_std_p) - log_prob(sample, mean_q, log_std_q))
    assert float(gaussian_kl(mean_p, log_std_p, mean_q, log_std_q)) == pytest.approx(float(estimate), rel=0.02)
    assert float(gaussian_kl(mean_p, log_std_p, mean_p, log_std_p)) == 0.0


def begun_at(ppo: PPO, noise_std: float | None = None):
    """A learner at a policy that another algorithm could have trained, and an update of it."""
    other = ppo.init(jax.random.PRNGKey(5))
    policy = make_mlp(jax.random.PRNGKey(6), (3, 32, 32, 2), last_scale=1.0)
    seen = normaliser.update_normaliser(other.normaliser, 2.0 * jax.random.normal(jax.random.PRNGKey(7), (50, 3)))
    log_std = None if noise_std is None else jnp.full(2, jnp.log(noise_std))
    return ppo.begin_at(ppo.init(jax.random.PRNGKey(0)), policy, seen, log_std=log_std), jax.jit(ppo.update)


def test_the_critic_is_fitted_before_the_actor_changes() -> None:
    config = replace(CONFIG, weight_decay=0.1, start=StartConfig(critic_rollouts=3, kl_coef=0.0))
    ppo = PPO(3, 2, config)
    learner, update = begun_at(ppo)
    first, errors = learner, []
    for k in range(4):
        key = jax.random.PRNGKey(k)
        after, figures = update(learner, bandit(ppo, learner, key), key)
        errors.append(float(figures["value_loss"]))
        if k < 3:
            for name in ("policy", "log_std"):
                jax.tree.map(np.testing.assert_array_equal, after.params[name], first.params[name])
            jax.tree.map(np.testing.assert_array_equal, after.normaliser, first.normaliser)
            assert not np.array_equal(after.params["value"]["w0"], learner.params["value"]["w0"])
        learner = after
    assert errors[3] < errors[0]
    assert not np.array_equal(learner.params["policy"]["w0"], first.params["policy"]["w0"])
    assert not np.array_equal(learner.normaliser.mean, first.normaliser.mean)
    # Adam's first step is as long as the learning rate, however many steps the critic has made before.
    once = PPO(3, 2, replace(config, minibatch_size=128, epochs=1, weight_decay=0.0))
    state = first._replace(updates=jnp.asarray(3.0), optimizer=learner.optimizer)
    key = jax.random.PRNGKey(9)
    after, _ = jax.jit(once.update)(state, bandit(once, state, key), key)
    change = jnp.abs(after.params["policy"]["b2"] - first.params["policy"]["b2"])
    assert float(change.max()) <= 1.01 * config.learning_rate


def test_the_starting_policy_holds_the_actor_until_its_weight_has_faded() -> None:
    moved = {}
    for coef in (0.0, 1e4):
        ppo = PPO(3, 2, replace(CONFIG, start=StartConfig(critic_rollouts=0, kl_coef=coef, kl_fade_steps=10**9)))
        learner, update = begun_at(ppo)
        first, figures = learner, {}
        for k in range(10):
            key = jax.random.PRNGKey(k)
            learner, figures = update(learner, bandit(ppo, learner, key), key)
        moved[coef] = float(figures["start_kl"])
        if coef:
            jax.tree.map(np.testing.assert_array_equal, learner.normaliser, first.normaliser)
    assert moved[1e4] < 0.01 * moved[0.0]


def test_the_weight_of_the_starting_policy_fades_linearly() -> None:
    start = StartConfig(critic_rollouts=1, kl_coef=2.0, kl_fade_steps=4 * 128)
    ppo = PPO(3, 2, replace(CONFIG, start=start))
    learner, update = begun_at(ppo)
    coefficients, counts = [], []
    for k in range(7):
        key = jax.random.PRNGKey(k)
        learner, figures = update(learner, bandit(ppo, learner, key), key)
        coefficients.append(float(figures["start_kl_coef"]))
        counts.append(float(learner.normaliser.count))
    assert coefficients == [2.0, 2.0, 1.5, 1.0, 0.5, 0.0, 0.0]
    assert counts == [50.0] * 5 + [178.0, 306.0]


def test_the_initial_noise_is_that_of_the_starting_policy_or_smaller() -> None:
    ppo = PPO(3, 2, replace(CONFIG, start=StartConfig(noise_std=0.2)))
    for known, expected in ((None, 0.2), (0.5, 0.2), (0.1, 0.1), (0.01, 0.05)):
        learner, _ = begun_at(ppo, known)
        np.testing.assert_allclose(jnp.exp(learner.params["log_std"]), expected, rtol=1e-6)


def test_updates_stop_when_the_policy_has_moved_too_far() -> None:
    ppo = PPO(3, 2, replace(CONFIG, learning_rate=0.3, target_kl=0.02, epochs=10))
    learner = ppo.init(jax.random.PRNGKey(0))
    key = jax.random.PRNGKey(1)
    _, figures = jax.jit(ppo.update)(learner, bandit(ppo, learner, key), key)
    assert float(figures["steps_skipped"]) >= 10


def test_a_non_finite_gradient_changes_nothing() -> None:
    ppo = PPO(3, 2, replace(CONFIG, minibatch_size=128))
    learner = ppo.init(jax.random.PRNGKey(0))
    key = jax.random.PRNGKey(1)
    rollout = bandit(ppo, learner, key)
    rollout = rollout._replace(reward=rollout.reward.at[0, 0].set(jnp.nan))
    next_value, figures = jax.jit(ppo.update)(learner, rollout, key)
    jax.tree.map(np.testing.assert_array_equal, next_value.params, learner.params)
    assert float(figures["steps_skipped"]) > 0


def test_the_normaliser_is_fixed_within_an_update() -> None:
    ppo = PPO(3, 2, CONFIG)
    learner = ppo.init(jax.random.PRNGKey(0))
    key = jax.random.PRNGKey(1)
    rollout = bandit(ppo, learner, key)
    wide = rollout._replace(obs=100.0 * rollout.obs)
    ratios = log_prob(rollout.action, ppo.mean(learner, rollout.obs), jnp.log(jnp.full(2, CONFIG.init_noise_std)))
    np.testing.assert_allclose(ratios, rollout.log_prob, atol=1e-4)  # the first ratio of an update is 1
    next_value, _ = jax.jit(ppo.update)(learner, wide, key)
    np.testing.assert_allclose(next_value.normaliser.mean, np.asarray(wide.obs).reshape(-1, 3).mean(axis=0), rtol=1e-4)


def test_the_normaliser_has_mean_and_variance_of_all_values() -> None:
    rng = np.random.default_rng(2)
    parts = [3.0 + 2.0 * rng.standard_normal((n, 4)) for n in (1, 50, 7, 200)]
    state = normaliser.make_normaliser(4)
    np.testing.assert_array_equal(normaliser.normalise(state, jnp.ones((1, 4))), np.ones((1, 4)))
    for part in parts:
        state = normaliser.update_normaliser(state, jnp.asarray(part, jnp.float32))
    everything = np.concatenate(parts)
    np.testing.assert_allclose(state.mean, everything.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(state.var, everything.var(axis=0), rtol=1e-4)
    bad = jnp.full((2, 4), jnp.nan)
    kept = normaliser.update_normaliser(state, bad, weight=jnp.zeros(2))
    np.testing.assert_allclose(kept.mean, state.mean, rtol=1e-6)


def test_episodes_start_more_often_where_they_terminate() -> None:
    initial = sampler.make_sampler(np.array([250, 100, 60]), fps=100.0)
    assert initial.clip.tolist() == [0, 0, 0, 1, 2]
    assert initial.frames.tolist() == [100, 100, 49, 99, 59]  # no frame follows the last one of a clip
    uniform = np.asarray(sampler.probabilities(initial))
    np.testing.assert_allclose(uniform, np.array([100, 100, 49, 99, 59]) / 407, rtol=1e-5)
    clip, frame = jnp.array([0] * 50 + [1] * 50), jnp.array([230] * 50 + [50] * 50)
    state = initial
    for _ in range(20):
        state = sampler.update_sampler(state, clip, frame, jnp.array([True] * 50 + [False] * 50), fps=100.0)
    probability = np.asarray(sampler.probabilities(state))
    assert probability.sum() == pytest.approx(1.0, rel=1e-5)
    per_frame = probability / np.asarray(initial.frames)
    assert per_frame[2] > 1.5 * per_frame[0]  # where they terminate
    assert per_frame[1] > 1.5 * per_frame[0]  # and the second before it
    assert per_frame[3] < per_frame[0]
    assert (probability >= 0.099 * uniform).all()  # no second is ever dropped


def test_seconds_with_little_reward_are_sampled_more_often_on_request() -> None:
    state = sampler.make_sampler(np.array([250, 100]), fps=100.0)
    clip, frame, terminated = jnp.array([0, 0, 1]), jnp.array([50, 150, 50]), jnp.zeros(3, bool)
    for _ in range(2000):
        state = sampler.update_sampler(state, clip, frame, terminated, fps=100.0, shortfall=jnp.array([0.1, 0.9, 0.5]))
    probability = np.asarray(sampler.probabilities(state) / state.frames)
    assert probability[1] > 1.2 * probability[3] > 1.2 * 1.2 * probability[0]


def test_sampled_starts_follow_the_probabilities_and_lie_within_the_clips() -> None:
    initial = sampler.make_sampler(np.array([250, 100]), fps=100.0)
    clip, frame = sampler.sample_starts(initial, jax.random.PRNGKey(0), 5000)
    assert set(np.unique(clip)) == {0, 1}
    assert frame[clip == 0].min() >= 0
    assert frame[clip == 0].max() == 248
    assert frame[clip == 1].max() == 98
    assert float((clip == 0).mean()) == pytest.approx(249 / 348, abs=0.03)


def test_half_precision_changes_results_only_slightly() -> None:
    params = make_mlp(jax.random.PRNGKey(0), (10, 64, 64, 3))
    x = jax.random.normal(jax.random.PRNGKey(1), (20, 10))
    exact, half = apply_mlp(params, x), apply_mlp(params, x, dtype=jnp.bfloat16)
    assert half.dtype == jnp.float32
    assert 0 < float(jnp.abs(exact - half).max()) < 0.1


@pytest.mark.parametrize(
    "changes",
    [{"num_steps": 0}, {"gamma": 1.0}, {"optimizer": "sgd"}, {"precision": "float16"}, {"max_grad_norm": 0.0}],
)
def test_invalid_settings_are_rejected(changes: dict) -> None:
    with pytest.raises(SettingsError, match=rf"PPOConfig\.{next(iter(changes))}"):
        PPOConfig(**changes)
