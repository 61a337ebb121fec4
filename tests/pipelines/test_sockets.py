"""A run opens sockets only on the loopback interface, has no HTTP server and refuses unauthenticated clients."""

import contextlib
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ..support.cluster_runs import archive, convert, start, until_a_line, workers_below
from ..support.hand_started import HandStarted
from ..support.hostile.sockets import listening_sockets, process_tree, wait_for_sockets
from ..support.hostile.unauthenticated import assert_refuses_unauthenticated, run_remotely

SECRET = b"PRIVATE KEY"


@contextmanager
def running(folder: Path) -> Iterator[subprocess.Popen[str]]:
    """Separate process that runs two workers, has finished its first file and takes a few more seconds."""
    source = archive(folder / "in", *(f"m{k:03}slow" for k in range(200)))
    (folder / "temporary").mkdir()
    run = start(folder, source, folder / "out", environ={"TMPDIR": str(folder / "temporary")})
    try:
        until_a_line(folder / "out")
        yield run
    finally:
        run.kill()
        run.communicate()


def readable_files(folder: Path) -> Iterator[tuple[Path, bytes]]:
    """Every file below a folder with its contents; temporary files may vanish while a run writes."""
    for path in folder.rglob("*"):
        with contextlib.suppress(FileNotFoundError, IsADirectoryError):
            yield path, path.read_bytes()


def test_the_list_of_sockets_is_complete() -> None:
    """Every kind of reachable socket is listed with its address, and no other socket is."""
    before = set(listening_sockets(os.getpid()))
    with (
        socket.create_server(("0.0.0.0", 0)) as everywhere,
        socket.create_server(("127.0.0.1", 0)) as here,
        socket.create_server(("::1", 0), family=socket.AF_INET6) as six,
        socket.socket(type=socket.SOCK_DGRAM) as datagrams,
        socket.create_connection(here.getsockname()),
    ):
        datagrams.bind(("127.0.0.1", 0))
        result = {(s.kind, s.address, s.port): s.local for s in set(listening_sockets(os.getpid())) - before}
        expected = {("tcp", everywhere): False, ("tcp", here): True, ("tcp6", six): True, ("udp", datagrams): True}
        assert result == {(kind, *end.getsockname()[:2]): local for (kind, end), local in expected.items()}


def test_a_run_listens_only_on_loopback_and_refuses_unknown_clients(tmp_path: Path) -> None:
    with running(tmp_path) as run:
        sockets = wait_for_sockets(run.pid, 3)
        workers = workers_below(run.pid)
        assert len(workers) == 2
        assert [each for each in sockets if not each.local] == []
        assert sorted(each.pid for each in sockets) == sorted([run.pid, *workers])  # a scheduler and two workers
        for each in sockets:
            assert_refuses_unauthenticated(each, tmp_path / "mark")
        assert run.poll() is None


def test_the_same_client_can_connect_to_an_open_worker(tmp_path: Path) -> None:
    """Control: shows that the refusal in the other test is meaningful."""
    cluster = HandStarted(tmp_path)
    try:
        cluster.add_worker()
        deadline = time.monotonic() + 60
        while not (tmp_path / "mark").exists() and time.monotonic() < deadline:
            for each in listening_sockets(os.getpid()):
                with contextlib.suppress(OSError, ValueError, AttributeError):  # not a worker
                    run_remotely(f"tcp://127.0.0.1:{each.port}", tmp_path / "mark")
        assert (tmp_path / "mark").exists()
    finally:
        cluster.end()


def test_other_users_can_neither_read_nor_replace_files_of_a_run(tmp_path: Path) -> None:
    """Applies to the key and to the folders that the processes import from."""
    with running(tmp_path) as run:
        for pid in process_tree(run.pid):
            for name in ("cmdline", "environ"):
                assert SECRET not in Path(f"/proc/{pid}/{name}").read_bytes()
        contents = dict(readable_files(tmp_path))
        assert len(contents) > 200
        assert [path for path, data in contents.items() if SECRET in data] == []
        made = {path.name: path.stat().st_mode & 0o077 for path in (tmp_path / "temporary").iterdir()}
        assert made == {f"musclemap-dask-{os.getuid()}": 0}


def test_workers_import_nothing_from_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The current folder may hold a downloaded data set."""
    here = tmp_path / "data"
    source = archive(here, "a", "b")
    mark = tmp_path / "imported"
    for name in ("numpy", "h5py", "distributed", "json"):
        (here / f"{name}.py").write_text(f"open({str(mark)!r}, 'w').close()\nraise SystemExit(1)\n")
    monkeypatch.chdir(here)
    assert convert(source, tmp_path / "out").counts["ok"] == 2
    assert not mark.exists()
