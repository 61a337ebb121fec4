"""The tracked motions of a folder as clips, for the viewer and for drawings."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.track_file import StoredTrack, track_path
from musclemap.errors import SettingsError, TrackError
from musclemap.failures import Failure
from musclemap.imitation.physics.ground_forces import ground_forces
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.pipelines.viewer.clips import ClipFolder

from .replaying import body_of_track
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


def read_tracked(root: Path, name: str) -> Clip:
    """Read a clip with the tracked motion in place of its own, and the ground forces of the simulation.

    Args:
        root: Folder of the data set.
        name: POSIX path of the clip below it.

    Raises:
        ClipError: If the clip cannot be read.
        TrackError: If it has no track, or one that cannot be read or belongs to another clip.
    """
    track = find_track(root, name, read_track_list(root))
    if track is None or isinstance(track, Failure):
        raise TrackError(track.message if track is not None else f"{name} has no track; mm-track {root} makes it")
    return _with_ground_forces(tracked_clip(read_clip(root / name), track), track)


def _with_ground_forces(clip: Clip, track: StoredTrack) -> Clip:
    body = body_of_track(track)
    if not body.target.support_parts:
        return clip
    qpos, qvel = track.tracked_qpos[:, body.clip_qpos], track.tracked_qvel[:, body.clip_qvel]
    ground = ground_forces(body, qpos, qvel, track.tracked_act)
    return replace(
        clip, support_names=tuple(part.name for part in body.target.support_parts), ground_force=ground.force,
        centre_of_pressure=ground.centre, bearing=(ground.force[..., 2] > 0).astype(np.uint8),
    )  # fmt: skip
