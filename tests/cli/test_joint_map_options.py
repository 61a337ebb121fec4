"""`--save-joint-map` and `--joint-map`: a guess is written, edited, and part of the settings of a run."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from musclemap.cli import retarget
from musclemap.datasets.formats.readers.skeletons.joint_map import load_joint_map
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SettingsError
from musclemap.pipelines import archive
from musclemap.pipelines.convert.prepare import read_options
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import from_dict, load_settings, to_dict, to_toml
from musclemap.skeletons.smpl.joints import BODY_NAMES

from ..support.bvh_writer import write_bvh
from ..support.data.fake_retargeter import FakeRetargeter

NAMES = {name: f"Größe {k}" for k, name in enumerate(BODY_NAMES)}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "walk.bvh").write_bytes(write_bvh(synthesise("walk_1.2", seconds=1.0), names=NAMES))
    return folder


@pytest.fixture
def configs(monkeypatch: pytest.MonkeyPatch) -> list[RetargetConfig]:
    """Settings of the retargeters that the command creates."""
    made: list[RetargetConfig] = []

    def make(config: RetargetConfig, *, body_models: object, device: object) -> FakeRetargeter:
        made.append(config)
        return FakeRetargeter(config)

    monkeypatch.setattr(archive, "make_retargeter", make)
    return made


def run(*words: object) -> tuple[int, str]:
    result = CliRunner().invoke(retarget.app, [str(word) for word in words])
    return result.exit_code, " ".join((result.stdout + result.stderr).split())


def test_a_guess_is_saved_edited_and_used(source: Path, tmp_path: Path, configs: list[RetargetConfig]) -> None:
    file = tmp_path / "joints.toml"
    status, text = run(source / "walk.bvh", "--save-joint-map", file)
    assert status == 0
    assert "22 joints" in text
    assert "guessed" in text
    assert load_joint_map(file).joints == NAMES
    status, text = run(source, tmp_path / "out", "--dry-run", "-v")
    assert (status, "guessed from the skeleton's shape: pelvis = Größe 0" in text) == (0, True)
    status, text = run(source, tmp_path / "out", "--dry-run", "-v", "--joint-map", file)
    assert (status, "guessed" in text) == (0, False)
    assert configs[-1].source.joints == load_joint_map(file).pairs
    options = read_options(configs[-1])
    assert options.joint_map == load_joint_map(file)


def test_a_map_survives_settings(source: Path, tmp_path: Path) -> None:
    run(source / "walk.bvh", "--save-joint-map", tmp_path / "joints.toml")
    config = from_dict(RetargetConfig, {"source": {"joints": list(load_joint_map(tmp_path / "joints.toml").pairs)}})
    assert from_dict(RetargetConfig, to_dict(config)) == config
    (tmp_path / "settings.toml").write_text(to_toml(config), encoding="utf-8")
    assert load_settings(RetargetConfig, tmp_path / "settings.toml") == config
    assert read_options(RetargetConfig()).joint_map is None


@pytest.mark.parametrize("pairs", [["pelvis = Hips"], ["pelvis"], ["hips = Hips"], [f"{name} = a" for name in NAMES]])
def test_a_wrong_map_is_refused(pairs: list[str]) -> None:
    with pytest.raises(SettingsError, match="the joint map"):
        read_options(from_dict(RetargetConfig, {"source": {"joints": pairs}}))


def test_wrong_use(source: Path, tmp_path: Path) -> None:
    for words, message in (
        ((source, "--save-joint-map", tmp_path / "a.toml"), "not a regular file"),
        ((source, tmp_path / "out", "--joint-map", tmp_path / "none.toml"), "does not exist"),
        ((tmp_path / "none.bvh", "--save-joint-map", tmp_path / "a.toml"), "cannot be read"),
    ):
        status, text = run(*words)
        assert status == 2
        assert message in text
    assert not (tmp_path / "a.toml").exists()
