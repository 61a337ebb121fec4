"""Clients without credentials, for tests of Dask schedulers and workers."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from distributed.core import rpc
from distributed.protocol.pickle import dumps
from distributed.security import Security

from .sockets import Listening, answer_over


def assert_refuses_unauthenticated(each: Listening, mark: Path) -> None:
    """Assert that a socket serves no HTTP and runs no code without a key or with another key."""
    for tls in (False, True):
        assert b"HTTP" not in answer_over(each.port, tls=tls)
    with pytest.raises((OSError, TimeoutError)):
        run_remotely(f"tcp://127.0.0.1:{each.port}", mark)
    other = Security.temporary().get_connection_args("client")
    with pytest.raises((OSError, TimeoutError)):
        run_remotely(f"tls://127.0.0.1:{each.port}", mark, connection_args=other)
    assert not mark.exists()


def run_remotely(address: str, mark: Path, **options: Any) -> None:
    """Ask a worker or scheduler to run code that creates `mark`, without its key."""

    def write() -> None:
        mark.touch()

    async def send() -> None:
        async with rpc(address, timeout=3, **options) as other:
            await asyncio.wait_for(other.run(function=dumps(write)), timeout=5)

    asyncio.run(send())
