"""Training runs: resuming equals an uninterrupted run, errors are reported, and metrics and policies are written."""

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli.train import app
from musclemap.datasets.clip import write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.ppo.ppo import PPOConfig
from musclemap.imitation.ppo.ppo_config import StartConfig
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.world_model.world_config import WorldModelConfig
from musclemap.imitation.world_model.world_model import ModelConfig
from musclemap.pipelines.device import DeviceMemoryError
from musclemap.pipelines.train.plan import TrainingPlan, plan_training
from musclemap.pipelines.train.training import StopCondition, TrainingProgress, train

from ..support.hostile.sockets import sampled
from ..support.pages import explained

START = StartConfig(critic_rollouts=1, kl_fade_steps=100)
CONFIG = TrainConfig(num_envs=6, ppo=PPOConfig(hidden=(16, 16), num_steps=8, minibatch_size=24, start=START))
PLAIN = WorldModelConfig(dynamics=ModelConfig(variant="plain"))  # needs no fitted muscle lengths
ITERATION = 6 * 8


@pytest.fixture(scope="module")
def plan() -> TrainingPlan:
    return plan_training(arm_clips(2, 1.0), CONFIG, engine="mujoco")


@pytest.fixture(scope="module")
def dataset(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as a conversion leaves it, with three clips of the arm, one of them infeasible."""
    root = tmp_path_factory.mktemp("data") / "arms"
    entries = []
    for name, clip in arm_clips(3, 1.0):
        if name == "arm_002":
            clip = replace(clip, verdict="infeasible", reasons=({"rule": "floor", "value": 1.0, "limit": 0.5},))
        sha256 = write_clip(root / f"{name}.h5", clip)
        entries.append(
            ManifestEntry(
                source=f"{name}.npz", clip=f"{name}.h5", clip_sha256=sha256, status="ok", nframe=clip.nframe,
                seconds=clip.duration, verdict=clip.verdict,
            )
        )  # fmt: skip
    Manifest(entries=tuple(entries)).write(root / "manifest.jsonl")
    return root


def checkpoint(run: Path) -> dict[str, np.ndarray]:
    import orbax.checkpoint as ocp

    folder = max((run / "checkpoints").iterdir(), key=lambda path: int(path.name))
    return ocp.StandardCheckpointer().restore(folder / "state")


def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path: Path, plan: TrainingPlan) -> None:
    uninterrupted = train(plan, tmp_path / "whole", until=StopCondition(steps=6 * ITERATION), tensorboard=False)
    train(plan, tmp_path / "parts", until=StopCondition(steps=2 * ITERATION), tensorboard=False)
    parts = train(plan, tmp_path / "parts", until=StopCondition(steps=6 * ITERATION), resume=True, tensorboard=False)
    assert uninterrupted.steps == parts.steps == 6 * ITERATION
    assert (tmp_path / "whole" / "policy.safetensors").read_bytes() == parts.policy.read_bytes()
    first, second = checkpoint(tmp_path / "whole"), checkpoint(tmp_path / "parts")
    assert first.keys() == second.keys()
    for name, array in first.items():
        if ".stats" not in name and ".nan_guard" not in name:  # the log clears these sums with each line
            np.testing.assert_array_equal(array, second[name], err_msg=name)


def test_another_seed_gives_another_policy(tmp_path: Path, plan: TrainingPlan) -> None:
    other = replace(plan, config=replace(plan.config, seed=1))
    one = train(plan, tmp_path / "a", until=StopCondition(steps=ITERATION), tensorboard=False)
    two = train(other, tmp_path / "b", until=StopCondition(steps=ITERATION), tensorboard=False)
    assert not np.array_equal(load_policy(one.policy).weights[0], load_policy(two.policy).weights[0])


def test_a_run_writes_metrics_and_a_policy(tmp_path: Path, plan: TrainingPlan) -> None:
    output: list[TrainingProgress] = []
    done = train(plan, tmp_path, until=StopCondition(steps=2 * ITERATION), progress=output.append)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert lines[-1]["steps"] == done.steps == 2 * ITERATION
    assert {"reward", "coverage", "kl", "explained_variance", "landmark_error_mm"} <= set(lines[-1])
    assert explained("training.md") >= set(lines[-1])
    assert 0.0 < lines[-1]["reward"] <= 1.0
    assert output[-1].final
    assert list((tmp_path / "tensorboard").iterdir())
    policy = load_policy(done.policy)
    assert policy.facts["steps"] == done.steps
    assert policy(np.zeros((1, policy.nobs))).shape == (1, 6)


def test_a_run_can_start_from_another(tmp_path: Path, plan: TrainingPlan) -> None:
    first = train(plan, tmp_path / "first", until=StopCondition(steps=3 * ITERATION), tensorboard=False)
    other = plan_training(arm_clips(3, 1.0, seed=5)[2:], replace(CONFIG, num_envs=4), engine="mujoco")
    no_time = StopCondition(seconds=0.0)  # no time for an iteration
    started = train(other, tmp_path / "second", until=no_time, warm_start=tmp_path / "first", tensorboard=False)
    old, new = load_policy(first.policy), load_policy(started.policy)
    for name in ("weights", "biases"):
        for one, two in zip(getattr(old, name), getattr(new, name), strict=True):
            np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(old.mean, new.mean)
    assert started.steps == 0
    further = train(
        other, tmp_path / "second", until=StopCondition(steps=2 * 4 * 8), resume=True, tensorboard=False
    )  # fmt: skip
    output = load_policy(further.policy).facts["dataset"]
    assert [source for source, _ in output["clips"]] == [
        "arm/seed_0/arm_000",
        "arm/seed_0/arm_001",
        "arm/seed_5/arm_002",
    ]
    assert output["earlier"]["nclip"] == 2
    assert not np.array_equal(load_policy(further.policy).weights[0], old.weights[0])


def test_a_run_cannot_start_from_an_incompatible_one(tmp_path: Path, plan: TrainingPlan) -> None:
    train(plan, tmp_path / "first", until=StopCondition(steps=ITERATION), tensorboard=False)
    begin = lambda plan, **more: train(  # noqa: E731
        plan, tmp_path / "second", until=StopCondition(seconds=0.0), tensorboard=False, **more
    )
    wide = replace(plan, config=replace(CONFIG, ppo=replace(CONFIG.ppo, hidden=(32, 16))))
    with pytest.raises(TrainingError, match=r"has shape .*; this run needs .*set the same sizes"):
        begin(wide, warm_start=tmp_path / "first")
    with pytest.raises(TrainingError, match="cannot start from"):
        begin(plan, warm_start=tmp_path / "nowhere")
    with pytest.raises(TrainingError, match="only one of the two"):
        begin(plan, warm_start=tmp_path / "first", resume=True)


def test_a_folder_with_another_run_is_rejected(tmp_path: Path, plan: TrainingPlan) -> None:
    train(plan, tmp_path, until=StopCondition(steps=ITERATION), tensorboard=False)
    with pytest.raises(TrainingError, match="already holds a run; use --resume"):
        train(plan, tmp_path, until=StopCondition(steps=ITERATION), tensorboard=False)
    other = replace(plan, config=replace(plan.config, ppo=replace(plan.config.ppo, clip_eps=0.1)))
    with pytest.raises(TrainingError, match=r"other settings: config\.ppo\.clip_eps was 0\.2, is 0\.1"):
        train(other, tmp_path, until=StopCondition(steps=ITERATION), resume=True, tensorboard=False)
    with pytest.raises(TrainingError, match="no run in"):
        train(plan, tmp_path / "new", until=StopCondition(steps=ITERATION), resume=True, tensorboard=False)


def test_a_damaged_checkpoint_is_reported(tmp_path: Path, plan: TrainingPlan) -> None:
    train(plan, tmp_path, until=StopCondition(steps=ITERATION), tensorboard=False)
    for path in sorted((tmp_path / "checkpoints" / "1" / "state").rglob("*")):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(TrainingError, match=r"no checkpoint in .* can be read: 1: .* was modified"):
        train(plan, tmp_path, until=StopCondition(steps=2 * ITERATION), resume=True, tensorboard=False)


class BreakingEngine(MujocoEngine):
    """An engine whose third world goes bad in every fifth step."""

    count = 0

    def step(
        self, state: PhysicsState, ctrl: jax.Array, base: jax.Array | None = None
    ) -> tuple[PhysicsState, SensorData]:
        after, sensors = super().step(state, ctrl, base)
        BreakingEngine.count += 1
        if BreakingEngine.count % 5:
            return after, sensors
        qpos = after.qpos.at[2].set(jnp.nan)
        return after._replace(qpos=qpos), sensors._replace(
            bad=sensors.bad.at[2].set(True), xpos=sensors.xpos.at[2].set(jnp.nan)
        )


def test_a_world_with_bad_physics_is_reset_counted_and_saved(
    tmp_path: Path, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "musclemap.pipelines.train.trainers.make_engine", lambda body, n, **_: BreakingEngine(body, n)
    )  # fmt: skip
    messages: list[str] = []
    train(plan, tmp_path, until=StopCondition(steps=3 * ITERATION), tensorboard=False, on_message=messages.append)
    lines = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert sum(line["bad"] for line in lines) == 24 // 5
    assert any("diverged in" in text for text in messages)
    dump = np.load(next((tmp_path / "bad").iterdir()))
    assert dump["qpos"].shape == (2,)
    assert np.isfinite(dump["qpos"]).all()
    assert str(dump["clip"]) in plan.library.names
    for name, array in checkpoint(tmp_path).items():
        assert np.isfinite(array).all(), name


FULL = (
    RuntimeError("RESOURCE_EXHAUSTED: Out of memory while trying to allocate 1 bytes."),  # JAX
    RuntimeError("Failed to allocate 1 bytes on device 'cuda:0'"),  # Warp
    MemoryError(),
)


@pytest.mark.parametrize("error", FULL, ids=["jax", "warp", "numpy"])
@pytest.mark.parametrize(
    ("algorithm", "lower"),
    [("ppo", "ppo.num_steps"), ("world-model", "world_model.buffer_size"), ("dagger", "dagger.buffer_size")],
)
def test_a_lack_of_memory_is_reported_with_the_setting_to_lower(
    tmp_path: Path, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch, error: Exception, algorithm: str, lower: str
) -> None:
    def full(*args: object, **kwargs: object) -> None:
        raise error

    monkeypatch.setattr("musclemap.pipelines.train.trainers.make_engine", full)
    with pytest.raises(DeviceMemoryError, match=f"lower --num-envs, or {lower}"):
        train(replace(plan, algorithm=algorithm), tmp_path, until=StopCondition(steps=ITERATION), tensorboard=False)
    monkeypatch.setattr("musclemap.pipelines.train.plan.make_library", full)
    with pytest.raises(DeviceMemoryError, match="lower the number of clips"):
        plan_training(plan.clips, plan.config, engine="mujoco", algorithm=algorithm)


def test_other_errors_propagate(tmp_path: Path, plan: TrainingPlan, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object, **kwargs: object) -> None:
        raise RuntimeError("something else")

    monkeypatch.setattr("musclemap.pipelines.train.trainers.make_engine", broken)
    with pytest.raises(RuntimeError, match="something else"):
        train(plan, tmp_path, until=StopCondition(steps=ITERATION), tensorboard=False)


def test_the_command_trains_and_reports_progress(dataset: Path, tmp_path: Path) -> None:
    small = ["--num-envs", "4", "--set", "ppo.num_steps=8", "--set", "ppo.hidden=[8]", "--engine", "mujoco"]
    call = ["--dataset", str(dataset), "--run", str(tmp_path / "run"), "--max-steps", "32", *small]
    done = CliRunner().invoke(app, [*call, "--json"])
    assert done.exit_code == 0, done.output
    output = json.loads(done.stdout.splitlines()[-1])
    assert (output["steps"], output["why"]) == (32, "steps")
    assert output["left_out"] == {"arm_002.h5": "infeasible (floor)"}
    assert "2 clips" in done.stderr
    again = CliRunner().invoke(app, call)
    assert again.exit_code == 2
    assert "--resume" in again.stderr
    more = CliRunner().invoke(app, [*call, "--max-steps", "64", "--resume"])
    assert more.exit_code == 0, more.output
    assert "64 control steps" in more.stdout


@contextmanager
def interrupted_after_an_iteration(say: Callable[[str], None]) -> Iterator[Callable[[], bool]]:
    """Replaces the signals that stop `mm-train`: as if Ctrl-C was pressed during the first iteration."""
    polls = iter([False])
    yield lambda: next(polls, True)


def test_the_printed_command_resumes_with_the_same_clips_and_settings(
    dataset: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musclemap.cli.train._stop_signals", interrupted_after_an_iteration)
    run = tmp_path / "a run's folder"
    settings = tmp_path / "settings.toml"
    settings.write_text("[ppo]\nnum_steps = 8\nhidden = [8]\n")
    call = ["--dataset", str(dataset), "--run", str(run), "--include", "arm_00[12]*", "--infeasible", "--seed", "3"]
    done = CliRunner().invoke(app, [*call, "--config", str(settings), "--num-envs", "4", "--engine", "mujoco"])
    started = (run / "run.json").read_bytes()
    for steps in (64, 96):
        assert done.exit_code == 130, done.output
        command = next(line for line in done.stdout.splitlines() if "resume:" in line).partition(":")[2]
        program, *arguments = shlex.split(command)
        assert program == "mm-train"
        done = CliRunner().invoke(app, arguments)
        assert load_policy(run / "policy.safetensors").facts["steps"] == steps
        assert (run / "run.json").read_bytes() == started
    assert set(json.loads(started)["clips"]) == {"arm_001.h5", "arm_002.h5"}
    same = CliRunner().invoke(app, [*call, "--resume", "--set", "ppo.hidden=[8]"])
    assert same.exit_code == 130, same.output
    for other, message in (
        (["--include", "arm_00[01]*"], "'arm_000.h5' is new; 'arm_002.h5' is missing. Use the same clips, as --resume"),
        (["--set", "ppo.epochs=2"], "config.ppo.epochs was 1, is 2"),
        (["--algo", "world-model"], "algorithm was 'ppo', is 'world-model'"),
        (["--num-envs", "5"], "config.num_envs was 4, is 5"),
    ):
        done = CliRunner().invoke(app, ["--dataset", str(dataset), "--run", str(run), "--resume", *other])
        assert done.exit_code == 2
        assert message in done.stderr
    assert (run / "run.json").read_bytes() == started


def test_training_opens_no_listening_sockets(dataset: Path, tmp_path: Path) -> None:
    small = ["--num-envs", "4", "--set", "ppo.num_steps=8", "--set", "ppo.hidden=[8]", "--engine", "mujoco"]
    with sampled(os.getpid()) as sockets:
        done = CliRunner().invoke(
            app, ["--dataset", str(dataset), "--run", str(tmp_path / "run"), "--max-steps", "32", *small]
        )
    assert done.exit_code == 0, done.output
    assert sockets == set()


@pytest.mark.parametrize(
    ("options", "output"),
    [
        (["--include", "nothing*"], "none of the 3 clips"),
        (["--include", "arm_002*"], "no clip can be learned from"),
        (["--set", "ppo.klip=1"], "unknown setting 'ppo.klip'"),
        (["--split", "val"], "has no split"),
        (["--engine", "mujoco", "--set", "task.future_steps=[0]"], "each a whole number from 1 to 1,000, got 0"),
        (["--track", "wandb", "--max-steps", "8"], "pip install wandb"),
    ],
)
def test_wrong_usage_is_reported(dataset: Path, tmp_path: Path, options: list[str], output: str) -> None:
    done = CliRunner().invoke(app, ["--dataset", str(dataset), "--run", str(tmp_path / "run"), *options])
    assert done.exit_code == 2
    assert output in done.stderr


@pytest.mark.slow
def test_sigterm_saves(dataset: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "musclemap.cli.train", "--dataset", str(dataset), "--run", str(tmp_path / "run"),
        "--num-envs", "4", "--set", "ppo.num_steps=8", "--set", "ppo.hidden=[8]", "--engine", "mujoco",
    ]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    run = subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 200
    while time.monotonic() < deadline and not (tmp_path / "run" / "metrics.jsonl").exists():
        time.sleep(0.2)
    while time.monotonic() < deadline and not (tmp_path / "run" / "metrics.jsonl").stat().st_size:
        time.sleep(0.2)
    run.send_signal(signal.SIGTERM)
    _, output = run.communicate(timeout=120)
    assert run.returncode == 130, output
    assert "saving after this iteration" in output
    assert (tmp_path / "run" / "policy.safetensors").is_file()
    assert [path.name for path in (tmp_path / "run" / "checkpoints").iterdir()]
