"""Regulators of several clips, computed in parallel processes."""

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from pathlib import Path

import numpy as np
from threadpoolctl import threadpool_limits

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.imitation.errors import TrackingError, TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.dofs import find_controlled_dofs

from .gains import compute_gains
from .linear_files import differences_file, read_differences, write_differences
from .linearisation import Linearisation, NominalPath, linearise, nominal_path, tracked_path
from .processes import available_cores, process_pool, starting_processes
from .regulator import RegulatedPath
from .regulator_config import RegulatorConfig

_STEPS_PER_TASK = 25
_LOCAL_STEPS = 100
"""Paths with at most this many control steps are linearised by this process: starting others takes longer."""

_body: SimulationBody | None = None
"""Body of a process of the pool."""


def regulate(
    body: SimulationBody,
    physics: PhysicsConfig,
    clips: Sequence[tuple[str, Clip]],
    tracking: TrackingConfig,
    config: RegulatorConfig,
    *,
    tracks: Mapping[str, StoredTrack] | None = None,
    workers: int = 0,
    cache: Path | None = None,
    on_message: Callable[[str], None] = lambda text: None,
) -> list[RegulatedPath]:
    """Compute the regulator around the track of each clip, or around the motion of the controller that follows it.

    Args:
        body: Simulated body.
        physics: Settings that the body was made with.
        clips: Clips with their names.
        tracking: Gains of the tracking controller.
        config: Weights and differences of the regulator.
        tracks: Tracks by the names of their clips; the tracking controller follows the other clips.
        workers: Number of processes; 0 for one per core.
        cache: Folder in which the finite differences of each motion are kept for other runs.
        on_message: Called with a sentence for each clip.

    Raises:
        TrackingError: If the controller cannot follow a clip to its end, or a track is of another body; the message
            names the clip.
        TrainingError: If a process ended, for example because memory ran out.
    """
    paths: list[NominalPath] = []
    for name, clip in clips:
        try:
            track = (tracks or {}).get(name)
            paths.append(tracked_path(body, track) if track is not None else nominal_path(body, clip, tracking))
        except TrackingError as error:
            raise TrackingError(f"{name}: {error}") from error
    dofs = find_controlled_dofs(body)
    results: list[RegulatedPath] = []
    local = sum(len(path.excitation) for path in paths) <= _LOCAL_STEPS
    with ExitStack() as stack:
        pool: ProcessPoolExecutor | None = None
        for (name, _), path in zip(clips, paths, strict=True):
            count = len(path.excitation)
            file = None if cache is None else cache / differences_file(body, physics, path, config)
            known = None if file is None else read_differences(file, (count, 2 * dofs.ndof, 2 * dofs.ndof), on_message)
            if known is not None:
                linear = linearise(body, path, np.arange(count), config, by_state=known)
            elif local:
                linear = linearise(body, path, np.arange(count), config)
            else:
                on_message(f"linearises {count} control steps of {name} (minutes)")
                if pool is None:
                    pool = process_pool(workers or available_cores(), _prepare, body.name, physics)
                    stack.callback(pool.shutdown, cancel_futures=True)
                linear = _linearise_in(pool, path, config)
            if file is not None and known is None:
                write_differences(file, linear.by_state)
            with threadpool_limits(limits=1, user_api="blas"):  # the same sums whatever the number of threads
                results.append(RegulatedPath(path, compute_gains(path, linear, nroot=dofs.nroot, config=config)))
    return results


def _linearise_in(pool: ProcessPoolExecutor, path: NominalPath, config: RegulatorConfig) -> Linearisation:
    """Linear model of a whole path, computed by processes."""
    count = len(path.excitation)
    tasks = np.array_split(np.arange(count), max(1, count // _STEPS_PER_TASK))
    try:
        with starting_processes():
            futures = [pool.submit(_linearise, path, steps, config) for steps in tasks]
        parts = [future.result() for future in futures]
    except BrokenProcessPool as error:
        raise TrainingError(
            "a process that linearises a clip has ended, perhaps because memory ran out: lower dagger.workers"
        ) from error
    return Linearisation(*(np.concatenate(arrays) for arrays in zip(*parts, strict=True)))


def _prepare(name: str, physics: PhysicsConfig) -> None:
    global _body
    _body = load_simulation_body(name, physics)


def _linearise(path: NominalPath, steps: np.ndarray, config: RegulatorConfig) -> Linearisation:
    assert _body is not None
    return linearise(_body, path, steps, config)
