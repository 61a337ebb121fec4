"""Settings survive every round trip, and errors list the valid settings."""

import dataclasses
import os
from collections.abc import Iterator
from dataclasses import FrozenInstanceError, field
from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from musclemap.errors import SettingsError
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import (
    NoneAsText,
    Sequence,
    from_dict,
    load_settings,
    override,
    settings,
    to_dict,
    to_toml,
)


@settings
class Solver:
    iterations: Annotated[int, Field(ge=1)] = 10
    damping: Annotated[float, Field(gt=0)] = 1e-5
    lower: float = -1.0
    upper: float = 2.0
    weights: Annotated[tuple[float, ...], *Sequence] = ()
    names: Annotated[tuple[str, ...], Field(max_length=3), *Sequence] = ("a", "b")

    def __post_init__(self):
        if self.lower >= self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}")


@settings
class Inner:
    solver: Solver = field(default_factory=lambda: Solver(iterations=7))


@settings
class Config:
    fps: float = 100.0
    hands: Literal["locked", "tracked"] = "locked"
    title: str = ""
    verbose: bool = False
    limit: Annotated[int | None, NoneAsText] = None
    ratio: Annotated[float | None, NoneAsText] = 0.5
    solver: Solver = field(default_factory=Solver)
    inner: Inner = field(default_factory=Inner)


ODD = Config(
    fps=59.94,
    hands="tracked",
    title='quote " slash \\ line\nbreak \x00\x7f é 走 🦴',
    verbose=True,
    limit=3,
    ratio=None,
    solver=Solver(iterations=2**60, damping=1e-17, lower=-1e-300, upper=1e300, weights=(0.1, 2.0), names=()),
)


@pytest.mark.parametrize("config", [Config(), ODD])
def test_toml_round_trip(config, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text(to_toml(config), encoding="utf-8")
    assert load_settings(Config, path) == config
    assert from_dict(Config, to_dict(config)) == config


def test_file_changes_only_what_it_names(tmp_path):
    path = tmp_path / "settings.toml"
    path.write_text("fps = 50\n[inner.solver]\ndamping = 1\n")
    expected = Config(fps=50.0, inner=Inner(solver=Solver(iterations=7, damping=1.0)))
    assert load_settings(Config, path) == expected
    assert isinstance(expected.inner.solver.damping, float)


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("fps=60", lambda c: c.fps == 60.0 and isinstance(c.fps, float)),
        ("solver.iterations = 20", lambda c: c.solver.iterations == 20),
        ("inner.solver.damping=1e-3", lambda c: c.inner.solver.damping == 1e-3),
        ("hands=tracked", lambda c: c.hands == "tracked"),
        ("title=20", lambda c: c.title == "20"),
        ("title=a=b", lambda c: c.title == "a=b"),
        ("title=", lambda c: c.title == ""),
        ('title="quoted text"', lambda c: c.title == "quoted text"),
        ("verbose=true", lambda c: c.verbose is True),
        ("limit=5", lambda c: c.limit == 5),
        ("ratio=none", lambda c: c.ratio is None),
        ("solver.weights=[0, 0.5]", lambda c: c.solver.weights == (0.0, 0.5)),
        ('solver.names=["x"]', lambda c: c.solver.names == ("x",)),
    ],
)
def test_override_reads_text_by_the_type_of_the_field(text, read):
    assert read(override(Config(), [text]))


def test_overrides_apply_together_and_the_last_wins():
    changed = override(Config(), ["solver.lower=5", "solver.upper=6", "fps=1", "fps=2"])
    assert (changed.solver.lower, changed.solver.upper, changed.fps) == (5.0, 6.0, 2.0)
    assert override(Config(), []) == Config()
    with pytest.raises(FrozenInstanceError):
        changed.fps = 3.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("fsp=1", ["unknown setting 'fsp'; there are fps, hands", "solver, title, verbose"]),
        ("solver.iteration=1", ["unknown setting 'solver.iteration'; 'solver' has damping, iterations, lower"]),
        ("solver=1", ["'solver' is a section with the settings solver.iterations, ", "got 1"]),
        ("fps.x=1", ["setting 'fps' takes a number, got {'x'"]),
        ("fps=1 fps.x=1", ["'fps.x' is set, and 'fps' above it is set to a value too"]),
        ("fps", ["KEY=VALUE", "'fps'"]),
        ("=1", ["KEY=VALUE"]),
        ("fps=fast", ["setting 'fps' takes a number, got 'fast'"]),
        ("fps=nan", ["setting 'fps' takes a number, got nan"]),
        ("fps=-inf", ["setting 'fps' takes a number, got -inf"]),
        ("fps=true", ["setting 'fps' takes a number, got True"]),
        ("verbose=1", ["setting 'verbose' takes true or false, got 1"]),
        ("limit=1.5", ["setting 'limit' takes a whole number or \"none\", got 1.5"]),
        ("limit=nothing", ["setting 'limit' takes a whole number or \"none\", got 'nothing'"]),
        ("hands=open", ["setting 'hands' takes one of locked, tracked, got 'open'"]),
        ("hands=[]", ["setting 'hands' takes one of locked, tracked, got '[]'"]),
        ("solver.names=[1]", ["setting 'solver.names' takes a list of 0 to 3, each a string, got 1 in it"]),
        ('solver.names=["a","b","c","d"]', ["a list of 0 to 3, each a string, got ['a', 'b', 'c', 'd']"]),
        ("solver.weights=1", ["setting 'solver.weights' takes a list, each a number, got 1"]),
        ("solver.upper=-2", ["settings in 'solver': lower must be below upper, got -1.0 and -2.0"]),
        ("inner.solver.iterations=0", ["'inner.solver.iterations' takes a whole number from 1, got 0"]),
        ("inner.solver.damping=0", ["'inner.solver.damping' takes a number above 0, got 0"]),
        ("fps=1\nhands='tracked'", ["'fps'", "a number"]),
    ],
)
def test_mistakes_are_named(text, parts):
    with pytest.raises(SettingsError) as caught:
        override(Config(), text.split(" "))
    for part in parts:
        assert part in str(caught.value)
    assert "\n" not in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"fps": "fast"}, "setting 'Config.fps' takes a number, got 'fast'"),
        ({"fsp": 1.0}, "unknown setting 'Config.fsp'; 'Config' has fps, hands"),
        ({"solver": {}}, "setting 'Config.solver' takes Solver, got {}"),
    ],
)
def test_a_call_is_checked_like_a_file(values, message):
    with pytest.raises(SettingsError) as caught:
        Config(**values)
    assert str(caught.value).startswith(message)


def leaves(cls: type, prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted name and default of every setting."""
    for one in dataclasses.fields(cls):
        value = getattr(cls(), one.name)
        if dataclasses.is_dataclass(value):
            yield from leaves(type(value), f"{prefix}{one.name}.")
        else:
            yield prefix + one.name, value


@pytest.mark.parametrize("cls", [RetargetConfig, TrainConfig])
def test_every_setting_refuses_other_types_and_has_a_range(cls):
    wrong = {
        bool: ["1", '"true"', "1.0"], int: ["true", "1.0", '"1"', "-1", str(2**63 - 1), str(10**30)],
        float: ["true", '"1"', "nan", "inf", "-inf", "1e300", str(10**400)], str: ["-1", "x"],
        tuple: ["1", "{}", "[[]]", "[nan]"],
    }  # fmt: skip
    for name, value in leaves(cls):
        tables = ".variant." in name  # a table of names and values, held as a tuple of pairs
        for text in ['""', "1" * 61] if name == "body.name" else wrong[type(value)]:  # any body may have that name
            with pytest.raises(SettingsError, match=name):
                override(cls(), [f"{name}={'{a = -99}' if tables and text == '{}' else text}"])


HOSTILE = [
    b"fps = " + b"9" * 5000, b"fps = 1" + b"0" * 400, b"limit = " + b"9" * 400, b"fps = 1979-05-27", b"fps = nan",
    b"fps = " + b"[" * 100_000, b"fps = " + b"[" * 40 + b"]" * 40, b"fps = {" + b"a." * 150 + b"a = 1}",
    b"a." * 30_000 + b"a = 1", b"[" + b"a." * 30_000 + b"a]", b"#" * 100_000, b"fps = 07:32:00", b"solver = [1]",
    b"[[solver]]\n", b"limit = 0x" + b"f" * 60_000, b"solver.weights = [" + b"[], " * 16_000 + b"]",
    b"title = " + b'"' + b"x" * 1000 + b'"\nfps = "' + b"x" * 60_000 + b'"',
]  # fmt: skip
"""Texts that overload parsers: too long, too deep, of other types, or with keys that take quadratic memory."""


@pytest.mark.parametrize("content", HOSTILE)
def test_hostile_files_are_refused_in_one_sentence(content, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError) as caught:
        load_settings(Config, path)
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: (path.touch(), os.truncate(path, 10 * 2**40))])
def test_irregular_settings_file_is_refused_immediately(make, tmp_path):
    make(tmp_path / "settings.toml")
    with pytest.raises(SettingsError, match="cannot read settings"):
        load_settings(Config, tmp_path / "settings.toml")


ENDLESS = [
    "num_envs=1000000000", "gpus=100000", "seed=-1", "seed=4294967296", "physics.nsubstep=1000000000",
    "physics.timestep=1e30", "physics.timestep=inf", "physics.nconmax=1000000000", "physics.terrain.length=1e9",
    "physics.terrain.height=inf", "task.future_steps=[1000000]", "task.latency_steps=1000000", "task.push_speed=inf",
    "task.reward.wide_factor=inf", "ppo.hidden=[1000000]", "ppo.hidden=[1,1,1,1,1,1]", "ppo.num_steps=1000000",
    "ppo.ent_coef=-1", "ppo.vf_coef=inf", "ppo.minibatch_size=1000000000", "world_model.buffer_size=100000000000",
    "world_model.horizons=[1000000]", "world_model.hidden=[1000000]", "world_model.batch_size=1000000000",
    "world_model.effort_min_reward=-inf", "world_model.dynamics.hidden=[1000000]",
    "world_model.dynamics.sequence_length=1000000", "world_model.dynamics.tendons.hidden=100000",
    "world_model.dynamics.tendons.num_samples=1000000000", "dagger.buffer_size=1000000000", "dagger.workers=1000000",
    "dagger.directions=1000000", "dagger.evaluation_steps=1000000", "dagger.hidden=[1000000]",
]  # fmt: skip


@pytest.mark.parametrize("assignment", ENDLESS)
def test_settings_that_would_exhaust_time_or_memory_are_refused(assignment):
    name = assignment.partition("=")[0]
    with pytest.raises(SettingsError, match=name):
        override(TrainConfig(), [assignment])


@pytest.mark.parametrize(
    "assignment", ["solver.window_size=1000000", "solver.batch_size=10000000000", "weights.arm=inf"]
)
def test_settings_of_a_conversion_are_finite_too(assignment):
    with pytest.raises(SettingsError, match=assignment.partition("=")[0]):
        override(RetargetConfig(), [assignment])


@pytest.mark.parametrize("content", [b"fps = ", b"\xff", b"nonsense = 1", b"solver = 3"])
def test_bad_files_are_settings_errors(content, tmp_path):
    path = tmp_path / "settings.toml"
    path.write_bytes(content)
    with pytest.raises(SettingsError):
        load_settings(Config, path)
    with pytest.raises(SettingsError, match="cannot read"):
        load_settings(Config, tmp_path / "absent.toml")
