"""A body of one's own from a motion to a policy: MyoLegs below a rigid trunk, known by its table alone."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import typer
from typer.testing import CliRunner

import musclemap as mm
from musclemap.cli import eval as eval_command
from musclemap.cli import export as export_command
from musclemap.cli import track as track_command
from musclemap.cli import validate as validate_command
from musclemap.cli import view as view_command
from musclemap.cli.options.shared import Body, parse_body
from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SettingsError
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.controller import FeedbackController
from musclemap.imitation.tracking.search import Simulator
from musclemap.pipelines.clip_bodies import clips_of_body
from musclemap.pipelines.rendering.drawing import drawing_model
from musclemap.pipelines.rendering.plot import plot_frames
from musclemap.pipelines.track import jobs
from musclemap.pipelines.train.plan import plan_training
from musclemap.pipelines.train.training import StopCondition, train
from musclemap.settings import from_dict
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.own_bodies import ENVIRONMENT

from ..support.arm_tracks import constant_track
from ..support.data.exported_clips import put
from ..support.own_legs import write_legs


@pytest.fixture(scope="module")
def table(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_legs(tmp_path_factory.mktemp("walking_legs"))


@pytest.fixture(scope="module")
def clip(table: Path) -> Clip:
    """The built-in walk on the legs, checked, with muscle activations, as it is read back from its file."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(ENVIRONMENT, "")
        assert parse_body(str(table)) == Body("Legs")
        config = {"body": {"name": "Legs"}, "validation": {"muscles": True}}
        clip = mm.retarget(synthesise("walk_1.2", seconds=1.5), config=config)
    path = table.with_name("walk.h5")
    write_clip(path, clip)
    return read_clip(path)


@pytest.fixture(autouse=True)
def _table_known(table: Path, clip: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    assert clip.model == "Legs"
    monkeypatch.setenv(ENVIRONMENT, str(table))


def test_the_clip_is_a_walk_of_these_legs(clip: Clip) -> None:
    body = load_body("Legs")
    assert (clip.model, clip.model_version, clip.model_sha256) == ("Legs", "1.0.6", body.sha256)
    assert clip.verdict == "feasible"
    assert clip.metrics["landmark_error_mm"] < 12.0
    assert clip.metrics["residual_force_bw"] < 0.05
    knee = np.rad2deg(clip.qpos[:, body.model.joint("knee_angle_r").qposadr[0]])
    assert knee.min() < 15.0
    assert 50.0 < knee.max() < 75.0
    assert body.reduced_hands.coupling_residual(clip.qpos.astype(float)).max() < 1e-6
    assert clip.activation is not None
    assert clip.activation.shape == (clip.nframe, 80)
    assert str(clip.config["body"]["name"]) == "Legs"  # and no path of this machine


def test_fingers_of_a_body_without_any_are_not_tracked() -> None:
    with pytest.raises(SettingsError, match="fingers of Legs cannot be tracked"):
        mm.retarget(synthesise("walk_1.2", seconds=0.5), hands="tracked", config={"body": {"name": "Legs"}})


def test_clips_are_selected_by_the_body(clip: Clip, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.h5", clip)
    assert clips_of_body([tmp_path / "a.h5"], "Legs") == [tmp_path / "a.h5"]


def test_the_body_is_drawn(clip: Clip) -> None:
    model = drawing_model("Legs")
    (picture,) = plot_frames(model, clip.qpos, frames=[40], size=(160, 120))
    assert picture.shape == (120, 160, 3)
    assert np.ptp(picture) > 100


@pytest.fixture
def out(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data set of the clip, in a process that does not know the body."""
    monkeypatch.setenv(ENVIRONMENT, "")
    Manifest(entries=(put(tmp_path / "out", "walk.npz", clip),)).write(tmp_path / "out" / "manifest.jsonl")
    return tmp_path / "out"


def run(command: typer.Typer, *words: object) -> str:
    result = CliRunner().invoke(command, [str(word) for word in words])
    assert result.exit_code == 0, result.output
    return result.stdout


def test_the_commands_on_clips_take_the_table(out: Path, table: Path, tmp_path: Path) -> None:
    """Check, view and export of clips whose body only --body makes known."""
    (checked,) = json.loads(run(validate_command.app, out, "--body", table, "--json"))["clips"]
    assert checked["verdict"] == "feasible"
    strip = tmp_path / "walk.png"
    run(view_command.app, out, "--body", table, "-o", strip, "--frames", 2, "--backend", "plot", "--size", "120x240")
    assert strip.read_bytes().startswith(b"\x89PNG")
    joints = load_body("Legs").joint_names
    files = {"csv": ".csv", "mjlab": ".npz", "mot": ".mot", "opensim": ".mot", "musclemimic": ".npz"}
    for to, suffix in files.items():
        run(export_command.app, out, tmp_path / to, "--to", to, "--body", table)
        data = (tmp_path / to / f"walk{suffix}").read_bytes()
        assert len(data) > 1000
        if to in ("csv", "mot"):
            assert all(name in data.decode() for name in joints[1:])


def test_a_body_that_is_not_known_is_named_with_what_makes_it_known(out: Path, tmp_path: Path) -> None:
    for command, words in ((validate_command, ()), (export_command, (tmp_path / "csv", "--to", "csv"))):
        result = CliRunner().invoke(command.app, [str(out), *map(str, words)])
        assert result.exit_code == 1
        assert "it is of the body 'Legs'" in result.output
        assert "--body TABLE.toml" in " ".join(result.output.split())


def test_its_tracks_are_made_replayed_shown_and_exported(
    out: Path, table: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With constant excitations in place of the search."""
    monkeypatch.setattr(jobs, "track_clip", constant_track)
    for options in ((), ("--strength", "soleus=0.5")):
        run(track_command.app, out, "--body", table, "--workers", 1, *options)
        (replayed,) = json.loads(run(track_command.app, out, "--body", table, "--replay", "--json", *options))["clips"]
        assert replayed["identical"]
        strip = tmp_path / "track.png"
        drawn = ("-o", strip, "--frames", 2, "--backend", "plot", "--size", "120x240")
        run(view_command.app, out, "--body", table, "--tracked", "--reference", *drawn, *options)
        assert strip.stat().st_size > 1000
        folder = tmp_path / f"tables{len(options)}"
        run(export_command.app, out, folder, "--to", "csv", "--tracked", "--body", table, *options)
        assert (folder / "walk_excitations.csv").is_file()


def test_muscles_follow_the_clip(clip: Clip) -> None:
    body = load_simulation_body("Legs")
    simulator = Simulator(body, FeedbackController.for_clip(body, clip, TrackingConfig()))
    fragment = simulator.run(simulator.start(0), 0, 15)
    assert not fragment.failure
    assert fragment.relative_error[-1] < 0.03
    assert fragment.root_error[-1] < 0.05


def test_a_policy_trains_and_is_refused_for_a_changed_model(clip: Clip, tmp_path: Path) -> None:
    settings = {"num_envs": 2, "ppo": {"num_steps": 4, "hidden": [8], "minibatch_size": 8}}
    plan = plan_training([("walk", clip)], from_dict(TrainConfig, settings), engine="mujoco")
    result = train(plan, tmp_path / "run", until=StopCondition(steps=8), tensorboard=False)
    policy = load_policy(result.policy)
    assert body_of(policy).model.nu == policy.nu == 80
    Manifest(entries=(put(tmp_path / "out", "walk.npz", clip),)).write(tmp_path / "out" / "manifest.jsonl")
    result = CliRunner().invoke(eval_command.app, [str(tmp_path / "run"), "--dataset", str(tmp_path / "out"), "--json"])
    assert result.exit_code in (0, 1), result.output  # an untrained policy falls
    assert json.loads(result.stdout)["clips"]
    onnx = tmp_path / "policy.onnx"
    run(export_command.app, "--policy", tmp_path / "run", "--to", "onnx", "-o", onnx)
    assert onnx.stat().st_size > 1000
    facts = {**policy.facts, "body": {**policy.facts["body"], "sha256": "0" * 64}}
    with pytest.raises(PolicyError, match="sha256"):
        body_of(replace(policy, facts=facts))
