"""Access to an existing Dask scheduler: its address, the user's keys, and whether it requires authentication.

The keys are those of Dask's own settings (`distributed.comm.tls`), which schedulers and workers read too. They are
checked here before Dask opens a connection, because a Dask client whose keys fail delays the end of the program.
"""

import json
import time
from pathlib import Path

import dask.config
from distributed.security import Security

from musclemap.errors import FileError, MusclemapError
from musclemap.files import read_json_object

CONNECT_SECONDS = 30
"""Timeout for the scheduler file, the connection and the first worker [s]."""

_HELP = "docs/cluster.md, 'Who may use a cluster'"


class ClusterError(MusclemapError):
    """No cluster answers at the address, it refuses the connection, or it has no worker."""


def read_address(file: Path) -> str:
    """Read the address from a scheduler file; wait for a scheduler that is still starting.

    Raises:
        ClusterError: If there is no such file after `CONNECT_SECONDS`, or it has no address.
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
            raise ClusterError(f"{file} is not a Dask scheduler file: it has no address")
        return address


def check_keys(address: str) -> None:
    """Check that the keys in Dask's settings match a scheduler's address.

    Raises:
        ClusterError: If the address requires TLS and the settings name no key, a key cannot be used, or the settings
            require TLS and the address does not use it.
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
            f"{address} requires TLS, but Dask's settings name no key (distributed.comm.tls.ca-file, client.cert and "
            f"client.key); see {_HELP}"
        )
    if is_open(address) and security.require_encryption:
        raise ClusterError(
            f"Dask's settings require TLS (require-encryption), but {address} does not use it; see {_HELP}"
        )


def is_open(address: str) -> bool:
    """Whether a scheduler accepts jobs from anyone who can reach its port."""
    return not address.startswith(("tls://", "wss://", "inproc://"))


def open_warning(address: str) -> str:
    """Warning for the user if a scheduler is open, otherwise an empty string."""
    if not is_open(address):
        return ""
    return f"anyone who can reach {address} can run code on its workers and on this machine; see {_HELP}"
