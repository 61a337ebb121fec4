"""`mm.retarget`: motion capture to clips, in memory or from a folder to a folder."""

import os
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any, overload

from numpy.typing import ArrayLike

from musclemap.datasets.formats.readers.table import motions_of_arrays, read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.errors import SettingsError, SourceError
from musclemap.pipelines.convert.batch import BatchRetargeter
from musclemap.pipelines.convert.prepare import read_options
from musclemap.pipelines.convert.retargeters import make_retargeter
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import RetargetConfig

from .clip import Clip
from .dataset import Dataset
from .loading import open as open_dataset
from .settings import Settings, as_settings

Motion = Mapping[str, ArrayLike] | SourceMotion | str | os.PathLike[str]
"""A motion: arrays of the SMPL family by name, a motion that was read or synthesised, or a file."""


@overload
def retarget(
    source: Motion, out: None = None, *, fps: float | None = None, hands: str | None = None, muscles: bool = False,
    body_models: str | os.PathLike[str] | None = None, config: Settings[RetargetConfig] = None,
    device: str | None = None,
) -> Clip: ...  # fmt: skip


@overload
def retarget(
    source: str | os.PathLike[str], out: str | os.PathLike[str], *, fps: float | None = None, hands: str | None = None,
    muscles: bool = False, body_models: str | os.PathLike[str] | None = None,
    config: Settings[RetargetConfig] = None, device: str | None = None, include: Sequence[str] = (),
    exclude: Sequence[str] = (), limit: int | None = None, workers: int = 1, overwrite: bool = False,
    progress: bool = True,
) -> Dataset: ...  # fmt: skip


def retarget(
    source: Motion, out: str | os.PathLike[str] | None = None, *, fps: float | None = None, hands: str | None = None,
    muscles: bool = False, body_models: str | os.PathLike[str] | None = None,
    config: Settings[RetargetConfig] = None, device: str | None = None, include: Sequence[str] = (),
    exclude: Sequence[str] = (), limit: int | None = None, workers: int = 1, overwrite: bool = False,
    progress: bool = True,
) -> Clip | Dataset:  # fmt: skip
    """Convert motion capture to clips of MyoFullBody.

    With `out` it converts a folder or a file as mm-retarget does: clips that are up to date are kept, and a motion that
    cannot be used gets a row with its reason. Without `out` it converts one motion in memory; the first call compiles
    for a minute, and further calls with the same settings do not.

    Args:
        source: Folder or file in any format that mm-retarget reads. Without `out` also arrays by name, as in AMASS
            files: `poses` (nframe, 156 or 165 or 72) axis-angle [rad], `trans` (nframe, 3) [m], `mocap_framerate` [Hz],
            and, if known, `betas` (10 or 16) and `gender`.
        out: Folder for the clips and their manifest; None to return the clip.
        fps: Frames per second of the clips; None for 100.
        hands: "tracked" to follow the fingers, "locked" for fingers at rest; None for the settings' choice, at rest.
        muscles: Also compute activations.
        body_models: Folder of body models of the SMPL family, for the subjects' true proportions; None for a mean
            skeleton.
        config: Settings of the conversion, as nested tables such as {"solver": {"sweeps": 6}}.
        device: "cpu" or "gpu"; None for a GPU if JAX finds one.
        include: Globs of files to convert; empty for all. Only with `out`, as the following ones.
        exclude: Globs of files to leave out.
        limit: Largest number of files.
        workers: Processes. They do not import the program that calls this, so a script needs no guard.
        overwrite: Convert files whose clips are up to date, too.
        progress: Show the progress on stderr.

    Returns:
        The clip of a motion in memory: `qpos` (nframe, nq) and the other arrays of `Clip`. With `out` the data set of
        all clips in that folder.

    Raises:
        SourceError: If a motion in memory cannot be used (its `code` and message say why), or there is nothing to
            convert.
        SettingsError: If a setting is unknown or out of range, or has no effect here.
        BodyModelError: If there is no body model in the folder or none for the subject.
        OutputError: If the output folder cannot be written to, or another run is writing to it.

    Example:
        >>> import musclemap as mm
        >>> clip = mm.retarget({"poses": poses, "trans": trans, "mocap_framerate": 120.0})
        >>> clip.verdict, clip.metrics["landmark_error_mm"]
        >>> data = mm.retarget("amass/KIT", "out/clips", workers=8)
        >>> data.table[["verdict", "reason"]]
    """
    given = {"fps": fps, "hands": hands, "validation.muscles": "true" if muscles else None}
    settings = as_settings(RetargetConfig, config, **given)
    models = None if body_models is None else Path(body_models)
    if out is None:
        archive = {
            "include": include, "exclude": exclude, "limit": limit, "workers": workers > 1, "overwrite": overwrite,
        }  # fmt: skip
        unused = [name for name, value in archive.items() if value]
        if unused:
            raise SettingsError(f"{', '.join(unused)} need an output folder: mm.retarget(source, out, ...)")
        return _retarget_one(_motion(source, settings), settings, models, device)
    if not isinstance(source, str | os.PathLike):
        raise SettingsError("arrays are converted in memory, without an output folder; write_clip stores the clip")
    filters = {"include": include, "exclude": exclude, "limit": limit}
    _retarget_archive(
        Path(source), Path(out), settings, filters, body_models=models, device=device, workers=workers,
        overwrite=overwrite, progress=progress,
    )  # fmt: skip
    return open_dataset(out)


def _motion(source: Motion, settings: RetargetConfig) -> SourceMotion:
    """Read the one motion of a source.

    Raises:
        SourceError: If it cannot be used, or holds several people.
    """
    if isinstance(source, SourceMotion):
        return source
    options = read_options(settings)
    if isinstance(source, Mapping):
        motions = motions_of_arrays(source, name="memory", options=options)
    else:
        path = Path(source)
        if path.is_dir():
            raise SettingsError(f"{path} is a folder; mm.retarget({str(path)!r}, out) converts it to a folder of clips")
        motions = read_motions(path, name=path.name, options=options)
    if len(motions) > 1:
        raise SourceError(
            ReasonCode.SEVERAL_MOTIONS,
            f"the source holds {len(motions)} people; with an output folder each gets a clip",
        )
    return motions[0]


def _retarget_one(
    motion: SourceMotion, settings: RetargetConfig, body_models: Path | None, device: str | None
) -> Clip:  # fmt: skip
    (result,) = _retargeter(settings, body_models, device).retarget([motion])
    if result.clip is None:
        raise SourceError(result.code or ReasonCode.RETARGET_CRASH, result.message)
    return Clip.of(result.clip)


@lru_cache(maxsize=1)
def _retargeter(settings: RetargetConfig, body_models: Path | None, device: str | None) -> BatchRetargeter:
    """The retargeter of the last call, which is compiled."""
    from musclemap.pipelines.device import choose_device

    return make_retargeter(settings, body_models=body_models, device=choose_device(device))


def _retarget_archive(
    source: Path, out: Path, settings: RetargetConfig, filters: Mapping[str, Any], *, body_models: Path | None,
    device: str | None, workers: int, overwrite: bool, progress: bool,
) -> None:  # fmt: skip
    from musclemap.cli.output.conversion_report import conversion_listener
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.datasets.selection import select
    from musclemap.pipelines.archive import convert_archive
    from musclemap.pipelines.cluster.worker_pool import worker_pool_for
    from musclemap.pipelines.device import choose_device

    selection = select(source, **filters)
    pool = None
    with ProgressDisplay(hidden=not progress) as display:
        if workers > 1:
            pool = worker_pool_for(
                selection.items, workers=workers, scheduler=None, scheduler_file=None, clip_seconds=0.0,
                device=device, on_message=display.print,
            )  # fmt: skip
        convert_archive(
            source, out, config=settings, body_models=body_models, overwrite=overwrite, selection=selection, pool=pool,
            device=choose_device(device) if pool is None else None, progress=conversion_listener(display),
        )  # fmt: skip
