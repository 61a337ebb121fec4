"""The program's line to a Dask scheduler: each question is answered within a bounded time, or the run ends.

Dask's own client waits without end for a scheduler that is there but does not answer, tells what it knew last where one
is gone, and names a lost connection by half a dozen kinds of error.
"""

import asyncio
import concurrent.futures
import contextlib
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import Any

from distributed import Client, KilledWorker, wait
from distributed.client import ClosedClientError

from musclemap.pipelines.convert.conversion import StopRun
from musclemap.pipelines.convert.jobs import Job, run_job

ANSWER_SECONDS = 60.0
"""Time that a scheduler may take for an answer [s]; one that has much to do is slow."""

RESULT_SECONDS = 10.0
"""Time that the result of a job may take to come here before it is asked for again [s]."""

CLOSE_SECONDS, IDLE_SECONDS = 5.0, 0.2

LOST = "the Dask scheduler is gone or does not answer; with one that does, the same command goes on from here"

_KINDS_OF_LOSS = (OSError, ClosedClientError, concurrent.futures.CancelledError, asyncio.CancelledError)
"""What Dask raises when the scheduler is gone; errors of connections and of time are kinds of OSError."""


class SchedulerLink:
    """Asks a scheduler. Every method raises StopRun when it does not answer.

    Args:
        client: Dask's, connected.
    """

    def __init__(self, client: Client) -> None:
        self._client: Any = client

    @property
    def address(self) -> str:
        """The scheduler's."""
        return self._client.scheduler.address

    def dashboard(self) -> str:
        """Address of its dashboard; empty where it has none."""
        with self._answered(), contextlib.suppress(KeyError):
            return self._client.dashboard_link
        return ""

    def workers(self) -> dict[str, Any]:
        """What it knows of its workers, by address."""
        with self._answered():
            identity = self._client.scheduler.identity
            return self._client.sync(identity, n_workers=-1, callback_timeout=ANSWER_SECONDS)["workers"]

    def submit(self, job: Job) -> Any:
        """Have a job done; gives its future."""
        with self._answered():
            return self._client.submit(run_job, job, pure=False)

    def done(self, futures: Collection[Any]) -> list[Any]:
        """Those that are done, once any is, or none after a second."""
        if not futures:
            time.sleep(IDLE_SECONDS)
            return []
        with self._answered(), self._client.as_current(), contextlib.suppress(TimeoutError):
            result: Any = wait(list(futures), timeout=1.0, return_when="FIRST_COMPLETED")
            return list(result.done)
        return []

    def result(self, future: Any) -> Any:
        """Result of a job that is done; None where its worker died with it: the scheduler has it done again."""
        with self._answered(), contextlib.suppress(TimeoutError, KilledWorker):
            return future.result(timeout=RESULT_SECONDS)
        return None

    def close(self) -> None:
        """Hang up."""
        with contextlib.suppress(*_KINDS_OF_LOSS):
            self._client.close(timeout=CLOSE_SECONDS)

    @contextmanager
    def _answered(self) -> Iterator[None]:
        try:
            if self._client.status != "running":
                raise OSError(f"the connection is {self._client.status}")
            yield
        except _KINDS_OF_LOSS as error:
            raise StopRun(LOST) from error
