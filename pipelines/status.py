"""What an output folder holds: done, failed and stale, without changing anything."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from musclemap.datasets.manifest import ManifestEntry
from musclemap.failures import Failure, attempt
from musclemap.skeletons.errors import SettingsError

from .intake import clip_fault
from .output_folder import JOURNAL, MANIFEST, clip_path, read_entries


@dataclass(frozen=True, kw_only=True)
class Status:
    """State of a folder.

    Attributes:
        done: Sources whose clip is whole and was made with the settings and software of today.
        stale: Sources whose clip would be made again, each with the reason; whether a source itself has changed only a
            conversion finds out.
        failed: Sources without a clip, each with the reason.
        strays: Clips that no line tells of.
        unfinished: Whether a run is under way, or was cut off.
        nframe: Frames of the clips that are done.
    """

    done: tuple[str, ...]
    stale: Mapping[str, str]
    failed: Mapping[str, str]
    strays: tuple[str, ...]
    unfinished: bool
    nframe: int

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def folder_status(out: Path, *, wanted: Mapping[str, Any]) -> Status:
    """Look at a folder; every clip is read.

    Args:
        out: Output folder of a conversion.
        wanted: Attributes that a clip made today would have: config and software.

    Raises:
        SettingsError: There is no manifest in it.
    """
    if not (out / MANIFEST).is_file() and not (out / JOURNAL).is_file():
        raise SettingsError(f"there is no {MANIFEST} in {out}; give the output folder of mm-retarget")
    entries = read_entries(out)
    done, stale, failed = [], {}, {}
    for name, entry in sorted(entries.items()):
        if entry.status != "ok":
            failed[name] = f"{entry.status}: {entry.reason}"
        elif fault := _fault(out, entry, wanted):
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
        unfinished=(out / JOURNAL).is_file(),
        nframe=sum(entries[name].nframe for name in done),
    )


def _fault(out: Path, entry: ManifestEntry, wanted: Mapping[str, Any]) -> str:
    fault = attempt(lambda: clip_fault(clip_path(out, entry.clip), sha256=entry.clip_sha256, wanted=wanted))
    return fault.message if isinstance(fault, Failure) else fault


def status_lines(status: Status, *, named: int = 50) -> list[str]:
    """The state in words."""
    counts = Counter(text.partition(":")[0] for text in status.failed.values())
    told = ", ".join(f"{count} {word}" for word, count in sorted(counts.items())) or "0 failed"
    lines = [f"{len(status.done)} done ({status.nframe:,} frames), {len(status.stale)} stale, {told}"]
    lines += [f"stale {name}: {why}" for name, why in list(status.stale.items())[:named]]
    for name, why in list(status.failed.items())[:named]:
        word, _, reason = why.partition(": ")
        lines.append(f"{word} {name}: {reason}")
    if status.strays:
        lines.append(f"{len(status.strays)} clips that no line tells of, the first is {status.strays[0]}")
    lines += ["a run is under way, or was cut off; the same command goes on from there"] * status.unfinished
    return lines
