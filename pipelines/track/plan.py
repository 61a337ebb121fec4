"""Which clips of a data set are tracked: usable, and without a track that is up to date."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

from musclemap.datasets.clip import Clip
from musclemap.datasets.output_folder import TRACKS
from musclemap.datasets.track_file import StoredTrack, track_path
from musclemap.errors import ClipError
from musclemap.failures import Failure, attempt
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body, physics_for_clips
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.policy.training_clips import motion_sha256
from musclemap.imitation.tracking.clip_check import check_clip
from musclemap.imitation.tracking.storage import software_versions
from musclemap.imitation.tracking.track_config import TrackConfig
from musclemap.pipelines.convert.prepare import changed_settings, leaves
from musclemap.pipelines.train.dataset import ListedClip, listed_path, read_listed
from musclemap.settings import to_dict
from musclemap.skeletons.bodies import MAX_VARIANTS
from musclemap.skeletons.variants.variant import BodyVariant

STATUSES = ("tracked", "lost", "skipped", "failed")
"""Outcomes of a clip: followed to its end, not followed to its end, infeasible, or not usable."""


@dataclass(frozen=True, kw_only=True)
class ClipOutcome:
    """Outcome of one clip.

    Attributes:
        clip: POSIX path below the data set.
        status: One of `STATUSES`.
        kept: Whether an existing track was up to date.
        reason: Why there is no track, or why it ends early.
        failure: "", "root", "landmarks", "time" or "physics".
        seconds_reached: Time of the clip that the body followed [s].
        metrics: Metrics of the track.
        track: Path of the track's file, or None.
        variant: Short name of the variant by which the simulated body differs from the clip's, or "".
    """

    clip: str
    status: str
    kept: bool = False
    reason: str = ""
    failure: str = ""
    seconds_reached: float = 0.0
    metrics: Mapping[str, Any]
    track: Path | None = None
    variant: str = ""


@dataclass(frozen=True, kw_only=True, eq=False)
class PlannedClip:
    """A clip to track.

    Attributes:
        name: POSIX path below the data set.
        path: Its file.
        sha256: Hash of the file in the manifest, or None.
        nframe: Number of frames.
        config: Settings, with the version of the body that the clip was made for.
        why: Why an existing track is not kept; empty if there is none.
        variant: Short name of the variant by which the simulated body differs from the clip's, or "".
    """

    name: str
    path: Path
    sha256: str | None
    nframe: int
    config: TrackConfig
    why: str = ""
    variant: str = ""


@lru_cache(maxsize=MAX_VARIANTS)
def load_tracked_body(name: str, physics: PhysicsConfig) -> SimulationBody:
    """Compile a body once per process."""
    return load_simulation_body(name, physics)


def variant_name(clip: Clip, variant: BodyVariant) -> str:
    """Short name of a simulated body's variant where it differs from the clip's, for `track_path`; otherwise ""."""
    return "" if variant == clip.variant else variant.short_name


def requested_name(root: Path, item: ListedClip, variant: BodyVariant) -> str:
    """As `variant_name`, for what a user asks for: the variant that alters the clip's own.

    Raises:
        ClipError: If the clip cannot be read, which is necessary only for a variant.
    """
    if not variant:
        return ""
    clip = read_listed(root, item)
    return variant_name(clip, clip.variant.altered_by(variant))


def plan_tracks(
    root: Path,
    listed: list[ListedClip],
    config: TrackConfig,
    find: Callable[[str, str], StoredTrack | Failure | None],
    *,
    infeasible: bool = False,
    overwrite: bool = False,
) -> Iterator[ClipOutcome | PlannedClip]:
    """Decide for each clip whether to track it.

    Args:
        root: Data set.
        listed: Its clips.
        config: Settings.
        find: Returns the track of a clip by a variant, None, or why it cannot be used.
        infeasible: Track infeasible clips, too.
        overwrite: Track clips whose track is up to date, too.

    Yields:
        A planned clip, or the outcome of a clip that is not tracked now.
    """
    names = {item.path for item in listed}
    for item in listed:
        planned = attempt(
            lambda item=item: _plan_clip(
                root, item, config, find, names, infeasible=infeasible, overwrite=overwrite
            )
        )  # fmt: skip
        if isinstance(planned, Failure):
            planned = failed_outcome(item.path, planned.message)
        yield planned


def _plan_clip(
    root: Path,
    item: ListedClip,
    config: TrackConfig,
    find: Callable[[str, str], StoredTrack | Failure | None],
    names: set[str],
    *,
    infeasible: bool,
    overwrite: bool,
) -> ClipOutcome | PlannedClip:
    if f"{TRACKS}/{item.path}" in names:
        raise ClipError(f"its track would replace the clip {TRACKS}/{item.path}: rename the folder {TRACKS}")
    clip = read_listed(root, item)
    if clip.verdict == "infeasible" and not infeasible:
        reason = f"infeasible ({clip.broken_rules}); --infeasible tracks it too"
        return ClipOutcome(clip=item.path, status="skipped", reason=reason, metrics={})
    config = replace(config, physics=physics_for_clips([(item.path, clip)], config.physics))
    check_clip(load_tracked_body(clip.model, config.physics), clip)
    why, variant = "", variant_name(clip, config.physics.variant)
    stored = find(item.path, variant)
    if isinstance(stored, StoredTrack):
        why = stale_reason(stored, clip, config)
        if not why and not overwrite:
            folder = root if root.is_dir() else root.parent
            return track_outcome(
                stored, kept=True, path=track_path(folder, item.path, variant=variant), variant=variant
            )  # fmt: skip
    elif isinstance(stored, Failure):
        why = stored.message
    return PlannedClip(
        name=item.path, path=listed_path(root, item).resolve(), sha256=item.sha256, nframe=clip.nframe, config=config,
        why=why, variant=variant,
    )  # fmt: skip


def stale_reason(stored: StoredTrack, clip: Clip, config: TrackConfig) -> str:
    """Why a clip with a track has to be tracked again, or "".

    A track that reached the end of its clip does not depend on the time limit; one that ran out of time is computed
    again only with more of it.
    """
    if stored.clip_motion_sha256 != motion_sha256(clip):
        return "its clip has changed"
    software = {name: text for name, text in stored.software.items() if name != "processor"}
    if software != software_versions():
        return "made with other software"
    before, now = dict(leaves(stored.config)), dict(leaves(to_dict(config)))
    if changed := changed_settings(before, now, ignored=("tracking.seconds",)):
        return f"made with other {changed}"
    tracking = stored.config.get("tracking")
    limit = tracking.get("seconds") if isinstance(tracking, Mapping) else None
    if not isinstance(limit, int | float) or limit >= config.tracking.seconds or stored.tracked:
        return ""
    if stored.failure == "time" or stored.seconds >= limit:
        return f"it ran out of time after {limit:g} s"
    return ""


def track_outcome(stored: StoredTrack, *, path: Path, kept: bool = False, variant: str = "") -> ClipOutcome:
    """Outcome of a clip that has a track."""
    frames = stored.metrics.get("frames")
    reached = (frames - 1 if isinstance(frames, int) else stored.nstep) / stored.fps
    return ClipOutcome(
        clip=stored.clip, status=stored.verdict, kept=kept, reason=_explain(stored, reached), failure=stored.failure,
        seconds_reached=reached, metrics=stored.metrics, track=path,
        variant=variant,
    )  # fmt: skip


def failed_outcome(clip: str, reason: str) -> ClipOutcome:
    """Outcome of a clip that cannot be tracked."""
    return ClipOutcome(clip=clip, status="failed", reason=reason, metrics={})


def _explain(stored: StoredTrack, reached: float) -> str:
    """Why a track ends early, as a sentence without its subject."""
    length = (stored.clip_frames - 1 - stored.start) / stored.fps
    texts = {
        "": "",
        "root": "the root is more than 0.5 m from the clip's",
        "landmarks": "the landmarks are on average more than 0.3 m from the clip's",
        "time": "the time is up; --seconds gives it more",
        "physics": "the simulation became unstable",
    }
    text = texts.get(stored.failure, stored.failure)
    return f"{text}, {reached:.2f} s into {length:.2f} s" if text else ""
