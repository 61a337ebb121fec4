"""Checkpoints: any damage is reported in one message, and the previous checkpoint is read."""

import json
import logging
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tensorstore

from musclemap.failures import Failure, attempt
from musclemap.imitation.errors import TrainingError
from musclemap.imitation.runs import array_store, checkpoint_files
from musclemap.imitation.runs.checkpoints import NUM_KEPT, Checkpoints

from ..support.data.small_states import damaged, state, state_files, without_hashes


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints 3 and 7; shared, so tests must not change them."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    for number in (3, 7):
        Checkpoints(folder).save(state(number), seconds=float(number), software="0")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def test_the_newest_checkpoint_is_read_and_older_ones_are_removed(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    restored = checkpoints.restore(state(0))
    assert (restored.number, restored.seconds, restored.damaged) == (7, 7.0, {})
    for result, expected in zip(jax.tree.leaves(restored.tree), jax.tree.leaves(state(7)), strict=True):
        np.testing.assert_array_equal(result, expected)
    checkpoints.save(state(9), seconds=9.0, software="0")
    assert checkpoints.numbers() == [7, 9]
    assert NUM_KEPT == 2
    assert {path.name for path in folder.iterdir()} == {"7", "9"}


def test_the_learner_state_is_read_for_any_number_of_worlds(folder: Path) -> None:
    restored = Checkpoints(folder).restore_learner(state(0, nworld=50).learner)
    np.testing.assert_array_equal(restored.tree["w0"], state(7).learner["w0"])
    with pytest.raises(TrainingError, match=r"b0'\] has shape \(4,\); this run needs \(6,\): set the same"):
        Checkpoints(folder).restore_learner(state(0, width=6).learner)


def test_checkpoints_of_the_first_version_are_read(folder: Path) -> None:
    without_hashes(folder / "7")
    restored = Checkpoints(folder).restore(state(0))
    assert (restored.number, restored.seconds) == (7, 7.0)


def _add_unknown_entries(folder: Path) -> None:
    (folder / "999").mkdir()
    (folder / "998").touch()
    (folder / "997").symlink_to(folder / "3")
    (folder / "0010").mkdir()
    (folder / "٣").mkdir()
    (folder / ("9" * 5000)[:200]).mkdir()
    os.mkfifo(folder / "996")
    (folder / "notes.txt").write_text("mine")
    (folder / "7.damaged").mkdir()


def test_unknown_entries_are_ignored_and_kept(folder: Path) -> None:
    _add_unknown_entries(folder)
    before = {path.name for path in folder.iterdir()}
    checkpoints = Checkpoints(folder)
    assert checkpoints.numbers() == [3, 7]
    assert checkpoints.restore(state(0)).number == 7
    checkpoints.save(state(8), seconds=8.0, software="0")
    assert checkpoints.latest() == 8
    assert {path.name for path in folder.iterdir()} == (before | {"8"}) - {"3"}


def test_a_file_with_the_name_of_the_next_checkpoint_is_renamed(folder: Path) -> None:
    (folder / "8").write_text("mine")
    Checkpoints(folder).save(state(8), seconds=8.0, software="0")
    assert Checkpoints(folder).restore(state(0)).number == 8
    assert (folder / "8.damaged").read_text() == "mine"


def test_a_killed_writer_leaves_no_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("musclemap.imitation.runs.checkpoints.publish", killed)
    with pytest.raises(KeyboardInterrupt):
        Checkpoints(folder).save(state(8), seconds=8.0, software="0")
    monkeypatch.undo()
    assert Checkpoints(folder).restore(state(0)).number == 7
    Checkpoints(folder).save(state(9), seconds=9.0, software="0")
    assert {path.name for path in folder.iterdir()} == {"7", "9"}


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))


DAMAGES: dict[str, Callable[[Path], object]] = {
    "no state": lambda c: shutil.rmtree(c / "state"),
    "no facts": lambda c: (c / "checkpoint.json").unlink(),
    "empty files": lambda c: [path.write_bytes(b"") for path in state_files(c)],
    "noise": lambda c: [path.write_bytes(random.Random(0).randbytes(3000)) for path in state_files(c / "state")],
    "one flipped bit": lambda c: _flip(max(state_files(c / "state"), key=lambda path: path.stat().st_size)),
    "an extra file": lambda c: (c / "state" / "more").touch(),
    "a pipe": lambda c: os.mkfifo(c / "state" / "more"),
    "a link": lambda c: (c / "state" / "more").symlink_to("/etc/passwd"),
    "a sparse terabyte": lambda c: os.truncate(state_files(c / "state")[0], 2**40),
    "facts are a list": lambda c: (c / "checkpoint.json").write_text("[]"),
    "deeply nested facts": lambda c: (c / "checkpoint.json").write_text("[" * 10**5 + "]" * 10**5),
    "time is a string": lambda c: _facts(c, seconds="long"),
    "negative time": lambda c: _facts(c, seconds=-1.0),
    "name of another checkpoint": lambda c: (shutil.rmtree(c), shutil.copytree(c.with_name("3"), c)),
}


def _facts(checkpoint: Path, **facts: Any) -> None:
    path = checkpoint / "checkpoint.json"
    output = json.loads(path.read_text())
    path.write_text(json.dumps(output | {"facts": output["facts"] | facts}))


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_checkpoint_is_reported_and_the_previous_one_is_read(folder: Path, what: str) -> None:
    DAMAGES[what](folder / "7")
    restored = Checkpoints(folder).restore(state(0))
    assert (restored.number, list(restored.damaged)) == (3, [7])
    assert len(restored.damaged[7]) < 600
    renamed = Checkpoints(folder).set_aside(7)
    assert renamed.name == "7.damaged"
    assert Checkpoints(folder).numbers() == [3]
    DAMAGES[what](folder / "3") if what != "name of another checkpoint" else shutil.rmtree(folder / "3")
    with pytest.raises(TrainingError, match=r"there is no checkpoint in|no checkpoint in .* can be read: 3: "):
        Checkpoints(folder).restore(state(0))


def test_running_out_of_memory_is_not_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("musclemap.imitation.runs.checkpoints.read_arrays", full)
    with pytest.raises(MemoryError):
        Checkpoints(folder).restore(state(0))


def test_arrays_have_the_expected_size_and_not_the_claimed_one(tmp_path: Path) -> None:
    """The claimed chunks, dtypes and shapes are checked before anything is allocated."""
    array_store.write_arrays(tmp_path / "state", {"a": jnp.zeros((2000, 100)), "b": jnp.zeros(3, jnp.int32)})
    for like, output in (
        ({"a": jnp.zeros((2, 2))}, "has shape"), ({"a": jnp.zeros((2000, 100), jnp.int32)}, "has type"),
        ({"c": jnp.zeros(1)}, "has no c"),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match=output):
            array_store.read_arrays(tmp_path / "state", like)


def test_a_chunk_larger_than_its_array_is_not_allocated(tmp_path: Path) -> None:
    array_store.write_arrays(tmp_path / "state", {"a": jnp.zeros((20, 10))})
    stored = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{tmp_path}/state/"}).result()
    output = json.loads(stored["a/.zarray"])
    stored["a/.zarray"] = json.dumps(output | {"chunks": [20, 10**9]})
    with pytest.raises(TrainingError, match="larger than the array"):
        array_store.read_arrays(tmp_path / "state", {"a": jnp.zeros((20, 10))})


def test_a_folder_with_too_many_files_is_rejected(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "MAX_FILES", 3)
    with pytest.raises(TrainingError, match="more than 3 files"):
        Checkpoints(folder).restore(state(0))


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_gives_one_message_and_no_logs(
    folder: Path, seed: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Half of the checkpoints have no hashes, so Orbax must detect the damage."""
    if seed % 2:
        without_hashes(folder / "7")
    how = damaged(folder / "7", random.Random(seed))
    with caplog.at_level(logging.WARNING):
        result = attempt(lambda: Checkpoints(folder).restore(state(0)))
    assert not isinstance(result, Failure), how
    assert not caplog.records, how
    assert "".join(capfd.readouterr()) == "", how
    if not seed % 2:
        assert list(result.damaged) == [7], how


def test_nothing_is_printed_when_the_process_ends(folder: Path) -> None:
    """Other libraries report Orbax's failed tasks unless they are collected in time."""
    for path in state_files(folder / "7" / "state"):
        if path.stat().st_size > 200:
            _flip(path)
    without_hashes(folder / "7")
    code = (
        "import sys; from pathlib import Path; from tests.support.data.small_states import state;"
        "from musclemap.imitation.runs.checkpoints import Checkpoints;"
        "print(Checkpoints(Path(sys.argv[1])).restore(state(0)).damaged)"
    )
    process = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=120, check=False,
    )  # fmt: skip
    assert process.returncode == 0, process.stderr
    assert process.stderr == ""
    assert len(process.stdout.splitlines()) == 1
