"""Dask scheduler and workers for one run on this machine, inaccessible to anyone else.

Dask's defaults are meant for a shared cluster: workers listen on every interface, each process serves web pages, and
anyone who can connect can run code. Here both ends of every connection prove that they hold the key of this run (TLS
with client certificates), listeners bind to the loopback interface, and there is no HTTP server.
"""

import json
import tempfile
from typing import Any

import dask.config
from distributed import Scheduler, Worker
from distributed.security import Security

from musclemap.pipelines.device import private_folder

HOST = "127.0.0.1"
"""Address on which the scheduler and the workers listen."""


def private_settings() -> dict[str, Any]:
    """Dask settings of both the scheduler and the workers.

    The modules of the web pages are disabled because they are slow to import. Dask imports code from its temporary
    folder, which by default is shared by all users: whoever creates it first could put code there. So it is set to a
    private folder.
    """
    folder = private_folder("dask") or tempfile.mkdtemp(prefix="musclemap-dask-")
    return {
        "distributed.scheduler.http.routes": [], "distributed.worker.http.routes": [],
        "temporary-directory": str(folder),
    }  # fmt: skip


class _WithoutHttpServer:
    """Mixin for Dask servers that disables the HTTP server; Dask has no setting for that."""

    def start_http_server(self, *arguments: Any, **options: Any) -> None:
        """Do nothing. Called by Dask at its start."""


class PrivateScheduler(_WithoutHttpServer, Scheduler):
    """Scheduler of one run."""


class PrivateWorker(_WithoutHttpServer, Worker):
    """Worker of one run."""


def scheduler_spec(security: Security) -> dict[str, Any]:
    """Specification of the scheduler of one run, in the format of `distributed.SpecCluster`."""
    options = {
        "host": HOST, "protocol": "tls://", "port": 0, "security": security, "dashboard": False,
        "dashboard_address": f"{HOST}:0",  # unused; if Dask served pages after all, they would be on loopback
    }  # fmt: skip
    return {"cls": PrivateScheduler, "options": options}


def new_keys() -> Security:
    """Create a key and certificate for one run, which exist in memory only."""
    return Security.temporary()


def encode_keys(security: Security) -> bytes:
    """Encode the keys as bytes to send to a worker."""
    return json.dumps({"certificate": security.tls_worker_cert, "key": security.tls_worker_key}).encode()


def decode_keys(encoded: bytes) -> Security:
    """Decode the keys that `encode_keys` encoded."""
    keys = json.loads(encoded)
    certificate, key = keys["certificate"], keys["key"]
    return Security(
        require_encryption=True, tls_ca_file=certificate, tls_worker_cert=certificate, tls_worker_key=key,
        tls_client_cert=certificate, tls_client_key=key,
    )  # fmt: skip


async def run_worker(scheduler: str, *, name: str, security: Security) -> None:
    """Run a single-threaded worker until the scheduler closes it."""
    with dask.config.set(private_settings()):
        worker = PrivateWorker(
            scheduler, name=name, nthreads=1, host=HOST, protocol="tls://", security=security, memory_limit=0,
            dashboard=False, dashboard_address=f"{HOST}:0",
        )  # fmt: skip
        await worker
    await worker.finished()
