"""The tracked motions of a folder as clips, for the viewer and for drawings."""

from dataclasses import replace
from pathlib import Path

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.track_file import track_path
from musclemap.errors import SettingsError, TrackError
from musclemap.failures import Failure
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.pipelines.viewer.clips import ClipFolder
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .plan import variant_name
from .track_folder import find_track, read_track_list


def with_tracks(clips: ClipFolder) -> ClipFolder:
    """The clips of a folder that have a track.

    Raises:
        SettingsError: If none has one.
    """
    names = tuple(name for name in clips.names if track_path(clips.root, name).is_file())
    if not names:
        raise SettingsError(f"no clip in {clips.root} has a track; mm-track {clips.root} makes them")
    return replace(clips, names=names)


def read_tracked(root: Path, name: str, *, variant: BodyVariant = UNALTERED) -> Clip:
    """Read a clip with the tracked motion in place of its own.

    Args:
        root: Folder of the data set.
        name: POSIX path of the clip below it.
        variant: What alters the simulated body beyond the clip's own variant.

    Raises:
        ClipError: If the clip cannot be read.
        TrackError: If it has no track, or one that cannot be read or belongs to another clip.
    """
    clip = read_clip(root / name)
    key = variant_name(clip, clip.variant.altered_by(variant))
    track = find_track(root, name, read_track_list(root), variant=key)
    if track is None or isinstance(track, Failure):
        altered = f" by a body with {variant.text}" if key else ""
        missing = f"{name} has no track{altered}; mm-track {root} makes it"
        raise TrackError(missing if track is None else track.message)
    return tracked_clip(clip, track)
