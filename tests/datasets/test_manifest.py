"""Manifest: one line per source, strict JSON, and no loss if a run is interrupted at any byte."""

import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musclemap.datasets.manifest import Manifest, ManifestEntry, strict_json
from musclemap.errors import SettingsError
from musclemap.reason_codes import ReasonCode


def make_entry(source: str, **changes: Any) -> ManifestEntry:
    content: dict[str, Any] = {
        "source": source,
        "clip": source.replace(".npz", ".h5"),
        "source_sha256": "ab" * 32,
        "clip_sha256": "cd" * 32,
        "status": "ok",
        "nframe": 300,
        "seconds": 0.1 + 0.7,
        "verdict": "feasible",
        "metrics": {"landmark_mm": 0.1 + 0.2, "depth_mm": None},
        "reasons": [{"rule": "landmark_mm", "value": 0.3, "limit": 0.2, "frames": [[3, 7]]}],
    }
    return ManifestEntry(**(content | changes))


REFUSED = make_entry(
    "b/refused.npz",
    clip=None,
    clip_sha256=None,
    status="rejected",
    code=ReasonCode.NON_FINITE,
    reason="non_finite: poses",
    verdict=None,
    metrics={},
)


def test_round_trip_is_sorted_and_exact(tmp_path: Path) -> None:
    path = tmp_path / "out" / "manifest.jsonl"
    odd = make_entry("a/line\nbreak é 歩 \u2028.npz")
    unknown = make_entry(os.fsdecode(b"gr\xfcn.npz"))
    manifest = Manifest(entries=(REFUSED, make_entry("a/10.npz"), make_entry("a/2.npz"), odd, unknown))
    manifest.write(path)
    assert Manifest.read(path) == manifest
    lines = path.read_bytes().split(b"\n")
    assert lines.pop() == b""
    sources = [json.loads(line)["source"] for line in lines]
    assert sources == sorted(sources)
    assert len(sources) == 5
    assert b"0.30000000000000004" in lines[0]
    assert b"0.7999999999999999" in lines[0]
    assert [p.name for p in path.parent.iterdir()] == ["manifest.jsonl"]


def test_same_content_same_bytes(tmp_path: Path) -> None:
    one, other = make_entry("a.npz"), make_entry("b.npz", metrics={"x": 1.0, "y": 2.0})
    Manifest(entries=(one, other)).write(tmp_path / "1")
    swapped = make_entry("b.npz", metrics={"y": 2.0, "x": 1.0})
    Manifest(entries=(swapped, one)).write(tmp_path / "2")
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


def test_lines_hold_every_field_of_the_contract() -> None:
    assert list(json.loads(make_entry("a.npz").to_line())) == [
        "source", "clip", "source_sha256", "clip_sha256", "status", "code", "reason", "nframe", "seconds", "verdict",
        "metrics", "reasons", "warnings",
    ]  # fmt: skip


def test_strict_json() -> None:
    value = {"b": np.float32(0.1), "a": [np.nan, -np.inf, 1e-300], "c": {"z": np.arange(3), "y": (True, None, "é")}}
    text = strict_json(value)
    assert text == (
        '{"a": [null, null, 1e-300], "b": 0.10000000149011612, "c": {"y": [true, null, "\\u00e9"], "z": [0, 1, 2]}}'
    )
    for bad in ({"a": {1, 2}}, {"a": Path("x")}, {1: "a"}, {"a": 1j}, {"a": b"bytes"}):
        with pytest.raises(SettingsError, match="JSON"):
            strict_json(bad)


def test_not_finite_is_null() -> None:
    line = make_entry("a.npz", metrics={"x": float("nan")}).to_line()
    assert ManifestEntry.from_line(line).metrics == {"x": None}


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"status": "done"}, "ok, rejected, failed"), ({"verdict": "good"}, "infeasible"), ({"source": ""}, "path"),
     ({"metrics": []}, "mapping")],
)  # fmt: skip
def test_entries_are_checked(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        make_entry("a.npz", **changes) if "source" not in changes else make_entry("")


def test_one_line_per_source() -> None:
    with pytest.raises(SettingsError, match=r"have more: a\.npz"):
        Manifest(entries=(make_entry("a.npz"), make_entry("a.npz")))


def test_missing_file(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="no manifest at"):
        Manifest.read(tmp_path / "manifest.jsonl")
    assert Manifest.read(tmp_path / "manifest.jsonl", missing_ok=True) == Manifest()


def test_every_torn_last_line_is_reported(tmp_path: Path) -> None:
    """Truncated at any byte, complete entries are read and incomplete ones reported."""
    path = tmp_path / "manifest.jsonl"
    lines = [make_entry("a.npz").to_line(), REFUSED.to_line()]
    for cut in range(1, len(lines[1]) + 1):
        path.write_bytes(lines[0] + lines[1][:cut])
        manifest = Manifest.read(path)
        whole = cut >= len(lines[1]) - 1  # only the newline may be missing
        assert [entry.source for entry in manifest.entries] == ["a.npz"] + ["b/refused.npz"] * whole
        assert len(manifest.problems) == (not whole)
        assert whole or "line 2 is damaged" in manifest.problems[0]


@pytest.mark.parametrize("line", [b"{}", b"[1]", b"3", b"\xff\xfe", b'{"source": "x", "status": "odd"}', b"\x00" * 20])
def test_other_damaged_lines_are_reported(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(make_entry("a.npz").to_line() + line + b"\n" + make_entry("b.npz").to_line())
    manifest = Manifest.read(path)
    assert [entry.source for entry in manifest.entries] == ["a.npz", "b.npz"]
    assert "line 2" in manifest.problems[0]


def test_entry_of_an_earlier_version_has_no_code() -> None:
    stored = json.loads(REFUSED.to_line())
    del stored["code"]
    entry = ManifestEntry.from_line(json.dumps(stored).encode())
    assert (entry.code, entry.reason) == (None, "non_finite: poses")


def test_code_is_read_as_an_enum_member() -> None:
    assert ManifestEntry.from_line(REFUSED.to_line()).code is ReasonCode.NON_FINITE


def test_keys_of_later_versions_are_ignored() -> None:
    stored = json.loads(make_entry("a.npz").to_line()) | {"mood": "good"}
    assert ManifestEntry.from_line(json.dumps(stored).encode()) == make_entry("a.npz")
