"""What to do with one input file: convert it, keep the clip it has, or say why it cannot be used."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.manifest import ManifestEntry, strict_json
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.selection import Selected
from musclemap.errors import BodyModelError, SourceError
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode

Provenance = Callable[[SourceMotion], Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that needs no conversion: its line, and whether that says its clip is up to date."""

    entry: ManifestEntry
    kept: bool = False


def load_or_skip(
    item: Selected,
    *,
    out: Path,
    known: ManifestEntry | None,
    provenance: Provenance,
    default_fps: float | None = None,
    overwrite: bool = False,
) -> SourceMotion | Skipped:
    """Read one file. Whatever goes wrong with it becomes its line.

    Args:
        item: The file.
        out: Output folder.
        known: Its line of an earlier run.
        provenance: Gives the attributes that a motion's clip would get now.
        default_fps: Frame rate of a file that gives none [Hz]; None refuses it.
        overwrite: Convert even what is up to date.

    Returns:
        The motion where it is to be converted.
    """
    if item.clash:
        message = f"{item.clash} has the same clip {item.clip}; rename one of the two"
        return Skipped(entry=unconverted(item, status="failed", code=ReasonCode.NAME_CLASH, message=message))

    def read() -> SourceMotion | Skipped:
        motion = read_motion(item.path, name=item.name, default_fps=default_fps)
        if known and not overwrite and _up_to_date(motion, item=item, out=out, known=known, provenance=provenance):
            return Skipped(entry=known, kept=True)
        return motion

    taken = attempt(read)
    if isinstance(taken, Failure):
        status = "rejected" if isinstance(taken.error, SourceError) else "failed"
        return Skipped(entry=unconverted(item, status=status, code=taken.code, message=taken.message))
    return taken


def unconverted(
    item: Selected, *, status: str, code: ReasonCode, message: str, motion: SourceMotion | None = None
) -> ManifestEntry:
    """Manifest line of a file without a clip; `message` says for people what `code` says for programs."""
    entry = ManifestEntry(source=item.name, status=status, code=code, reason=f"{code}: {message}")
    return replace(entry, source_sha256=motion.sha256, seconds=motion.duration) if motion else entry


def converted(entry: ManifestEntry, clip: Clip, *, path: str, sha256: str) -> ManifestEntry:
    """A line with what it says of a clip: `path` below the output folder, hash of the file, and its figures."""
    return replace(
        entry, status="ok", code=None, reason="", clip=path, clip_sha256=sha256, nframe=clip.nframe,
        seconds=clip.duration, verdict=clip.verdict, metrics=clip.metrics, reasons=clip.reasons,
    )  # fmt: skip


def clip_fault(path: Path, *, sha256: str | None, requested: Mapping[str, Any]) -> str:
    """Why a clip would be made again, or "": it is not whole, or was made in another way or by other software.

    Args:
        path: The clip.
        sha256: Its hash, as its line has it.
        requested: Attributes that it would have if it were made now.
    """
    if sha256 is None:
        return "its line has no hash of the clip"
    clip = attempt(lambda: read_clip(path, sha256=sha256))
    if isinstance(clip, Failure):
        return clip.message
    differ = [text for key, value in requested.items() if (text := _difference(key, getattr(clip, key), value, clip))]
    return f"made with other {' and '.join(differ)}" if differ else ""


def _difference(key: str, there: Any, value: Any, clip: Clip) -> str:
    """What of an attribute differs in a way that counts, or "".

    The number of frames checked together only bounds the memory. A clip that has activations is as good as one
    without where none are asked for, so they are kept.
    """
    if key != "config":
        return "" if strict_json(there) == strict_json(value) else key
    before, now = dict(_leaves(there)), dict(_leaves(value))
    passed_over = {"validation.chunk_size"}
    if now.get("validation.muscles") != "true" or clip.activation is not None:
        passed_over.add("validation.muscles")
    other = sorted(k for k in {*before, *now} - passed_over if before.get(k) != now.get(k))
    more = f" and {len(other) - 3} more" if len(other) > 3 else ""
    return f"settings ({', '.join(other[:3])}{more})" if other else ""


def _leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their whole names, as text that is the same for the same value."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, strict_json(value)


def _up_to_date(
    motion: SourceMotion, *, item: Selected, out: Path, known: ManifestEntry, provenance: Provenance
) -> bool:
    """Whether the clip is whole and was made of the same bytes, in the same way, by the same software."""
    if (known.status, known.clip, known.source_sha256) != ("ok", item.clip, motion.sha256):
        return False
    try:
        requested = provenance(motion)
    except BodyModelError:
        return False
    return not clip_fault(out / item.clip, sha256=known.clip_sha256, requested=requested)
