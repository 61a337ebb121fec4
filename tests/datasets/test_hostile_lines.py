"""Untrusted manifests: each unusable line is reported, and all others are used."""

import os
import threading
import time
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets import manifest as manifest_module
from musclemap.datasets.clip_schema import MAX_TEXT
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.datasets.output_folder import clip_path
from musclemap.errors import ClipError, SettingsError

from ..support.hostile.hostile_lines import READ, REFUSED, line, make_valid, mutated, read

FIRST, LAST = line(source="a.npz"), line(source="z.npz")


@pytest.mark.parametrize(("bad", "message"), REFUSED.values(), ids=REFUSED)
def test_unusable_line_is_reported_and_the_others_are_used(tmp_path: Path, bad: bytes, message: str) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(FIRST + bad + LAST)
    manifest = Manifest.read(tmp_path / "manifest.jsonl")
    assert [entry.source for entry in manifest.entries] == ["a.npz", "z.npz"]
    (problem,) = manifest.problems
    assert problem.startswith("manifest.jsonl line 2 is damaged and was skipped: ")
    assert len(problem) < 400
    with pytest.raises(SettingsError, match=message):
        ManifestEntry.from_line(bad)


@pytest.mark.parametrize("odd", READ.values(), ids=READ)
def test_unusual_but_valid_line_is_used_and_written_again(tmp_path: Path, odd: bytes) -> None:
    (tmp_path / "manifest.jsonl").write_bytes(FIRST + odd + LAST)
    manifest = Manifest.read(tmp_path / "manifest.jsonl")
    assert (len(manifest.entries), manifest.problems) == (3, ())
    manifest.write(tmp_path / "again.jsonl")
    assert Manifest.read(tmp_path / "again.jsonl") == manifest


def test_byte_order_mark_before_the_first_line_is_ignored(tmp_path: Path) -> None:
    assert len(read(b"\xef\xbb\xbf" + FIRST + LAST, tmp_path).entries) == 2


@pytest.mark.parametrize("clip", ["../a.h5", "a/../../b.h5", "/etc/passwd", "", None])
def test_clip_outside_the_folder_is_refused(tmp_path: Path, clip: str | None) -> None:
    entry = ManifestEntry.from_line(line(clip=clip))
    with pytest.raises(ClipError, match="names"):
        clip_path(tmp_path, entry.clip)


@pytest.mark.parametrize("kind", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_manifest_that_is_not_a_file_raises_immediately(tmp_path: Path, kind: object) -> None:
    assert callable(kind)
    kind(tmp_path / "manifest.jsonl")
    raised: list[str] = []

    def read_it() -> None:
        for missing_ok in (False, True):
            with pytest.raises(SettingsError, match=r"not a regular file|cannot be read") as error:
                Manifest.read(tmp_path / "manifest.jsonl", missing_ok=missing_ok)
            raised.append(str(error.value))

    thread = threading.Thread(target=read_it, daemon=True)
    thread.start()
    thread.join(10.0)
    assert len(raised) == 2


def test_huge_manifest_is_refused_before_reading(tmp_path: Path) -> None:
    (tmp_path / "manifest.jsonl").touch()
    os.truncate(tmp_path / "manifest.jsonl", 2**40)
    with pytest.raises(SettingsError, match="at most"):
        Manifest.read(tmp_path / "manifest.jsonl")


def test_line_of_200_mb_is_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "manifest.jsonl"
    path.write_bytes(FIRST)
    os.truncate(path, 200 * 10**6)  # extends the file with null bytes
    with path.open("ab") as file:
        file.write(b"\n" + LAST)
    tracemalloc.start()
    manifest = Manifest.read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [entry.source for entry in manifest.entries] == ["a.npz", "z.npz"]
    assert peak < 100e6


def test_further_damaged_lines_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest_module, "MAX_PROBLEMS", 3)
    problems = read(b"{}\n" * 10 + FIRST, tmp_path).problems
    assert len(problems) == 4
    assert problems[3] == "damaged.jsonl has 7 more damaged lines, which were skipped"


@pytest.mark.parametrize("reason", ["x" * 10**6, "a\ud800b", "\udcff", "line\nbreak", "\0"])
def test_any_error_message_can_be_stored_as_a_reason(reason: str) -> None:
    entry = ManifestEntry(source="a.npz", status="failed", reason=reason)
    assert ManifestEntry.from_line(entry.to_line()) == entry
    assert len(entry.reason) <= MAX_TEXT


def test_damaged_manifests_are_read_and_reported(tmp_path: Path) -> None:
    """Whatever the damage, the entries that are read can be written and read again."""
    valid, rng, slowest, named = make_valid(), np.random.default_rng(21), 0.0, 0
    for _ in range(2000):
        data = mutated(valid, rng)
        started = time.perf_counter()
        manifest = read(data, tmp_path)
        slowest = max(slowest, time.perf_counter() - started)
        named += bool(manifest.problems)
        assert read(b"".join(entry.to_line() for entry in manifest.entries), tmp_path).problems == ()
    assert named > 500
    assert slowest < 10.0
