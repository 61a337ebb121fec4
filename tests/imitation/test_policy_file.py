"""Policy files: what was learned comes back, computes the same without JAX, and nothing malformed passes."""

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
from musclemap.imitation.policy.policy import compile_policy
from musclemap.imitation.policy.policy_file import MAX_BYTES, MAX_FACTS, MAX_TENSORS, body_of, load_policy
from musclemap.imitation.policy.policy_format import FORMAT, WIDEST
from musclemap.imitation.policy.training_clips import TrainingClips, dataset_facts
from musclemap.imitation.ppo.ppo import PPOConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.observation import layout
from musclemap.imitation.task.reward import RewardConfig
from musclemap.imitation.task.task import Task, TaskConfig
from musclemap.settings import MAX_LAYERS, MAX_WIDTH

from ..support.data.arm_policies import save_untrained

CONFIG = TaskConfig(future_steps=(1, 5, 20), resting_excitation=0.03, reward=RewardConfig(effort=0.2))
Facts = dict[str, Any]
Tensors = dict[str, np.ndarray]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save_untrained(tmp_path / "policy.safetensors", config=CONFIG, loud=400.0)
    return tmp_path / "policy.safetensors"


def test_numpy_gives_what_jax_gives(tmp_path: Path) -> None:
    ppo, learner = save_untrained(tmp_path / "p.safetensors", config=CONFIG, loud=400.0)
    policy, task = load_policy(tmp_path / "p.safetensors"), Task(load_simulation_body("SmallArm"), CONFIG)
    obs = np.random.default_rng(0).normal(size=(200, task.nobs)).astype(np.float32) * 4.0
    obs[0] *= 1e6
    want = np.asarray(task.excitation(ppo.mean(learner, jax.numpy.asarray(obs))))
    assert np.ptp(want) > 0.5
    np.testing.assert_allclose(policy(obs), want, atol=1e-5)
    np.testing.assert_allclose(policy(obs[3]), want[3], atol=1e-5)
    np.testing.assert_allclose(compile_policy(policy)(jax.numpy.asarray(obs)), want, atol=1e-5)
    assert policy(obs).dtype == np.float32


def test_the_reader_in_the_documentation_needs_no_more_than_numpy(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (Path(__file__).parents[2] / "docs" / "policies.md").read_text(encoding="utf-8")
    code = page.split("```python")[1].split("```")[0]
    assert "musclemap." not in code
    monkeypatch.chdir(path.parent)
    made: dict[str, Any] = {}
    exec(code, made)
    policy = load_policy(path)
    obs = np.random.default_rng(0).normal(size=(50, policy.nobs)).astype(np.float32)
    np.testing.assert_allclose(made["excitation"](obs), policy(obs), atol=1e-5)


def test_no_action_is_the_resting_excitation(path: Path) -> None:
    policy = load_policy(path)
    assert 1.0 / (1.0 + np.exp(-policy.bias)) == pytest.approx(0.03, abs=1e-7)


def test_what_the_file_tells_comes_back(tmp_path: Path) -> None:
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
    save_untrained(tmp_path / "again.safetensors", config=CONFIG, loud=400.0)
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()


def test_clips_that_were_learned_from_are_known_by_hash_and_by_name() -> None:
    (_, made), (_, other) = arm_clips(2, 0.6)
    read = replace(made, source="a.npz", source_sha256="12")
    renamed, changed = replace(read, source="b.npz"), replace(read, source_sha256="34")
    of_made, of_read = TrainingClips(dataset_facts([("a", made)])), TrainingClips(dataset_facts([("a", read)]))
    assert (of_made.holds(made), of_made.holds(other)) == (True, False)
    assert [of_read.holds(clip) for clip in (read, renamed, changed, made)] == [True, True, False, False]
    assert TrainingClips({}).holds(made) is None


# What is malformed


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


def _spoil(array: np.ndarray) -> np.ndarray:
    return np.where(np.arange(array.size).reshape(array.shape) == 1, np.nan, array).astype(np.float32)


def nested(key: str, depth: int) -> Facts:
    """An object in an object, and so on."""
    tree: Facts = {"a": 1}
    for _ in range(depth):
        tree = {key: tree}
    return tree


WEIGHTS = [name for name in vars(RewardConfig()) if not name.endswith("_scale") and name != "wide_factor"]

MALFORMED: dict[str, tuple[Callable[[Facts, Tensors], object], str]] = {
    "another format": (_facts("format", "x"), "no policy"),
    "a later version": (_facts("version", 2), "version 2; this reads version 1"),
    "no body": (_without("body"), "has no body"),
    "no muscles": (_facts("body.muscles", 6), "body: muscles is 6, not of type list"),
    "another network": (_facts("network.activation", "tanh"), "'tanh'; this version knows 'silu'"),
    "no epsilon": (_facts("network.norm_epsilon", 0), "norm_epsilon"),
    "an unknown setting": (_facts("task.laziness", 1), "unknown setting 'task.laziness'; 'task' has"),
    "a setting of another type": (
        _facts("task.resting_excitation", "low"),
        "takes a number from 0.0001 to 0.9999, got 'low'",
    ),
    "a setting out of range": (_facts("task.resting_excitation", 1.5), "task.resting_excitation"),
    "a setting that is no table": (_facts("task.reward", 3), "'task.reward' is a section .* got 3"),
    "physics unknown": (_facts("physics.hands", "three"), "takes one of locked, free"),
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
    "no reward": (_facts("task.reward", dict.fromkeys(WEIGHTS, 0.0)), "a weight other than root"),
    "steps learned below 0": (_facts("steps", -1), "steps is -1, below 0"),
    "steps learned endless": (_facts("steps", 10**400), "an integer of 401 digits"),
    "steps learned in part": (_facts("steps", 1.5), "steps is 1.5, not of type int"),
    "muscles without a name": (_facts("body.muscles", [1, 2]), "not a list of names"),
    "an endless name": (_facts("body.name", "x" * 10**6), r"name is 'x{1,80}\.\.\., not a word"),
    "a version that is a list": (_facts("body.model_version", [[1]]), "model_version"),
    "an endless algorithm": (_facts("algorithm", "x" * 10**6), "of 1000000 letters"),
    "an epsilon too large": (_facts("network.norm_epsilon", 1e29), "norm_epsilon"),
    "a spread too small": (_facts("network.least", 1e-300), "least of the network"),
    "clips that are numbers": (_facts("dataset.clips", [1, 2]), "clips is"),
    "a clip of three": (_facts("dataset.clips", [["a", "b", "c"]]), "clips is"),
    "seconds of text": (_facts("dataset.seconds", "long"), "seconds is 'long'"),
    "licences of lists": (_facts("dataset.licences", {"a": []}), "licences is"),
    "no end of earlier runs": (_facts("dataset.earlier", nested("earlier", 20)), "more than 16 earlier"),
    "nested too deeply": (_facts("dataset.more", nested("a", 40)), "nested deeper"),
    "half a letter": (_facts("algorithm", "\ud800"), "surrogate"),
    "a layout too wide": (_facts("observation", [["joint_pos", 2**62]]), "names and widths"),
    "no layout": (_facts("observation", [["joint_pos", "2"]]), "names and widths"),
    "another layout": (_facts("observation", [["joint_pos", 2]]), "observations of 2 numbers"),
    "a layer lost": (lambda _, tensors: tensors.pop("policy.b1"), "has the tensors"),
    "no layer": (lambda _, tensors: [tensors.pop(k) for k in list(tensors) if "policy" in k], "has the tensors"),
    "a tensor too much": (lambda _, tensors: tensors.update(more=np.zeros(1, np.float32)), "has the tensors"),
    "a number missing": (_tensor("policy.w1", _spoil), "policy.w1 is not finite"),
    "turned": (_tensor("policy.w0", lambda w: w.T.copy()), "policy.w0 has shape"),
    "too few muscles": (_tensor("policy.b2", lambda b: b[:-1]), "policy.b2 has shape"),
    "another precision": (_tensor("policy.w0", lambda w: w.astype(np.float16)), "other types than F32"),
    "weights too large": (_tensor("policy.w1", lambda w: w + 1e30), "policy.w1 has values beyond"),
    "no width": (
        lambda _, t: t.update(
            {"policy.w1": np.zeros((24, 0), "f4"), "policy.b1": np.zeros(0, "f4"), "policy.w2": np.zeros((0, 6), "f4")}
        ),
        "widths are from 1",
    ),
    "a matrix of offsets": (_tensor("policy.b1", lambda b: b.reshape(2, 8)), "policy.b1 has shape"),
    "too many tensors": (lambda _, t: t.update({f"a{k}": np.zeros(1, "f4") for k in range(200)}), "203|209 tensors"),
    "a negative variance": (_tensor("normaliser.var", lambda v: v - 1e3), "negative variance"),
}


@pytest.mark.parametrize("what", MALFORMED)
def test_what_is_malformed_is_told(path: Path, what: str) -> None:
    change, message = MALFORMED[what]
    with safetensors.safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()[FORMAT])
    tensors = safetensors.numpy.load_file(path)
    change(facts, tensors)
    safetensors.numpy.save_file(tensors, path, {FORMAT: json.dumps(facts)})
    with pytest.raises(PolicyError, match=message):
        load_policy(path)


def test_what_is_no_policy_at_all_is_told(path: Path, tmp_path: Path) -> None:
    whole = path.read_bytes()
    for size in (0, 7, 60, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        with pytest.raises(PolicyError, match="cannot be read"):
            load_policy(path)
    path.write_bytes(b"\x80\x04\x95pickle" + whole)
    with pytest.raises(PolicyError, match="cannot be read"):
        load_policy(path)
    for metadata, message in ((None, "no metadata"), ({FORMAT: "{"}, "no JSON"), ({FORMAT: "[]"}, "no format")):
        safetensors.numpy.save_file({"a": np.zeros(1, np.float32)}, path, metadata)
        with pytest.raises(PolicyError, match=message):
            load_policy(path)
    for missing in (tmp_path / "none", tmp_path):
        with pytest.raises(PolicyError, match="cannot be read"):
            load_policy(missing)
    assert issubclass(PolicyError, MusclemapError)


def _lying(path: Path) -> None:
    """A header that claims to be longer than the file."""
    path.write_bytes((2**40).to_bytes(8, "little") + path.read_bytes()[8:])


def _metadata(path: Path) -> None:
    """100 MB of metadata."""
    text = b'{"__metadata__": {"a": "' + b"x" * 10**8 + b'"}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)


def _offsets(path: Path) -> None:
    """Tensors that begin beyond the file's end."""
    text = b'{"__metadata__": {}, "a": {"dtype": "F32", "shape": [1000000000000], "data_offsets": [0, 4000000000000]}}'
    path.write_bytes(len(text).to_bytes(8, "little") + text)


@pytest.mark.parametrize(
    "make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/dev/zero"), Path.touch, _lying, _metadata, _offsets]
)
def test_a_file_of_another_kind_or_size_is_refused_at_once(path: Path, make: Callable[[Path], object]) -> None:
    if make is not _lying:
        path.unlink()
    make(path)
    with pytest.raises(PolicyError, match="cannot be read as a policy"):
        load_policy(path)


def test_a_sparse_file_of_ten_terabytes_is_refused_at_once(path: Path) -> None:
    os.truncate(path, 10 * 2**40)
    with pytest.raises(PolicyError, match="at most 671088640 are read"):
        load_policy(path)


def test_the_widest_networks_that_settings_allow_have_files_that_are_read() -> None:
    widths = [WIDEST, *[MAX_WIDTH] * MAX_LAYERS, 416]
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
        ("body.name", "Puppet", "not here: there is no body 'Puppet'"),
        ("body.muscles", list("abcdef"), "muscles differ"),
        ("observation", None, "laid out otherwise"),
    ],
)
def test_a_policy_of_another_body_is_not_used(path: Path, key: str, value: Any, message: str) -> None:
    with safetensors.safe_open(path, framework="numpy") as file:
        facts = json.loads(file.metadata()[FORMAT])
    _facts(key, value or facts["observation"][::-1])(facts, {})
    safetensors.numpy.save_file(safetensors.numpy.load_file(path), path, {FORMAT: json.dumps(facts)})
    policy = load_policy(path)
    with pytest.raises(PolicyError, match=message):
        body_of(policy)
