"""Tracks that DAgger's teacher holds to: found, refused, recorded in the run, and the same after a resumption."""

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from musclemap.cli.output.train_view import plan_lines
from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.imitation.dagger.dagger_config import DaggerConfig
from musclemap.imitation.errors import TrackingError, TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.regulator.linearisation import deviation, tracked_path
from musclemap.imitation.regulator.regulate import regulate
from musclemap.imitation.regulator.regulator import Regulator
from musclemap.imitation.regulator.regulator_config import RegulatorConfig
from musclemap.imitation.runs.run_facts import read_recorded_run
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.dofs import find_controlled_dofs
from musclemap.imitation.tracking.storage import stored_track
from musclemap.imitation.tracking.track import advance, set_state
from musclemap.imitation.tracking.tracker import track_clip
from musclemap.pipelines.track.teacher_tracks import with_teacher_tracks
from musclemap.pipelines.track.track_folder import open_tracks
from musclemap.pipelines.train.plan import TrainingPlan, plan_training
from musclemap.pipelines.train.training import StopCondition, TrainingResult, train
from musclemap.settings import to_dict

DAGGER = DaggerConfig(
    shares=(1.0,), round_steps=40, num_steps=10, buffer_size=80, epochs=2, gradient_steps=5, batch_size=16,
    hidden=(8,), directions=4, evaluation_steps=10,
)  # fmt: skip
CONFIG = TrainConfig(num_envs=4, dagger=DAGGER, physics=PhysicsConfig(hands="locked", published=True))


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    return [(f"{name}.h5", clip) for name, clip in arm_clips(2, 0.4)]


@pytest.fixture(scope="module")
def body(clips: Sequence[tuple[str, Clip]]) -> SimulationBody:
    return load_simulation_body(clips[0][1].model, CONFIG.physics)


@pytest.fixture(scope="module")
def tracks(body: SimulationBody, clips: Sequence[tuple[str, Clip]]) -> list[StoredTrack]:
    """Tracks by softer gains than those that the controller has by default, so that the motions differ."""
    soft = TrackingConfig(joint_gain=20.0)
    config = {"physics": to_dict(CONFIG.physics), "tracking": to_dict(soft)}
    return [stored_track(body, clip, track_clip(body, clip, soft), name=name, config=config) for name, clip in clips]


@pytest.fixture
def dataset(tmp_path: Path, tracks: Sequence[StoredTrack]) -> Path:
    """A data set with a track of its first clip only."""
    write(tmp_path / "set", tracks[0])
    return tmp_path / "set"


def write(root: Path, track: StoredTrack) -> None:
    with open_tracks(root) as folder:
        folder.write(track)
        folder.write_list()


def plan_for(
    clips: Sequence[tuple[str, Clip]],
    dataset: Path | None,
    *,
    config: TrainConfig = CONFIG,
    algorithm: str = "dagger",
    **options: Any,
) -> TrainingPlan:
    plan = plan_training(clips, config, engine="mujoco", algorithm=algorithm)
    return with_teacher_tracks(plan, dataset, **options)


def run(plan: TrainingPlan, folder: Path, *, steps: int, resume: bool = False) -> TrainingResult:
    return train(plan, folder, until=StopCondition(steps=steps), resume=resume, tensorboard=False)


def test_the_regulator_leads_back_to_the_track(body: SimulationBody, clips, tracks: Sequence[StoredTrack]) -> None:
    name, track = clips[0][0], tracks[0]
    (regulated,) = regulate(body, CONFIG.physics, clips[:1], TrackingConfig(), RegulatorConfig(), tracks={name: track})
    path, dofs = regulated.path, find_controlled_dofs(body)
    np.testing.assert_array_equal(path.qpos, track.tracked_qpos[:, body.clip_qpos])
    np.testing.assert_array_equal(path.excitation, track.excitation)
    (other,) = regulate(body, CONFIG.physics, clips[:1], TrackingConfig(), RegulatorConfig())
    assert np.abs(other.path.qpos - path.qpos).max() > 1e-3
    left = []
    for feedback in (True, False):
        data = mujoco.MjData(body.model)
        set_state(data, path.qpos[0], path.qvel[0] + 0.5, path.act[0], path.warmstart[0])
        regulator = Regulator(body, regulated)
        for step in range(35):
            advance(body, data, regulator.decide(data, step).excitation if feedback else path.excitation[step])
        left.append(np.linalg.norm(deviation(body.model, dofs, data, path.qpos[35], path.qvel[35])[: dofs.ndof]))
    assert left[0] < 0.25 * left[1]


def test_a_track_of_another_body_is_refused(body: SimulationBody, clips, tracks: Sequence[StoredTrack]) -> None:
    other = replace(tracks[0], model_sha256="0" * 64)
    with pytest.raises(TrackingError, match="track its clip again"):
        tracked_path(body, other)
    with pytest.raises(TrackingError, match=f"^{clips[0][0]}: it is a track of"):
        regulate(
            body, CONFIG.physics, clips[:1], TrackingConfig(), RegulatorConfig(), tracks={clips[0][0]: other}
        )  # fmt: skip


def test_a_plan_finds_the_tracks_of_its_clips(dataset: Path, clips, tracks: Sequence[StoredTrack]) -> None:
    plan = plan_for(clips, dataset)
    assert list(plan.tracks) == [clips[0][0]]
    assert plan.facts["tracks"] == {clips[0][0]: tracks[0].qpos_sha256}
    lines = plan_lines(plan, dataset, max_seconds=None, max_steps=40)
    assert lines[-1].startswith("the teacher holds to the stored track of 1 clip, and to the tracking controller")
    assert not plan_for(clips, None).tracks
    assert "tracks" not in plan_for(clips, None).facts
    assert not plan_for(clips, dataset, algorithm="ppo").tracks
    for name, value in (("tracks", False), ("teacher", "controller")):
        assert not plan_for(clips, dataset, config=replace(CONFIG, dagger=replace(DAGGER, **{name: value}))).tracks


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"verdict": "lost", "failure": "root"}, "does not reach from the first frame"),
        ({"clip_motion_sha256": "1" * 64}, "its clip has changed"),
        ({"model_sha256": "2" * 64}, "track its clip again"),
        ({"config": {"physics": {**to_dict(CONFIG.physics), "nsubstep": 4}}}, r"other settings \(nsubstep\)"),
        ({"config": {}}, "other settings"),
    ],
)
def test_other_tracks_are_left_out_with_the_reason(
    tmp_path: Path, clips, tracks: Sequence[StoredTrack], changes: dict[str, Any], why: str
) -> None:
    write(tmp_path, replace(tracks[0], **changes))
    said: list[str] = []
    assert not plan_for(clips, tmp_path, on_message=said.append).tracks
    assert len(said) == 1
    assert said[0].startswith(f"{clips[0][0]}: the teacher does not hold to its track: ")
    assert re.search(why, said[0])


def test_a_damaged_track_is_left_out(tmp_path: Path, clips, tracks) -> None:
    write(tmp_path, tracks[0])
    path = tmp_path / "tracks" / clips[0][0]
    path.write_bytes(path.read_bytes()[:-50])
    said: list[str] = []
    assert not plan_for(clips, tmp_path, on_message=said.append).tracks
    assert "is not the file that was written" in said[0]


def test_buffers_of_another_size_do_not_matter(dataset: Path, clips) -> None:
    config = replace(CONFIG, physics=replace(CONFIG.physics, nconmax=50))
    assert plan_for(clips, dataset, config=config).tracks


def test_a_resumed_run_keeps_its_tracks(tmp_path: Path, dataset: Path, clips, tracks: Sequence[StoredTrack]) -> None:
    """The bytes of an uninterrupted run; a track that is made in between is not used, a missing one is missed."""
    whole = run(plan_for(clips, dataset), tmp_path / "whole", steps=80)
    run(plan_for(clips, dataset), tmp_path / "parts", steps=40)
    recorded = read_recorded_run(tmp_path / "parts").tracks
    assert recorded == {clips[0][0]: tracks[0].qpos_sha256}
    write(dataset, tracks[1])
    again = plan_for(clips, dataset, recorded=recorded)
    assert list(again.tracks) == list(recorded)
    parts = run(again, tmp_path / "parts", steps=80, resume=True)
    assert whole.policy.read_bytes() == parts.policy.read_bytes()
    with pytest.raises(TrainingError, match=rf"held to other tracks of '{clips[1][0]}'"):
        run(plan_for(clips, dataset), tmp_path / "parts", steps=80, resume=True)
    (dataset / "tracks" / clips[0][0]).unlink()
    with pytest.raises(TrainingError, match=rf"held to other tracks of '{clips[0][0]}': restore them"):
        run(plan_for(clips, dataset, recorded=recorded), tmp_path / "parts", steps=80, resume=True)


def test_a_run_without_tracks_resumes_without(tmp_path: Path, dataset: Path, clips) -> None:
    run(plan_for(clips, None), tmp_path / "run", steps=40)
    recorded = read_recorded_run(tmp_path / "run").tracks
    assert recorded == {}
    assert run(plan_for(clips, dataset, recorded=recorded), tmp_path / "run", steps=80, resume=True).steps == 80


def test_damaged_hashes_are_reported(tmp_path: Path, dataset: Path, clips) -> None:
    run(plan_for(clips, dataset), tmp_path / "run", steps=0)
    file = tmp_path / "run" / "run.json"
    text = file.read_text()
    file.write_text(text.replace(f'"{plan_for(clips, dataset).tracks[clips[0][0]].qpos_sha256}"', "5"))
    with pytest.raises(TrainingError, match="tracks"):
        read_recorded_run(tmp_path / "run")
