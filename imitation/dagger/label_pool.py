"""Labels of many worlds, computed in parallel processes."""

from collections.abc import Sequence
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.regulator.processes import available_cores, process_pool, starting_processes
from musclemap.imitation.regulator.regulator import RegulatedPath, map_regulated, save_regulated
from musclemap.imitation.tracking.config import TrackingConfig

from .teacher import Labels, QueryStates, Teacher

SMALL_BODY = 100
"""Bodies with at most this many muscles are labelled by this process: starting others takes longer."""

_teacher: Teacher | None = None
"""Teacher of a process of the pool."""


class LabelPool:
    """The teacher in parallel processes.

    Args:
        body: Simulated body.
        physics: Settings that the body was made with.
        clips: Clips, by the numbers of `QueryStates.clip`.
        config: Gains of the controller.
        regulated: Motions with regulators, one per clip; without them the tracking controller is the teacher.
        workers: Number of processes; 0 for one per core.
        ndirection: See `Teacher`.
        power: See `Teacher`.
    """

    def __init__(
        self,
        body: SimulationBody,
        physics: PhysicsConfig,
        clips: Sequence[Clip],
        config: TrackingConfig,
        *,
        regulated: Sequence[RegulatedPath] = (),
        workers: int,
        ndirection: int,
        power: float,
    ) -> None:
        self.workers = workers or available_cores()
        self.regulated = tuple(regulated)
        self._local, self._pool, self._folder = None, None, None
        if body.model.nu <= SMALL_BODY:
            self._local = Teacher(body, clips, config, regulated=regulated, ndirection=ndirection, power=power)
            return
        # 120 kB a control step are too much to send to each process, and they can share it.
        self._folder = TemporaryDirectory(prefix="musclemap-")
        folders = [Path(self._folder.name, str(k)) for k in range(len(self.regulated))]
        for folder, one in zip(folders, self.regulated, strict=True):
            save_regulated(one, folder)
        needed = () if folders else tuple(clips)
        self._pool = process_pool(
            self.workers, _prepare, body.name, physics, needed, config, tuple(folders), ndirection, power
        )

    def label(self, query: QueryStates) -> Labels:
        """Labels of all states, in their order; the number of processes does not change them.

        Raises:
            TrackingError: If a clip cannot be tracked.
            TrainingError: If a process ended, for example because memory ran out.
        """
        if self._local is not None:
            return self._local.label(query)
        assert self._pool is not None
        parts: list[Future[Labels]] = []
        with starting_processes():  # processes start with the first call
            for rows in np.array_split(np.arange(len(query.clip)), min(self.workers, len(query.clip))):
                parts.append(self._pool.submit(_label, QueryStates(*(array[rows] for array in query))))
        try:
            results = [part.result() for part in parts]
        except BrokenProcessPool as error:
            raise TrainingError(
                "a process that computes labels has ended, perhaps because memory ran out: lower dagger.workers, and "
                "resume the run"
            ) from error
        return Labels(*(np.concatenate(arrays) for arrays in zip(*results, strict=True)))

    def close(self) -> None:
        """End the processes."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
        if self._folder is not None:
            self._folder.cleanup()


def _prepare(
    name: str,
    physics: PhysicsConfig,
    clips: tuple[Clip, ...],
    config: TrackingConfig,
    folders: tuple[Path, ...],
    ndirection: int,
    power: float,
) -> None:
    """Prepare a process of the pool."""
    global _teacher
    body, regulated = load_simulation_body(name, physics), [map_regulated(folder) for folder in folders]
    _teacher = Teacher(body, clips, config, regulated=regulated, ndirection=ndirection, power=power)


def _label(query: QueryStates) -> Labels:
    assert _teacher is not None
    return _teacher.label(query)
