"""Status of an output folder: finished, stale and failed sources. Changes nothing."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from musclemap.datasets.folder_lock import is_held
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import (
    MANIFEST,
    clip_files,
    clip_path,
    has_lines,
    has_unfinished_run,
    read_manifest,
)
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt
from musclemap.pipelines.wording import counted
from musclemap.reason_codes import ReasonCode

from .prepare import stale_reason


@dataclass(frozen=True, kw_only=True)
class Status:
    """Status of a folder.

    Attributes:
        done: Sources whose clip is intact and was made with the current settings and software.
        stale: Sources whose clip would be made again, each with the reason. Changes of a source itself are only
            detected by a conversion.
        failed: Manifest lines of the sources without a clip.
        strays: Clips that the manifest does not list.
        running: Whether a run is writing to the folder now.
        unfinished: Whether a run was interrupted; the same command resumes it.
        nframe: Number of frames of the clips in `done`.
        problems: Sentences about damaged manifest lines.
    """

    done: tuple[str, ...]
    stale: Mapping[str, str]
    failed: Mapping[str, ManifestEntry]
    strays: tuple[str, ...]
    running: bool
    unfinished: bool
    nframe: int
    problems: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        failed = {name: f"{entry.status}: {entry.reason}" for name, entry in self.failed.items()}
        return {field.name: getattr(self, field.name) for field in fields(self)} | {"failed": failed}


def folder_status(out: Path, *, requested: Mapping[str, Any]) -> Status:
    """Determine the status of a folder. Reads every clip.

    Args:
        out: Output folder of a conversion.
        requested: Attributes that a clip would have if it were made now: config and software.

    Raises:
        SettingsError: If the folder has no manifest.
    """
    if not has_lines(out):
        raise SettingsError(f"there is no {MANIFEST} in {out}; give the output folder of mm-retarget")
    running = is_held(out)
    unfinished = not running and has_unfinished_run(out)
    manifest = read_manifest(out)
    entries = {entry.source: entry for entry in manifest.entries}
    done: list[str] = []
    stale: dict[str, str] = {}
    failed: dict[str, ManifestEntry] = {}
    for name, entry in sorted(entries.items()):
        if entry.code is ReasonCode.STATIC_TRIAL:  # needs no clip
            continue
        if entry.status != "ok":
            failed[name] = entry
        elif reason := _stale_reason(out, entry, requested):
            stale[name] = reason
        else:
            done.append(name)
    known = {entry.clip for entry in entries.values()}
    clips = [path.relative_to(out).as_posix() for path in clip_files(out)]
    return Status(
        done=tuple(done),
        stale=stale,
        failed=failed,
        strays=tuple(clip for clip in clips if clip not in known),
        running=running,
        unfinished=unfinished,
        nframe=sum(entries[name].nframe for name in done),
        problems=manifest.problems,
    )


def _stale_reason(out: Path, entry: ManifestEntry, requested: Mapping[str, Any]) -> str:
    reason = attempt(lambda: stale_reason(clip_path(out, entry.clip), sha256=entry.clip_sha256, requested=requested))
    return reason.message if isinstance(reason, Failure) else reason


def status_lines(status: Status, *, named: int = 50) -> list[str]:
    """Lines of text that describe a status; at most `named` sources of each kind are listed by name."""
    counts = Counter(entry.status for entry in status.failed.values())
    failures = ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "0 failed"
    lines = [f"{len(status.done)} done ({status.nframe:,} frames), {len(status.stale)} stale, {failures}"]
    lines += [f"stale {name}: {reason}" for name, reason in list(status.stale.items())[:named]]
    lines += [f"{entry.status} {name}: {entry.reason}" for name, entry in list(status.failed.items())[:named]]
    lines += status.problems[:named]
    if status.strays:
        lines.append(f"not in the manifest: {counted(len(status.strays), 'clip')}; the first is {status.strays[0]}")
    lines += ["a run is in progress"] * status.running
    lines += ["a run was interrupted; the same command resumes it"] * status.unfinished
    return lines
