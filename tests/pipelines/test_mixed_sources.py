"""A folder of mixed formats with broken files: one manifest line each, and a clip for every person."""

import pickle
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musclemap.datasets.clip import read_clip
from musclemap.datasets.formats.readers.table import file_of, person_name
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.selection import select
from musclemap.datasets.summary import Summary
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.cluster.worker_pool import known_of
from musclemap.retarget.config import RetargetConfig, SourceConfig

from ..support.data.fake_retargeter import FakeRetargeter
from ..support.data.source_files import columns, joblib_bytes, save, save_torch, walk

ROTVEC, TRANS = walk()
POSE = columns(ROTVEC, 72)
CONFIG = RetargetConfig()


class Retargeter(FakeRetargeter):
    """As the real one, stores the doubts about the source with the clip."""

    def clip(self, motion):
        return replace(super().clip(motion), warnings=tuple(warning.to_dict() for warning in motion.warnings))


def convert(source: Path, out: Path, *, config: RetargetConfig = CONFIG, **options: Any) -> Summary:
    retargeter = Retargeter(config=config)
    summary = convert_archive(source, out, config=config, retargeter=retargeter, **options)
    assert len(retargeter.seen) == len(set(retargeter.seen))
    return summary


def two_people() -> dict[int, dict[str, Any]]:
    one = {"pose": POSE, "trans": TRANS, "fps": 30.0}
    return {0: one, 1: one | {"trans": TRANS + 1.0}}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder, ROTVEC, TRANS).rename(folder / "walk.npz")
    save(folder, ROTVEC, 100 * TRANS).rename(folder / "cm.npz")
    (folder / "two.pkl").write_bytes(pickle.dumps(two_people()))
    (folder / "joblib.pkl").write_bytes(joblib_bytes({"pose": POSE, "trans": TRANS, "fps": np.array([30.0])}))
    save_torch(folder / "walk.pt", {"poses": POSE, "trans": TRANS, "fps": np.array([30.0])})
    for k, data in enumerate((b"", b"PK\x03\x04", b"<html>", b"\x80\x04", b"\x93NUMPY", b"noise", b"\x80\x05}.")):
        for suffix in ("npz", "pkl", "pt", "npy"):
            (folder / f"broken{k}.{suffix}").write_bytes(data)
    (folder / "readme.txt").write_text("not a motion")
    return folder


def test_one_line_for_each_file_and_a_clip_for_each_person(source: Path, tmp_path: Path) -> None:
    summary = convert(source, tmp_path / "out")
    assert not summary.complete
    entries = {entry.source: entry for entry in Manifest.read(tmp_path / "out" / "manifest.jsonl").entries}
    files = {path.name for path in source.iterdir() if path.suffix != ".txt"}
    assert set(entries) == files | {"two.pkl/person2"}
    assert tuple(entries.values()) == summary.entries
    good = {"walk.npz", "cm.npz", "two.pkl", "two.pkl/person2", "joblib.pkl", "walk.pt"}
    assert {name for name, entry in entries.items() if entry.status == "ok"} == good
    for name in files - good:
        assert entries[name].status == "rejected", entries[name]
        assert entries[name].code not in ("unreadable", "crash"), entries[name]
        assert "Traceback" not in entries[name].reason
    assert entries["two.pkl/person2"].clip == "two.pkl/person2.h5"
    np.testing.assert_allclose(
        read_clip(tmp_path / "out" / "two.pkl" / "person2.h5").landmark_pos[:, 0], TRANS + 1.0, atol=1e-5
    )


def test_doubts_are_in_manifest_and_clip(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "out", include=["cm.npz"])
    (entry,) = Manifest.read(tmp_path / "out" / "manifest.jsonl").entries
    clip = read_clip(tmp_path / "out" / "cm.h5")
    assert [warning["code"] for warning in entry.warnings] == ["other_units"]
    assert "--units cm" in entry.warnings[0]["text"]
    assert clip.warnings == entry.warnings


def test_clips_of_all_people_are_kept_and_renewed(source: Path, tmp_path: Path) -> None:
    only: dict[str, Any] = {"include": ["two.pkl", "walk.npz"]}
    assert not convert(source, tmp_path / "out", **only).kept
    assert convert(source, tmp_path / "out", **only).kept == {"two.pkl", "two.pkl/person2", "walk.npz"}
    other = replace(CONFIG, source=SourceConfig(fps=60.0))
    assert not convert(source, tmp_path / "out", config=other, **only).kept
    assert read_clip(tmp_path / "out" / "walk.h5").fps_source == "corrected"
    assert convert(source, tmp_path / "out", config=other, **only).kept == {"two.pkl", "two.pkl/person2", "walk.npz"}


def test_the_lines_of_all_people_of_a_file_go_to_its_worker(source: Path, tmp_path: Path) -> None:
    convert(source, tmp_path / "out", include=["two.pkl", "walk.npz"])
    known = {entry.source: entry for entry in Manifest.read(tmp_path / "out" / "manifest.jsonl").entries}
    items = select(source, include=["two.pkl"]).items
    assert set(known_of(items, known)) == {"two.pkl", "two.pkl/person2"}
    assert [file_of(name) for name in ("a/b.npz", person_name("a/b.npz", 12), "x/persons.npz")] == [
        "a/b.npz", "a/b.npz", "x/persons.npz",
    ]  # fmt: skip


def test_a_dry_run_counts_people(source: Path, tmp_path: Path) -> None:
    summary = convert(source, tmp_path / "out", dry_run=True, include=["two.pkl", "walk.pt"])
    assert summary.planned == ("two.pkl", "two.pkl/person2", "walk.pt")
    assert summary.planned_bytes == sum((source / name).stat().st_size for name in ("two.pkl", "walk.pt"))


def test_an_archive_of_the_same_recording_in_two_formats_gives_two_clips(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder, ROTVEC, TRANS).rename(folder / "walk.npz")
    (folder / "walk.pkl").write_bytes(pickle.dumps({"poses": POSE, "trans": TRANS, "fps": 30}))
    with zipfile.ZipFile(folder / "walk.npz") as archive:
        assert "poses.npy" in archive.namelist()
    assert convert(folder, tmp_path / "out").complete
    assert {path.name for path in (tmp_path / "out").glob("*.h5")} == {"walk.h5", "walk.pkl.h5"}
