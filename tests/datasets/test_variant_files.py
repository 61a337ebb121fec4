"""Variants in files: clips, tracks, policies and settings of runs keep them, and what was tampered with is refused."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import mujoco
import numpy as np
import pytest
import safetensors.numpy

from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.track_file import read_track, track_path, write_track
from musclemap.errors import ClipError, MusclemapError, TargetError, TrackError
from musclemap.imitation.errors import PolicyError, TrackingError, TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body, physics_for_clips
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.policy.policy_file import body_of, load_policy, write_policy
from musclemap.imitation.policy.policy_format import FORMAT
from musclemap.imitation.policy.training_clips import dataset_facts
from musclemap.imitation.runs.run_facts import FACTS, read_recorded_run
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.imitation.tracking.clip_check import check_clip
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.storage import replay_track, stored_track
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER
from musclemap.pipelines.train.plan import plan_training
from musclemap.settings import to_dict
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.variants.variant import UNALTERED, facts_of, make_variant

from ..support.arm_tracks import constant_track
from ..support.data.arm_policies import untrained
from ..support.data.small_clip import small_clip

VARIANT = make_variant(strength={"elbow_flexor": 0.5}, added_mass={"hand": 1.0})
OTHER = make_variant(strength={"elbow_flexor": 0.6}, added_mass={"hand": 1.0})


@pytest.fixture(scope="module")
def weak() -> SimulationBody:
    return load_simulation_body("SmallArm", PhysicsConfig(variant=VARIANT))


@pytest.fixture(scope="module")
def own_clip() -> Clip:
    """A clip of the unaltered arm."""
    return arm_clips(1, 0.6)[0][1]


@pytest.fixture(scope="module")
def weak_clip(own_clip: Clip, weak: SimulationBody) -> Clip:
    """The same motion as a clip of the altered arm."""
    return replace(own_clip, model_sha256=weak.sha256, model_version=weak.target.version, variant=VARIANT)


def _set_variant(path: Path, variant: object) -> None:
    with h5py.File(path, "r+") as file:
        file.attrs["variant"] = variant if isinstance(variant, str) else json.dumps(variant)


def test_clips_of_the_unaltered_body_are_the_same_bytes_as_before(tmp_path: Path) -> None:
    """The built-in walk and its track were written before there were variants."""
    clip = read_clip(WALK_FOLDER / WALK_CLIP)
    write_clip(tmp_path / "clip.h5", clip)
    assert (tmp_path / "clip.h5").read_bytes() == (WALK_FOLDER / WALK_CLIP).read_bytes()
    track = track_path(WALK_FOLDER, WALK_CLIP)
    write_track(tmp_path / "track.h5", read_track(track))
    assert (tmp_path / "track.h5").read_bytes() == track.read_bytes()
    assert clip.variant == UNALTERED


def test_a_clip_keeps_its_variant(tmp_path: Path) -> None:
    write_clip(tmp_path / "a.h5", small_clip(variant=VARIANT))
    assert read_clip(tmp_path / "a.h5").variant == VARIANT
    with h5py.File(tmp_path / "a.h5") as file:
        assert json.loads(str(file.attrs["variant"])) == facts_of(VARIANT)
    first = (tmp_path / "a.h5").read_bytes()
    _set_variant(tmp_path / "a.h5", {"added_mass": [["hand", 1]], "strength": {"elbow_flexor": 0.50, "x": 1.0}})
    write_clip(tmp_path / "b.h5", read_clip(tmp_path / "a.h5"))  # another notation of the same facts
    assert (tmp_path / "b.h5").read_bytes() == first


HOSTILE = [
    "{", "[]", "1", '"a"', "null", {"strength": {"a": 1e9}}, {"strength": {"a": float("nan")}}, {"strange": {}},
    {"strength": {"a\u0000": 0.5}}, {"strength": {str(k): 0.5 for k in range(5000)}}, {"strength": {"a": {"b": 1}}},
    {"joint_range": {"a": [2, 1]}}, "[" * 50_000, '{"strength": {"a": ' + "9" * 5000 + "}}",
]  # fmt: skip


@pytest.mark.parametrize("variant", HOSTILE, ids=range(len(HOSTILE)))
def test_a_malformed_variant_is_refused_in_one_sentence(tmp_path: Path, variant: object) -> None:
    write_clip(tmp_path / "a.h5", small_clip(variant=VARIANT))
    with h5py.File(tmp_path / "a.h5", "r+") as file:
        del file.attrs["variant"]
        text = variant if isinstance(variant, str) else json.dumps(variant)
        file.attrs.create("variant", text, dtype=h5py.string_dtype())
    with pytest.raises(ClipError) as caught:
        read_clip(tmp_path / "a.h5")
    assert "variant" in str(caught.value)
    assert len(str(caught.value)) < 600


def test_physics_of_a_clip_is_that_of_its_variant(own_clip: Clip, weak_clip: Clip, weak: SimulationBody) -> None:
    config = physics_for_clips([("a", weak_clip)], PhysicsConfig())
    assert config.variant == VARIANT
    assert load_simulation_body("SmallArm", config).sha256 == weak.sha256 == weak_clip.model_sha256
    more = make_variant(strength={"shoulder_flexor": 0.1})
    assert physics_for_clips([("a", weak_clip)], PhysicsConfig(variant=more)).variant == VARIANT.altered_by(more)
    assert physics_for_clips([("a", own_clip)], PhysicsConfig(variant=more)).variant == more
    with pytest.raises(TargetError, match=r"of 2 variants of the body: .*unaltered"):
        physics_for_clips([("a", own_clip), ("b", weak_clip)], PhysicsConfig())


def test_a_body_follows_clips_of_its_own_table_only(own_clip: Clip, weak_clip: Clip, weak: SimulationBody) -> None:
    own = load_simulation_body("SmallArm")
    for body, clip in ((weak, weak_clip), (weak, own_clip), (own, own_clip)):
        check_clip(body, clip)
        make_library([("a", clip)], body, resting=0.02, look_ahead=5)
    forged = [replace(weak_clip, variant=variant) for variant in (OTHER, UNALTERED)]
    forged.append(replace(own_clip, variant=VARIANT))
    for body, clip in ((own, weak_clip), *((body, clip) for body in (own, weak) for clip in forged)):
        with pytest.raises(TrackingError):
            check_clip(body, clip)
        with pytest.raises(TrainingError, match="learn on another body"):
            make_library([("a", clip)], body, resting=0.02, look_ahead=5)


def test_a_track_is_of_the_body_that_was_simulated(
    own_clip: Clip, weak: SimulationBody, tmp_path: Path
) -> None:  # fmt: skip
    config = {"physics": to_dict(PhysicsConfig(variant=VARIANT))}
    stored = stored_track(weak, own_clip, constant_track(weak, own_clip, TrackingConfig()), name="a.h5", config=config)
    path = track_path(tmp_path, "a.h5", variant=VARIANT.short_name)
    assert path.name == f"a.{VARIANT.short_name}.h5"
    write_track(path, stored)
    track = read_track(path)
    assert (track.variant, track.model_sha256) == (VARIANT, weak.sha256)
    assert replay_track(weak, track).identical
    with pytest.raises(TrackingError, match="not of this SmallArm"):
        replay_track(load_simulation_body("SmallArm"), track)
    motion = tracked_clip(own_clip, track)
    assert (motion.variant, motion.model_sha256) == (VARIANT, weak.sha256)
    check_clip(weak, motion)
    _set_variant(path, facts_of(OTHER))
    with pytest.raises(TrackError, match="the track is of SmallArm"):
        tracked_clip(own_clip, read_track(path))


def _policy(path: Path, physics: PhysicsConfig) -> None:
    task = Task(load_simulation_body("SmallArm", physics), TaskConfig(future_steps=(1, 5)))
    _, learner = untrained(task)
    write_policy(
        path, task=task, physics=physics, params=learner.params["policy"], normaliser=learner.normaliser,
        algorithm="ppo", steps=1, dataset=dataset_facts([]),
    )  # fmt: skip


def _edit(path: Path, change: Any) -> None:
    data = path.read_bytes()
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    facts = json.loads(header["__metadata__"][FORMAT])
    change(facts)
    path.write_bytes(safetensors.numpy.save(safetensors.numpy.load(data), {FORMAT: json.dumps(facts)}))


def test_a_policy_keeps_its_variant_and_controls_no_other_body(tmp_path: Path, weak: SimulationBody) -> None:
    path = tmp_path / "policy.safetensors"
    _policy(path, PhysicsConfig(variant=VARIANT))
    policy = load_policy(path)
    assert policy.physics.variant == VARIANT
    assert policy.facts["body"]["variant"] == facts_of(VARIANT)
    body = body_of(policy)
    assert body.sha256 == weak.sha256
    np.testing.assert_array_equal(body.model.actuator_gainprm, weak.model.actuator_gainprm)

    def other(facts: dict[str, Any]) -> None:
        facts["physics"]["variant"] = facts_of(OTHER)

    def both(facts: dict[str, Any]) -> None:
        facts["physics"]["variant"] = facts["body"]["variant"] = facts_of(OTHER)

    removed = [lambda facts, section=section: facts[section].pop("variant") for section in ("physics", "body")]
    for change in (other, both, *removed):
        _policy(path, PhysicsConfig(variant=VARIANT))
        _edit(path, change)
        with pytest.raises(PolicyError, match="differ, so it cannot control this one"):
            body_of(load_policy(path))
    _edit(path, lambda facts: facts["physics"].update(variant={"strength": {"elbow_flexor": -1}}))
    with pytest.raises(PolicyError, match=r"physics\.variant\.strength"):
        load_policy(path)


def test_policies_of_the_unaltered_body_do_not_name_a_variant(tmp_path: Path) -> None:
    _policy(tmp_path / "p.safetensors", PhysicsConfig())
    facts = load_policy(tmp_path / "p.safetensors").facts
    assert "variant" not in facts["body"]
    assert "variant" not in facts["physics"]


def test_a_run_is_planned_for_the_variant_and_resumes_with_it(tmp_path: Path, own_clip: Clip) -> None:
    from musclemap.imitation.runs.train_config import TrainConfig

    config = TrainConfig(num_envs=2, physics=PhysicsConfig(variant=VARIANT), task=TaskConfig(future_steps=(1, 5)))
    plan = plan_training([("a.h5", own_clip)], config, engine="mujoco")
    assert plan.body.target.variant == VARIANT
    (tmp_path / FACTS).write_text(json.dumps(plan.facts))
    assert read_recorded_run(tmp_path).config == plan.config
    resumed = plan_training([("a.h5", own_clip)], read_recorded_run(tmp_path).config, engine="mujoco")
    assert resumed.facts == plan.facts


def test_a_variant_that_the_body_does_not_take_is_refused_when_the_clip_is_used(own_clip: Clip) -> None:
    clip = replace(own_clip, variant=make_variant(strength={"soleus_r": 0.5}))
    for body in (load_simulation_body("SmallArm"), load_simulation_body("SmallArm", PhysicsConfig(variant=VARIANT))):
        with pytest.raises(MusclemapError, match="no muscle 'soleus_r'"):
            check_clip(body, clip)


def test_a_weak_muscle_accelerates_the_arm_less(weak: SimulationBody) -> None:
    """The facts reach the simulation: half the force and a heavier hand lift the forearm less."""
    reached = []
    for body in (load_simulation_body("SmallArm"), weak):
        data = mujoco.MjData(body.model)
        data.act[list(body.muscle_names).index("elbow_flexor")] = 0.3
        data.ctrl[:] = data.act
        mujoco.mj_step(body.model, data, 50)
        reached.append(data.qpos[1])
    assert reached[0] > reached[1] + 0.05
    assert load_body("SmallArm").variant == UNALTERED
