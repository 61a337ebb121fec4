"""Tracking of one clip, in this process or in a worker; reads the clip and writes nothing."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from musclemap.datasets.clip import read_clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.failures import Failure, attempt
from musclemap.imitation.tracking.storage import stored_track
from musclemap.imitation.tracking.track import ProgressCallback
from musclemap.imitation.tracking.tracker import track_clip
from musclemap.settings import to_dict

from .plan import PlannedClip, load_tracked_body
from .track_folder import file_sha256

Search = Callable[..., Any]
"""Signature of `track_clip`; for workers, an importable function."""


@dataclass(frozen=True, kw_only=True, eq=False)
class TrackJob:
    """A clip that one worker tracks.

    Attributes:
        planned: The clip.
        search: Function that finds the track, in place of `track_clip`.
        attempt: Number of earlier attempts.
    """

    planned: PlannedClip
    search: Search | None = None
    attempt: int = 0


@dataclass(frozen=True, kw_only=True, eq=False)
class JobOutcome:
    """Result of a job: the track, or why there is none."""

    planned: PlannedClip
    track: StoredTrack | None = None
    message: str = ""


def run_track_job(job: TrackJob, *, progress: ProgressCallback | None = None) -> JobOutcome:
    """Track a clip."""
    planned = job.planned

    def run() -> StoredTrack:
        clip = read_clip(planned.path, sha256=planned.sha256)
        body = load_tracked_body(clip.model, planned.config.physics)
        track = (job.search or track_clip)(body, clip, planned.config.tracking, progress=progress)
        config = to_dict(planned.config)
        sha256 = planned.sha256 or file_sha256(planned.path)
        return stored_track(body, clip, track, name=planned.name, config=config, clip_sha256=sha256)

    result = attempt(run)
    if isinstance(result, Failure):
        return JobOutcome(planned=planned, message=result.message)
    return JobOutcome(planned=planned, track=result)
