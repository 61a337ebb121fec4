"""One file given to mm-retarget is treated like a folder that holds it: the same exit status, manifest and sentence."""

import io
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli import retarget
from musclemap.datasets.manifest import Manifest
from musclemap.pipelines import archive

from ..support.data.fake_retargeter import FakeRetargeter


def npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


FILES = {  # content and exit status
    "empty.npz": (b"", 1), "page.npz": (b"<!DOCTYPE html><html>", 1), "features.npy": (npy(np.zeros((9, 263))), 1),
    "cut.pkl": (b"\x80\x04\x95", 1), "noise.bvh": (b"\x01\x02", 1), "video.mp4": (b"\0\0\0\x20ftypisom", 2),
    "angles.csv": (b"a,b\n", 2), "walk_grf.mot": (b"", 2), "shape.npz": (b"", 2),
}  # fmt: skip


@pytest.mark.parametrize("name", FILES)
def test_one_file_is_a_folder_of_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setattr(archive, "make_retargeter", lambda config, **_: FakeRetargeter(config))
    content, status = FILES[name]
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / name).write_bytes(content)
    codes = []
    for source, out in ((tmp_path / "in", tmp_path / "a"), (tmp_path / "in" / name, tmp_path / "b")):
        result = CliRunner().invoke(retarget.app, [str(source), str(out), "--no-report"])
        assert result.exit_code == status, result.output
        assert "Traceback" not in result.output
        assert (out / "manifest.jsonl").exists() == (status == 1)
        if status == 1:
            (entry,) = Manifest.read(out / "manifest.jsonl").entries
            assert entry.source == name
            codes.append((entry.status, entry.code, entry.reason))
    assert len(set(codes)) <= 1


def test_a_file_without_a_known_suffix_is_read_by_its_content(tmp_path: Path) -> None:
    """Only where nothing recognises it is it a wrong argument."""
    (tmp_path / "walk.xyz").write_bytes(b"\x01\x02\x03\x04")
    result = CliRunner().invoke(retarget.app, [str(tmp_path / "walk.xyz"), str(tmp_path / "out"), "--no-report"])
    assert result.exit_code == 2
    assert "no known format" in result.stderr
    assert not (tmp_path / "out").exists()
