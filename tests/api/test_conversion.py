"""Motions in memory give the clips of their files; wrong calls are answered before anything is compiled."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import musclemap as mm
from musclemap.api import conversion
from musclemap.datasets.clip import Clip as StoredClip
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import MusclemapError, SettingsError, SourceError
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter

from ..support.data.fake_retargeter import FakeRetargeter


@pytest.fixture
def arrays() -> dict[str, Any]:
    """A second of walking, as an AMASS file holds it."""
    motion = synthesise("walk_1.2", fps=60.0, seconds=1.0)
    poses = np.zeros((motion.nframe, 156))
    poses[:, :66] = motion.rotvec.reshape(-1, 66)
    return {
        "poses": poses, "trans": motion.trans, "betas": np.zeros(10), "gender": "neutral", "mocap_framerate": 60.0,
        "licence": "CC0-1.0",
    }  # fmt: skip


@pytest.fixture
def retargeter(retargeter: Retargeter, monkeypatch: pytest.MonkeyPatch) -> Retargeter:
    """The session's retargeter in place of a new one."""
    monkeypatch.setattr(conversion, "_retargeter", lambda settings, models, device: retargeter)
    return retargeter


@pytest.mark.slow
def test_arrays_give_the_clip_of_their_file(
    arrays: dict[str, Any], retargeter: Retargeter, tmp_path: Path
) -> None:  # fmt: skip
    np.savez(tmp_path / "walk.npz", **arrays)
    memory, file = mm.retarget(arrays), mm.retarget(tmp_path / "walk.npz")
    assert isinstance(memory, mm.Clip)
    np.testing.assert_array_equal(memory.qpos, file.qpos)
    assert (memory.source, memory.source_sha256, memory.source_fps, memory.licence) == ("memory", "", 60.0, "CC0-1.0")
    assert file.source == "walk.npz"
    assert len(file.source_sha256) == 64
    same = mm.retarget(synthesise("walk_1.2", fps=60.0, seconds=1.0))
    np.testing.assert_allclose(same.qpos, memory.qpos, atol=1e-4)
    checked = mm.validate(memory)
    assert isinstance(checked, mm.Clip)
    assert (checked.verdict, checked.reasons) == (memory.verdict, memory.reasons)


def test_a_folder_gives_a_data_set(arrays: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RetargetConfig] = []

    def make(config: RetargetConfig, **_: Any) -> FakeRetargeter:
        made.append(config)
        return FakeRetargeter()

    monkeypatch.setattr("musclemap.pipelines.archive.make_retargeter", make)
    (tmp_path / "in").mkdir()
    np.savez(tmp_path / "in/good.npz", **arrays)
    np.savez(tmp_path / "in/bad.npz", **{**arrays, "trans": np.full((61, 3), np.nan)})
    data = mm.retarget(tmp_path / "in", tmp_path / "out", fps=50, config={"hands": "tracked"}, progress=False)
    assert isinstance(data, mm.Dataset)
    assert (made[0].fps, made[0].hands) == (50.0, "tracked")
    assert data.names == ("good.h5",)
    assert [row["status"] for row in data.rows] == ["rejected", "ok"]
    assert "non_finite" in data.rows[0]["reason"]
    assert isinstance(data["good"], StoredClip)


WRONG: dict[str, tuple[Any, dict[str, Any], type[MusclemapError], str]] = {
    "no motion": ({"betas": np.zeros(10)}, {}, SourceError, "pose"),
    "no frame rate": ({"poses": np.zeros((9, 72)), "trans": np.zeros((9, 3))}, {}, SourceError, "no_frame_rate|rate"),
    "objects": ({"poses": [None]}, {}, SourceError, "poses holds NoneType objects"),
    "folder": (Path(__file__).parent, {}, SettingsError, "is a folder"),
    "no file": (Path("nothing.npz"), {}, SourceError, "nothing.npz"),
    "setting": ({}, {"config": {"fsp": 50}}, SettingsError, "unknown setting 'fsp'"),
    "value": ({}, {"fps": -1}, SettingsError, "'fps' takes"),
    "workers in memory": ({}, {"workers": 4, "overwrite": True}, SettingsError, "workers, overwrite need an output"),
    "arrays to a folder": ({"poses": np.zeros((9, 72))}, {"out": "x"}, SettingsError, "in memory"),
}


@pytest.mark.parametrize("name", WRONG)
def test_wrong_calls_are_answered(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    source, arguments, kind, message = WRONG[name]
    monkeypatch.setattr(conversion, "_retargeter", None)
    with pytest.raises(kind, match=message) as caught:
        mm.retarget(source, **arguments)
    assert "\n" not in str(caught.value)


def test_a_motion_without_a_clip_is_an_error(arrays: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    class Refusing:
        def retarget(self, motions: Any) -> Any:
            from musclemap.reason_codes import ReasonCode
            from musclemap.retarget.retargeter import RetargetResult

            return [RetargetResult(clip=None, code=ReasonCode.TOO_SHORT, message="2 frames are too few", seconds=0.0)]

    monkeypatch.setattr(conversion, "_retargeter", lambda *_: Refusing())
    with pytest.raises(SourceError, match="2 frames are too few") as caught:
        mm.retarget(arrays)
    assert caught.value.code == "too_short"


def test_the_last_retargeter_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[RetargetConfig] = []
    monkeypatch.setattr(conversion, "make_retargeter", lambda config, **_: made.append(config) or object())
    conversion._retargeter.cache_clear()
    first = conversion._retargeter(RetargetConfig(), None, "cpu")
    assert conversion._retargeter(replace(RetargetConfig(), fps=100.0), None, "cpu") is first
    assert conversion._retargeter(replace(RetargetConfig(), fps=50.0), None, "cpu") is not first
    assert len(made) == 2
    conversion._retargeter.cache_clear()
