"""Selection of the clips of a bundle, with a reason for each source that is left out."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.downloads.paths import check_distinct, checked_path
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import MANIFEST, has_lines, read_manifest
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt

from .licences import Terms, terms_of
from .splits import SPLITS, split_by_groups, split_by_subject, subject_of

CLIPS = "clips"
"""Folder of the clips in a bundle."""

DAMAGED_LINE = "damaged_line"
FAULTS = ("unreadable", "bad_path", DAMAGED_LINE)
"""Codes of sources that are left out because of a fault, not because of the options."""

REFUSED = "licence"


@dataclass(frozen=True, kw_only=True)
class PackedClip:
    """One clip of a bundle.

    Attributes:
        entry: Its manifest line.
        path: POSIX path in the bundle.
        split: "train", "val" or "test".
        terms: Licence terms.
        size: File size [bytes].
        facts: Attributes of the clip, including how it was made.
    """

    entry: ManifestEntry
    path: str
    split: str
    terms: Terms
    size: int
    facts: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """The subject, inferred from the source's path."""
        return subject_of(self.entry.source)


@dataclass(frozen=True, kw_only=True)
class OmittedSource:
    """A source that is not in the bundle: its path, a short stable code, and the reason."""

    source: str
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PackOptions:
    """Options that decide which clips a bundle contains.

    Attributes:
        private: Include clips whose licence forbids redistribution or is unknown.
        infeasible: Include clips whose verdict is "infeasible".
        stated_licences: Licences by glob of sources.
        groups: Groups of motions by split; if empty, clips are split by subject.
        shares: Fraction of each split, if clips are split by subject.
        seed: Seed of the split by subject.
        shared_subjects: Allow a subject to be in several splits.
    """

    private: bool = False
    infeasible: bool = False
    stated_licences: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=lambda: dict(zip(SPLITS, (0.8, 0.1, 0.1), strict=True)))
    seed: int = 0
    shared_subjects: bool = False


@dataclass(frozen=True, kw_only=True)
class PackContents:
    """Clips of a bundle, sorted by source, and the sources that are left out."""

    clips: tuple[PackedClip, ...]
    left_out: tuple[OmittedSource, ...]

    @property
    def faults(self) -> tuple[OmittedSource, ...]:
        """Sources that were requested but left out: damaged clips, and clips whose licence forbids redistribution."""
        return tuple(omitted for omitted in self.left_out if omitted.code in (*FAULTS, REFUSED))


def select_contents(
    root: Path, options: PackOptions, *, progress: Callable[[int, int], None] | None = None
) -> PackContents:
    """Read every clip of a conversion's output folder and decide whether it goes into the bundle.

    Args:
        root: Output folder of a conversion.
        options: Which clips to include, and how to split them.
        progress: Called after each manifest line with the number of finished lines and the total.

    Raises:
        SettingsError: If there is no manifest, no clip is left, or the splits cannot be made.
    """
    if not has_lines(root):
        raise SettingsError(f"there is no {MANIFEST} in {root}; give the output folder of mm-retarget")
    manifest = read_manifest(root)
    entries = manifest.entries
    included: dict[str, tuple[ManifestEntry, Terms, int, Mapping[str, Any]]] = {}
    left_out = [OmittedSource(source=MANIFEST, code=DAMAGED_LINE, reason=problem) for problem in manifest.problems]
    for number, entry in enumerate(entries, start=1):
        try:
            terms, size, facts = _inspect(root, entry, options)
            included[entry.source] = (entry, terms, size, facts)
        except _OmittedError as error:
            left_out.append(OmittedSource(source=entry.source, code=error.code, reason=str(error)))
        if progress is not None:
            progress(number, len(entries))
    if not included:
        raise SettingsError(f"nothing to pack: {_omission_summary(left_out)}")
    split_of = _split([included[source][0] for source in included], options)
    left_out += [
        OmittedSource(source=s, code="no_split", reason="in none of the groups") for s in included if s not in split_of
    ]
    clips = [
        PackedClip(
            entry=entry, path=f"{CLIPS}/{entry.clip}", split=split_of[source], terms=terms, size=size, facts=facts
        )
        for source, (entry, terms, size, facts) in included.items()
        if source in split_of
    ]
    try:
        check_distinct(PurePosixPath(clip.path) for clip in clips)
    except DownloadError as error:
        raise SettingsError(f"these clips cannot be stored together on every file system: {error}") from error
    return PackContents(clips=tuple(clips), left_out=tuple(sorted(left_out, key=lambda omitted: omitted.source)))


class _OmittedError(Exception):
    """A clip is left out of the bundle."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _inspect(root: Path, entry: ManifestEntry, options: PackOptions) -> tuple[Terms, int, dict[str, Any]]:
    """Terms, size and facts of a clip to include.

    Raises:
        _OmittedError: If the clip is left out.
    """
    if entry.status != "ok" or entry.clip is None:
        raise _OmittedError(entry.status, entry.reason or "it has no clip")
    try:
        checked_path(entry.clip)
    except DownloadError as error:
        raise _OmittedError("bad_path", str(error)) from error
    path = root / entry.clip
    clip_and_size = attempt(lambda: (read_clip(path, sha256=entry.clip_sha256), path.stat().st_size))
    if isinstance(clip_and_size, Failure):
        raise _OmittedError("unreadable", clip_and_size.message) from clip_and_size.error
    clip, size = clip_and_size
    terms = terms_of(clip.licence, clip.source, stated=options.stated_licences)
    if terms.objection and not options.private:
        raise _OmittedError(REFUSED, f"{terms.objection}; --private packs it anyway")
    if clip.verdict == "infeasible" and not options.infeasible:
        raise _OmittedError("infeasible", f"infeasible ({clip.broken_rules}); --infeasible packs it anyway")
    return terms, size, _facts(clip)


def _facts(clip: Clip) -> dict[str, Any]:
    error = clip.metrics.get("landmark_error_mm")
    keys = ("fps", "model", "model_version", "model_sha256", "body_model", "hands", "verdict", "nframe", "software")
    return {key: getattr(clip, key) for key in keys} | {
        "variant": clip.variant.text, "seconds": clip.duration,
        "landmark_error_mm": error if isinstance(error, int | float) else None,
    }  # fmt: skip


def _split(entries: Sequence[ManifestEntry], options: PackOptions) -> dict[str, str]:
    if options.groups:
        sources = [entry.source for entry in entries]
        return split_by_groups(sources, options.groups, shared_subjects=options.shared_subjects)
    return split_by_subject({entry.source: entry.seconds for entry in entries}, options.shares, seed=options.seed)


def _omission_summary(left_out: Sequence[OmittedSource]) -> str:
    """Number of sources per code, and the first one that is left out for its licence."""
    codes = {omitted.code for omitted in left_out}
    counts = [f"{sum(omitted.code == code for omitted in left_out)} {code}" for code in sorted(codes)]
    first = next((omitted for omitted in left_out if omitted.code == REFUSED), None)
    hint = f"; {first.source}: {first.reason}, or --licence GLOB=LICENCE states its licence" if first else ""
    return (", ".join(counts) or "the manifest has no lines") + hint
