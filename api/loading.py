"""Opens clips and data sets, by path or by the names of those in the package."""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musclemap.datasets.clip import read_clip
from musclemap.datasets.downloads.bundle_manifest import MANIFEST as BUNDLE_MANIFEST
from musclemap.datasets.downloads.bundle_manifest import read_local_bundle
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import (
    MANIFEST,
    TRACK_LIST,
    TRACKS,
    clip_files,
    clip_path,
    has_lines,
    read_manifest,
)
from musclemap.errors import ClipError, SettingsError
from musclemap.pipelines.train.dataset import bundle_splits
from musclemap.skeletons.variants.variant import make_variant

from .clip import Clip
from .dataset import Dataset, Row, folder_reader

BUILTIN_WALK, BUILTIN_ARM = "builtin-walk", "builtin-arm"
"""Names of the data sets in the package, as in `mm-download`."""

BUILTIN = (BUILTIN_WALK, BUILTIN_ARM)


def load(
    clip: str | os.PathLike[str], *, tracked: bool = False, variant: Mapping[str, Mapping[str, Any]] | None = None
) -> Clip:
    """Load one clip.

    Args:
        clip: File of a clip (.h5), or "builtin-walk" for the walk in the package, 6 s of MyoFullBody at 1.2 m/s.
        tracked: Load the motion that the muscles cause (`mm.track`) in place of the clip's own; `activation` then holds
            the activations of the simulation.
        variant: With `tracked`, the track of a body that is altered so, such as {"strength": {"soleus_r": 0.5}}; see
            docs/variants.md.

    Returns:
        The clip: arrays of shape (nframe, ...), metres, radians and seconds.

    Raises:
        ClipError: If the file is no clip or is damaged; the message says what it is and what to do.
        TrackError: If the clip has no track, with `tracked`.
        SettingsError: If the variant has unknown facts or values out of range, or is given without `tracked`.

    Example:
        >>> import musclemap as mm
        >>> clip = mm.load("builtin-walk")
        >>> clip.fps, clip.qpos.shape
        (100.0, (601, 129))
        >>> clip.plot("soleus_r")
    """
    if os.fspath(clip) == BUILTIN_WALK:
        from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER

        root, path = WALK_FOLDER, WALK_FOLDER / WALK_CLIP
    else:
        path = _clip_file(Path(clip)).absolute()
        root = _root_of(path) if tracked else path.parent
    if not tracked:
        if variant:
            raise SettingsError("variant= chooses a track; use it with tracked=True")
        return Clip.of(read_clip(path))
    from musclemap.pipelines.track.tracked_motions import read_tracked

    altered = make_variant(**variant or {})
    return Clip.of(read_tracked(root, path.relative_to(root).as_posix(), variant=altered))


def open(dataset: str | os.PathLike[str]) -> Dataset:
    """Open a data set. No clip is read yet.

    Args:
        dataset: Output folder of `mm.retarget` or mm-retarget, a bundle of mm-pack, or any folder with clips (.h5); or
            "builtin-walk" or "builtin-arm" for those in the package.

    Returns:
        The data set: `table` with a row per source, the clips by number, name or iteration, and windows for training.

    Raises:
        SettingsError: If there is no such folder, or it holds no clip; the message says what to do.

    Example:
        >>> import musclemap as mm
        >>> data = mm.open("out/clips")
        >>> data.table[["verdict", "seconds", "landmark_error_mm"]]
        >>> clip = data["walk_1.2"]
    """
    if os.fspath(dataset) == BUILTIN_ARM:
        return _builtin_arm()
    if os.fspath(dataset) == BUILTIN_WALK:
        return _builtin_walk()
    root = Path(dataset)
    if root.is_file():
        raise SettingsError(f"{root} is a file; mm.load opens a clip, and mm.open a folder of clips")
    if not root.is_dir():
        raise SettingsError(f"there is no folder {root}{_hint(root)}; built-in data sets: {', '.join(BUILTIN)}")
    return _folder(root, name=str(root))


def _clip_file(path: Path) -> Path:
    """A clip's file, if its name can be one.

    Raises:
        ClipError: Otherwise.
    """
    if path.is_dir():
        raise ClipError(f"{path} is a folder; mm.open opens a folder of clips")
    if not path.exists():
        raise ClipError(f"there is no file {path}{_hint(path)}; the clip in the package is {BUILTIN_WALK!r}")
    if path.suffix.lower() != ".h5":
        raise ClipError(f"{path} is no clip (.h5); mm.retarget makes clips of motion capture")
    return path


def _hint(path: Path) -> str:
    """What the folder has whose name is close to that of a missing file."""
    try:
        names = sorted(entry.name for entry in path.parent.iterdir())
    except OSError:
        return f": there is no folder {path.parent} either"
    close = difflib.get_close_matches(path.name, [*names, *BUILTIN], n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


def _root_of(path: Path) -> Path:
    """Folder of the data set of a clip: the nearest one above it that lists tracks.

    Raises:
        ClipError: If there is none.
    """
    for folder in path.parents:
        if (folder / TRACKS / TRACK_LIST).is_file():
            return folder
    raise ClipError(f"{path} has no track: no folder above it lists tracks; mm.track makes them")


def _folder(root: Path, *, name: str) -> Dataset:
    if has_lines(root):
        rows, hashes = _rows_of_manifest(root)
    elif (root / BUNDLE_MANIFEST).is_file():
        rows, hashes = _rows_of_bundle(root)
    else:
        paths = [path.relative_to(root).as_posix() for path in clip_files(root)]
        rows, hashes = tuple(_row(clip=path, source=path) for path in paths), dict.fromkeys(paths)
    if not rows:
        raise SettingsError(f"{root} holds no clip (.h5) and no {MANIFEST}; mm.retarget(source, out) fills a folder")
    return Dataset(name=name, rows=rows, read=folder_reader(root, hashes), root=root)


def _rows_of_manifest(root: Path) -> tuple[tuple[Row, ...], dict[str, str | None]]:
    entries = read_manifest(root).entries
    splits = bundle_splits(root)
    for entry in entries:
        if entry.clip is not None:
            clip_path(root, entry.clip)  # refuses a path that leads outside the folder
    rows = tuple(_row_of_entry(entry, splits.get(entry.clip or "", "")) for entry in entries)
    return rows, {entry.clip: entry.clip_sha256 for entry in entries if entry.clip is not None}


def _row_of_entry(entry: ManifestEntry, split: str) -> Row:
    has_clip = entry.clip is not None
    return _row(
        clip=entry.clip, source=entry.source, split=split, status=entry.status, verdict=entry.verdict,
        reason=entry.reason, nframe=entry.nframe if has_clip else None, seconds=entry.seconds, metrics=entry.metrics,
    )  # fmt: skip


def _row(
    *, clip: str | None, source: str, split: str = "", status: str = "ok", verdict: str | None = None,
    reason: str = "", nframe: int | None = None, seconds: float | None = None, metrics: Any = None,
) -> Row:  # fmt: skip
    """Facts about a source; the metrics cannot hide the other facts."""
    facts = {
        "source": source, "clip": clip, "split": split, "status": status, "verdict": verdict, "reason": reason,
        "nframe": nframe, "seconds": seconds,
    }  # fmt: skip
    return facts | {name: value for name, value in dict(metrics or {}).items() if name not in facts}


def _rows_of_bundle(root: Path) -> tuple[tuple[Row, ...], dict[str, str | None]]:
    """Rows of a bundle without a manifest of its conversion."""
    try:
        files = [file for file in read_local_bundle(root).files if file.split]
    except DownloadError as error:
        raise SettingsError(f"{root / BUNDLE_MANIFEST} cannot be read: {error}") from error
    rows = tuple(_row(clip=file.path.as_posix(), source=file.path.as_posix(), split=file.split) for file in files)
    return rows, {file.path.as_posix(): file.sha256 for file in files}


def _builtin_walk() -> Dataset:
    """The walk in the package, without a folder: nothing may be written there."""
    from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER

    clip = read_clip(WALK_FOLDER / WALK_CLIP)
    row = _row(
        clip=WALK_CLIP, source=clip.source, verdict=clip.verdict, nframe=clip.nframe, seconds=clip.duration,
        metrics=clip.metrics,
    )  # fmt: skip
    return Dataset(name=BUILTIN_WALK, rows=(row,), read=folder_reader(WALK_FOLDER, {WALK_CLIP: None}))


def _builtin_arm() -> Dataset:
    from musclemap.pipelines.builtin_data import ARM_CLIPS, ARM_SECONDS, arm_path

    nframe = round(100 * ARM_SECONDS) + 1
    paths = [arm_path(number) for number in range(ARM_CLIPS)]
    rows = tuple(_row(clip=path, source=path, nframe=nframe, seconds=ARM_SECONDS) for path in paths)
    return Dataset(name=BUILTIN_ARM, rows=rows, read=_read_arm)


def _read_arm(name: str) -> Clip:
    from musclemap.imitation.task.arm_motions import arm_clip
    from musclemap.pipelines.builtin_data import ARM_CLIPS, ARM_SECONDS, ARM_SEED, arm_path

    number = [arm_path(number) for number in range(ARM_CLIPS)].index(name)
    return Clip.of(arm_clip(number, ARM_SECONDS, seed=ARM_SEED))
