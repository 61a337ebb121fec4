"""Parquet tables of a bundle hold every number of the clips, and each clip can be read alone."""

import hashlib
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import Manifest
from musclemap.errors import SettingsError
from musclemap.pipelines.packing import parquet
from musclemap.pipelines.packing.bundle import BundleMetadata, write_bundle
from musclemap.pipelines.packing.contents import PackOptions, select_contents
from musclemap.skeletons.body import TargetBody

from ..support.data.exported_clips import moving_clip, put, with_forces
from ..support.data.small_clip import small_clip

pq = pytest.importorskip("pyarrow.parquet", reason="pyarrow comes with the extra [data]")


@pytest.fixture(scope="module")
def clips(body: TargetBody) -> dict[str, Clip]:
    """Clips of three subjects; only one has forces and activations."""
    plain = moving_clip(body, nframe=12, licence="CC-BY-4.0")
    forces = with_forces(moving_clip(body, nframe=30, licence="CC-BY-4.0"), body)
    return {"w/ann/a.npz": plain, "w/bob/b.npz": forces, "w/cy/c.npz": plain}


def _pack(folder: Path, clips: dict[str, Clip], name: str = "bundle") -> Path:
    source = folder / "out"
    entries = [put(source, name, clip) for name, clip in clips.items()]
    Manifest(entries=tuple(entries)).write(source / "manifest.jsonl")
    options = PackOptions(shares={"train": 0.5, "val": 0.25, "test": 0.25})
    contents = select_contents(source, options)
    write_bundle(source, contents, folder / name, options, BundleMetadata(name=name), parquet=True)
    return folder / name


def test_tables_hold_every_number(clips: dict[str, Clip], tmp_path: Path) -> None:
    bundle = _pack(tmp_path, clips)
    splits = {file["path"]: file.get("split") for file in json.loads((bundle / "MANIFEST.json").read_text())["files"]}
    found = {}
    for path in sorted((bundle / "data").iterdir()):
        file = pq.ParquetFile(path)
        for group in range(file.num_row_groups):
            table = file.read_row_group(group)
            (name,) = set(table["clip"].to_pylist())
            assert path.name.startswith(f"{splits[name]}-00000-of-00001")
            found[name] = table
    assert found.keys() == {f"clips/{source.replace('.npz', '.h5')}" for source in clips}
    for source, clip in clips.items():
        table = found[f"clips/{source.replace('.npz', '.h5')}"]
        np.testing.assert_allclose(table["time"], np.arange(clip.nframe) / clip.fps)
        assert table["frame"].to_pylist() == list(range(clip.nframe))
        for key in ("qpos", "qvel", "landmark_pos", "target_pos", "contact", "ground_force", "activation"):
            array = getattr(clip, key)
            if array is None:
                assert table[key].null_count == clip.nframe
            else:
                np.testing.assert_array_equal(np.array(table[key].to_pylist(), np.float32), array.astype(np.float32))


def test_columns_are_named(clips: dict[str, Clip], tmp_path: Path) -> None:
    (path, *_) = (_pack(tmp_path, clips) / "data").iterdir()
    facts = json.loads(pq.read_schema(path).metadata[b"musclemap"])
    clip = clips["w/bob/b.npz"]
    assert facts["joint_names"] == list(clip.joint_names)
    assert facts["muscle_names"] == list(clip.muscle_names)
    assert (facts["format"], facts["model"]) == ("musclemap-frames", "MyoFullBody")


def test_the_bundle_lists_the_tables(clips: dict[str, Clip], tmp_path: Path) -> None:
    bundle = _pack(tmp_path, clips)
    listed = {file["path"]: file for file in json.loads((bundle / "MANIFEST.json").read_text())["files"]}
    sums = dict(line.split("  ")[::-1] for line in (bundle / "SHA256SUMS").read_text().splitlines())
    tables = sorted(path for path in (bundle / "data").iterdir())
    assert len(tables) == 3
    for path in tables:
        name, sha256 = f"data/{path.name}", hashlib.sha256(path.read_bytes()).hexdigest()
        assert (listed[name]["sha256"], sums[name], listed[name]["size"]) == (sha256, sha256, path.stat().st_size)
        assert name in (bundle / "croissant.json").read_text()
    card = (bundle / "README.md").read_text()
    header = card.split("---\n")[1]
    assert "- config_name: default\n  data_files:\n  - split: train\n    path: data/train-*.parquet\n" in header
    assert header.endswith("- config_name: clips\n  data_files: clips.csv\n")
    assert "`data/`" in card


def test_same_clips_same_tables(clips: dict[str, Clip], tmp_path: Path) -> None:
    first, second = _pack(tmp_path / "a", clips), _pack(tmp_path / "b", clips)
    for path in (first / "data").iterdir():
        assert path.read_bytes() == (second / "data" / path.name).read_bytes()


def test_large_tables_are_divided(
    clips: dict[str, Clip], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:  # fmt: skip
    monkeypatch.setattr(parquet, "SHARD_BYTES", 1)
    subject = {f"w/ann/{k}.npz": clip for k, clip in enumerate(clips.values())}
    names = sorted(path.name for path in (_pack(tmp_path, subject) / "data").iterdir())
    assert names == [f"train-0000{k}-of-00003.parquet" for k in range(3)]


def test_clips_of_several_bodies_are_refused(clips: dict[str, Clip], tmp_path: Path) -> None:
    other = small_clip(licence="CC-BY-4.0", reasons=(), verdict="feasible")
    with pytest.raises(SettingsError, match=r"several bodies: clips.w.z.d.h5 has another model"):
        _pack(tmp_path, {**clips, "w/z/d.npz": replace(other, source="w/z/d.npz")})
    assert not (tmp_path / "bundle").exists()
