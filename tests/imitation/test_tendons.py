"""Lengths of muscles as smooth functions: near MuJoCo's, with moment arms that are their slopes."""

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
from musclemap.imitation.world_model.coordinates import Coordinates
from musclemap.imitation.world_model.muscles import muscles_of
from musclemap.imitation.world_model.tendon_files import load_or_fit
from musclemap.imitation.world_model.tendons import (
    TendonConfig,
    Tendons,
    TendonWeights,
    _one_muscle,
    _value_and_slope,
    draw_configurations,
    fit_tendons,
    measure_tendons,
)

QUICK = TendonConfig(num_samples=2000, gradient_steps=2000)


@pytest.fixture(scope="module")
def tendons(arm: SimulationBody) -> Tendons:
    return fit_tendons(arm, QUICK)


def test_moment_arms_of_mujoco_are_slopes_of_its_lengths(human: SimulationBody) -> None:
    """Through the couplings: a shoulder muscle's arm about shoulder_elv counts the joints that it drives."""
    joint = draw_configurations(human, 3, 0)
    _, arm = measure_tendons(human, joint)
    step = 1e-3
    for j in (0, 7, 15, 30):
        moved = [joint + sign * step * np.eye(joint.shape[1])[j] for sign in (1, -1)]
        ahead, behind = (measure_tendons(human, rows)[0] for rows in moved)
        slope = (ahead - behind) / (2 * step)
        close = np.abs(slope - arm[:, :, j]) < 1e-3
        assert close.mean() > 0.98  # a tendon may jump off a bone in between


def test_lengths_and_arms_of_the_arm_are_known(arm: SimulationBody, tendons: Tendons) -> None:
    assert tendons.error.length.max() < 1e-3
    assert np.median(tendons.error.length) < 3e-4
    assert tendons.torque_error < 0.05
    joint = draw_configurations(arm, 50, 9)
    length, moment = measure_tendons(arm, joint)
    result, slope = tendons.length(jnp.asarray(joint, jnp.float32))
    np.testing.assert_allclose(result.T, length, atol=4e-3)
    assert np.sqrt(np.mean((result.T - length) ** 2)) < 5e-4
    assert tendons.mask.sum(axis=1).tolist() == [1, 1, 1, 1, 2, 2]
    assert np.median(np.abs(np.asarray(slope)[0, 0] - moment[:, 0, 0])) < 1e-3


def test_torques_are_mujocos(arm: SimulationBody, tendons: Tendons) -> None:
    model, at = arm.model, Coordinates(arm)
    rng = np.random.default_rng(4)
    joint, rate = rng.uniform(at.lower, at.upper, (40, 2)), rng.normal(0, 2, (40, 2))
    act = rng.uniform(0, 1, (40, model.nu))
    data, want = mujoco.MjData(model), []
    for q, v, a in zip(joint, rate, act, strict=True):
        data.qpos, data.qvel, data.act = q, v, a
        mujoco.mj_forward(model, data)
        want.append(data.qfrc_actuator.copy())
    arrays = (jnp.asarray(x, jnp.float32) for x in (joint, rate, act))
    result = jax.jit(tendons.torque)(muscles_of(model), *arrays)
    assert np.sqrt(np.mean((result - np.array(want)) ** 2)) < 0.06 * np.sqrt(np.mean(np.square(want)))


def test_fits_are_kept_and_made_anew_when_damaged(arm: SimulationBody, tmp_path: Path) -> None:
    config = TendonConfig(num_samples=200, gradient_steps=20)
    messages: list[str] = []
    first = load_or_fit(arm, config, tmp_path, on_message=messages.append)
    again = load_or_fit(arm, config, tmp_path, on_message=messages.append)
    assert len(messages) == 1
    np.testing.assert_array_equal(first.weights.w1, again.weights.w1)
    np.testing.assert_array_equal(first.error.length, again.error.length)
    load_or_fit(arm, TendonConfig(num_samples=200, gradient_steps=21), tmp_path, on_message=messages.append)
    assert len(list(tmp_path.iterdir())) == 2  # other settings, another fit
    for path in tmp_path.iterdir():
        path.write_bytes(path.read_bytes()[:100])
    mended = load_or_fit(arm, config, tmp_path, on_message=messages.append)
    assert any("is damaged" in line for line in messages)
    np.testing.assert_array_equal(first.weights.w1, mended.weights.w1)


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
def test_a_fit_of_other_shapes_or_ranges_is_made_again(
    arm: SimulationBody, tendons: Tendons, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    monkeypatch.setattr(tendon_files, "fit_tendons", lambda *_, **__: tendons)
    messages: list[str] = []
    load_or_fit(arm, QUICK, tmp_path)
    (path,) = tmp_path.iterdir()
    whole = path.read_bytes()
    DAMAGES[what](path)
    load_or_fit(arm, QUICK, tmp_path, on_message=messages.append)
    (sentence,) = messages
    assert "is damaged (" in sentence
    assert path.read_bytes() == whole


def test_a_fit_is_kept_in_every_folder_and_the_first_decides(arm: SimulationBody, tmp_path: Path) -> None:
    """A run that is gone on with elsewhere has the muscles that it had."""
    config, run, shared = TendonConfig(num_samples=200, gradient_steps=20), tmp_path / "run", tmp_path / "shared"
    load_or_fit(arm, config, shared)
    load_or_fit(arm, config, run, shared)
    (kept,), (there,) = run.iterdir(), shared.iterdir()
    assert kept.read_bytes() == there.read_bytes()
    load_or_fit(arm, config, run, tmp_path / "elsewhere")
    assert next((tmp_path / "elsewhere").iterdir()).read_bytes() == kept.read_bytes()


def test_all_at_once_is_the_same_as_muscle_by_muscle(tendons: Tendons) -> None:
    """A GPU takes all muscles together, a processor one after the other."""
    weights = TendonWeights(*map(jnp.asarray, tendons.weights))
    z = jnp.asarray(np.random.default_rng(0).uniform(-1, 1, (6, tendons.mask.shape[1], 20)), jnp.float32)
    for result, want in zip(_value_and_slope(weights, z), jax.vmap(_one_muscle)(weights, z), strict=True):
        np.testing.assert_allclose(result, want, atol=1e-5)
