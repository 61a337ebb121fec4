"""Labels of many worlds, computed in parallel processes.

The programme of one label takes milliseconds of small matrix products, which the threads of a linear algebra library
only slow down. So every process computes with one thread, and there is one process per core.
"""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.tracking.config import TrackingConfig

from .teacher import Labels, QueryStates, Teacher

SMALL_BODY = 100
"""Bodies with at most this many muscles are labelled by this process: starting others takes longer."""

_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "JAX_PLATFORMS": "cpu"}

_teacher: Teacher | None = None
"""Teacher of a process of the pool."""


class LabelPool:
    """The tracking controller in parallel processes.

    Args:
        body: Simulated body.
        physics: Settings that the body was made with.
        clips: Clips, by the numbers of `QueryStates.clip`.
        config: Gains of the controller.
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
        workers: int,
        ndirection: int,
        power: float,
    ) -> None:
        self.workers = workers or len(os.sched_getaffinity(0))
        self._local, self._pool = None, None
        if body.model.nu <= SMALL_BODY:
            self._local = Teacher(body, clips, config, ndirection=ndirection, power=power)
            return
        arguments = (body.name, physics, tuple(clips), config, ndirection, power)
        self._pool = ProcessPoolExecutor(
            self.workers, mp_context=multiprocessing.get_context("spawn"), initializer=_start, initargs=arguments
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
        with _environment():  # processes start with the first call
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


def _start(
    name: str, physics: PhysicsConfig, clips: tuple[Clip, ...], config: TrackingConfig, ndirection: int, power: float
) -> None:
    """Prepare a process of the pool."""
    global _teacher
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C ends the run after the iteration, which needs its labels
    threading.Thread(target=_end_with_parent, daemon=True).start()
    mujoco.set_mju_user_warning(lambda text: None)  # would write a file; such states get no label
    _teacher = Teacher(load_simulation_body(name, physics), clips, config, ndirection=ndirection, power=power)


def _end_with_parent() -> None:
    """End this process when the one that started it has been killed and cannot end it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    parent.join()
    os._exit(1)


def _label(query: QueryStates) -> Labels:
    assert _teacher is not None
    return _teacher.label(query)


@contextmanager
def _environment() -> Iterator[None]:
    """Environment in which processes start, because libraries read the number of threads when they are imported."""
    before = {name: os.environ.get(name) for name in _ENVIRONMENT}
    os.environ.update(_ENVIRONMENT)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
