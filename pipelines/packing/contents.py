"""What goes into a bundle, and what does not and why."""

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
"""Reasons of clips that are left out because something is wrong, and not because of what was asked for."""

REFUSED = "licence"


@dataclass(frozen=True, kw_only=True)
class Packed:
    """One clip of a bundle.

    Attributes:
        entry: Its line of the manifest.
        path: POSIX path in the bundle.
        split: "train", "val" or "test".
        terms: Licence.
        size: Bytes.
        facts: What the clip tells of itself and of how it was made.
    """

    entry: ManifestEntry
    path: str
    split: str
    terms: Terms
    size: int
    facts: Mapping[str, Any]

    @property
    def subject(self) -> str:
        """The person, as far as the path tells."""
        return subject_of(self.entry.source)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A source that is not in the bundle: its path, a short stable code, and what was found."""

    source: str
    code: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What is wanted.

    Attributes:
        private: Take clips whose licence forbids passing on, or is unknown.
        infeasible: Take clips that the checks found infeasible.
        stated: Licences by glob of sources.
        groups: Groups of motions by split; without any, people are divided.
        shares: Shares of the splits, where people are divided.
        seed: Decides how people are divided.
        shared_subjects: Allow people in two splits.
    """

    private: bool = False
    infeasible: bool = False
    stated: Mapping[str, str] = field(default_factory=dict)
    groups: Mapping[str, str] = field(default_factory=dict)
    shares: Mapping[str, float] = field(default_factory=lambda: dict(zip(SPLITS, (0.8, 0.1, 0.1), strict=True)))
    seed: int = 0
    shared_subjects: bool = False


@dataclass(frozen=True, kw_only=True)
class Contents:
    """Clips sorted by source, and what is left out."""

    clips: tuple[Packed, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def faults(self) -> tuple[LeftOut, ...]:
        """What is left out although it was asked for: damaged clips, and those whose licence does not allow it."""
        return tuple(one for one in self.left_out if one.code in (*FAULTS, REFUSED))


def choose(root: Path, wishes: Wishes, *, progress: Callable[[int, int], None] | None = None) -> Contents:
    """Look at every clip of a conversion's folder and decide.

    Args:
        root: The folder.
        wishes: What is wanted.
        progress: Called after each line with the number done and that of all.

    Raises:
        SettingsError: There is no manifest, no clip is left, or the splits cannot be made.
    """
    if not has_lines(root):
        raise SettingsError(f"there is no {MANIFEST} in {root}: a bundle is made of a conversion's folder")
    manifest = read_manifest(root)
    entries = manifest.entries
    taken: dict[str, tuple[ManifestEntry, Terms, int, Mapping[str, Any]]] = {}
    left = [LeftOut(source=MANIFEST, code=DAMAGED_LINE, reason=problem) for problem in manifest.problems]
    for number, entry in enumerate(entries, start=1):
        try:
            terms, size, facts = _look(root, entry, wishes)
            taken[entry.source] = (entry, terms, size, facts)
        except _NotRequestedError as error:
            left.append(LeftOut(source=entry.source, code=error.code, reason=str(error)))
        if progress is not None:
            progress(number, len(entries))
    if not taken:
        raise SettingsError(f"nothing to pack: {_why(left)}")
    of = _split([taken[source][0] for source in taken], wishes)
    left += [LeftOut(source=s, code="no_split", reason="in none of the groups") for s in taken if s not in of]
    clips = [
        Packed(entry=entry, path=f"{CLIPS}/{entry.clip}", split=of[source], terms=terms, size=size, facts=facts)
        for source, (entry, terms, size, facts) in taken.items() if source in of
    ]  # fmt: skip
    try:
        check_distinct(PurePosixPath(clip.path) for clip in clips)
    except DownloadError as error:
        raise SettingsError(f"no file system takes all of these clips: {error}") from error
    return Contents(clips=tuple(clips), left_out=tuple(sorted(left, key=lambda one: one.source)))


class _NotRequestedError(Exception):
    """A clip does not go into the bundle."""

    def __init__(self, code: str, reason: str) -> None:
        super().__init__(reason)
        self.code = code


def _look(root: Path, entry: ManifestEntry, wishes: Wishes) -> tuple[Terms, int, dict[str, Any]]:
    """Terms, size and facts of a clip that is wanted."""
    if entry.status != "ok" or entry.clip is None:
        raise _NotRequestedError(entry.status, entry.reason or "it has no clip")
    try:
        checked_path(entry.clip)
    except DownloadError as error:
        raise _NotRequestedError("bad_path", str(error)) from error
    path = root / entry.clip
    result = attempt(lambda: (read_clip(path, sha256=entry.clip_sha256), path.stat().st_size))
    if isinstance(result, Failure):
        raise _NotRequestedError("unreadable", result.message) from result.error
    clip, size = result
    terms = terms_of(clip.licence, clip.source, stated=wishes.stated)
    if terms.objection and not wishes.private:
        raise _NotRequestedError(REFUSED, f"{terms.objection}; --private packs it all the same")
    if clip.verdict == "infeasible" and not wishes.infeasible:
        rules = ", ".join(str(reason.get("rule")) for reason in clip.reasons)
        raise _NotRequestedError("infeasible", f"infeasible ({rules}); --infeasible packs it all the same")
    return terms, size, _facts(clip)


def _facts(clip: Clip) -> dict[str, Any]:
    error = clip.metrics.get("landmark_error_mm")
    keys = ("fps", "model", "model_version", "model_sha256", "body_model", "hands", "verdict", "nframe", "software")
    return {key: getattr(clip, key) for key in keys} | {
        "seconds": clip.duration, "landmark_error_mm": error if isinstance(error, int | float) else None,
    }  # fmt: skip


def _split(entries: Sequence[ManifestEntry], wishes: Wishes) -> dict[str, str]:
    if wishes.groups:
        sources = [entry.source for entry in entries]
        return split_by_groups(sources, wishes.groups, shared_subjects=wishes.shared_subjects)
    return split_by_subject({entry.source: entry.seconds for entry in entries}, wishes.shares, seed=wishes.seed)


def _why(left: Sequence[LeftOut]) -> str:
    """How many were left out for what, and the first whose licence is in the way."""
    codes = {one.code for one in left}
    counts = [f"{sum(one.code == code for one in left)} {code}" for code in sorted(codes)]
    first = next((one for one in left if one.code == REFUSED), None)
    more = f"; {first.source}: {first.reason}, or --licence GLOB=LICENCE says what it is" if first else ""
    return (", ".join(counts) or "the manifest has no lines") + more
