"""Worlds sharded over devices learn the same as on one device. The devices are parts of one CPU."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from musclemap.errors import SettingsError
from musclemap.imitation.physics import engines
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.randomisation import RandomisationConfig, draw_variants
from musclemap.imitation.physics.split_engine import SplitEngine, split_variants

SCRIPT = """
import sys
import jax, numpy as np
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.ppo.ppo import PPO, PPOConfig
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.physics.split_engine import SplitEngine
from musclemap.imitation.task.task import Task
from musclemap.imitation.ppo.trainer import Trainer

assert len(jax.devices()) == 2
body, task = load_simulation_body("SmallArm"), None
reference = make_library(arm_clips(2, 1.0), body, resting=0.1).reference
task = Task(body)
ppo = PPO(task.nobs, 6, PPOConfig(hidden=(16,), num_steps=4, minibatch_size=16, optimizer="adamw"))
leaves = {}
for name in ("one", "two"):
    if name == "one":
        engine = MujocoEngine(body, 8)
    else:
        engine = SplitEngine([MujocoEngine(body, 4), MujocoEngine(body, 4)], jax.devices())
    trainer = Trainer(engine, task, reference, ppo)
    state = trainer.init(0)
    for _ in range(3):
        state, figures = trainer.iterate(state)
    if name == "two":
        assert len(state.worlds.physics.qpos.sharding.device_set) == 2
        assert state.worlds.physics.qpos.addressable_shards[0].data.shape == (4, 2)
    for path, leaf in jax.tree_util.tree_flatten_with_path((state.learner.params, state.worlds.physics))[0]:
        leaves[name + jax.tree_util.keystr(path)] = np.asarray(leaf)
np.savez(sys.argv[1], **leaves)
"""


@pytest.mark.slow
def test_two_devices_learn_the_same_as_one(tmp_path: Path) -> None:
    environ = {
        **os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=2", "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": os.pathsep.join(sys.path),
    }  # fmt: skip
    process = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "leaves.npz")], env=environ, capture_output=True, text=True,
        timeout=500, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    result = np.load(tmp_path / "leaves.npz")
    names = [name.removeprefix("one") for name in result.files if name.startswith("one")]
    assert len(names) > 8
    for name in names:  # the order of summation differs
        np.testing.assert_allclose(result["two" + name], result["one" + name], atol=2e-3, err_msg=name)


def test_variants_are_split_in_order(arm: SimulationBody) -> None:
    variants = draw_variants(RandomisationConfig(strength=0.1), arm, 6, 0)
    assert variants is not None
    parts = split_variants(variants, 3)
    assert all(part is not None and part.mass is None for part in parts)
    strengths = [part.strength for part in parts if part is not None and part.strength is not None]
    np.testing.assert_array_equal(np.concatenate(strengths), variants.strength)
    assert split_variants(None, 2) == [None, None]


def test_incompatible_engines_are_rejected(arm: SimulationBody) -> None:
    with pytest.raises(SettingsError, match="all of one body and number of worlds"):
        SplitEngine([MujocoEngine(arm, 2), MujocoEngine(arm, 3)], jax.devices() * 2)


def test_worlds_are_spread_over_gpus_only_on_request(arm: SimulationBody, monkeypatch: pytest.MonkeyPatch) -> None:
    """An evaluation of three clips must not fail because the machine has a second GPU."""
    created: list[tuple[int, str | None]] = []

    class Spy(MujocoEngine):
        def __init__(self, body: SimulationBody, nworld: int, *, device: str | None, **_: object) -> None:
            created.append((nworld, device))
            super().__init__(body, nworld)

    monkeypatch.setattr(engines, "has_cuda", lambda: True)
    monkeypatch.setattr("musclemap.imitation.physics.warp_engine.WarpEngine", Spy)
    monkeypatch.setattr(jax, "local_devices", lambda backend: jax.devices() * 2)
    assert engines.make_engine(arm, 3, kind="warp").nworld == 3
    assert created == [(3, "cuda:0")]
    with pytest.raises(SettingsError, match="3 worlds cannot be spread evenly over 2 GPUs"):
        engines.make_engine(arm, 3, kind="warp", gpus=0)
