"""`mm.validate` and `mm.track`: whether the body can perform clips, and by which muscles."""

import itertools
import os
from pathlib import Path
from typing import TYPE_CHECKING, overload

from musclemap.datasets.clip import Clip as StoredClip
from musclemap.errors import SettingsError
from musclemap.retarget.config import RetargetConfig

from .clip import Clip
from .dataset import Dataset
from .loading import open as open_dataset
from .settings import Settings, as_settings

if TYPE_CHECKING:
    from musclemap.imitation.tracking.track_config import TrackConfig
    from musclemap.pipelines.track.tracking import TrackingRun
    from musclemap.pipelines.validation import ValidationResult

Source = Dataset | str | os.PathLike[str]
"""A data set, or the folder of one."""


@overload
def validate(
    source: StoredClip, *, muscles: bool = False, config: Settings[RetargetConfig] = None, device: str | None = None,
    write: bool = True, progress: bool = True,
) -> Clip: ...  # fmt: skip


@overload
def validate(
    source: Source, *, muscles: bool = False, config: Settings[RetargetConfig] = None, device: str | None = None,
    write: bool = True, progress: bool = True,
) -> "ValidationResult": ...  # fmt: skip


def validate(
    source: StoredClip | Source, *, muscles: bool = False, config: Settings[RetargetConfig] = None,
    device: str | None = None, write: bool = True, progress: bool = True,
) -> "Clip | ValidationResult":  # fmt: skip
    """Check clips on the full body: limits, contacts, rates, muscle lengths, forces.

    Args:
        source: A clip in memory, a data set, its folder, or the file of a clip.
        muscles: Also compute activations by static optimisation.
        config: Settings; `validation` and `joint_limits` are used, such as {"validation": {"muscle_cost": "volume"}}.
        device: "cpu" or "gpu"; None for a GPU if JAX finds one.
        write: Store verdicts, forces and activations in the clips of a folder and in its manifest.
        progress: Show the progress on stderr.

    Returns:
        For a clip in memory a new clip with `verdict`, `reasons`, `metrics`, `ground_force` (nframe, nsupport, 3) [N],
        `joint_moment` (nframe, nmoment) [Nm] and, with `muscles`, `activation` (nframe, nu). For a data set the result
        of each clip: `clips`, and `counts` by verdict.

    Raises:
        ClipError: If a clip in memory is of a body that is not installed.
        SettingsError: If there is no clip, or a setting is unknown.
        OutputError: If the folder cannot be written to, or another run is writing to it.

    Example:
        >>> import musclemap as mm
        >>> clip = mm.validate(clip, muscles=True)
        >>> mm.validate("out/clips").counts
        {'feasible': 4, 'warn': 0, 'infeasible': 0, 'unchecked': 0}
    """
    settings = as_settings(RetargetConfig, config)
    muscles = muscles or settings.validation.muscles
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.device import choose_device
    from musclemap.pipelines.validation import validate_clip, validate_clips

    if isinstance(source, StoredClip):
        return Clip.of(validate_clip(source, config=settings, muscles=muscles, device=choose_device(device)))
    root, names = folder_of(source)
    with ProgressDisplay(hidden=not progress) as display:
        show, done = display.count(), itertools.count(1)
        return validate_clips(
            root, config=settings, muscles=muscles, write=write, device=choose_device(device), names=names,
            progress=lambda checked: show(next(done), 1 if names is None else len(names)),
        )  # fmt: skip


def track(
    dataset: Source, *, seconds: float | None = None, seed: int | None = None, workers: int = 1,
    infeasible: bool = False, overwrite: bool = False, config: "Settings[TrackConfig]" = None, progress: bool = True,
) -> "TrackingRun":  # fmt: skip
    """Find muscle excitations by which the body follows clips in the simulator, and store them beside the clips.

    Tracks that are up to date are kept. `mm.load(file, tracked=True)` reads the tracked motion of a clip.

    Args:
        dataset: Data set with a folder, or that folder.
        seconds: Computing time for each clip [s]; None for 600.
        seed: Seed of the search; None for 0.
        workers: Processes, one clip each. They do not import the program that calls this.
        infeasible: Track infeasible clips, too.
        overwrite: Track again even if a track is up to date.
        config: Settings of the search and the simulation, such as {"tracking": {"samples": 80}}.
        progress: Show the progress on stderr.

    Returns:
        Outcome of each clip: `outcomes`, each with `status` ("tracked", "lost", "skipped" or "failed") and `metrics`;
        `counts` of them; `complete`.

    Raises:
        SettingsError: If there is no clip, the data set has no folder, or a setting is unknown.
        OutputError: If the tracks cannot be written, or another run is writing them.

    Example:
        >>> import musclemap as mm
        >>> run = mm.track("out/clips", seconds=120)
        >>> run.counts["tracked"]
        >>> walk = mm.load("out/clips/walk.h5", tracked=True)
    """
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.cli.output.track_table import tracking_listener
    from musclemap.imitation.tracking.track_config import TrackConfig
    from musclemap.pipelines.track.run_options import TrackWorkers
    from musclemap.pipelines.track.tracking import track_clips
    from musclemap.pipelines.train.dataset import list_clips

    own = {"tracking.seconds": seconds, "tracking.seed": seed}
    settings = as_settings(TrackConfig, config, **own)
    root, names = folder_of(dataset)
    listed = list_clips(root, names=names)
    with ProgressDisplay(hidden=not progress) as display:
        return track_clips(
            root, listed, settings, infeasible=infeasible, overwrite=overwrite,
            workers=TrackWorkers(count=workers, on_message=display.print),
            report=tracking_listener(display, seconds=settings.tracking.seconds),
        )  # fmt: skip


def folder_of(source: Source) -> tuple[Path, tuple[str, ...] | None]:
    """Folder of a data set and the paths of its clips, or the file of a clip and None.

    Raises:
        SettingsError: If there is no such folder, or the data set has none.
    """
    if not isinstance(source, Dataset):
        path = Path(source)
        if path.is_file():
            return path, None
        source = open_dataset(source)
    if source.root is None:
        raise SettingsError(f"{source.name} has no folder to write to; mm-download {source.name} OUT makes one")
    return source.root, source.names
