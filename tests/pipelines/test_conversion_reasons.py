"""Any error while a clip is checked or imported is recorded as that clip's reason and affects no other clip."""

from pathlib import Path
from typing import Any

import pytest

from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import read_entries

from ..support.kills import kill_clips
from ..support.kills.kill_clips import OUT, QuickImporter, QuickValidator, clip_faults
from .test_archive import ODD

ERRORS = [*ODD, MemoryError(), OSError(5, "Input/output error")]


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in a temporary folder."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("error", ERRORS)
def test_any_error_of_a_check_affects_only_its_clip(
    error: Exception, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class Breaks(QuickValidator):
        def validate(self, clip: Any, *, muscles: bool) -> Any:
            if clip.source == "b.npz":
                raise error
            return super().validate(clip, muscles=muscles)

    assert kill_clips.prepare_clips() == 0
    monkeypatch.setattr(kill_clips, "QuickValidator", Breaks)
    assert kill_clips.check() == 1
    output = capsys.readouterr().err
    assert "unchecked   b.h5" in output
    assert f"the checks failed: {type(error).__name__}" in output
    assert {e.source: e.verdict for e in read_entries(OUT).values()} == {
        "a.npz": "warn", "b.npz": "feasible", "sub/c.npz": "warn", "sub/d.npz": "warn"
    }  # fmt: skip
    assert clip_faults() == []


@pytest.mark.parametrize("error", ERRORS)
def test_any_error_of_an_import_affects_only_its_clip(error: Exception, monkeypatch: pytest.MonkeyPatch) -> None:
    class Breaks(QuickImporter):
        def make_clip(self, trajectory: Any, source: Any) -> Any:
            if source.name == "b.npz":
                raise error
            return super().make_clip(trajectory, source)

    assert kill_clips.prepare_import() == 0
    monkeypatch.setattr(kill_clips, "QuickImporter", Breaks)
    assert kill_clips.import_clips() == 1
    entries = read_entries(OUT)
    code = "out_of_memory" if isinstance(error, MemoryError) else "import_crash"
    assert {e.source for e in entries.values() if e.status == "ok"} == {"a.npz", "sub/c.npz", "sub/d.npz"}
    assert entries["b.npz"].code == code
    assert entries["b.npz"].reason.startswith(f"{code}: {type(error).__name__}")
    assert clip_faults() == []


def test_a_checked_clip_that_cannot_be_written_keeps_its_old_verdict(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from musclemap.datasets import output_folder

    assert kill_clips.prepare_clips() == 0
    write = output_folder.write_clip

    def denied(path: Path, clip: Any, **options: Any) -> str:
        if path.name == "b.h5":
            raise PermissionError(13, "Permission denied", str(path))
        return write(path, clip, **options)

    monkeypatch.setattr(output_folder, "write_clip", denied)
    assert kill_clips.check() == 1
    assert "its verdict cannot be written: PermissionError" in capsys.readouterr().err
    entries: dict[str, ManifestEntry] = read_entries(OUT)
    assert (entries["b.npz"].verdict, entries["a.npz"].verdict) == ("feasible", "warn")
    assert clip_faults() == []
