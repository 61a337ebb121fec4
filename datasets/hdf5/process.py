"""Reads HDF5 files in another process, so that no file can crash, hang or fill this one.

The HDF5 library trusts its input: of clips with a few changed bytes and corrected checksums, one in two hundred kills
the process by a signal or never returns. No check can detect these beforehand, short of a second HDF5 library. A
separate process therefore opens the files (`worker.py`): started with the first file, ended with this process, and
replaced after each file that makes the library fail. It sends numbers as bytes, whose type is fixed and whose shape is
checked here.
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

from musclemap.datasets.file_layout import FileLayout
from musclemap.errors import FileError
from musclemap.files import open_regular, parse_json, shown

from .protocol import TIMEOUT, FileContents, IncompleteError, PipeReader, receive

MAX_FILE = 2**32
"""Largest file that is opened [B]."""

ALWAYS_HASHED = 2**26
"""Size up to which the hash is compared first, even if the file is already known to be invalid [B]."""

_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_PIPE = 2**20
_ENDED = "the process that reads HDF5 files ended"
_ENDLESS = "the HDF5 library does not finish reading it"
_PROGRAM = "import sys, json; sys.path[:] = json.loads(sys.argv[1]); from {module} import main; main()"


def read_contents(path: Path, *, layout: FileLayout, sha256: str | None) -> FileContents:
    """Read the file of a clip or track.

    Args:
        path: The file; a link to a regular file is followed.
        layout: Datasets and attributes to read.
        sha256: Hash that the file must have, or None.

    Raises:
        FileError: If it is not a regular file, is too large, has another hash, is not HDF5, is not stored plainly, or
            makes the library fail.
    """
    with open_regular(path, limit=MAX_FILE) as file:
        descriptor = file.fileno()
        size = os.fstat(descriptor).st_size
        problem = _superblock_problem(os.pread(descriptor, 64, 0), size)
        if sha256 is not None and (not problem or size <= ALWAYS_HASHED):
            if hashlib.file_digest(file, "sha256").hexdigest() != sha256:
                raise FileError(f"{path} is not the file that was written: its SHA-256 is not {shown(sha256)}")
            file.seek(0)
        if problem:
            raise FileError(f"{path} cannot be read as HDF5: {problem}")
        try:
            return _READER.read(descriptor, layout)
        except FileError as error:
            raise FileError(f"{path}: {error}") from error
        except OSError as error:
            raise FileError(f"{path} cannot be read: {error}") from error


def _superblock_problem(head: bytes, nbyte: int) -> str:
    """Why a file is not complete HDF5 by its first bytes, or "". A wrong length means truncated or sparse."""
    if head[:8] != _SIGNATURE or len(head) < 48:
        return "it does not begin as an HDF5 file"
    version = head[8]
    offset = {0: 40, 1: 44, 2: 28, 3: 28}.get(version)
    if offset is None:
        return f"its superblock is of version {version}, not 0 to 3"
    end = int.from_bytes(head[offset : offset + 8], "little")
    return f"it has {nbyte} bytes but states that it ends after {end}" if end != nbyte else ""


class _WorkerError(Exception):
    """A worker ended, or the library failed; the message gives the reason.

    Attributes:
        is_final: Whether a retry in another worker is pointless.
    """

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message)
        self.is_final = is_final


class _RefusedError(Exception):
    """One of our own checks refused the file; the worker can continue."""


class _Reader:
    """The program that forks workers, and the current worker, which reads one file at a time."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._program: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._requests: socket.socket | None = None

    def read(self, descriptor: int, layout: FileLayout) -> FileContents:
        """Read an open file.

        If the library fails in a worker that has read other files, the file is tried again in a fresh worker, so that
        no file is refused because of an earlier one.

        Raises:
            FileError: If the file is refused or the library fails on it.
            OSError: If no process can be started.
        """
        with self._lock:
            is_used = self._requests is not None
            try:
                return self._request(descriptor, layout)
            except _WorkerError as error:
                if not is_used or error.is_final:
                    raise FileError(f"it cannot be read as HDF5: {error}") from error
            try:
                return self._request(descriptor, layout)
            except _WorkerError as error:
                raise FileError(f"it cannot be read as HDF5: {error}") from error

    def _request(self, descriptor: int, layout: FileLayout) -> FileContents:
        """Read a file in the current worker; any failure ends that worker."""
        try:
            return self._exchange(descriptor, layout)
        except _RefusedError as error:
            raise FileError(str(error)) from error
        except (_WorkerError, FileError):
            self._drop_worker()
            raise
        except BaseException:
            self._stop()  # the worker may still be reading this file
            raise

    def _exchange(self, descriptor: int, layout: FileLayout) -> FileContents:
        """Send a file to the worker and receive its contents."""
        requests = self._worker()
        receiving, sending = os.pipe()
        with open(receiving, "rb", buffering=0) as pipe:
            with suppress(OSError):  # the number of large pipes per user is limited
                fcntl.fcntl(receiving, fcntl.F_SETPIPE_SZ, _PIPE)
            try:
                socket.send_fds(requests, [layout.name.encode("ascii")], [descriptor, sending])
            except ConnectionError as error:
                raise _WorkerError(_ENDED) from error
            finally:
                os.close(sending)
            try:
                contents = receive(PipeReader(pipe.fileno()), layout)
            except IncompleteError:
                contents = None
        try:
            reply = requests.recv(2**16)
        except ConnectionError:
            reply = b""
        if not reply:
            reason = self._exit_reason()
            raise _WorkerError(reason, is_final=reason == _ENDLESS)
        status = parse_json(reply)
        if not status and contents is not None:
            return contents
        if status.get("expected"):
            raise _RefusedError(str(status.get("error")))
        raise _WorkerError(str(status.get("error")))

    def _worker(self) -> socket.socket:
        if self._requests is None:
            control = self._start()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            ours.settimeout(TIMEOUT)
            self._requests = ours
            with theirs:
                socket.send_fds(control, [b"w"], [theirs.fileno()])
        return self._requests

    def _start(self) -> socket.socket:
        if self._program is not None and self._control is not None and self._program.poll() is None:
            return self._control
        self._stop()
        ours, theirs = socket.socketpair()
        ours.settimeout(TIMEOUT)
        program = _PROGRAM.format(module=f"{__package__}.worker")
        one_thread = dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"), "1")
        with theirs:
            self._program = subprocess.Popen(
                [sys.executable, "-I", "-c", program, json.dumps([str(folder) for folder in sys.path])],
                stdin=theirs.fileno(),
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=os.environ | one_thread | {"HDF5_PLUGIN_PRELOAD": "::"},  # no filters are loaded as programs
                start_new_session=True,  # Ctrl-C must not reach it
            )
        self._control = ours
        return ours

    def _exit_reason(self) -> str:
        """Wait for the worker to exit, which it does when its socket closes, and return why it did."""
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
            self._exit_reason()

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

    def after_fork(self) -> None:
        """Close the copies in a forked child; the processes belong to the parent."""
        for connection in (self._requests, self._control):
            if connection is not None:
                connection.close()
        if self._program is not None:
            self._program.returncode = 0  # prevents a warning that it is still running
        self.__init__()


_READER = _Reader()
os.register_at_fork(after_in_child=_READER.after_fork)
atexit.register(_READER.close)
