"""Clips and entries agree after a kill at any moment: the next reader sees either the old state or the new one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from musclemap.datasets import output_folder
from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.clip import Clip, read_clip, write_clip
from musclemap.datasets.folder_lock import is_held, locked
from musclemap.datasets.journal import Journal
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.datasets.output_folder import (
    JOURNAL,
    MANIFEST,
    OutputFolder,
    has_lines,
    has_unfinished_run,
    open_output,
    read_entries,
    read_manifest,
    write_listed,
)
from musclemap.pipelines.convert.prepare import entry_with_clip

from ..support.data.fake_retargeter import FakeRetargeter, save
from .test_manifest import make_entry


class Killed(BaseException):
    """Ends a run; nothing in the product catches it."""


@pytest.fixture
def old(tmp_path: Path) -> Clip:
    from musclemap.datasets.amass.reader import read_motion

    save(tmp_path / "in" / "a.npz")
    return FakeRetargeter().clip(read_motion(tmp_path / "in" / "a.npz", name="a.npz"))


@pytest.fixture
def new(old: Clip) -> Clip:
    return replace(old, verdict="warn", metrics={"landmark_error_mm": 2.0})


@pytest.fixture
def out(tmp_path: Path, old: Clip) -> Path:
    folder = tmp_path / "out"
    Manifest(entries=(entry_of(old, write_clip(folder / "a.h5", old)),)).write(folder / MANIFEST)
    return folder


def entry_of(clip: Clip, sha256: str) -> ManifestEntry:
    return entry_with_clip(ManifestEntry(source="a.npz", status="ok"), clip, path="a.h5", sha256=sha256)


def replace_clip(folder: OutputFolder, clip: Clip) -> None:
    folder.record(
        write_listed(folder.root / "a.h5", clip, line=lambda sha256: entry_of(clip, sha256), announce=folder.announce)
    )


def run_once(out: Path, clip: Clip) -> None:
    with open_output(out) as folder:
        replace_clip(folder, clip)
        folder.write_manifest()


def kill_at(
    monkeypatch: pytest.MonkeyPatch, owner: object, name: str, *, when: Callable[..., bool], after: bool
) -> None:
    """Kill the run before or after the first call of a function for which `when` returns true."""
    original = getattr(owner, name)

    def killed(*arguments: object, **options: object) -> object:
        if not when(*arguments, **options):
            return original(*arguments, **options)
        if after:
            original(*arguments, **options)
        raise Killed

    monkeypatch.setattr(owner, name, killed)


MOMENTS = {
    "before the line": (Journal, "append", lambda *_: True, False, "feasible"),
    "after the line": (Journal, "append", lambda *_: True, True, "feasible"),
    "before the rename": (Path, "replace", lambda _, to: Path(to).name == "a.h5", False, "feasible"),
    "after the rename": (Path, "replace", lambda _, to: Path(to).name == "a.h5", True, "warn"),
    "before the manifest": (Path, "replace", lambda _, to: Path(to).name == MANIFEST, False, "warn"),
    "after the manifest": (Path, "replace", lambda _, to: Path(to).name == MANIFEST, True, "warn"),
    "before the journal goes": (Path, "unlink", lambda path, **_: path.name == JOURNAL, False, "warn"),
    "after the journal goes": (Path, "unlink", lambda path, **_: path.name == JOURNAL, True, "warn"),
}


@pytest.mark.parametrize("moment", MOMENTS)
def test_kill_between_any_two_writes_leaves_a_clip_and_its_entry(
    moment: str, out: Path, new: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner, name, when, after, verdict = MOMENTS[moment]
    with monkeypatch.context() as patch:
        kill_at(patch, owner, name, when=when, after=after)
        with pytest.raises(Killed):
            run_once(out, new)
    entry = read_entries(out)["a.npz"]
    assert (entry.verdict, read_clip(out / "a.h5", sha256=entry.clip_sha256).verdict) == (verdict, verdict)
    with open_output(out) as folder:
        assert folder.entries["a.npz"] == entry
        folder.write_manifest()
    assert Manifest.read(out / MANIFEST).entries == (entry,)
    assert {path.name for path in out.iterdir()} == {"a.h5", MANIFEST, ".musclemap.lock"}


def test_entry_truncated_at_any_byte_leaves_the_old_one(out: Path, new: Clip) -> None:
    before = read_entries(out)
    line = entry_of(new, "ab" * 32).to_line()
    for cut in range(len(line) + 1):
        (out / JOURNAL).write_bytes(line[:cut])
        manifest = read_manifest(out)
        assert {entry.source: entry for entry in manifest.entries} == before
        assert len(manifest.problems) == (0 < cut < len(line) - 1)


def test_entry_without_its_clip_does_not_count(out: Path) -> None:
    with Journal(out / JOURNAL) as journal:
        journal.append(make_entry("b.npz").to_line())
    assert set(read_entries(out)) == {"a.npz"}
    (out / "b.h5").write_bytes(b"another file")
    assert set(read_entries(out)) == {"a.npz", "b.npz"}, "a damaged clip has its entry"


def test_last_entry_with_the_hash_counts(out: Path, old: Clip, new: Clip) -> None:
    """Two kills: the first run had replaced the clip, the second had only written its entry."""
    sha256 = write_clip(out / "a.h5", new)
    with Journal(out / JOURNAL) as journal:
        for line in (entry_of(old, "ab" * 32), entry_of(new, sha256), entry_of(old, "cd" * 32)):
            journal.append(line.to_line())
    assert read_entries(out)["a.npz"] == entry_of(new, sha256)


def test_clip_that_matches_no_entry_is_damaged(out: Path, new: Clip) -> None:
    with Journal(out / JOURNAL) as journal:
        journal.append(entry_of(new, "ab" * 32).to_line())
    (out / "a.h5").write_bytes(b"another file")
    assert read_entries(out)["a.npz"].clip_sha256 == "ab" * 32


def test_failed_source_keeps_its_entry_until_its_clip_is_removed(out: Path) -> None:
    failed = ManifestEntry(source="a.npz", status="failed", reason="crash: x")
    with Journal(out / JOURNAL) as journal:
        journal.append(failed.to_line())
    assert read_entries(out)["a.npz"].status == "ok"
    (out / "a.h5").unlink()
    assert read_entries(out)["a.npz"] == failed


def test_entries_of_workers_count_too(out: Path, new: Clip) -> None:
    with Journal(out / f"{JOURNAL}.3-1-0") as journal:
        line = entry_of(new, write_clip(out / "a.h5", new))
        journal.append(line.to_line())
    assert read_entries(out)["a.npz"] == line
    with open_output(out) as folder:
        folder.write_manifest()
    assert not has_unfinished_run(out)
    assert Manifest.read(out / MANIFEST).entries == (line,)


def test_full_disk_leaves_clip_and_entry_unchanged(out: Path, new: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (out / "a.h5").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    with open_output(out) as folder:
        with monkeypatch.context() as patch:
            patch.setattr(Journal, "append", full)
            with pytest.raises(OSError, match="No space left"):
                replace_clip(folder, new)
        folder.write_manifest()
    assert (out / "a.h5").read_bytes() == before
    assert read_clip(out / "a.h5", sha256=read_entries(out)["a.npz"].clip_sha256).verdict == "feasible"
    assert not list(out.glob("*.tmp"))


# Journals


def test_run_without_entries_leaves_no_journal(tmp_path: Path) -> None:
    with open_output(tmp_path / "out"):
        assert not has_lines(tmp_path / "out")
    with pytest.raises(RuntimeError), open_output(tmp_path / "out"):
        raise RuntimeError
    assert [path.name for path in (tmp_path / "out").iterdir()] == [".musclemap.lock"]


def test_empty_journal_does_not_count(tmp_path: Path) -> None:
    (tmp_path / JOURNAL).write_bytes(b"")
    assert not has_lines(tmp_path)
    assert not has_unfinished_run(tmp_path)
    with open_output(tmp_path) as folder:
        folder.write_manifest()
    assert not (tmp_path / JOURNAL).exists()


def test_run_resumes_a_journal_truncated_at_any_byte(tmp_path: Path) -> None:
    path = tmp_path / JOURNAL
    first, second, third = (
        ManifestEntry(source=name, status="failed", reason="x: y") for name in ("a.npz", "b.npz", "c.npz")
    )
    for cut in range(len(second.to_line()) + 1):
        path.write_bytes(first.to_line() + second.to_line()[:cut])
        with open_output(tmp_path) as folder:
            known = set(folder.entries)
            assert "a.npz" in known
            assert len(folder.problems) == (0 < cut < len(second.to_line()) - 1)
            folder.record(third)
            folder.write_manifest()
        assert set(read_entries(tmp_path)) == known | {"c.npz"}
        (tmp_path / MANIFEST).unlink()


def test_truncated_line_does_not_damage_the_next(tmp_path: Path) -> None:
    whole = ManifestEntry(source="a.npz", status="failed", reason="x: y")
    with Journal(tmp_path / JOURNAL) as journal:
        journal.append(whole.to_line()[:-30])
        journal.append(whole.to_line())
    manifest = read_manifest(tmp_path)
    assert manifest.entries == (whole,)
    assert len(manifest.problems) == 1


def test_appended_lines_survive_a_kill(tmp_path: Path) -> None:
    code = (
        "import os, pathlib, signal, sys\n"
        "from musclemap.datasets.journal import Journal\n"
        "journal = Journal(pathlib.Path(sys.argv[1]))\n"
        "for k in range(3): journal.append(b'%d\\n' % k)\n"
        "os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "journal")], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "journal").read_bytes() == b"0\n1\n2\n"


# Leftovers and locks


@pytest.mark.parametrize("name", [".musclemap.lock", JOURNAL])
def test_nothing_is_written_through_a_link(tmp_path: Path, name: str) -> None:
    """The folder may be somebody else's."""
    (tmp_path / "mine.txt").write_bytes(b"mine")
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / name).symlink_to(tmp_path / "mine.txt")
    with pytest.raises((OSError, output_folder.OutputError)), open_output(tmp_path / "out") as folder:
        folder.record(ManifestEntry(source="a.npz", status="failed", reason="x: y"))
    assert (tmp_path / "mine.txt").read_bytes() == b"mine"


def test_only_temporary_files_of_dead_writers_are_removed(tmp_path: Path) -> None:
    names = [".musclemap-0123456789abcdef.tmp", "below/.musclemap-fedcba9876543210.tmp"]
    (tmp_path / "below").mkdir()
    for name in (*names, ".musclemap-mine.tmp", "notes.tmp"):
        (tmp_path / name).write_bytes(b"half")

    def look() -> None:
        remove_leftovers(tmp_path)
        assert len(list(tmp_path.glob(".musclemap-*.tmp"))) == 2, "this writer's file and a name that is not ours"

    write_atomically(tmp_path / "a", b"whole", before_rename=look)
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert sorted(path.name for path in tmp_path.rglob("*")) == [".musclemap-mine.tmp", "a", "below", "notes.tmp"]


def test_running_writer_is_detected(tmp_path: Path) -> None:
    assert not is_held(tmp_path)
    assert not list(tmp_path.iterdir())
    with locked(tmp_path):
        assert is_held(tmp_path)
    assert not is_held(tmp_path)


def test_reader_sees_the_entries_of_a_run_that_is_ending(out: Path, new: Clip, monkeypatch: pytest.MonkeyPatch) -> None:
    """The journal is merged into the manifest between the two reads."""
    read, line = output_folder.read_lines, entry_of(new, write_clip(out / "a.h5", new))
    with Journal(out / JOURNAL) as journal:
        journal.append(line.to_line())

    def merge(path: Path) -> object:
        monkeypatch.undo()
        with open_output(out) as folder:
            folder.write_manifest()
        return read(path)

    monkeypatch.setattr(output_folder, "read_lines", merge)
    assert read_entries(out)["a.npz"] == line
