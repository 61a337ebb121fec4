"""A folder with clips of two bodies: `--body` selects, and every command works on the arms alone."""

from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli import export as export_command
from musclemap.cli import retarget as retarget_command
from musclemap.datasets.clip import write_clip
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.opensim import opensim_companions, opensim_motion
from musclemap.errors import SettingsError
from musclemap.pipelines.clip_bodies import clips_of_body
from musclemap.pipelines.export import export_clips
from musclemap.pipelines.export_formats import FORMATS
from musclemap.pipelines.train.dataset import list_clips
from musclemap.pipelines.validation import validate_clips
from musclemap.pipelines.viewer.clips import find_clips
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.base_motion import base_motion
from musclemap.skeletons.bodies import load_body

from ..support.base_paths import arms_of, lively_motion
from ..support.data.base_clip import base_clip
from ..support.data.small_clip import small_clip

FPS, NFRAME = 100.0, 40


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One clip of the arms, one that claims to be of MyoFullBody, and one that cannot be read."""
    out = tmp_path_factory.mktemp("clips")
    arms, whole = load_body("MyoBimanualArm"), load_body()
    qpos, path = arms_of(arms, whole, lively_motion(whole, nframe=NFRAME, fps=FPS))
    write_clip(out / "arms.h5", base_clip(arms, qpos, base_motion(path, FPS), fps=FPS))
    write_clip(out / "whole.h5", small_clip(model="MyoFullBody"))
    (out / "damaged.h5").write_bytes(b"no clip")
    return out


def test_clips_are_selected_by_body(folder: Path) -> None:
    paths = sorted(folder.glob("*.h5"))
    names = lambda body: {path.stem for path in clips_of_body(paths, body)}  # noqa: E731
    assert names(None) == {"arms", "whole", "damaged"}
    assert names("bimanual-arm") == {"arms", "damaged"}
    assert names("full-body") == {"whole", "damaged"}
    with pytest.raises(SettingsError, match="full-body, bimanual-arm"):
        clips_of_body(paths, "torso")
    with pytest.raises(SettingsError, match="they are of MyoFullBody"):
        clips_of_body([folder / "whole.h5"], "bimanual-arm")


def test_lists_of_clips_take_a_body(folder: Path) -> None:
    assert find_clips(folder, body="bimanual-arm").names == ("arms.h5", "damaged.h5")
    assert [item.path for item in list_clips(folder / "arms.h5", body="bimanual-arm")] == ["arms.h5"]
    with pytest.raises(SettingsError, match="none of 1 clip is"):
        list_clips(folder / "arms.h5", body="full-body")


def test_checks_of_one_body(folder: Path) -> None:
    result = validate_clips(folder, config=RetargetConfig(), write=False, body="bimanual-arm")
    assert {clip.clip: clip.verdict is None for clip in result.clips} == {"arms.h5": False, "damaged.h5": True}


@pytest.mark.parametrize("form", [name for name in FORMATS if name != "opensim"])
def test_every_format_of_the_arms(folder: Path, tmp_path: Path, form: str) -> None:
    result = export_clips(folder / "arms.h5", tmp_path / form, to=form, body="bimanual-arm")
    assert not result.refused
    if form == "csv":
        table = np.genfromtxt(tmp_path / form / "arms.csv", delimiter=",", names=True)
        assert table.dtype.names is not None
        assert not any(name.startswith("root") for name in table.dtype.names)
        base = np.genfromtxt(tmp_path / form / "arms_base_motion.csv", delimiter=",", names=True)
        gravity = np.stack([base[f"base_gravity_{axis}"] for axis in "xyz"])
        np.testing.assert_allclose(np.linalg.norm(gravity, axis=0), 9.81, rtol=1e-5)


def test_opensim_files_of_the_arms_have_no_pelvis_and_no_ground() -> None:
    arms, whole = load_body("MyoBimanualArm"), load_body()
    qpos, path = arms_of(arms, whole, lively_motion(whole, nframe=NFRAME, fps=FPS))
    moments = np.zeros((NFRAME, arms.actuated.njoint), np.float32)
    clip = base_clip(arms, qpos, base_motion(path, FPS), fps=FPS)
    clip = type(clip)(**(clip.__dict__ | {"joint_moment": moments, "moment_names": arms.actuated.joint_names}))
    body = ExportBody(arms, fingers=True)
    text = opensim_motion(clip, body).decode()
    assert "pelvis" not in text.lower()
    assert "knee" not in text
    assert set(opensim_companions(clip, body)) == {"_moments.sto", "_moments_per_kg.sto", "_base_motion.sto"}


def test_a_chest_is_fixed_only_on_the_arms(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.npz").write_bytes(b"")
    result = CliRunner().invoke(
        retarget_command.app, [str(tmp_path / "in"), str(tmp_path / "out"), "--chest", "fixed", "--dry-run"]
    )
    assert result.exit_code == 2
    assert "bimanual-arm" in result.output


def test_body_is_no_option_of_exported_policies(tmp_path: Path) -> None:
    arguments = [str(tmp_path), "--policy", str(tmp_path / "p"), "--to", "onnx", "--body", "bimanual-arm"]
    result = CliRunner().invoke(export_command.app, arguments)
    assert result.exit_code == 2
    assert "--body is for clips" in result.output
