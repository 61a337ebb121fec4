"""Decides for one input file: convert it, keep its existing clip, or record why it cannot be used."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.skeletons.joint_map import joint_map_of
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.manifest import ManifestEntry, strict_json
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.selection import Selected, select_person
from musclemap.errors import BodyModelError, SourceError, TargetError
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import RetargetConfig

Provenance = Callable[[SourceMotion], Mapping[str, Any]]
"""Returns the attributes that a motion's clip would get now."""


@dataclass(frozen=True, kw_only=True)
class Skipped:
    """A file that is not converted: its manifest line, and whether its existing clip is up to date."""

    entry: ManifestEntry
    kept: bool = False


Loaded = tuple[Selected, SourceMotion | Skipped]
"""One person of a file with their motion, or a file that is not converted."""


def read_options(config: RetargetConfig) -> ReadOptions:
    """What the settings of a conversion state about its sources.

    Raises:
        SettingsError: If a frame rate is out of range, or the joint map is incomplete.
    """
    source = config.source
    return ReadOptions(
        up=source.up,
        units=source.units,
        source_fps=source.fps or None,
        default_fps=config.default_fps or None,
        joint_map=joint_map_of(source.joints) if source.joints else None,
        force_file=source.force_file,
        mass=source.mass or None,
        static_trial=source.static_trial,
    )


def load_or_skip(
    item: Selected,
    *,
    out: Path,
    known: Mapping[str, ManifestEntry],
    provenance: Provenance,
    options: ReadOptions,
    overwrite: bool = False,
) -> list[Loaded]:
    """Read one file. Every error is turned into the file's manifest line.

    Args:
        item: The file.
        out: Output folder.
        known: Manifest lines of earlier runs, by source.
        provenance: Returns the attributes that a motion's clip would get now.
        options: What the user states about the file.
        overwrite: Convert the file even if its clip is up to date.

    Returns:
        For each person in the file the motion to convert, or `Skipped`.
    """
    if item.clash:
        message = f"{item.clash} has the same clip {item.clip}; rename one of the two"
        return [(item, _skipped(item, status="failed", code=ReasonCode.NAME_CLASH, message=message))]

    def read() -> list[Loaded]:
        loaded: list[Loaded] = []
        for person, motion in enumerate(read_motions(item.path, name=item.name, options=options), start=1):
            each = select_person(item, person)
            entry = None if overwrite else known.get(each.name)
            kept = entry and _up_to_date(motion, item=each, out=out, known=entry, provenance=provenance)
            loaded.append((each, Skipped(entry=entry, kept=True) if entry and kept else motion))
        return loaded

    loaded = attempt(read)
    if isinstance(loaded, Failure):
        status = "rejected" if isinstance(loaded.error, SourceError) else "failed"
        return [(item, _skipped(item, status=status, code=loaded.code, message=loaded.message))]
    return loaded


def _skipped(item: Selected, *, status: str, code: ReasonCode, message: str) -> Skipped:
    return Skipped(entry=entry_without_clip(item, status=status, code=code, message=message))


def entry_without_clip(
    item: Selected, *, status: str, code: ReasonCode, message: str, motion: SourceMotion | None = None
) -> ManifestEntry:
    """Manifest line of a file without a clip; `message` is for people, `code` for programs."""
    entry = ManifestEntry(source=item.name, status=status, code=code, reason=f"{code}: {message}")
    if motion is None:
        return entry
    warnings = tuple(warning.to_dict() for warning in motion.warnings)
    return replace(entry, source_sha256=motion.sha256, seconds=motion.duration, warnings=warnings)


def entry_with_clip(entry: ManifestEntry, clip: Clip, *, path: str, sha256: str) -> ManifestEntry:
    """Manifest line with a clip: its `path` below the output folder, the hash of its file, and its metrics."""
    return replace(
        entry, status="ok", code=None, reason="", clip=path, clip_sha256=sha256, nframe=clip.nframe,
        seconds=clip.duration, verdict=clip.verdict, metrics=clip.metrics, reasons=clip.reasons,
        warnings=clip.warnings,
    )  # fmt: skip


def stale_reason(path: Path, *, sha256: str | None, requested: Mapping[str, Any]) -> str:
    """Reason to convert a clip's source again: damage, or other settings or software. Empty if the clip is up to date.

    Args:
        path: The clip.
        sha256: Its hash in the manifest.
        requested: Attributes that the clip would have if it were made now.
    """
    if sha256 is None:
        return "the manifest has no hash of the clip"
    clip = attempt(lambda: read_clip(path, sha256=sha256))
    if isinstance(clip, Failure):
        return clip.message
    differ = [text for key, value in requested.items() if (text := _difference(key, getattr(clip, key), value, clip))]
    return f"made with other {' and '.join(differ)}" if differ else ""


def _difference(key: str, stored: Any, requested: Any, clip: Clip) -> str:
    """Describe the difference between a stored and a requested attribute, or return "" if it does not matter.

    The number of frames checked together only bounds memory. A clip with activations also serves a run that does not
    ask for them, so it is kept. If every subject has an own body, the settings do not say which one a clip has.
    """
    if key != "config":
        return "" if strict_json(stored) == strict_json(requested) else key
    before, now = dict(leaves(stored)), dict(leaves(requested))
    ignored = {"validation.chunk_size"}
    if now.get("validation.muscles") != "true":
        ignored |= {"validation.muscles", "validation.muscle_cost", "validation.passive_torques"}
    elif clip.activation is not None:
        ignored.add("validation.muscles")
    if {"body.subjects", "body.scale"} & now.keys():  # of `--status`: each clip has a body of its own
        per_clip = ("body.variant.", "body.subjects", "body.scale")
        ignored |= {name for name in {*before, *now} if name.startswith(per_clip)}
    return changed_settings(before, now, ignored=ignored)


def changed_settings(before: Mapping[str, str], now: Mapping[str, str], *, ignored: Collection[str] = ()) -> str:
    """Name the settings that differ, such as "settings (fps)"; "" if none does.

    Args:
        before: From `leaves`.
        now: The same for other settings.
        ignored: Settings that may differ.
    """
    changed = sorted(k for k in {*before, *now} - {*ignored} if before.get(k) != now.get(k))
    more = f" and {len(changed) - 3} more" if len(changed) > 3 else ""
    return f"settings ({', '.join(changed[:3])}{more})" if changed else ""


def leaves(tree: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Settings by their full dotted names, as text that is equal if and only if the values are."""
    for key, value in tree.items():
        if isinstance(value, Mapping):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, strict_json(value)


def _up_to_date(
    motion: SourceMotion, *, item: Selected, out: Path, known: ManifestEntry, provenance: Provenance
) -> bool:
    """Whether the clip is intact and was made from the same bytes, with the same settings and software."""
    if (known.status, known.clip, known.source_sha256) != ("ok", item.clip, motion.sha256):
        return False
    try:
        requested = provenance(motion)
    except (BodyModelError, TargetError):  # converting it says so
        return False
    return not stale_reason(out / item.clip, sha256=known.clip_sha256, requested=requested)
