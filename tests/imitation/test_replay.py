"""Replay buffer: windows are real, end where they must, and contain a limited share of failures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.imitation.world_model.replay import (
    ReplayBuffer,
    Transitions,
    make_replay_buffer,
    sample_imagination_starts,
    sample_windows,
    write_transitions,
)

NROW, NWORLD = 12, 5


def rows(first: int, count: int, **changed: np.ndarray) -> Transitions:
    """Transitions whose configuration encodes row and world: 100 row + world, and one row more after the step."""
    number = 100.0 * (first + np.arange(count))[:, None] + np.arange(NWORLD)
    column = lambda array: jnp.asarray(array, jnp.float32)[..., None]  # noqa: E731
    true = np.ones((count, NWORLD), bool)
    steps = Transitions(
        q=column(number), velocity=column(-number), act=column(0 * number), prev_excitation=column(number - 1),
        ctrl=column(0.5 * number), next_q=column(number + 100), next_velocity=column(-number - 100),
        clip=jnp.zeros((count, NWORLD), jnp.int32), frame=jnp.asarray(number, jnp.int32), contiguous=jnp.asarray(true),
        terminated=jnp.asarray(~true), valid=jnp.asarray(true),
    )  # fmt: skip
    return steps._replace(**{name: jnp.asarray(value) for name, value in changed.items()})


def make_buffer(*chunks: Transitions) -> ReplayBuffer:
    replay = make_replay_buffer(chunks[0], NROW)
    for steps in chunks:
        replay = write_transitions(replay, steps)
    return replay


def test_windows_contain_the_stored_transitions() -> None:
    replay = make_buffer(*(rows(4 * k, 4) for k in range(5)))  # 20 rows in 12: the oldest are overwritten
    assert int(replay.filled) == NROW
    window = sample_windows(replay, jax.random.PRNGKey(0), 400, 3, max_failure_share=0.5)
    first = np.asarray(window.start.q[:, 0])
    assert first.min() >= 800
    assert set(np.unique(first % 100)) == set(range(NWORLD))
    valid = np.asarray(window.valid) > 0
    assert valid[0].all()
    for k in range(3):
        np.testing.assert_array_equal(window.ctrl[k, :, 0][valid[k]], 0.5 * (first + 100 * k)[valid[k]])
        np.testing.assert_array_equal(window.true.q[k, :, 0][valid[k]], (first + 100 * (k + 1))[valid[k]])
    newest = first >= 1900
    assert newest.any()
    assert not valid[1][newest].any()  # the newest row has no successor, although the ring continues with the oldest
    assert valid[1][~newest].all()


def test_windows_end_at_resets_and_bad_physics() -> None:
    contiguous, valid = np.ones((4, NWORLD), bool), np.ones((4, NWORLD), bool)
    contiguous[1, 2], valid[2, 3] = False, False
    replay = make_buffer(rows(0, 4, contiguous=contiguous, valid=valid))
    window = sample_windows(replay, jax.random.PRNGKey(1), 500, 4, max_failure_share=0.5)
    first, valid = np.asarray(window.start.q[:, 0]), np.asarray(window.valid)
    assert 203 not in first  # no window starts with an invalid step
    assert (valid[:, first == 2].T == [1, 1, 0, 0]).all()
    assert (valid[:, first == 3].T == [1, 1, 0, 0]).all()
    assert (valid[:, first == 4].T == [1, 1, 1, 1]).all()


def test_the_share_of_failures_is_limited() -> None:
    terminated = np.zeros((4, NWORLD), bool)
    terminated[3, :4] = True  # in four of five worlds
    contiguous = ~terminated
    replay = make_buffer(rows(0, 4, terminated=terminated, contiguous=contiguous))
    sampled_worlds = lambda share: np.asarray(  # noqa: E731
        sample_windows(replay, jax.random.PRNGKey(2), 4000, 4, max_failure_share=share).start.q[:, 0] % 100
    )
    assert np.mean(sampled_worlds(0.5) < 4) == pytest.approx(0.5, abs=0.03)
    assert np.mean(sampled_worlds(1.0) < 4) == pytest.approx(0.8, abs=0.03)
    assert not (sampled_worlds(0.0) < 4).any()


def test_failures_are_sampled_if_there_is_nothing_else() -> None:
    terminated = np.ones((4, NWORLD), bool)
    replay = make_buffer(rows(0, 4, terminated=terminated, contiguous=~terminated))
    window = sample_windows(replay, jax.random.PRNGKey(6), 200, 3, max_failure_share=0.5)
    assert {int(x) // 100 for x in window.start.q[:, 0]} == {0, 1, 2, 3}
    np.testing.assert_array_equal(window.valid[0], 1.0)


def test_held_out_worlds_are_sampled_only_for_evaluation() -> None:
    replay = make_buffer(rows(0, 4))
    sampled_worlds = lambda held_out: set(  # noqa: E731
        np.asarray(
            sample_windows(replay, jax.random.PRNGKey(3), 300, 2, max_failure_share=0.5, held_out=held_out).start.q
        )[:, 0]
        % 100
    )
    assert sampled_worlds(2) == {0, 1, 2}
    assert sampled_worlds(-2) == {3, 4}


def test_non_finite_states_are_never_sampled() -> None:
    steps = rows(0, 4)
    replay = make_buffer(
        steps._replace(next_q=steps.next_q.at[1, 1].set(jnp.nan), valid=steps.valid.at[1, 1].set(False))
    )
    window = sample_windows(replay, jax.random.PRNGKey(4), 300, 4, max_failure_share=0.5)
    assert np.isfinite(window.true.q).all()
    assert 101 not in np.asarray(window.start.q)


def test_starts_are_sampled_from_written_rows() -> None:
    replay = make_buffer(rows(0, 4))
    start = sample_imagination_starts(replay, jax.random.PRNGKey(5), 500)
    assert {int(x) // 100 for x in start.state.q[:, 0]} == {0, 1, 2, 3}
    np.testing.assert_array_equal(start.frame, start.state.q[:, 0])
    np.testing.assert_array_equal(start.prev_excitation[:, 0], start.state.q[:, 0] - 1)
