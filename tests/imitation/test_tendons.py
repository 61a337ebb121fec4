"""Fitted muscle lengths: close to MuJoCo's, with moment arms that are their derivatives."""

import os
from collections.abc import Callable
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
import safetensors.numpy

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.world_model import tendon_files
from musclemap.imitation.world_model.coordinates import WorldModelCoordinates
from musclemap.imitation.world_model.muscles import read_muscles
from musclemap.imitation.world_model.tendon_files import load_or_fit
from musclemap.imitation.world_model.tendons import (
    TendonConfig,
    Tendons,
    TendonWeights,
    _one_muscle,
    _value_and_slope,
    fit_tendons,
    measure_tendons,
    sample_configurations,
)

QUICK = TendonConfig(num_samples=2000, gradient_steps=2000)


@pytest.fixture(scope="module")
def tendons(arm: SimulationBody) -> Tendons:
    return fit_tendons(arm, QUICK)


def test_mujocos_moment_arms_are_derivatives_of_its_lengths(human: SimulationBody) -> None:
    """Including couplings: a shoulder muscle's moment arm about shoulder_elv includes the driven joints."""
    joint, step, moved = sample_configurations(human, 3, 0), 1e-3, (0, 7, 15, 30)
    shifts = [sign * step * np.eye(joint.shape[1])[j] for j in moved for sign in (1, -1)]
    length, arm = measure_tendons(human, np.concatenate([joint, *(joint + shift for shift in shifts)]))
    length = length.reshape(1 + len(shifts), 3, -1)
    for k, j in enumerate(moved):
        slope = (length[1 + 2 * k] - length[2 + 2 * k]) / (2 * step)
        close = np.abs(slope - arm[:3, :, j]) < 1e-3
        assert close.mean() > 0.98  # a tendon may leave a bone in between


def test_fitted_lengths_and_moment_arms_are_accurate(arm: SimulationBody, tendons: Tendons) -> None:
    assert tendons.error.length.max() < 1e-3
    assert np.median(tendons.error.length) < 3e-4
    assert tendons.torque_error < 0.05
    joint = sample_configurations(arm, 50, 9)
    length, moment = measure_tendons(arm, joint)
    result, slope = tendons.length(jnp.asarray(joint, jnp.float32))
    np.testing.assert_allclose(result.T, length, atol=4e-3)
    assert np.sqrt(np.mean((result.T - length) ** 2)) < 5e-4
    assert tendons.mask.sum(axis=1).tolist() == [1, 1, 1, 1, 2, 2]
    assert np.median(np.abs(np.asarray(slope)[0, 0] - moment[:, 0, 0])) < 1e-3


def test_torques_match_mujoco(arm: SimulationBody, tendons: Tendons) -> None:
    model, coordinates = arm.model, WorldModelCoordinates(arm)
    rng = np.random.default_rng(4)
    joint, rate = rng.uniform(coordinates.lower, coordinates.upper, (40, 2)), rng.normal(0, 2, (40, 2))
    act = rng.uniform(0, 1, (40, model.nu))
    data, expected = mujoco.MjData(model), []
    for q, v, a in zip(joint, rate, act, strict=True):
        data.qpos, data.qvel, data.act = q, v, a
        mujoco.mj_forward(model, data)
        expected.append(data.qfrc_actuator.copy())
    arrays = (jnp.asarray(x, jnp.float32) for x in (joint, rate, act))
    result = jax.jit(tendons.torque)(read_muscles(model), *arrays)
    assert np.sqrt(np.mean((result - np.array(expected)) ** 2)) < 0.06 * np.sqrt(np.mean(np.square(expected)))


def test_fits_are_stored_and_recomputed_when_damaged(arm: SimulationBody, tmp_path: Path) -> None:
    config = TendonConfig(num_samples=200, gradient_steps=20)
    messages: list[str] = []
    first = load_or_fit(arm, config, tmp_path, on_message=messages.append)
    loaded = load_or_fit(arm, config, tmp_path, on_message=messages.append)
    assert len(messages) == 1
    np.testing.assert_array_equal(first.weights.w1, loaded.weights.w1)
    np.testing.assert_array_equal(first.error.length, loaded.error.length)
    load_or_fit(arm, TendonConfig(num_samples=200, gradient_steps=21), tmp_path, on_message=messages.append)
    assert len(list(tmp_path.iterdir())) == 2  # other settings need another fit
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    recomputed = load_or_fit(arm, config, tmp_path, on_message=messages.append)
    assert any("is damaged" in line for line in messages)
    np.testing.assert_array_equal(first.weights.w1, recomputed.weights.w1)


def _changed(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], object]:
    def damage(path: Path) -> None:
        arrays = safetensors.numpy.load_file(path)
        safetensors.numpy.save_file(arrays | {name: change(arrays[name])}, path)

    return damage


DAMAGES: dict[str, Callable[[Path], object]] = {
    "a joint out of range": _changed("joints", lambda a: a + 1000),
    "a joint below 0": _changed("joints", lambda a: a - 1),
    "another type": _changed("mask", lambda a: a.astype(np.int64)),
    "another shape": _changed("weights.w1", lambda a: a[:, :2].copy()),
    "no joints": _changed("joints", lambda a: a[:, :0].copy()),
    "joints of no shape": _changed("joints", lambda a: a.ravel()[:1].reshape(())),
    "no number": _changed("mean", lambda a: a * np.nan),
    "too large": _changed("weights.w0", lambda a: a + np.float32(1e30)),
    "a range of nothing": _changed("half", lambda a: a * 0.0),
    "half a mask": _changed("mask", lambda a: a * 0.5),
    "a pipe": lambda path: (path.unlink(), os.mkfifo(path)),
    "a folder": lambda path: (path.unlink(), path.mkdir()),
    "a link to nothing": lambda path: (path.unlink(), path.symlink_to("nothing")),
    "sparse": lambda path: os.truncate(path, 10 * 2**40),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_fit_with_wrong_shapes_or_ranges_is_recomputed(
    arm: SimulationBody, tendons: Tendons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(tendon_files, "fit_tendons", lambda *_, **__: tendons)
    messages: list[str] = []
    load_or_fit(arm, QUICK, tmp_path)
    (path,) = tmp_path.iterdir()
    data = path.read_bytes()
    DAMAGES[what](path)
    load_or_fit(arm, QUICK, tmp_path, on_message=messages.append)
    (message,) = messages
    assert "is damaged (" in message
    assert path.read_bytes() == data


def test_a_fit_is_stored_in_every_folder_and_the_first_one_is_used(arm: SimulationBody, tmp_path: Path) -> None:
    """A run resumed on another machine keeps its muscles."""
    config, run, shared = TendonConfig(num_samples=200, gradient_steps=20), tmp_path / "run", tmp_path / "shared"
    load_or_fit(arm, config, shared)
    load_or_fit(arm, config, run, shared)
    (stored,), (shared_file,) = run.iterdir(), shared.iterdir()
    assert stored.read_bytes() == shared_file.read_bytes()
    load_or_fit(arm, config, run, tmp_path / "elsewhere")
    assert next((tmp_path / "elsewhere").iterdir()).read_bytes() == stored.read_bytes()


def test_batched_and_sequential_evaluation_agree(tendons: Tendons) -> None:
    """A GPU evaluates all muscles together, a CPU one after another."""
    weights = TendonWeights(*map(jnp.asarray, tendons.weights))
    z = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (6, tendons.mask.shape[1], 20)), jnp.float32)
    for result, expected in zip(_value_and_slope(weights, z), jax.vmap(_one_muscle)(weights, z), strict=True):
        np.testing.assert_allclose(result, expected, atol=1e-5)
