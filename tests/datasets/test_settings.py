"""Settings survive every round trip, and errors list the valid settings."""

import os
from dataclasses import FrozenInstanceError, dataclass, field
from typing import Literal

import pytest

from musclemap.errors import SettingsError
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import fingerprint, from_dict, load_settings, override, to_dict, to_toml


@dataclass(frozen=True, kw_only=True)
class Solver:
    iterations: int = 10
    damping: float = 1e-5
    bounds: tuple[float, float] = (-1.0, 2.0)
    weights: tuple[float, ...] = ()
    names: tuple[str, ...] = ("a", "b")

    def __post_init__(self):
        if self.iterations < 1:
            raise ValueError(f"iterations must be at least 1, got {self.iterations}")
        if self.bounds[0] >= self.bounds[1]:
            raise SettingsError(f"bounds must rise, got {self.bounds}")


@dataclass(frozen=True, kw_only=True)
class Inner:
    solver: Solver = field(default_factory=lambda: Solver(iterations=7))


@dataclass(frozen=True, kw_only=True)
class Config:
    fps: float = 100.0
    hands: Literal["locked", "tracked"] = "locked"
    title: str = ""
    verbose: bool = False
    limit: int | None = None
    ratio: float | None = 0.5
    solver: Solver = field(default_factory=Solver)
    inner: Inner = field(default_factory=Inner)


ODD = Config(
    fps=59.94,
    hands="tracked",
    title='quote " slash \\ line\nbreak \x00\x7f é 走 🦴',
    verbose=True,
    limit=3,
    ratio=None,
    solver=Solver(iterations=2**60, damping=float("inf"), bounds=(-1e-300, 1e300), weights=(0.1, 2.0), names=()),
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
        ("solver.bounds=[0, 0.5]", lambda c: c.solver.bounds == (0.0, 0.5)),
        ('solver.names=["x"]', lambda c: c.solver.names == ("x",)),
    ],
)
def test_override_reads_text_by_the_type_of_the_field(text, read):
    assert read(override(Config(), [text]))


def test_overrides_apply_together_and_the_last_wins():
    changed = override(Config(), ["solver.bounds=[5, 6]", "fps=1", "fps=2"])
    assert (changed.solver.bounds, changed.fps) == ((5.0, 6.0), 2.0)
    assert override(Config(), []) == Config()
    with pytest.raises(FrozenInstanceError):
        changed.fps = 3.0  # pyright: ignore[reportAttributeAccessIssue]


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("fsp=1", ["'fsp'", "fps", "hands", "solver"]),
        ("solver.iteration=1", ["'solver.iteration'", "iterations", "damping"]),
        ("solver=1", ["'solver' is a group", "solver.iterations"]),
        ("fps.x=1", ["'fps'", "a number"]),
        ("fps", ["KEY=VALUE", "'fps'"]),
        ("=1", ["KEY=VALUE"]),
        ("fps=fast", ["'fps'", "a number", "'fast'"]),
        ("fps=nan", ["'fps'", "a number"]),
        ("fps=true", ["'fps'", "a number"]),
        ("verbose=1", ["true or false", "1"]),
        ("limit=1.5", ["a whole number", "1.5"]),
        ("hands=open", ["'locked', 'tracked'", "'open'"]),
        ("solver.bounds=[1]", ["a list of 2", "[1]"]),
        ("solver.bounds=[2, 1]", ["bounds must rise"]),
        ("inner.solver.iterations=0", ["inner.solver: iterations must be at least 1, got 0"]),
        ("fps=1\nhands='tracked'", ["'fps'", "a number"]),
    ],
)
def test_mistakes_are_named(text, parts):
    with pytest.raises(SettingsError) as caught:
        override(Config(), [text])
    for part in parts:
        assert part in str(caught.value)


HOSTILE = [
    b"fps = " + b"9" * 5000, b"fps = 1" + b"0" * 400, b"limit = " + b"9" * 400, b"fps = 1979-05-27", b"fps = nan",
    b"fps = " + b"[" * 100_000, b"fps = " + b"[" * 40 + b"]" * 40, b"fps = {" + b"a." * 150 + b"a = 1}",
    b"a." * 30_000 + b"a = 1", b"[" + b"a." * 30_000 + b"a]", b"#" * 100_000, b"fps = 07:32:00", b"solver = [1]",
    b"[[solver]]\n", b"title = " + b'"' + b"x" * 1000 + b'"\nfps = "' + b"x" * 60_000 + b'"',
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
    "physics.terrain.height=inf", "task.ahead=[1000000]", "task.latency_steps=1000000", "task.push_speed=inf",
    "task.reward.wide=inf", "ppo.hidden=[1000000]", "ppo.hidden=[1,1,1,1,1,1]", "ppo.rollout=1000000",
    "ppo.entropy=-1", "ppo.value=inf", "ppo.minibatch=1000000000", "world_model.capacity=100000000000",
    "world_model.horizons=[1000000]", "world_model.hidden=[1000000]", "world_model.batch=1000000000",
    "world_model.effort_from=-inf", "world_model.dynamics.hidden=[1000000]", "world_model.dynamics.window=1000000",
    "world_model.dynamics.tendons.hidden=100000", "world_model.dynamics.tendons.samples=1000000000",
]  # fmt: skip


@pytest.mark.parametrize("assignment", ENDLESS)
def test_settings_that_would_exhaust_time_or_memory_are_refused(assignment):
    name = assignment.partition("=")[0]
    with pytest.raises(SettingsError, match=name.removeprefix("physics.") if "terrain" in name else name):
        override(TrainConfig(), [assignment])


@pytest.mark.parametrize("assignment", ["solver.window=1000000", "solver.batch=10000000000", "weights.arm=inf"])
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


def test_fingerprint_sees_every_value():
    prints = {fingerprint(c) for c in (Config(), ODD, Config(fps=1), override(Config(), ["inner.solver.iterations=8"]))}
    assert len(prints) == 4
    assert fingerprint(Config()) == fingerprint(Config(fps=100.0))
