"""Converts a folder of motions to a folder of clips as a stream, so that memory is bounded for archives of any size.

Nothing is dropped silently: every selected file ends as one manifest line, and a bad file never prevents the conversion
of another.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from musclemap.datasets.output_folder import open_output, read_entries, refuse_own_source
from musclemap.datasets.selection import Selection, select
from musclemap.datasets.summary import Summary
from musclemap.pipelines.cluster.worker_pool import WorkerPool
from musclemap.pipelines.convert.batch import BatchRetargeter
from musclemap.pipelines.convert.conversion import convert_items
from musclemap.pipelines.convert.jobs import BATCH_FRAMES, RetargeterSpec
from musclemap.pipelines.convert.prepare import Loaded, Skipped, load_or_skip, read_options
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

    A clip is kept if it is up to date: same source bytes, settings, target body, body model and software.
    The next run resumes a run that was interrupted.

    Args:
        source: Folder of AMASS files, or one file.
        out: Folder for the clips, OUT/<path below source>.h5, and manifest.jsonl. Created if missing.
        config: Settings of the conversion.
        body_models: Folder of body-model files of the SMPL family; None uses the mean skeleton.
        include: Globs of files to include; empty includes all.
        exclude: Globs of files to exclude.
        group: Name of a motion group; only its members are converted.
        limit: Largest number of files.
        overwrite: Convert files whose clips are up to date, too.
        dry_run: Read and check everything, write nothing.
        progress: Called at the start and after each file.
        device: JAX device to compute on; None leaves the choice to JAX.
        batch_frames: Source frames that are converted together; None for a number that suits the device.
        retargeter: Replaces the one made from `config`, `body_models` and `device`; not used with a pool.
        pool: Worker processes; None converts in this process.
        selection: Result of `select` for the same arguments, if it is known already.

    Raises:
        SourceError: If there is nothing to convert.
        SettingsError: If the clips would be written to the folder of the motions.
        ClusterError: If the pool's cluster does not answer.
        BodyModelError: If a body model cannot be read or the folder has none.
        OutputError: If the output folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    refuse_own_source(source, out)
    selection = selection or select(source, include=include, exclude=exclude, group=group, limit=limit)
    make = partial(make_retargeter, config, body_models=body_models, device=device)
    load = partial(load_or_skip, out=out, options=read_options(config), overwrite=overwrite)
    if dry_run:
        load = partial(load, provenance=(retargeter or make()).provenance)
        return _dry_run(selection, out=out, fps=config.fps, load=load)
    with open_output(out) as folder:
        run = RunRecorder(folder, selection.items, track=Tracker(selection.items, report=progress))
        if pool is None:
            retargeter = retargeter or make()
            platform = device.platform if device is not None else "cpu"
            frames = batch_frames or BATCH_FRAMES.get(platform, BATCH_FRAMES["gpu"])
            results = convert_items(
                selection.items, root=out, announce=folder.announce, known=folder.entries,
                load=partial(load, provenance=retargeter.provenance), retargeter=retargeter, batch_frames=frames,
            )  # fmt: skip
            run.record_all(results)
        else:
            spec = RetargeterSpec(
                config=config, body_models=body_models.resolve() if body_models else None, device=pool.device,
                batch_frames=batch_frames or 0, make=pool.retargeter_factory,
            )  # fmt: skip
            pool.convert(selection.items, folder=folder, recorder=run, spec=spec, overwrite=overwrite)
        folder.write_manifest()
    return Summary(
        out=out, entries=tuple(entry for _, entry in sorted(run.recorded.items())), kept=frozenset(run.kept),
        missing=selection.missing, warnings=run.warnings, problems=folder.problems,
        seconds=time.perf_counter() - started, stopped=run.stopped,
    )  # fmt: skip


def _dry_run(selection: Selection, *, out: Path, fps: float, load: Callable[..., list[Loaded]]) -> Summary:
    """Summarise what a run would do, with one file in memory at a time."""
    known = read_entries(out)
    entries, kept, readings, warnings = [], [], {}, {}
    nframe, nbyte = 0, 0
    for item in selection.items:
        for person, loaded in load(item, known=known):
            if isinstance(loaded, Skipped):
                entries.append(loaded.entry)
                kept += [person.name] if loaded.kept else []
            else:
                readings[person.name] = loaded.reading
                nframe += round(loaded.duration * fps) + 1
                nbyte += item.path.stat().st_size if person == item else 0
                warnings |= {person.name: loaded.warnings} if loaded.warnings else {}
    return Summary(
        out=out,
        entries=tuple(entries),
        kept=frozenset(kept),
        planned_frames=nframe,
        planned_bytes=nbyte,
        readings=readings,
        missing=selection.missing,
        warnings=warnings,
    )
