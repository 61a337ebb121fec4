"""Clips to learn from or to be judged by: of a conversion's folder, or of a bundle."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.downloads.bundle_manifest import MANIFEST as BUNDLE_MANIFEST
from musclemap.datasets.downloads.bundle_manifest import read_local_bundle
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.globs import matches_globs
from musclemap.datasets.groups import load_group
from musclemap.datasets.groups import select as select_members
from musclemap.datasets.output_folder import MANIFEST, clip_path, has_lines, read_entries, read_manifest
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt


@dataclass(frozen=True, kw_only=True)
class Listed:
    """One clip of a data set: path below its folder, hash, and the split it belongs to, or empty."""

    path: str
    sha256: str | None
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """Clips that were asked for, and those that cannot be had, each with the reason."""

    clips: tuple[tuple[str, Clip], ...]
    left_out: Mapping[str, str]


def choose_clips(
    root: Path,
    *,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    limit: int | None = None,
    infeasible: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Chosen:
    """Read the clips of a data set.

    Args:
        root: Folder with a `manifest.jsonl` (of a conversion) or a `MANIFEST.json` (a bundle), or one clip.
        include: Globs over the clips' paths; none means all.
        exclude: Globs of clips not wanted.
        group: Name of a group of motions, or a file of them; only its members are taken.
        split: "train", "val" or "test" of a bundle.
        limit: Largest number of clips, the first ones by name.
        infeasible: Take clips too that cannot be followed by any body.
        progress: Called after each clip with the number done and that of all.

    Raises:
        SettingsError: There is no data set, no such group or split, or none of its clips is wanted.
    """
    listed = _listed(root)
    if split is not None:
        there = sorted({clip.split for clip in listed if clip.split})
        if split not in there:
            raise SettingsError(f"{root} has no split {split!r}; it has: {', '.join(there) or 'none, being no bundle'}")
        listed = [clip for clip in listed if clip.split == split]
    requested = [clip for clip in listed if matches_globs(clip.path, include=include, exclude=exclude)]
    if group is not None:
        members = select_members((_source(clip.path) for clip in requested), load_group(group)).names
        requested = [clip for clip in requested if _source(clip.path) in set(members)]
    if not requested:
        example = f"; one is {listed[0].path}" if listed else ""
        raise SettingsError(f"none of the {len(listed)} clips of {root} is wanted{example}")
    clips: list[tuple[str, Clip]] = []
    left_out = _damaged_lines(root)
    for number, item in enumerate(requested[:limit], start=1):
        clip = _read(root, item)
        if isinstance(clip, Failure):
            left_out[item.path] = clip.message
        elif clip.verdict == "infeasible" and not infeasible:
            rules = ", ".join(str(reason.get("rule")) for reason in clip.reasons)
            left_out[item.path] = f"infeasible ({rules})"
        else:
            clips.append((item.path, clip))
        if progress is not None:
            progress(number, len(requested[:limit]))
    return Chosen(clips=tuple(clips), left_out=left_out)


def _damaged_lines(root: Path) -> dict[str, str]:
    """Lines of the manifest that cannot be used, by number, each with the reason."""
    return {line.where: line.fault for line in read_manifest(root).damaged} if root.is_dir() else {}


def _read(root: Path, item: Listed) -> Clip | Failure:
    """The clip, or why it cannot be had."""
    return attempt(lambda: read_clip(clip_path(root, item.path) if root.is_dir() else root, sha256=item.sha256))


def _listed(root: Path) -> list[Listed]:
    if root.is_file():
        return [Listed(path=root.name, sha256=None)]
    if has_lines(root):
        entries = read_entries(root).values()
        return sorted(
            (Listed(path=entry.clip, sha256=entry.clip_sha256) for entry in entries if entry.clip is not None),
            key=lambda clip: clip.path,
        )
    try:
        files = read_local_bundle(root).files
    except DownloadError as error:
        raise SettingsError(
            f"{root} is no data set: it has no {MANIFEST} (as mm-retarget makes it) and no readable {BUNDLE_MANIFEST} "
            f"(as mm-pack does): {error}"
        ) from error
    return [Listed(path=file.path.as_posix(), sha256=file.sha256, split=file.split) for file in files if file.split]


def _source(path: str) -> str:
    """A clip's path as its source has it, for groups, which name sources."""
    return path.removeprefix("clips/").removesuffix(".h5") + ".npz"
