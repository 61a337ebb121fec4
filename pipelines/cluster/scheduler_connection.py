"""Connection to a Dask scheduler: every request is answered within a bounded time, or the run stops.

Dask's own client waits forever for a scheduler that does not answer, returns stale information if the scheduler is
gone, and raises half a dozen different errors for a lost connection.
"""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, KilledWorker, wait
from distributed.client import ClosedClientError

from musclemap.pipelines.convert.conversion import StopRun

ANSWER_SECONDS = 60.0
"""Timeout for an answer of the scheduler [s]; a busy scheduler is slow."""

RESULT_SECONDS = 10.0
"""Timeout for the transfer of a job's result before it is requested again [s]."""

CLOSE_SECONDS, IDLE_SECONDS = 5.0, 0.2

SCHEDULER_LOST = "the Dask scheduler is gone or does not answer; once one answers, the same command resumes the run"

_LOST_ERRORS = (OSError, ClosedClientError, concurrent.futures.CancelledError, asyncio.CancelledError)
"""Errors that Dask raises when the scheduler is lost; connection errors and timeouts are subclasses of OSError."""


class SchedulerConnection:
    """Sends requests to a scheduler. Every method raises StopRun if the scheduler does not answer.

    Args:
        client: Connected Dask client.
    """

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    @property
    def address(self) -> str:
        """Address of the scheduler."""
        return self._client.scheduler.address

    def dashboard(self) -> str:
        """Address of the scheduler's dashboard; an empty string if it has none."""
        with self._stop_if_lost(), contextlib.suppress(KeyError):
            return self._client.dashboard_link
        return ""

    def workers(self) -> dict[str, Any]:
        """Information about the workers, by address."""
        with self._stop_if_lost():
            identity = self._client.scheduler.identity
            return self._client.sync(identity, n_workers=-1, callback_timeout=ANSWER_SECONDS)["workers"]

    def submit(self, run: Callable[[Any], Any], job: Any) -> Any:
        """Submit a job; return its future.

        Args:
            run: Importable function that a worker calls with the job.
            job: The job.
        """
        with self._stop_if_lost():
            return self._client.submit(run, job, pure=False)

    def done(self, futures: Collection[Any]) -> list[Any]:
        """Wait until a future is done and return all that are; an empty list after one second."""
        if not futures:
            time.sleep(IDLE_SECONDS)
            return []
        with self._stop_if_lost(), self._client.as_current(), contextlib.suppress(TimeoutError):
            result: Any = wait(list(futures), timeout=1.0, return_when="FIRST_COMPLETED")
            return list(result.done)
        return []

    def result(self, future: Any) -> Any:
        """Result of a finished job; None if its worker died with it, in which case the scheduler runs the job again."""
        with self._stop_if_lost(), contextlib.suppress(TimeoutError, KilledWorker):
            return future.result(timeout=RESULT_SECONDS)
        return None

    def close(self) -> None:
        """Close the connection."""
        with contextlib.suppress(*_LOST_ERRORS):
            self._client.close(timeout=CLOSE_SECONDS)

    @contextmanager
    def _stop_if_lost(self) -> Iterator[None]:
        try:
            if self._client.status != "running":
                raise OSError(f"the connection is {self._client.status}")
            yield
        except _LOST_ERRORS as error:
            raise StopRun(SCHEDULER_LOST) from error
