"""Functions that compare a conversion with measurements, on made-up curves (benchmarks/truth_comparison.py)."""

from pathlib import Path

import numpy as np
import pytest


@pytest.fixture
def comparison(monkeypatch: pytest.MonkeyPatch):
    """The module; `benchmarks/` is not a package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[1] / "benchmarks"))
    return pytest.importorskip("truth_comparison")


def test_correlation_ignores_size_and_offset_and_sees_the_sign(comparison) -> None:
    curve = np.sin(np.linspace(0, 6, 50))
    assert comparison.correlation(3.0 * curve + 5.0, curve) == pytest.approx(1.0)
    assert comparison.correlation(-curve, curve) == pytest.approx(-1.0)
    assert np.isnan(comparison.correlation(np.ones(50), curve))


def test_rmse_without_the_offset_is_the_spread_of_the_error(comparison) -> None:
    rng = np.random.default_rng(1)
    curve, error = rng.normal(size=200), rng.normal(size=200)
    error -= error.mean()
    assert comparison.rmse(curve + 4.0, curve) == pytest.approx(4.0)
    assert comparison.rmse(curve + 4.0, curve, offset=True) == pytest.approx(0.0, abs=1e-12)
    total = comparison.rmse(curve + error + 4.0, curve)
    assert total**2 == pytest.approx(16.0 + comparison.rmse(curve + error + 4.0, curve, offset=True) ** 2)


def test_transitions_lie_between_frames_and_ends_are_none(comparison) -> None:
    time = np.arange(8) / 10
    on, off = comparison.transitions(np.array([1, 1, 0, 0, 1, 1, 0, 1]), time)
    np.testing.assert_allclose(on, [0.35, 0.65])
    np.testing.assert_allclose(off, [0.15, 0.55])


def test_events_match_the_nearest_one_within_the_window(comparison) -> None:
    error, extra = comparison.event_errors(np.array([0.12, 0.9, 1.5]), np.array([0.1, 1.0, 3.0]), window=0.3)
    np.testing.assert_allclose(error, [0.02, -0.1, np.nan])
    assert extra == 1  # the one at 1.5 s
    error, extra = comparison.event_errors(np.array([]), np.array([1.0]), window=0.3)
    assert np.isnan(error).all()
    assert extra == 0
    assert comparison.event_errors(np.array([1.0]), np.array([]), window=0.3)[1] == 1


def test_the_way_back_is_measured_from_the_maximum_and_within_one_run(comparison) -> None:
    position = np.array([9.0, 0.0, 1.0, 3.0, 2.5, 1.5, 4.0, 0.0])
    mask = np.array([0, 1, 1, 1, 1, 1, 1, 0], bool)
    assert comparison.largest_return(position, mask) == 1.5
    assert comparison.largest_return(np.arange(8.0), mask) == 0.0
    assert comparison.largest_return(position, np.zeros(8, bool)) == 0.0
    two_steps = np.array([0.0, 1.0, 0.0, 0.5, 1.5])
    assert comparison.largest_return(two_steps, np.array([1, 1, 0, 1, 1], bool)) == 0.0


def test_the_delay_of_a_delayed_curve_is_recovered(comparison) -> None:
    time = np.arange(200) / 100
    emg = np.exp(-((time - 0.7) ** 2) / 0.02)
    force = np.exp(-((time - 0.76) ** 2) / 0.02)
    delay, r = comparison.best_delay(force, emg, fps=100.0, longest=0.12)
    assert delay == pytest.approx(0.06)
    assert r == pytest.approx(1.0)
    assert comparison.best_delay(emg, force, fps=100.0, longest=0.12)[0] == 0.0  # force never precedes EMG
