"""The processes that open HDF5 files: whatever happens to them, the next file is read, and none outlives its reader."""

import ast
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import musclemap
from musclemap.datasets.clip import read_clip, write_clip
from musclemap.datasets.hdf5 import process as hdf5_process
from musclemap.datasets.hdf5.process import _READER
from musclemap.errors import ClipError

from ..support.data.small_clip import small_clip, small_clip_bytes
from ..support.fuzz.clip_mutations import lookup3, sealed_parts


@pytest.fixture
def good(tmp_path: Path) -> Path:
    """A clip; the processes have not started yet."""
    _READER.close()
    write_clip(tmp_path / "good.h5", small_clip())
    return tmp_path / "good.h5"


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def _workers() -> list[int]:
    """The forking program and its current worker."""
    assert _READER._program is not None
    return [_READER._program.pid, *_children(_READER._program.pid)]


def _is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_for_exit(pids: list[int]) -> None:
    deadline = time.monotonic() + 20.0
    while any(map(_is_running, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_is_running, pids))


def test_only_the_worker_opens_untrusted_hdf5_files() -> None:
    """h5py is imported only where files are written and in the worker."""
    root = Path(musclemap.__file__).parent
    importing = set()
    for path in root.glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == "h5py" for name in names):
                importing.add(path.relative_to(root).as_posix())
    assert importing == {"datasets/hdf5/writing.py", "datasets/hdf5/contents.py", "datasets/hdf5/worker.py"}


@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGKILL])
@pytest.mark.parametrize("which", [0, 1])
def test_dead_process_is_replaced(good: Path, end: signal.Signals, which: int) -> None:
    read_clip(good)
    os.kill(_workers()[which], end)
    time.sleep(0.2)
    assert read_clip(good).nframe == 40


def _endless(data: bytes) -> bytes:
    """A global heap whose first object has size -16, so the library finds the next one at the same address for ever."""
    damaged = bytearray(data)
    heap = data.index(b"GCOL")
    damaged[heap + 24 : heap + 32] = (2**64 - 16).to_bytes(8, "little")
    return bytes(damaged)


def test_file_that_hangs_the_library_is_refused(good: Path) -> None:
    data = good.read_bytes()
    bad = good.with_name("bad.h5")
    started = time.perf_counter()
    bad.write_bytes(_endless(data))
    with pytest.raises(ClipError, match="does not finish reading"):
        read_clip(bad)
    assert time.perf_counter() - started < 10.0
    assert read_clip(good).nframe == 40


def test_file_that_crashes_the_library_is_refused(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is killed while it has the file, which looks like a crash from outside."""
    read_clip(good)
    send = hdf5_process.socket.send_fds

    def kill(requests: Any, *rest: Any) -> int:
        monkeypatch.undo()  # the second attempt is left alone
        for pid in _workers()[1:]:
            os.kill(pid, signal.SIGSTOP)
        sent = send(requests, *rest)
        for pid in _workers()[1:]:
            os.kill(pid, signal.SIGSEGV)
            os.kill(pid, signal.SIGCONT)
        return sent

    monkeypatch.setattr(hdf5_process.socket, "send_fds", kill)
    assert read_clip(good).nframe == 40  # a worker that has read other files: tried again in a fresh one
    assert read_clip(good).nframe == 40


def test_valid_file_is_read_after_damaged_ones(good: Path) -> None:
    data = good.read_bytes()
    parts = sealed_parts(data)
    bad = good.with_name("bad.h5")
    for start, end in parts[1:]:
        damaged = bytearray(data)
        damaged[start + 5 : start + 9] = b"\xff\xff\xff\x7f"
        damaged[end : end + 4] = lookup3(bytes(damaged[start:end])).to_bytes(4, "little")
        bad.write_bytes(damaged)
        with pytest.raises(ClipError):
            read_clip(bad)
        np.testing.assert_array_equal(read_clip(good).qpos, small_clip().qpos)


def test_checksums_match_those_of_the_file() -> None:
    """The superblock's checksum matches, so the hash is correct; all kinds of parts are present."""
    data = small_clip_bytes(nframe=300)
    assert lookup3(data[:44]).to_bytes(4, "little") == data[44:48]
    signatures = {data[start : start + 4] for start, _ in sealed_parts(data)}
    assert signatures >= {b"OHDR", b"OCHK", b"FRHP", b"BTHD", b"BTLF", b"FAHD", b"FADB"}


def test_threads_take_turns(good: Path) -> None:
    frames: list[int] = []

    def read_some() -> None:
        for _ in range(5):
            frames.append(read_clip(good).nframe)

    threads = [threading.Thread(target=read_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert frames == [40] * 20


def test_fork_has_its_own_processes(good: Path) -> None:
    read_clip(good)
    before = _workers()
    pid = os.fork()
    if pid == 0:
        os._exit(0 if read_clip(good).nframe == 40 and _workers()[0] != before[0] else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
    assert read_clip(good).nframe == 40
    assert _workers() == before


PROGRAM = """
import sys, time
from pathlib import Path
from musclemap.datasets.clip import read_clip
from musclemap.datasets.hdf5.process import _READER
read_clip(Path(sys.argv[1]))
own = _READER._program.pid
print(own, *Path(f"/proc/{own}/task/{own}/children").read_text().split(), flush=True)
exec(sys.argv[2])
"""


@pytest.mark.parametrize(
    ("then", "status"),
    [
        ("pass", 0),
        ("raise SystemExit(3)", 3),
        ("import os; os._exit(0)", 0),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", -signal.SIGKILL),
        ("import os, signal; os.kill(os.getpid(), signal.SIGTERM)", -signal.SIGTERM),
        ("import threading; threading.Thread(target=time.sleep, args=(9,), daemon=True).start()", 0),
    ],
)
def test_no_process_outlives_the_program(good: Path, then: str, status: int) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), str(good), then]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    pids = [int(text) for text in done.stdout.split()]
    assert len(pids) == 2
    _wait_for_exit(pids)


def test_ctrl_c_does_not_reach_the_workers(good: Path) -> None:
    """The terminal sends it to its whole process group; the readers are in a session of their own."""
    read_clip(good)
    assert os.getpgid(_workers()[0]) != os.getpgid(0)
    for pid in _workers():
        os.kill(pid, signal.SIGINT)
    before = _workers()
    assert read_clip(good).nframe == 40
    assert _workers() == before


def test_worker_cannot_open_or_write_files(good: Path) -> None:
    read_clip(good)
    limits = Path(f"/proc/{_workers()[1]}/limits").read_text("ascii").splitlines()
    soft = {line[:26].strip(): line[26:].split()[:2] for line in limits[1:]}
    assert soft["Max file size"] == ["0", "0"]
    assert soft["Max open files"] == ["5", "5"]
    assert int(soft["Max address space"][0]) < 2**31
    assert soft["Max core file size"] == ["0", "0"]
    assert len(list(Path(f"/proc/{_workers()[1]}/fd").iterdir())) == 3
