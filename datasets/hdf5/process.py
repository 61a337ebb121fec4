"""HDF5 files read in another process, so that no file can crash, hang or fill this one.

The HDF5 library trusts what it reads: of a clip with a few bytes changed and its checksums made right again, one in two
hundred ends the process by a signal or never comes back. No check beforehand can tell which, short of a second HDF5
library. So a process of our own opens them (`hdf5_worker`): started at the first file, ended with this process, and
replaced after each file that it refuses. Numbers come back as bytes whose type is fixed here and whose shape is checked
here.
"""

import atexit
import fcntl
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

from musclemap.errors import FileError
from musclemap.files import open_regular, parse_json, shown

from .answer import PATIENCE, Answer, Contents, CutOffError, receive

MAX_FILE = 2**32
"""Largest file that is opened [B]."""

HASHED_ANYWAY = 2**26
"""Size up to which the hash is compared first, although the file cannot be what it should be [B]."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PIPE = 2**20
_ENDED = "the process that reads HDF5 files ended"
_ENDLESS = "the HDF5 library does not come to an end with it"
_PROGRAM = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"


def read_contents(path: Path, *, sha256: str | None) -> Contents:
    """Read a clip's file.

    Args:
        path: The file; a link to a regular file is followed.
        sha256: Hash that the file must have, or None.

    Raises:
        FileError: It is not regular, too large, has another hash, is no HDF5, is not stored plainly, or the library
            fails on it.
    """
    with open_regular(path, limit=MAX_FILE) as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        problem = _superblock_problem(os.pread(descriptor, 64, 0), size)
        if sha256 is not None and (not problem or size <= HASHED_ANYWAY):
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise FileError(f"{path} is not the file that was written: its SHA-256 is not {shown(sha256)}")
            file.seek(0)
        if problem:
            raise FileError(f"{path} cannot be read as HDF5: {problem}")
        try:
            return _READER.read(descriptor)
        except FileError as error:
            raise FileError(f"{path}: {error}") from error
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error}") from error


def _superblock_problem(head: bytes, nbyte: int) -> str:
    """Why a file is no HDF5 by its first bytes, or "". It may be cut off, or be longer than it says: sparse."""
    if head[:8] != _SIGNATURE or len(head) < 48:
        return "it does not begin as such a file"
    version = head[8]
    at = {0: 40, 1: 44, 2: 28, 3: 28}.get(version)
    if at is None:
        return f"its superblock is of version {version}, not 0 to 3"
    end = int.from_bytes(head[at : at + 8], "little")
    return f"it has {nbyte} bytes and says that it ends after {end}" if end != nbyte else ""


class _WorkerError(Exception):
    """A worker ended, or the library failed; the message says how.

    Attributes:
        is_final: Whether another worker would fare no better.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class _RefusedError(Exception):
    """A check of ours refused the file; the worker is fit for the next."""


class _Reader:
    """The program that forks workers, and the worker of now, which takes one file at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._requests: socket.socket | None = None

    def read(self, descriptor: int) -> Contents:
        """Read an open file.

        Where the library fails in a worker that has read other files, the file has a second try in a fresh one, so
        that none is refused for what another did.

        Raises:
            FileError: It is not what it should be, or the library fails on it.
            OSError: No process can be started.
        """
        with self._lock:
            is_used = self._requests is not None
            try:
                return self._request(descriptor)
            except _WorkerError as error:
                if not is_used or error.is_final:
                    raise FileError(f"it cannot be read as HDF5: {error}") from error
            try:
                return self._request(descriptor)
            except _WorkerError as error:
                raise FileError(f"it cannot be read as HDF5: {error}") from error

    def _request(self, descriptor: int) -> Contents:
        """Read a file in the worker of now; after any failure there is none."""
        try:
            return self._answered(descriptor)
        except _RefusedError as error:
            raise FileError(str(error)) from error
        except (_WorkerError, FileError):
            self._drop_worker()
            raise
        except BaseException:
            self._stop()  # they may still be at work on this file
            raise

    def _answered(self, descriptor: int) -> Contents:
        requests = self._worker()
        receiving, sending = os.pipe()
        with open(receiving, "rb", buffering=0) as pipe:
            with suppress(OSError):  # a user may have only so many large pipes
                fcntl.fcntl(receiving, fcntl.F_SETPIPE_SZ, _PIPE)
            try:
                socket.send_fds(requests, [b"r"], [descriptor, sending])
            except ConnectionError as error:
                raise _WorkerError(_ENDED) from error
            finally:
                os.close(sending)
            try:
                contents = receive(Answer(pipe.fileno()))
            except CutOffError:
                contents = None
        try:
            reply = requests.recv(2**16)
        except ConnectionError:
            reply = b""
        if not reply:
            how = self._ending()
            raise _WorkerError(how, is_final=how == _ENDLESS)
        result = parse_json(reply)
        if not result and contents is not None:
            return contents
        if result.get("expected"):
            raise _RefusedError(str(result.get("error")))
        raise _WorkerError(str(result.get("error")))

    def _worker(self) -> socket.socket:
        if self._requests is None:
            control = self._start()
            own, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            own.settimeout(PATIENCE)
            self._requests = own
            with other:
                socket.send_fds(control, [b"w"], [other.fileno()])
        return self._requests

    def _start(self) -> socket.socket:
        if self._program is not None and self._control is not None and self._program.poll() is None:
            return self._control
        self._stop()
        own, other = socket.socketpair()
        own.settimeout(PATIENCE)
        program = _PROGRAM.format(module=f"{__package__}.worker")
        single = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with other:
            self._program = subprocess.Popen(
                [sys.executable, "-I", "-c", program, json.dumps([str(folder) for folder in sys.path])],
                stdin=other.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | single | {"HDF5_PLUGIN_PRELOAD": "::"},  # filters are not loaded as programs
                start_new_session=True,  # Ctrl-C is for this process alone
            )
        self._control = own
        return own

    def _ending(self) -> str:
        """How the worker ended, which it does once nobody takes its answers."""
        self._close_requests()
        try:
            data = self._control.recv(4) if self._control is not None else b""
        except OSError:
            data = b""
        if len(data) < 4:
            self._stop()
            return _ENDED
        status = int.from_bytes(data, "little", signed=True)
        if status == -signal.SIGPROF:
            return _ENDLESS
        return f"the HDF5 library crashed ({signal.Signals(-status).name})" if status < 0 else _ENDED

    def _drop_worker(self) -> None:
        if self._requests is not None:
            self._ending()

    def _close_requests(self) -> None:
        if self._requests is not None:
            self._requests.close()
        self._requests = None

    def _stop(self) -> None:
        self._close_requests()
        if self._control is not None:
            self._control.close()
        if self._program is not None:
            self._program.kill()
            self._program.wait()
        self._program = self._control = None

    def close(self) -> None:
        """End the processes."""
        with self._lock:
            self._stop()

    def forget(self) -> None:
        """After a fork of this process: the other processes belong to the parent."""
        for one in (self._requests, self._control):
            if one is not None:
                one.close()
        if self._program is not None:
            self._program.returncode = 0  # or it would warn that it was left running
        self.__init__()


_READER = _Reader()
os.register_at_fork(after_in_child=_READER.forget)
atexit.register(_READER.close)
