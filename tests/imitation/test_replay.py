"""The ring of what worlds went through: windows are real, break off where they must, and hold not too many failures."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from musclemap.imitation.world_model.replay import Replay, Steps, draw_starts, draw_windows, make_replay, write

NROW, NWORLD = 12, 5


def rows(first: int, count: int, **changed: np.ndarray) -> Steps:
    """Steps whose configuration tells row and world: 100 row + world, and after the step one row more."""
    number = 100.0 * (first + np.arange(count))[:, None] + np.arange(NWORLD)
    column = lambda array: jnp.asarray(array, jnp.float32)[..., None]  # noqa: E731
    true = np.ones((count, NWORLD), bool)
    steps = Steps(
        q=column(number), velocity=column(-number), act=column(0 * number), before=column(number - 1),
        ctrl=column(0.5 * number), next_q=column(number + 100), next_velocity=column(-number - 100),
        clip=jnp.zeros((count, NWORLD), jnp.int32), frame=jnp.asarray(number, jnp.int32), chained=jnp.asarray(true),
        failed=jnp.asarray(~true), fine=jnp.asarray(true),
    )  # fmt: skip
    return steps._replace(**{name: jnp.asarray(value) for name, value in changed.items()})


def ring(*written: Steps) -> Replay:
    replay = make_replay(written[0], NROW)
    for steps in written:
        replay = write(replay, steps)
    return replay


def test_windows_are_what_worlds_went_through() -> None:
    replay = ring(*(rows(4 * k, 4) for k in range(5)))  # 20 rows in 12: the oldest are gone
    assert int(replay.filled) == NROW
    window = draw_windows(replay, jax.random.PRNGKey(0), 400, 3, failures=0.5)
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
    assert not valid[1][newest].any()  # nothing comes after the newest row, though the ring goes on with the oldest
    assert valid[1][~newest].all()


def test_windows_break_off_at_new_beginnings_and_where_the_physics_was_bad() -> None:
    chained, fine = np.ones((4, NWORLD), bool), np.ones((4, NWORLD), bool)
    chained[1, 2], fine[2, 3] = False, False
    replay = ring(rows(0, 4, chained=chained, fine=fine))
    window = draw_windows(replay, jax.random.PRNGKey(1), 500, 4, failures=0.5)
    first, valid = np.asarray(window.start.q[:, 0]), np.asarray(window.valid)
    assert 203 not in first  # a bad step begins no window
    assert (valid[:, first == 2].T == [1, 1, 0, 0]).all()
    assert (valid[:, first == 3].T == [1, 1, 0, 0]).all()
    assert (valid[:, first == 4].T == [1, 1, 1, 1]).all()


def test_failures_are_at_most_their_share() -> None:
    failed = np.zeros((4, NWORLD), bool)
    failed[3, :4] = True  # four worlds of five
    chained = ~failed
    replay = ring(rows(0, 4, failed=failed, chained=chained))
    world = lambda share: np.asarray(  # noqa: E731
        draw_windows(replay, jax.random.PRNGKey(2), 4000, 4, failures=share).start.q[:, 0] % 100
    )
    assert np.mean(world(0.5) < 4) == pytest.approx(0.5, abs=0.03)
    assert np.mean(world(1.0) < 4) == pytest.approx(0.8, abs=0.03)
    assert not (world(0.0) < 4).any()


def test_where_all_windows_fail_they_are_drawn_all_the_same() -> None:
    failed = np.ones((4, NWORLD), bool)
    replay = ring(rows(0, 4, failed=failed, chained=~failed))
    window = draw_windows(replay, jax.random.PRNGKey(6), 200, 3, failures=0.5)
    assert {int(x) // 100 for x in window.start.q[:, 0]} == {0, 1, 2, 3}
    np.testing.assert_array_equal(window.valid[0], 1.0)


def test_worlds_that_are_held_out_are_judged_by_alone() -> None:
    replay = ring(rows(0, 4))
    world = lambda held: set(  # noqa: E731
        np.asarray(draw_windows(replay, jax.random.PRNGKey(3), 300, 2, failures=0.5, held=held).start.q)[:, 0] % 100
    )
    assert world(2) == {0, 1, 2}
    assert world(-2) == {3, 4}


def test_what_is_not_finite_is_kept_out() -> None:
    steps = rows(0, 4)
    replay = ring(steps._replace(next_q=steps.next_q.at[1, 1].set(jnp.nan), fine=steps.fine.at[1, 1].set(False)))
    window = draw_windows(replay, jax.random.PRNGKey(4), 300, 4, failures=0.5)
    assert np.isfinite(window.true.q).all()
    assert 101 not in np.asarray(window.start.q)


def test_starts_come_from_rows_that_are_written() -> None:
    replay = ring(rows(0, 4))
    start = draw_starts(replay, jax.random.PRNGKey(5), 500)
    assert {int(x) // 100 for x in start.state.q[:, 0]} == {0, 1, 2, 3}
    np.testing.assert_array_equal(start.frame, start.state.q[:, 0])
    np.testing.assert_array_equal(start.before[:, 0], start.state.q[:, 0] - 1)
