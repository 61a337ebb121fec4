"""Tracks of `mm-track` that the regulator of a training run holds to."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.failures import Failure
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.policy.training_clips import motion_sha256
from musclemap.imitation.tracking.storage import check_track
from musclemap.pipelines.convert.prepare import changed_settings, leaves
from musclemap.pipelines.train.plan import TrainingPlan
from musclemap.settings import to_dict

from .plan import variant_name
from .track_folder import find_track, read_track_list

_BUFFERS = ("nconmax", "njmax")
"""Settings of the physics that do not change a motion."""


def with_teacher_tracks(
    plan: TrainingPlan,
    dataset: Path | None,
    *,
    recorded: Mapping[str, str] | None = None,
    on_message: Callable[[str], None] = lambda text: None,
) -> TrainingPlan:
    """Let the teacher of a plan hold to the tracks of its clips.

    Args:
        plan: Plan of a run.
        dataset: Folder of its clips, or a single clip; None for clips without a folder.
        recorded: `RecordedRun.tracks` of a run that is resumed: only these are used. None for a new run.
        on_message: Called with a sentence for each track that cannot be used.

    Returns:
        The plan with every track that reaches to the end of the motion of its clip as it is now, by the plan's body in
        its physics. Without tracks, unless the teacher is a regulator and `dagger.tracks` is set.

    Raises:
        OutputError: If the list of tracks cannot be read.
    """
    dagger = plan.config.dagger
    if dataset is None or plan.algorithm != "dagger" or dagger.teacher != "regulator" or not dagger.tracks:
        return plan
    folder = dataset if dataset.is_dir() else dataset.parent
    lines, found = read_track_list(folder), dict[str, StoredTrack]()
    for name, clip in plan.clips:
        if recorded is not None and name not in recorded:
            continue
        track = find_track(folder, name, lines, variant=variant_name(clip, plan.body.target.variant))
        if track is None:
            continue
        fault = track.message if isinstance(track, Failure) else _fault(track, clip, plan)
        if fault:
            on_message(f"{name}: the teacher does not hold to its track: {fault}")
        elif isinstance(track, StoredTrack):
            found[name] = track
    return replace(plan, tracks=found)


def _fault(track: StoredTrack, clip: Clip, plan: TrainingPlan) -> str:
    """Why a track cannot be used, or ""."""
    if not track.tracked or track.start or track.nstep != clip.nframe - 1:
        return "it does not reach from the first frame of the clip to its end"
    if track.clip_motion_sha256 != motion_sha256(clip):
        return "its clip has changed"
    try:
        check_track(plan.body, track)
    except TrackingError as error:
        return str(error)
    recorded = track.config.get("physics")
    before = dict(leaves(recorded)) if isinstance(recorded, Mapping) else {}
    changed = changed_settings(before, dict(leaves(to_dict(plan.config.physics))), ignored=_BUFFERS)
    return f"it was made with other {changed}" if changed else ""
