"""Tracks of `mm-track` that the regulator of a training run holds to."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.failures import Failure
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.policy.training_clips import motion_sha256
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.tracking.storage import check_track
from musclemap.pipelines.convert.prepare import changed_settings, leaves
from musclemap.pipelines.track.plan import variant_name
from musclemap.pipelines.track.track_folder import find_track, read_track_list
from musclemap.settings import to_dict

_BUFFERS = ("nconmax", "njmax")
"""Settings of the physics that do not change a motion."""


def find_teacher_tracks(
    root: Path | None,
    clips: Sequence[tuple[str, Clip]],
    body: SimulationBody,
    config: TrainConfig,
    *,
    names: Mapping[str, str] | None = None,
    on_message: Callable[[str], None] = lambda text: None,
) -> dict[str, StoredTrack]:
    """Read the tracks of clips that a teacher can hold to.

    Args:
        root: Folder of the data set, or a single clip; None for a data set without a folder.
        clips: Clips with their paths below the folder.
        body: Body to be trained.
        config: Settings of the run.
        names: Tracks of a run that is resumed, with the hashes of their motions: only these are read. None for all.
        on_message: Called with a sentence for each track that cannot be used.

    Returns:
        Tracks by clip: whole, of the motion of the clip as it is now, by this body in this physics.

    Raises:
        OutputError: If the list of tracks cannot be read.
    """
    if root is None or config.dagger.teacher != "regulator" or not config.dagger.tracks:
        return {}
    folder = root if root.is_dir() else root.parent
    lines, found = read_track_list(folder), dict[str, StoredTrack]()
    for name, clip in clips:
        if names is not None and name not in names:
            continue
        track = find_track(folder, name, lines, variant=variant_name(clip, body.target.variant))
        if track is None:
            continue
        fault = track.message if isinstance(track, Failure) else _fault(track, clip, body, to_dict(config.physics))
        if fault:
            on_message(f"{name}: the teacher does not hold to its track: {fault}")
        elif isinstance(track, StoredTrack):
            found[name] = track
    return found


def _fault(track: StoredTrack, clip: Clip, body: SimulationBody, physics: Mapping[str, Any]) -> str:
    """Why a track cannot be used, or ""."""
    if not track.tracked or track.start or track.nstep != clip.nframe - 1:
        return "it does not reach from the first frame of the clip to its end"
    if track.clip_motion_sha256 != motion_sha256(clip):
        return "its clip has changed"
    try:
        check_track(body, track)
    except TrackingError as error:
        return str(error)
    recorded = track.config.get("physics")
    before = dict(leaves(recorded)) if isinstance(recorded, Mapping) else {}
    changed = changed_settings(before, dict(leaves(physics)), ignored=_BUFFERS)
    return f"it was made with other {changed}" if changed else ""
