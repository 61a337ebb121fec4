"""Policy files: their content round-trips, NumPy computes the same as JAX, and malformed files are rejected."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import jax
import numpy as np
import pytest
import safetensors
import safetensors.numpy

from musclemap.errors import MusclemapError, SettingsError
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.policy.file_limits import MAX_BYTES
from musclemap.imitation.policy.policy import compile_policy
from musclemap.imitation.policy.policy_file import MAX_FACTS, MAX_TENSORS, body_of, load_policy
from musclemap.imitation.policy.policy_format import FORMAT, MAX_SIZE
from musclemap.imitation.policy.training_clips import TrainingClips, dataset_facts
from musclemap.imitation.ppo.ppo import PPOConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.observation import layout
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import RewardConfig, TaskConfig
from musclemap.settings import MAX_LAYERS, MAX_WIDTH

from ..support.data.arm_policies import save_untrained

CONFIG = TaskConfig(future_steps=(1, 5, 20), resting_excitation=0.03, reward=RewardConfig(effort=0.2))
Facts = dict[str, Any]
Tensors = dict[str, np.ndarray]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_untrained(tmp_path / "policy.safetensors", config=CONFIG, scale=400.0)
    return tmp_path / "policy.safetensors"


def test_numpy_matches_jax(tmp_path: Path) -> None:
    ppo, learner = save_untrained(tmp_path / "p.safetensors", config=CONFIG, scale=400.0)
    policy, task = load_policy(tmp_path / "p.safetensors"), Task(load_simulation_body("SmallArm"), CONFIG)
    obs = np.random.default_rng(0).normal(size=(200, task.nobs)).astype(np.float32) * 4.0
    obs[0] *= 1e6
    expected = np.asarray(task.excitation(ppo.mean(learner, jax.numpy.asarray(obs))))
    assert np.ptp(expected) > 0.5
    np.testing.assert_allclose(policy(obs), expected, atol=1e-5)
    np.testing.assert_allclose(policy(obs[3]), expected[3], atol=1e-5)
    np.testing.assert_allclose(compile_policy(policy)(jax.numpy.asarray(obs)), expected, atol=1e-5)
    assert policy(obs).dtype == np.float32


def test_the_documented_reader_needs_only_numpy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    code = text.split("```python")[1].split("```")[0]
    assert "musclemap." not in code
    monkeypatch.chdir(path.parent)
    namespace: dict[str, Any] = {}
    exec(code, namespace)
    policy = load_policy(path)
    obs = np.random.default_rng(0).normal(size=(50, policy.nobs)).astype(np.float32)
    np.testing.assert_allclose(namespace["excitation"](obs), policy(obs), atol=1e-5)


def test_zero_action_gives_the_resting_excitation(path: Path) -> None:
    policy = load_policy(path)
    assert 1.0 / (1.0 + np.exp(-policy.bias)) == pytest.approx(0.03, abs=1e-7)


def test_the_facts_of_a_file_round_trip(tmp_path: Path) -> None:
    clips = arm_clips(2, 0.6)
    save_untrained(tmp_path / "p.safetensors", clips, config=CONFIG)
    policy = load_policy(tmp_path / "p.safetensors")
    body = body_of(policy)
    assert policy.task == CONFIG
    assert policy.facts["steps"] == 12_000
    assert policy.facts["observation"] == [[name, width] for name, width in layout(body, CONFIG.future_steps).items()]
    assert policy.facts["body"]["sha256"] == body.sha256 == clips[0][1].model_sha256
    assert policy.facts["dataset"] == dataset_facts(clips)
    assert {"mujoco", "jax", "musclemimic-models"} <= set(policy.facts["software"])
    assert policy.count == 50


def test_the_same_policy_gives_the_same_bytes(path: Path, tmp_path: Path) -> None:
    save_untrained(tmp_path / "again.safetensors", config=CONFIG, scale=400.0)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_training_clips_are_recognised_by_hash_and_by_name() -> None:
    (_, generated), (_, other_clip) = arm_clips(2, 0.6)
    from_file = replace(generated, source="a.npz", source_sha256="12")
    renamed, changed = replace(from_file, source="b.npz"), replace(from_file, source_sha256="34")
    of_generated, of_read = (
        TrainingClips(dataset_facts([("a", generated)])),
        TrainingClips(dataset_facts([("a", from_file)])),
    )
    assert (of_generated.contains(generated), of_generated.contains(other_clip)) == (True, False)
    assert [of_read.contains(clip) for clip in (from_file, renamed, changed, generated)] == [True, True, False, False]
    assert TrainingClips({}).contains(generated) is None


# Malformed files


def _without(key: str) -> Callable[[Facts, Tensors], None]:
    return lambda facts, _: facts.pop(key)


def _facts(key: str, value: Any) -> Callable[[Facts, Tensors], None]:
    def change(facts: Facts, _: Tensors) -> None:
        *tables, leaf = key.split(".")
        for table in tables:
            facts = facts[table]
        facts[leaf] = value

    return change


def _tensor(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Facts, Tensors], None]:
    return lambda _, tensors: tensors.update({name: change(tensors[name])})


def _with_nan(array: np.ndarray) -> np.ndarray:
    return np.where(np.arange(array.size).reshape(array.shape) == 1, np.nan, array).astype(np.float32)


def nested(key: str, depth: int) -> Facts:
    """An object nested `depth` times."""
    tree: Facts = {"a": 1}
    for _ in range(depth):
        tree = {key: tree}
    return tree


REWARD_WEIGHTS = [name for name in vars(RewardConfig()) if not name.endswith("_scale") and name != "wide_factor"]

MALFORMED: dict[str, tuple[Callable[[Facts, Tensors], object], str]] = {
    "another format": (_facts("format", "x"), "not a policy"),
    "a later version": (_facts("version", 2), "version 2; this release reads version 1"),
    "no body": (_without("body"), "has no body"),
    "no muscles": (_facts("body.muscles", 6), "body: muscles is 6, not of type list"),
    "another network": (_facts("network.activation", "tanh"), "'tanh'; only 'silu' is supported"),
    "no epsilon": (_facts("network.norm_epsilon", 0), "norm_epsilon"),
    "an unknown setting": (_facts("task.laziness", 1), "unknown setting 'task.laziness'; 'task' has"),
    "a setting of another type": (
        _facts("task.resting_excitation", "low"),
        "takes a number from 0.0001 to 0.9999, got 'low'",
    ),
    "a setting out of range": (_facts("task.resting_excitation", 1.5), "task.resting_excitation"),
    "a setting that is no table": (_facts("task.reward", 3), "'task.reward' is a section .* got 3"),
    "physics unknown": (_facts("physics.hands", "three"), "takes one of auto, locked, free"),
    "an endless number": (_facts("physics.timestep", 10**400), "an integer of 401 digits"),
    "a step too long": (_facts("physics.timestep", 1e29), r"above 0 and at most 0.2, got 1e\+29"),
    "no number": (_facts("physics.timestep", float("nan")), "'physics.timestep' takes a number .* got None"),
    "steps too many": (_facts("physics.nsubstep", 10**9), "whole number from 1 to 1,000, got 1000000000"),
    "steps below 0": (_facts("physics.nsubstep", -5), "nsubstep. .* got -5"),
    "iterations too many": (_facts("physics.iterations", 2**62), "physics.iterations"),
    "buffers too large": (_facts("physics.nconmax", 2**62), "physics.nconmax"),
    "hills too wide": (_facts("physics.terrain.length", 1e29), "terrain.length"),
    "hills too narrow": (_facts("physics.terrain.length", 1e-300), "terrain.length"),
    "a seed below 0": (_facts("physics.terrain.seed", -1), "terrain.seed"),
    "a look-ahead too far": (_facts("task.future_steps", [10**9]), "task.future_steps"),
    "a look-ahead twice": (_facts("task.future_steps", [1, 1]), "no two alike"),
    "a look-ahead too long": (_facts("task.future_steps", [1] * 10**6), r"task.future_steps.* got \[1, .{1,80}\.\.\.$"),
    "a delay too long": (_facts("task.latency_steps", 10**9), "task.latency_steps"),
    "no excitation": (_facts("task.resting_excitation", 1e-300), "task.resting_excitation"),
    "a scale of nothing": (_facts("task.reward.joint_scale", 1e-300), "task.reward"),
    "no reward": (_facts("task.reward", dict.fromkeys(REWARD_WEIGHTS, 0.0)), "a weight other than root"),
    "steps learned below 0": (_facts("steps", -1), "steps is -1; it must not be negative"),
    "steps learned endless": (_facts("steps", 10**400), "an integer of 401 digits"),
    "steps learned in part": (_facts("steps", 1.5), "steps is 1.5, not of type int"),
    "muscles without a name": (_facts("body.muscles", [1, 2]), "not a list of names"),
    "an endless name": (_facts("body.name", "x" * 10**6), r"name is 'x{1,80}\.\.\., not a short text"),
    "a version that is a list": (_facts("body.model_version", [[1]]), "model_version"),
    "an endless algorithm": (_facts("algorithm", "x" * 10**6), "has 1000000 characters"),
    "an epsilon too large": (_facts("network.norm_epsilon", 1e29), "norm_epsilon"),
    "a spread too small": (_facts("network.least", 1e-300), "least of the network"),
    "clips that are numbers": (_facts("dataset.clips", [1, 2]), "clips is"),
    "a clip of three": (_facts("dataset.clips", [["a", "b", "c"]]), "clips is"),
    "seconds of text": (_facts("dataset.seconds", "long"), "seconds is 'long'"),
    "licences of lists": (_facts("dataset.licences", {"a": []}), "licences is"),
    "no end of earlier runs": (_facts("dataset.earlier", nested("earlier", 20)), "more than 16 earlier"),
    "nested too deeply": (_facts("dataset.more", nested("a", 40)), "nested deeper"),
    "half a letter": (_facts("algorithm", "\ud800"), "surrogate"),
    "a layout too wide": (_facts("observation", [["joint_pos", 2**62]]), "list of names and widths"),
    "no layout": (_facts("observation", [["joint_pos", "2"]]), "list of names and widths"),
    "another layout": (_facts("observation", [["joint_pos", 2]]), "observations of width 2"),
    "a layer lost": (lambda _, tensors: tensors.pop("policy.b1"), "has the tensors"),
    "no layer": (lambda _, tensors: [tensors.pop(k) for k in list(tensors) if "policy" in k], "has the tensors"),
    "a tensor too much": (lambda _, tensors: tensors.update(more=np.zeros(1, np.float32)), "has the tensors"),
    "a number missing": (_tensor("policy.w1", _with_nan), "policy.w1 is not finite"),
    "turned": (_tensor("policy.w0", lambda w: w.T.copy()), "policy.w0 has shape"),
    "too few muscles": (_tensor("policy.b2", lambda b: b[:-1]), "policy.b2 has shape"),
    "another precision": (_tensor("policy.w0", lambda w: w.astype(np.float16)), "other types than F32"),
    "weights too large": (_tensor("policy.w1", lambda w: w + 1e30), "policy.w1 has values beyond"),
    "no width": (
        lambda _, t: t.update(
            {"policy.w1": np.zeros((24, 0), "f4"), "policy.b1": np.zeros(0, "f4"), "policy.w2": np.zeros((0, 6), "f4")}
        ),
        "widths must be from 1",
    ),
    "a matrix of offsets": (_tensor("policy.b1", lambda b: b.reshape(2, 8)), "policy.b1 has shape"),
    "too many tensors": (lambda _, t: t.update({f"a{k}": np.zeros(1, "f4") for k in range(200)}), "203|209 tensors"),
    "a negative variance": (_tensor("normaliser.var", lambda v: v - 1e3), "negative variance"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_malformed_content_is_reported(path: Path, what: str) -> None:
    change, message = MALFORMED[what]
    with safetensors.safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()[FORMAT])
    tensors = safetensors.numpy.load_file(path)
    change(facts, tensors)
    safetensors.numpy.save_file(tensors, path, {FORMAT: json.dumps(facts)})
    with pytest.raises(PolicyError, match=message):
        load_policy(path)


def test_files_that_are_not_policies_are_rejected(path: Path, tmp_path: Path) -> None:
    data = path.read_bytes()
    for size in (0, 7, 60, len(data) // 2, len(data) - 1):
        path.write_bytes(data[:size])
        with pytest.raises(PolicyError, match="cannot be read"):
            load_policy(path)
    path.write_bytes(b"\x80\x04\x95pickle" + data)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(path)
    for metadata, message in ((None, "no metadata"), ({FORMAT: "{"}, "not JSON"), ({FORMAT: "[]"}, "no format")):
        safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, path, metadata)
        with pytest.raises(PolicyError, match=message):
            load_policy(path)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(PolicyError, match="cannot be read"):
            load_policy(missing)
    assert issubclass(PolicyError, MusclemapError)


def _false_header_length(path: Path) -> None:
    """A header that claims to be longer than the file."""
    path.write_bytes((2**40).to_bytes(8, "little") + path.read_bytes()[8:])


def _metadata(path: Path) -> None:
    """100 MB of metadata."""
    text = b'{"__metadata__": {"a": "' + b"x" * 10**8 + b'"}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def _offsets(path: Path) -> None:
    """Tensors beyond the end of the file."""
    text = b'{"__metadata__": {}, "a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    "make",
    [
        os.mkfifo,
        os.mkdir,
        lambda path: path.symlink_to("/dev/zero"),
        Path.touch,
        _false_header_length,
        _metadata,
        _offsets,
    ],
)
def test_special_and_oversized_files_are_rejected_at_once(path: Path, make: Callable[[Path], object]) -> None:
    if make is not _false_header_length:
        path.unlink()
    make(path)
    with pytest.raises(PolicyError, match="cannot be read as a policy"):
        load_policy(path)


def test_a_sparse_file_of_ten_terabytes_is_rejected_at_once(path: Path) -> None:
    os.truncate(path, 10 * 2**40)
    with pytest.raises(PolicyError, match="at most 671088640 are read"):
        load_policy(path)


def test_files_of_the_widest_permitted_networks_can_be_read() -> None:
    widths = [MAX_SIZE, *[MAX_WIDTH] * MAX_LAYERS, 416]
    assert 4 * sum((m + 1) * n for m, n in pairwise(widths)) + 2 * MAX_FACTS < MAX_BYTES
    assert 2 * (MAX_LAYERS + 1) + 3 <= MAX_TENSORS
    PPOConfig(hidden=(MAX_WIDTH,) * MAX_LAYERS)
    for hidden in ((MAX_WIDTH + 1,), (1,) * (MAX_LAYERS + 1), (0,), (-5,)):
        with pytest.raises(SettingsError, match=r"PPOConfig\.hidden"):
            PPOConfig(hidden=hidden)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("body.sha256", "0" * 64, "sha256 differ"),
        ("body.name", "Puppet", "not available: there is no body 'Puppet'"),
        ("body.muscles", list("abcdef"), "muscles differ"),
        ("observation", None, "another observation layout"),
    ],
)
def test_a_policy_for_another_body_is_rejected(path: Path, key: str, value: Any, message: str) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()[FORMAT])
    _facts(key, value or facts["observation"][::-1])(facts, {})
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, {FORMAT: json.dumps(facts)})
    policy = load_policy(path)
    with pytest.raises(PolicyError, match=message):
        body_of(policy)
