"""The walk in the package: a clip of MyoFullBody, its track, and a policy that walks it.

`benchmarks/walk.py` makes clip and track, `make walk-policy` the policy; `datasets/builtin_walk/README.md` states their
licence.
"""

from dataclasses import replace
from pathlib import Path

from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.output_folder import OutputError
from musclemap.datasets.track_file import StoredTrack, read_track, track_path
from musclemap.errors import ClipError, FileError, TrackError
from musclemap.files import read_bytes
from musclemap.imitation.policy.file_limits import MAX_BYTES, POLICY
from musclemap.skeletons.bodies import load_body_version

from .track.track_folder import open_tracks

BUILTIN_WALK = "builtin-walk"
"""Name of the walk in the catalogue."""

WALK_FOLDER = Path(__file__).resolve().parents[1] / "datasets" / "builtin_walk"
"""Folder of the package with the clip and its track, in the layout of an output folder, and the policy."""

WALK_CLIP = "builtin/walk/walk_1.2_poses.h5"
"""Path of the clip below this folder and below an output folder."""


def read_walk(folder: Path = WALK_FOLDER) -> tuple[Clip, StoredTrack]:
    """Read the clip and the track of the package.

    Raises:
        DownloadError: If a file is missing or damaged, or belongs to another version of the body.
    """
    try:
        clip, track = read_clip(folder / WALK_CLIP), read_track(track_path(folder, WALK_CLIP))
    except (ClipError, TrackError) as error:
        raise DownloadError(f"the built-in walk cannot be read: {error}") from error
    installed = load_body_version(clip.model, clip.model_sha256, variant=clip.variant).sha256
    if not clip.model_sha256 == track.model_sha256 == installed:
        raise DownloadError(
            f"{BUILTIN_WALK} was made for {clip.model} {clip.model_version} ({clip.model_sha256[:12]}), not for the "
            f"installed version ({installed[:12]}); `make walk` makes it for that one"
        )
    return clip, track


def write_walk_track(root: Path, track: StoredTrack) -> None:
    """Write the track into a data set.

    Raises:
        OutputError: If it cannot be written, or another run is writing to the folder of the tracks.
    """
    with open_tracks(root) as tracks:
        try:
            tracks.write(track)
        except OSError as error:
            raise OutputError(f"cannot write {track_path(root, track.clip)}: {error.strerror}") from error
        tracks.write_list()


def write_walk_policy(root: Path, folder: Path = WALK_FOLDER) -> None:
    """Write the policy into a data set.

    Raises:
        DownloadError: If the package's file is missing.
        OutputError: If it cannot be written.
    """
    try:
        data = read_bytes(folder / POLICY, limit=MAX_BYTES)
    except FileError as error:
        raise DownloadError(f"the policy of the built-in walk cannot be read: {error}") from error
    try:
        write_atomically(root / POLICY, data)
    except OSError as error:
        raise OutputError(f"cannot write {root / POLICY}: {error.strerror}") from error


def first_steps(track: StoredTrack, count: int) -> StoredTrack:
    """The first control steps of a track, for a replay on another machine.

    Rounding differs between processors, and the simulation amplifies it, so only a short replay can be compared.
    """
    return replace(track, excitation=track.excitation[:count], tracked_qpos=track.tracked_qpos[: count + 1])
