"""Dask's scheduler and worker for one run on this machine, closed to everybody else.

Dask's own defaults are made for a cluster that its users share: workers listen on every interface, each process serves
web pages, and whoever opens a connection may have code run. Here both ends of every connection prove that they hold the
key of this run (TLS with client certificates), listeners bind to loopback, and there are no pages.
"""

import json
import tempfile
from typing import Any

import dask.config
from distributed import Scheduler, Worker
from distributed.security import Security

from musclemap.pipelines.device import private_folder

HOST = "127.0.0.1"
"""Where scheduler and workers listen."""


def private_settings() -> dict[str, Any]:
    """Dask settings that both ends start with.

    The modules of the web pages are left out; they take a while to import. Dask imports from its folder for temporary
    files, which by default is one of all users: whoever makes it first could put code there.
    """
    folder = private_folder("dask") or tempfile.mkdtemp(prefix="musclemap-dask-")
    return {
        "distributed.scheduler.http.routes": [], "distributed.worker.http.routes": [],
        "temporary-directory": str(folder),
    }  # fmt: skip


class _WithoutPages:
    """Dask server that opens no HTTP server; Dask has no setting for that."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Called by Dask while it starts."""


class PrivateScheduler(_WithoutPages, Scheduler):
    """Scheduler of one run."""


class PrivateWorker(_WithoutPages, Worker):
    """Worker of one run."""


def scheduler_spec(security: Security) -> dict[str, Any]:
    """Scheduler of one run, as `distributed.SpecCluster` takes it."""
    options = {
        "host": HOST, "protocol": "tls://", "port": 0, "security": security, "dashboard": False,
        "dashboard_address": f"{HOST}:0",  # not used; a Dask that serves pages all the same does so on loopback
    }  # fmt: skip
    return {"cls": PrivateScheduler, "options": options}


def new_keys() -> Security:
    """A key and certificate for one run, which exist in memory only."""
    return Security.temporary()


def pack_keys(security: Security) -> bytes:
    """The keys as bytes for a worker."""
    return json.dumps({"certificate": security.tls_worker_cert, "key": security.tls_worker_key}).encode()


def unpack_keys(packed: bytes) -> Security:
    """The keys of `pack_keys`."""
    keys = json.loads(packed)
    certificate, key = keys["certificate"], keys["key"]
    return Security(
        require_encryption=True, tls_ca_file=certificate, tls_worker_cert=certificate, tls_worker_key=key,
        tls_client_cert=certificate, tls_client_key=key,
    )  # fmt: skip


async def work(scheduler: str, *, name: str, security: Security) -> None:
    """Be a worker with one thread until the scheduler says goodbye."""
    with dask.config.set(private_settings()):
        worker = PrivateWorker(
            scheduler, name=name, nthreads=1, host=HOST, protocol="tls://", security=security, memory_limit=0,
            dashboard=False, dashboard_address=f"{HOST}:0",
        )  # fmt: skip
        await worker
    await worker.finished()
