"""Tracks the clips of a data set and writes a track for each; an interrupted run resumes."""

import time
from collections.abc import Generator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from musclemap.datasets.output_folder import OutputError
from musclemap.datasets.track_file import track_path
from musclemap.errors import MusclemapError
from musclemap.imitation.tracking.track import TrackingProgress
from musclemap.imitation.tracking.track_config import TrackConfig
from musclemap.pipelines.convert.conversion import StopRun, is_disk_full
from musclemap.pipelines.train.dataset import ListedClip

from .jobs import JobOutcome, Search, TrackJob, run_track_job
from .plan import STATUSES, ClipOutcome, PlannedClip, failed_outcome, plan_tracks, track_outcome
from .run_options import Report, RunProgress, TrackWorkers
from .track_folder import TrackFolder, find_track, open_tracks, read_track_list


@dataclass(frozen=True, kw_only=True, repr=False)
class TrackingRun:
    """Result of a run.

    Attributes:
        root: Folder of the data set.
        outcomes: Outcome of each clip that is done, sorted by path.
        planned: Clips that were planned but are not done: with `dry_run` all of them.
        seconds: Duration [s].
        interrupted: Whether Ctrl-C ended the run.
        stopped: Why the run ended early, or an empty string.
    """

    root: Path
    outcomes: tuple[ClipOutcome, ...]
    planned: tuple[PlannedClip, ...] = ()
    seconds: float
    interrupted: bool = False
    stopped: str = ""

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        return f"<TrackingRun {self.root}: {counts}, {self.seconds:.0f} s>"

    @property
    def complete(self) -> bool:
        """Whether every clip is tracked, at least one, except for skipped ones."""
        counts = self.counts
        return bool(counts["tracked"]) and not (counts["planned"] or counts["lost"] or counts["failed"])

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips per status, of kept tracks, and of clips that are planned."""
        counts = {status: sum(outcome.status == status for outcome in self.outcomes) for status in STATUSES}
        return counts | {"kept": sum(outcome.kept for outcome in self.outcomes), "planned": len(self.planned)}

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        clips = [
            {
                **vars(outcome), "metrics": dict(outcome.metrics),
                "track": str(outcome.track) if outcome.track is not None else None,
            }
            for outcome in self.outcomes
        ]  # fmt: skip
        planned = [{"clip": item.name, "frames": item.nframe, "why": item.why} for item in self.planned]
        facts = {"out": str(self.root), "counts": self.counts, "seconds": self.seconds, "complete": self.complete}
        return facts | {"interrupted": self.interrupted, "stopped": self.stopped, "clips": clips, "planned": planned}


@dataclass(kw_only=True)
class _State:
    """Outcomes and planned clips so far."""

    outcomes: list[ClipOutcome] = field(default_factory=list)
    planned: dict[str, PlannedClip] = field(default_factory=dict)
    interrupted: bool = False
    stopped: str = ""


def track_clips(
    root: Path,
    listed: Sequence[ListedClip],
    config: TrackConfig,
    *,
    infeasible: bool = False,
    overwrite: bool = False,
    dry_run: bool = False,
    workers: TrackWorkers | None = None,
    report: Report = lambda moment: None,
    search: Search | None = None,
) -> TrackingRun:
    """Track clips of a data set.

    Tracks that are up to date are kept: same motion of the clip, settings and software. After Ctrl-C, finished tracks
    are kept, too.

    Args:
        root: Folder of the data set, or one clip.
        listed: Clips to track, from `list_clips`.
        config: Settings.
        infeasible: Track infeasible clips, too.
        overwrite: Track clips whose track is up to date, too.
        dry_run: Read everything, track and write nothing.
        workers: Processes; None tracks in this process.
        report: Called at the start, during a clip, and after each clip.
        search: Finds a track, in place of `track_clip`; must be importable if there are workers.

    Raises:
        OutputError: If the tracks cannot be written, or another run is writing them.
        ClusterError: If an existing cluster does not answer.
    """
    started = time.monotonic()
    folder = root if root.is_dir() else root.parent
    state = _State()
    options = {"infeasible": infeasible, "overwrite": overwrite}
    if dry_run:
        lines = read_track_list(folder)
        find = lambda name, variant: find_track(folder, name, lines, variant=variant)  # noqa: E731
        _plan(state, root, listed, config, find, report, **options)
    else:
        with open_tracks(folder) as tracks:
            try:
                _plan(state, root, listed, config, tracks.find, report, **options)
                jobs = [TrackJob(planned=planned, search=search) for planned in state.planned.values()]
                _run(state, jobs, tracks, workers, report)
            except KeyboardInterrupt:
                state.interrupted = True
            except StopRun as stop:
                state.stopped = str(stop)
            tracks.write_list()
    return TrackingRun(
        root=folder, outcomes=tuple(sorted(state.outcomes, key=lambda outcome: outcome.clip)),
        planned=tuple(state.planned.values()), seconds=time.monotonic() - started, interrupted=state.interrupted,
        stopped=state.stopped,
    )  # fmt: skip


def _plan(
    state: _State,
    root: Path,
    listed: Sequence[ListedClip],
    config: TrackConfig,
    find: Any,
    report: Report,
    **options: bool,
) -> None:
    report(RunProgress(stage="plan", done=0, total=len(listed)))
    for done, item in enumerate(plan_tracks(root, list(listed), config, find, **options), start=1):
        if isinstance(item, PlannedClip):
            state.planned[item.name] = item
        else:
            state.outcomes.append(item)
        report(RunProgress(stage="plan", done=done, total=len(listed)))


def _run(
    state: _State, jobs: Sequence[TrackJob], tracks: TrackFolder, workers: TrackWorkers | None, report: Report
) -> None:
    """Run the jobs; each result is written as soon as it is known."""
    if not jobs:
        return
    if workers is None or (not workers.existing and workers.number(len(jobs)) == 1):
        results = _run_here(jobs, report)
    else:
        from .worker_run import run_in_workers  # starts Dask's threads

        longest_first = sorted(jobs, key=lambda job: (-job.planned.nframe, job.planned.name))
        results = run_in_workers(longest_first, workers, report)
    with closing(results):
        for result in results:
            state.outcomes.append(_record(result, tracks))
            del state.planned[result.planned.name]


def _run_here(jobs: Sequence[TrackJob], report: Report) -> Generator[JobOutcome]:
    for done, job in enumerate(jobs):
        started = time.monotonic()

        def show(moment: TrackingProgress | None, job: TrackJob = job, done: int = done, at: float = started) -> None:
            report(
                RunProgress(
                    stage="track", done=done, total=len(jobs), clip=job.planned.name, moment=moment,
                    clip_seconds=time.monotonic() - at,
                )
            )  # fmt: skip

        show(None)
        yield run_track_job(job, progress=show)
    report(RunProgress(stage="track", done=len(jobs), total=len(jobs)))


def _record(result: JobOutcome, tracks: TrackFolder) -> ClipOutcome:
    """Write a track and return the outcome of its clip.

    Raises:
        OutputError: If the disk is full.
    """
    name = result.planned.name
    if result.track is None:
        return failed_outcome(name, result.message)
    try:
        tracks.write(result.track, variant=result.planned.variant)
    except MusclemapError as error:
        return failed_outcome(name, str(error))
    except OSError as error:
        if is_disk_full(error):
            raise OutputError(f"the disk of {tracks.root} is full") from error
        return failed_outcome(name, f"its track cannot be written: {error.strerror}")
    variant = result.planned.variant
    return track_outcome(result.track, path=track_path(tracks.root, name, variant=variant), variant=variant)
