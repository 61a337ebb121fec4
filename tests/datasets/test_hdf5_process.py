"""The processes that open HDF5 files: whatever becomes of them, the next file is read, and none outlives its reader."""

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
    """A clip; the processes have not been started yet."""
    _READER.close()
    write_clip(tmp_path / "good.h5", small_clip())
    return tmp_path / "good.h5"


def _children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text("ascii").split()]


def _workers() -> list[int]:
    """The program that forks, and the worker it has forked."""
    assert _READER._program is not None
    return [_READER._program.pid, *_children(_READER._program.pid)]


def _is_there(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text("ascii").rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def _wait_for_the_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + 20.0
    while any(map(_is_there, pids)) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not any(map(_is_there, pids))


def test_only_one_module_opens_files_that_others_may_have_made() -> None:
    """h5py is imported where clips are written and in the worker, and nowhere else."""
    root = Path(musclemap.__file__).parent
    importing = set()
    for path in root.glob("*/**/*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            if any(name.split(".")[0] == "h5py" for name in names):
                importing.add(path.relative_to(root).as_posix())
    assert importing == {"datasets/clip.py", "datasets/hdf5/contents.py", "datasets/hdf5/worker.py"}


@pytest.mark.parametrize("end", [signal.SIGSEGV, signal.SIGKILL])
@pytest.mark.parametrize("which", [0, 1])
def test_a_process_that_ended_is_replaced(good: Path, end: signal.Signals, which: int) -> None:
    read_clip(good)
    os.kill(_workers()[which], end)
    time.sleep(0.2)
    assert read_clip(good).nframe == 40


def _endless(data: bytes) -> bytes:
    """A heap of texts whose first object has size -16: to the library, the next one is in the same place for ever."""
    damaged = bytearray(data)
    at = data.index(b"GCOL")
    damaged[at + 24 : at + 32] = (2**64 - 16).to_bytes(8, "little")
    return bytes(damaged)


def test_a_file_that_the_library_never_comes_to_an_end_with_is_refused(good: Path) -> None:
    data = good.read_bytes()
    bad = good.with_name("bad.h5")
    started = time.perf_counter()
    bad.write_bytes(_endless(data))
    with pytest.raises(ClipError, match="does not come to an end"):
        read_clip(bad)
    assert time.perf_counter() - started < 10.0
    assert read_clip(good).nframe == 40


def test_a_file_that_crashes_the_library_is_refused(good: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The worker is killed while it has the file, which is what a crash looks like from outside."""
    read_clip(good)
    send = hdf5_process.socket.send_fds

    def kill(requests: Any, *rest: Any) -> int:
        for pid in _workers()[1:]:
            os.kill(pid, signal.SIGSTOP)
        sent = send(requests, *rest)
        for pid in _workers()[1:]:
            os.kill(pid, signal.SIGSEGV)
            os.kill(pid, signal.SIGCONT)
        return sent

    monkeypatch.setattr(hdf5_process.socket, "send_fds", kill)
    assert read_clip(good).nframe == 40  # a worker that had read other files: tried again in a fresh one
    monkeypatch.undo()
    assert read_clip(good).nframe == 40


def test_a_good_file_after_bad_ones_is_read_as_ever(good: Path) -> None:
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


def test_checksums_are_those_of_the_file() -> None:
    """The superblock's is where the format has it, so the hash is right; and there are parts of every kind."""
    data = small_clip_bytes(nframe=300)
    assert lookup3(data[:44]).to_bytes(4, "little") == data[44:48]
    result = {data[start : start + 4] for start, _ in sealed_parts(data)}
    assert result >= {b"OHDR", b"OCHK", b"FRHP", b"BTHD", b"BTLF", b"FAHD", b"FADB"}


def test_threads_take_turns(good: Path) -> None:
    result: list[int] = []

    def read_some() -> None:
        for _ in range(5):
            result.append(read_clip(good).nframe)

    threads = [threading.Thread(target=read_some) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60.0)
    assert result == [40] * 20


def test_a_fork_has_processes_of_its_own(good: Path) -> None:
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
def test_nothing_is_left_when_a_program_ends(good: Path, then: str, status: int) -> None:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-W", "error", "-c", textwrap.dedent(PROGRAM), str(good), then]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (status, "")
    pids = [int(text) for text in done.stdout.split()]
    assert len(pids) == 2
    _wait_for_the_end_of(pids)


def test_ctrl_c_is_for_the_program_alone(good: Path) -> None:
    """The terminal sends it to all processes of its group; those that read files are in a session of their own."""
    read_clip(good)
    assert os.getpgid(_workers()[0]) != os.getpgid(0)
    for pid in _workers():
        os.kill(pid, signal.SIGINT)
    before = _workers()
    assert read_clip(good).nframe == 40
    assert _workers() == before


def test_a_worker_can_open_and_write_no_file(good: Path) -> None:
    read_clip(good)
    limits = Path(f"/proc/{_workers()[1]}/limits").read_text("ascii").splitlines()
    soft = {line[:26].strip(): line[26:].split()[:2] for line in limits[1:]}
    assert soft["Max file size"] == ["0", "0"]
    assert soft["Max open files"] == ["5", "5"]
    assert int(soft["Max address space"][0]) < 2**31
    assert soft["Max core file size"] == ["0", "0"]
    assert len(list(Path(f"/proc/{_workers()[1]}/fd").iterdir())) == 3
