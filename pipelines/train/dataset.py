"""Clips for training and evaluation, from the output folder of a conversion or from a bundle."""

from collections.abc import Callable, Collection, Mapping, Sequence
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
from musclemap.pipelines.clip_bodies import clips_of_body


@dataclass(frozen=True, kw_only=True)
class ListedClip:
    """One clip of a data set: path below its folder, hash, and its split, or an empty string."""

    path: str
    sha256: str | None
    split: str = ""


@dataclass(frozen=True, kw_only=True)
class ClipSelection:
    """Selected clips by name, and the selected clips that cannot be used, each with the reason."""

    clips: tuple[tuple[str, Clip], ...]
    left_out: Mapping[str, str]


def select_clips(
    root: Path,
    *,
    names: Collection[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    body: str | None = None,
    limit: int | None = None,
    infeasible: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> ClipSelection:
    """Select and read clips of a data set.

    Args:
        root: Folder with a `manifest.jsonl` (of a conversion) or a `MANIFEST.json` (of a bundle), or one clip.
        names: Paths of the clips to select from; None for all.
        include: Globs of clip paths to include; empty includes all.
        exclude: Globs of clip paths to exclude.
        group: Name of a group of motions, or a file that lists them; only its members are selected.
        split: "train", "val" or "test" of a bundle.
        body: Only clips of this body, a key of `BODY_OPTIONS`.
        limit: Largest number of clips, the first ones by name.
        infeasible: Include clips whose verdict is "infeasible", too.
        progress: Called after each clip with the number of finished clips and the total.

    Raises:
        SettingsError: If there is no data set, no such group or split, or no clip matches.
    """
    selected = list_clips(
        root, names=names, include=include, exclude=exclude, group=group, split=split, body=body, limit=limit
    )  # fmt: skip
    clips: list[tuple[str, Clip]] = []
    left_out = _damaged_lines(root)
    for number, item in enumerate(selected, start=1):
        clip = attempt(lambda item=item: read_listed(root, item))
        if isinstance(clip, Failure):
            left_out[item.path] = clip.message
        elif clip.verdict == "infeasible" and not infeasible:
            left_out[item.path] = f"infeasible ({clip.broken_rules})"
        else:
            clips.append((item.path, clip))
        if progress is not None:
            progress(number, len(selected))
    return ClipSelection(clips=tuple(clips), left_out=left_out)


def list_clips(
    root: Path,
    *,
    names: Collection[str] | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    group: str | None = None,
    split: str | None = None,
    body: str | None = None,
    limit: int | None = None,
) -> list[ListedClip]:
    """List the clips of a data set that match, sorted by path. They are only read if `body` is given.

    Arguments are those of `select_clips`.

    Raises:
        SettingsError: If there is no data set, no such group or split, or no clip matches.
    """
    listed = _listed(root)
    if split is not None:
        splits = sorted({clip.split for clip in listed if clip.split})
        if split not in splits:
            available = ", ".join(splits) or "none, because it is not a bundle"
            raise SettingsError(f"{root} has no split {split!r}; available: {available}")
        listed = [clip for clip in listed if clip.split == split]
    selected = [clip for clip in listed if matches_globs(clip.path, include=include, exclude=exclude)]
    if names is not None:
        allowed = set(names)
        selected = [clip for clip in selected if clip.path in allowed]
    if group is not None:
        members = select_members((_source(clip.path) for clip in selected), load_group(group)).names
        selected = [clip for clip in selected if _source(clip.path) in set(members)]
    if not selected:
        example = f"; one is {listed[0].path}" if listed else ""
        raise SettingsError(f"none of the {len(listed)} clips of {root} matches{example}")
    if body is not None:
        files = {listed_path(root, clip): clip for clip in selected}
        selected = [files[path] for path in clips_of_body(list(files), body)]
    return selected[:limit]


def _damaged_lines(root: Path) -> dict[str, str]:
    """Damaged manifest lines, by line number, each with the reason."""
    return {line.where: line.fault for line in read_manifest(root).damaged} if root.is_dir() else {}


def read_listed(root: Path, item: ListedClip) -> Clip:
    """Read a clip of a data set.

    Raises:
        ClipError: If the clip cannot be read or is not the listed one.
    """
    return read_clip(listed_path(root, item), sha256=item.sha256)


def listed_path(root: Path, item: ListedClip) -> Path:
    """Path of a clip of a data set, or of the clip that is given in place of one.

    Raises:
        ClipError: If it leads outside the folder.
    """
    return clip_path(root, item.path) if root.is_dir() else root


def bundle_splits(root: Path) -> dict[str, str]:
    """Split of each clip of a bundle, by path; empty for a folder that is no bundle.

    Raises:
        SettingsError: If the bundle's manifest cannot be read.
    """
    if not (root / BUNDLE_MANIFEST).is_file():
        return {}
    try:
        return {file.path.as_posix(): file.split for file in read_local_bundle(root).files if file.split}
    except DownloadError as error:
        raise SettingsError(f"{root / BUNDLE_MANIFEST} cannot be read: {error}") from error


def _listed(root: Path) -> list[ListedClip]:
    if root.is_file():
        return [ListedClip(path=root.name, sha256=None)]
    if has_lines(root):
        splits = bundle_splits(root)
        entries = [entry for entry in read_entries(root).values() if entry.clip is not None]
        clips = (
            ListedClip(path=entry.clip or "", sha256=entry.clip_sha256, split=splits.get(entry.clip or "", ""))
            for entry in entries
        )
        return sorted(clips, key=lambda clip: clip.path)
    try:
        files = read_local_bundle(root).files
    except DownloadError as error:
        raise SettingsError(
            f"{root} is not a data set: it has neither {MANIFEST} (from mm-retarget) nor a readable {BUNDLE_MANIFEST} "
            f"(from mm-pack): {error}"
        ) from error
    return [ListedClip(path=file.path.as_posix(), sha256=file.sha256, split=file.split) for file in files if file.split]


def _source(path: str) -> str:
    """Source path of a clip. Groups list sources, not clips."""
    return path.removeprefix("clips/").removesuffix(".h5") + ".npz"
