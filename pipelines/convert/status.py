"""What an output folder holds: done, failed and stale, without changing anything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from musclemap.datasets.folder_lock import is_held
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import MANIFEST, clip_path, has_lines, has_unfinished_run, read_manifest
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt

from .prepare import clip_fault


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of a folder.

    Attributes:
        done: Sources whose clip is whole and was made with the settings and software of today.
        stale: Sources whose clip would be made again, each with the reason; whether a source itself has changed only a
            conversion finds out.
        failed: Lines of the sources without a clip.
        strays: Clips that no line tells of.
        running: Whether a run is writing to the folder now.
        unfinished: Whether a run was cut off; the same command goes on from there.
        nframe: Frames of the clips that are done.
        problems: Sentences about damaged lines of the manifest.
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
    """Look at a folder; every clip is read.

    Args:
        out: Output folder of a conversion.
        requested: Attributes that a clip made today would have: config and software.

    Raises:
        SettingsError: There is no manifest in it.
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
        if entry.status != "ok":
            failed[name] = entry
        elif fault := _fault(out, entry, requested):
            stale[name] = fault
        else:
            done.append(name)
    known = {entry.clip for entry in entries.values()}
    clips = sorted(path.relative_to(out).as_posix() for path in out.rglob("*.h5"))
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


def _fault(out: Path, entry: ManifestEntry, requested: Mapping[str, Any]) -> str:
    fault = attempt(lambda: clip_fault(clip_path(out, entry.clip), sha256=entry.clip_sha256, requested=requested))
    return fault.message if isinstance(fault, Failure) else fault


def status_lines(status: Status, *, named: int = 50) -> list[str]:
    """The state in words."""
    counts = Counter(entry.status for entry in status.failed.values())
    message = ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "0 failed"
    lines = [f"{len(status.done)} done ({status.nframe:,} frames), {len(status.stale)} stale, {message}"]
    lines += [f"stale {name}: {why}" for name, why in list(status.stale.items())[:named]]
    lines += [f"{entry.status} {name}: {entry.reason}" for name, entry in list(status.failed.items())[:named]]
    lines += status.problems[:named]
    if status.strays:
        lines.append(f"{len(status.strays)} clips that no line tells of, the first is {status.strays[0]}")
    lines += ["a run is under way"] * status.running
    lines += ["a run was cut off; the same command goes on from there"] * status.unfinished
    return lines
