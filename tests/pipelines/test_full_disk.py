"""A full disk or a read-only folder gives a one-sentence error; nothing is lost, and the next run recovers."""

import errno
import os
from pathlib import Path

import pytest

from ..support.kills.kill_products import URL
from ..support.kills.kill_scenarios import SCENARIOS

COMMANDS = ["mm-retarget", "mm-validate", "mm-track", "mm-report", "mm-pack", "mm-export"]
MOMENTS = 8


@pytest.fixture(params=COMMANDS)
def command(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """Name of a command, in a folder with its inputs."""
    monkeypatch.chdir(tmp_path)
    URL.write_text("")
    assert SCENARIOS[request.param].prepare() == 0
    return request.param


def has_healed(command: str) -> bool:
    """Whether the next run gives the same result as an undisturbed one."""
    scenario = SCENARIOS[command]
    ended = scenario.command() == scenario.status and not scenario.faults()
    return ended and not list(Path().rglob(".musclemap-*.tmp"))


def test_a_disk_that_fills_up(
    command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    sync = os.fsync
    for moment in range(MOMENTS):
        left = [moment]

        def full(descriptor: int, left: list[int] = left) -> None:
            left[0] -= 1
            if left[0] < 0:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            sync(descriptor)

        capsys.readouterr()
        with monkeypatch.context() as patch:
            patch.setattr(os, "fsync", full)
            status = SCENARIOS[command].command()
        output = capsys.readouterr().err
        assert status in (1, 2), moment
        assert "No space left" in output or "is full" in output
        assert "Traceback" not in output
        assert SCENARIOS[command].faults() == [], moment
    assert has_healed(command)


def test_a_read_only_folder(command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    whole, open_descriptor = Path.open, os.open

    def read_only_descriptor(path: str, flags: int, *arguments: object, **options: object) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return open_descriptor(path, flags, *arguments, **options)  # type: ignore[arg-type]

    def read_only(path: Path, mode: str = "r", *arguments: object, **options: object) -> object:
        if set(mode) & set("wxa+"):
            raise OSError(errno.EROFS, os.strerror(errno.EROFS), str(path))
        return whole(path, mode, *arguments, **options)  # type: ignore[call-overload]

    capsys.readouterr()
    with monkeypatch.context() as patch:
        patch.setattr(Path, "open", read_only)
        patch.setattr(os, "open", read_only_descriptor)
        status = SCENARIOS[command].command()
    output = capsys.readouterr().err
    assert status == 2
    assert "Read-only file system" in output
    assert len(output.strip().splitlines()) == 1
    assert SCENARIOS[command].faults() == []
    assert has_healed(command)
