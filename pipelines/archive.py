"""A folder of motions to a folder of clips on one machine, as a stream: memory is bounded, whatever the archive's size.

Nothing is dropped silently: every selected file ends as one line of the manifest, and nothing that is wrong with one
file keeps another from being converted.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.output_folder import open_output, read_entries, refuse_own_source
from musclemap.datasets.selection import Selection, select
from musclemap.datasets.summary import Summary
from musclemap.pipelines.cluster.worker_pool import WorkerPool
from musclemap.pipelines.convert.batch import BatchRetargeter
from musclemap.pipelines.convert.conversion import convert_items
from musclemap.pipelines.convert.jobs import BATCH_FRAMES, Recipe
from musclemap.pipelines.convert.prepare import Skipped, load_or_skip
from musclemap.pipelines.convert.progress import Progress, Tracker
from musclemap.pipelines.convert.retargeters import make_retargeter
from musclemap.pipelines.convert.run_recorder import RunRecorder
from musclemap.retarget.config import RetargetConfig


def convert_archive(
    source: Path,
    out: Path,
    *,
    config: RetargetConfig,
    body_models: Path | None = None,
    include: Sequence[str] = (),
    exclude: Sequence[str] = (),
    group: str | None = None,
    limit: int | None = None,
    overwrite: bool = False,
    dry_run: bool = False,
    progress: Callable[[Progress], None] | None = None,
    device: Any = None,
    batch_frames: int | None = None,
    retargeter: BatchRetargeter | None = None,
    pool: WorkerPool | None = None,
    selection: Selection | None = None,
) -> Summary:
    """Convert a folder of motions, or one file, to clips.

    A clip that is up to date is kept: same source bytes, same settings, same target and body model, same software.
    A run that was interrupted is taken up by the next one.

    Args:
        source: Folder of AMASS files, or one file.
        out: Folder for the clips, OUT/<path below source>.h5, and manifest.jsonl. Made if missing.
        config: Settings of the conversion.
        body_models: Folder of body-model files of the SMPL family; None uses the mean skeleton.
        include: Globs of the files wanted; none means all.
        exclude: Globs of files not wanted.
        group: Name of a motion group; only its members are wanted.
        limit: Largest number of files.
        overwrite: Convert even what is up to date.
        dry_run: Read and check everything, write nothing.
        progress: Called at the start and after each file.
        device: JAX device to compute on; None leaves the choice to JAX.
        batch_frames: Source frames that are converted together; None for a number that suits the device.
        retargeter: Used in place of the one made from `config`, `body_models` and `device`; not with a crew.
        crew: Who does it; None for this process alone.
        selection: What `select` gives for the same arguments, where it was asked already.

    Raises:
        SourceError: Nothing to convert.
        SettingsError: The clips would go into the folder of the motions itself.
        ClusterError: The crew's cluster does not answer.
        BodyModelError: A body model cannot be read, or there is none in the folder.
        OutputError: The output folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    refuse_own_source(source, out)
    selection = selection or select(source, include=include, exclude=exclude, group=group, limit=limit)
    make = partial(make_retargeter, config, body_models=body_models, device=device)
    look = partial(load_or_skip, out=out, default_fps=config.default_fps or None, overwrite=overwrite)
    if dry_run:
        return _look_only(
            selection, out=out, fps=config.fps, look=partial(look, provenance=(retargeter or make()).provenance)
        )
    with open_output(out) as folder:
        track = Tracker(selection.items, report=progress)
        run = RunRecorder(folder, selection.items, track=track)
        if pool is None:
            maker = retargeter or make()
            platform = device.platform if device is not None else "cpu"
            frames = batch_frames or BATCH_FRAMES.get(platform, BATCH_FRAMES["gpu"])
            look = partial(look, provenance=maker.provenance)
            run.take(
                convert_items(
                    selection.items,
                    root=out,
                    announce=folder.announce,
                    known=folder.entries,
                    look=look,
                    retargeter=maker,
                    batch_frames=frames,
                )
            )
        else:
            recipe = Recipe(
                config=config, body_models=body_models.resolve() if body_models else None, device=pool.device,
                batch_frames=batch_frames or 0, make=pool.make,
            )  # fmt: skip
            pool.convert(selection.items, folder=folder, recorder=run, recipe=recipe, overwrite=overwrite)
        folder.write_manifest()
    return Summary(
        out=out,
        entries=tuple(run.recorded[item.name] for item in selection.items),
        kept=frozenset(run.kept),
        missing=selection.missing,
        warnings=run.warnings,
        problems=folder.problems,
        seconds=time.perf_counter() - started,
        stopped=run.stopped,
    )


def _look_only(selection: Selection, *, out: Path, fps: float, look: Callable[..., SourceMotion | Skipped]) -> Summary:
    """What a run would do, one file in memory at a time."""
    known = read_entries(out)
    entries, kept, planned, warnings = [], [], [], {}
    seconds, nframe, nbyte = 0.0, 0, 0
    for item in selection.items:
        result = look(item, known=known.get(item.name))
        if isinstance(result, Skipped):
            entries.append(result.entry)
            kept += [item.name] if result.kept else []
        else:
            planned.append(item.name)
            seconds += result.duration
            nframe += round(result.duration * fps) + 1
            nbyte += item.path.stat().st_size
            warnings |= {item.name: result.warnings} if result.warnings else {}
    return Summary(
        out=out,
        entries=tuple(entries),
        kept=frozenset(kept),
        planned=tuple(planned),
        planned_frames=nframe,
        planned_seconds=seconds,
        planned_bytes=nbyte,
        missing=selection.missing,
        warnings=warnings,
    )
