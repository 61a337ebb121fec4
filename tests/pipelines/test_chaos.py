"""Conversion of many small clips with every kind of failure; the final result equals that of an undisturbed run.

`make chaos` converts more motions, with several seeds.
"""

import contextlib
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from musclemap.pipelines.convert import jobs

from ..support.cluster_runs import (
    SMALL_JOBS,
    archive,
    contents,
    convert,
    convert_alone,
    journal_size,
    kill,
    start,
    until_a_line,
    workers_below,
)
from ..support.hand_started import HandStarted
from ..support.hazards import FULL, MARKS

FULL_SIZE = "CHAOS" in os.environ
NMOTION = 400 if FULL_SIZE else 120
SEEDS = range(5) if FULL_SIZE else [4]

LONGEST = 150.0
"""Time after which a run counts as hanging [s]."""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`NMOTION` motions in 9 folders; the fake retargeter takes 0.1 s for each."""
    return archive(tmp_path_factory.mktemp("chaos") / "in", *(f"s{k % 9}/m{k:03}slow" for k in range(NMOTION)))


@pytest.fixture(scope="module")
def calm(source: Path) -> dict[str, bytes]:
    """Files of an undisturbed run."""
    convert_alone(source, source.with_name("calm"))
    return contents(source.with_name("calm"))


@contextlib.contextmanager
def hand_started(folder: Path) -> Iterator[HandStarted]:
    folder.mkdir()
    cluster = HandStarted(folder)
    try:
        for _ in range(2):
            cluster.add_worker()
        cluster.wait()
        yield cluster
    finally:
        cluster.end()


@pytest.mark.slow
def test_a_manually_started_cluster(
    tmp_path: Path, source: Path, calm: dict[str, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "MIN_JOB_BYTES", SMALL_JOBS)
    messages: list[str] = []
    with hand_started(tmp_path / "dask") as cluster:
        summary = convert(source, tmp_path / "out", scheduler_file=cluster.file, on_message=messages.append)
    assert summary.counts["ok"] == NMOTION
    assert messages[0].startswith("Dask's dashboard: http://")
    assert contents(tmp_path / "out") == calm


class Disturbed:
    """Runs on a copy of the motions, each disturbed at a random time after its first finished file.

    Args:
        folder: For everything.
        source: The motions.
        rng: Decides when, and whom it hits.

    Attributes:
        messages: Standard error of the last run of each kind.
    """

    def __init__(self, folder: Path, source: Path, rng: random.Random) -> None:
        self.folder, self.whole, self.rng = folder, source, rng
        self.source = Path(shutil.copytree(source, folder / "in"))
        self.out, self.marks = folder / "out", folder / "marks"
        self.marks.mkdir()
        self.replaced: list[Path] = []
        self.messages: dict[str, str] = {}

    def run(self, event: str, *, change: str = "") -> int:
        """Perform one run and return its exit status."""
        with hand_started(self.folder / "dask") if event == "lose scheduler" else contextlib.nullcontext() as cluster:
            before = journal_size(self.out)
            run = start(
                self.folder, self.source, self.out, scheduler=cluster.file if cluster else None,
                environ={MARKS: str(self.marks)},
            )  # fmt: skip
            watch = threading.Thread(target=lambda: self.messages.update({event: run.communicate()[1]}), daemon=True)
            watch.start()
            if event or change:
                until_a_line(self.out, more_than=before)
            if change:
                self._change(change)
            if event:
                time.sleep(self.rng.uniform(0.0, 1.0))
                self._disturb(event, run, cluster)
            watch.join(LONGEST)
            if watch.is_alive():
                os.killpg(run.pid, signal.SIGKILL)
                pytest.fail(f"a run never ended: {event or 'left alone'}")
        (self.marks / FULL).unlink(missing_ok=True)
        return run.returncode

    def _disturb(self, event: str, run: subprocess.Popen[str], cluster: HandStarted | None) -> None:
        match event:
            case "kill all":
                os.killpg(run.pid, signal.SIGKILL)
            case "interrupt":
                os.kill(run.pid, signal.SIGINT)
            case "fill disk":
                (self.marks / FULL).touch()
            case "lose scheduler" if cluster:
                cluster.kill_scheduler()
            case "kill workers":
                for _ in range(3):
                    _kill_one(workers_below(run.pid), self.rng)
                    time.sleep(self.rng.uniform(1.5, 2.5))
            case _:
                raise AssertionError(event)

    def _change(self, change: str) -> None:
        """Replace some motions by other motions and by invalid files, or restore all of them."""
        if change == "replace":
            paths = sorted(path.relative_to(self.source) for path in self.source.rglob("*.npz"))
            self.replaced = self.rng.sample(paths, 12)
            for k, path in enumerate(self.replaced):
                _replace(self.source / path, b"no motion" if k < 3 else (self.whole / paths[k]).read_bytes())
        else:
            for path in self.replaced:
                _replace(self.source / path, (self.whole / path).read_bytes())


def _replace(path: Path, data: bytes) -> None:
    beside = path.with_suffix(".new")
    beside.write_bytes(data)
    beside.replace(path)


def _kill_one(workers: Sequence[int], rng: random.Random) -> None:
    if workers:
        kill(rng.choice(workers))


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_chaos(tmp_path: Path, source: Path, calm: dict[str, bytes], seed: int) -> None:
    """Runs and workers are killed, the disk fills up, the scheduler is lost, sources are replaced and restored."""
    rng = random.Random(seed)
    disturbed = Disturbed(tmp_path, source, rng)
    endings = ["kill all", "interrupt", "fill disk", "lose scheduler"]
    rng.shuffle(endings)
    changes = ["replace", "", "", "give back"]
    status = {ending: disturbed.run(ending, change=change) for ending, change in zip(endings, changes, strict=True)}
    assert all(status.values()), "each run was in the middle when it ended"
    assert (status["kill all"], status["fill disk"], status["lose scheduler"]) == (
        -signal.SIGKILL, 3, 3
    ), disturbed.messages  # fmt: skip
    disturbed.run("kill workers")
    assert disturbed.run("") == 0
    assert contents(disturbed.out) == calm
