"""How to get to a Dask scheduler that runs already: its address, the user's keys, and whether it is open to others.

Keys are those of Dask's own settings (`distributed.comm.tls`), which schedulers and workers read too. What they lack is
said here, before Dask opens a connection: a client of Dask's that fails on its keys holds up the end of the program.
"""

import json
import time
from pathlib import Path

import dask.config
from distributed.security import Security

from musclemap.errors import FileError, MusclemapError
from musclemap.files import read_json_object

CONNECT_SECONDS = 30

_HELP = "docs/cluster.md, 'Who may use a cluster'"


class ClusterError(MusclemapError):
    """There is no cluster at the address, it does not let us in, or it has no worker."""


def address_in(file: Path) -> str:
    """Address in the file that a scheduler writes at its start; waits for a scheduler that is starting.

    Raises:
        ClusterError: There is no such file after `CONNECT_SECONDS`, or no address in it.
    """
    deadline = time.monotonic() + CONNECT_SECONDS
    while True:
        try:
            address = read_json_object(file).get("address")
        except FileError as error:
            if time.monotonic() > deadline:
                raise ClusterError(f"no Dask scheduler has written its address: {error}") from error
            time.sleep(0.1)
            continue
        if not isinstance(address, str):
            raise ClusterError(f"{file} is not the file of a Dask scheduler: it has no address")
        return address


def check_keys(address: str) -> None:
    """Check that Dask's settings have what a scheduler's address asks for.

    Raises:
        ClusterError: TLS is asked for and there is no key, a key cannot be used, or the settings demand TLS.
    """
    if dask.config.get("distributed.client.security-loader", None):
        return
    try:
        security = Security()
        context = security.get_connection_args("client")["ssl_context"]
    except (OSError, ValueError) as error:
        files = json.dumps({key: dask.config.get(f"distributed.comm.tls.{key}") for key in ("ca-file", "client")})
        raise ClusterError(f"the TLS keys of Dask's settings cannot be used: {error}; they are {files}") from error
    if address.startswith("tls://") and context is None:
        raise ClusterError(
            f"{address} asks for TLS, but Dask's settings name no key (distributed.comm.tls.ca-file, client.cert and "
            f"client.key); see {_HELP}"
        )
    if is_open(address) and security.require_encryption:
        raise ClusterError(f"Dask's settings demand TLS (require-encryption), but {address} is without; see {_HELP}")


def is_open(address: str) -> bool:
    """Whether a scheduler takes orders from everybody who can reach its port."""
    return not address.startswith(("tls://", "wss://", "inproc://"))


def open_warning(address: str) -> str:
    """What a user should know of a scheduler that is open, or empty."""
    if not is_open(address):
        return ""
    return f"whoever can reach {address} can run code on its workers and on this machine; see {_HELP}"
