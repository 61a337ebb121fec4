"""Checkpoints: whatever is damaged is named in one sentence, and the one before is read."""

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
from musclemap.imitation.runs.checkpoints import KEPT, Checkpoints

from ..support.data.small_states import damaged, state, state_files, without_hashes


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints 3 and 7; not to be changed."""
    folder = tmp_path_factory.mktemp("saved") / "checkpoints"
    for number in (3, 7):
        Checkpoints(folder).save(state(number), seconds=float(number), software="0")
    return folder


@pytest.fixture
def folder(saved: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def test_the_newest_is_read_and_older_ones_are_removed(folder: Path) -> None:
    checkpoints = Checkpoints(folder)
    restored = checkpoints.restore(state(0))
    assert (restored.number, restored.seconds, restored.damaged) == (7, 7.0, {})
    for result, want in zip(jax.tree.leaves(restored.tree), jax.tree.leaves(state(7)), strict=True):
        np.testing.assert_array_equal(result, want)
    checkpoints.save(state(9), seconds=9.0, software="0")
    assert checkpoints.numbers() == [7, 9]
    assert KEPT == 2
    assert {path.name for path in folder.iterdir()} == {"7", "9"}


def test_what_was_learned_is_read_by_its_own_shapes_whatever_the_number_of_worlds(folder: Path) -> None:
    restored = Checkpoints(folder).learned(state(0, nworld=50).learner)
    np.testing.assert_array_equal(restored.tree["w0"], state(7).learner["w0"])
    with pytest.raises(TrainingError, match=r"b0'\] is of shape \(4,\); here it is of shape \(6,\): set the same"):
        Checkpoints(folder).learned(state(0, width=6).learner)


def test_checkpoints_of_the_first_version_are_read(folder: Path) -> None:
    without_hashes(folder / "7")
    restored = Checkpoints(folder).restore(state(0))
    assert (restored.number, restored.seconds) == (7, 7.0)


def _odd(folder: Path) -> None:
    (folder / "999").mkdir()
    (folder / "998").touch()
    (folder / "997").symlink_to(folder / "3")
    (folder / "0010").mkdir()
    (folder / "٣").mkdir()
    (folder / ("9" * 5000)[:200]).mkdir()
    os.mkfifo(folder / "996")
    (folder / "notes.txt").write_text("mine")
    (folder / "7.damaged").mkdir()


def test_odd_entries_are_passed_over_and_kept(folder: Path) -> None:
    _odd(folder)
    before = {path.name for path in folder.iterdir()}
    checkpoints = Checkpoints(folder)
    assert checkpoints.numbers() == [3, 7]
    assert checkpoints.restore(state(0)).number == 7
    checkpoints.save(state(8), seconds=8.0, software="0")
    assert checkpoints.latest() == 8
    assert {path.name for path in folder.iterdir()} == (before | {"8"}) - {"3"}


def test_a_file_that_has_the_name_of_the_next_checkpoint_is_kept_under_another(folder: Path) -> None:
    (folder / "8").write_text("mine")
    Checkpoints(folder).save(state(8), seconds=8.0, software="0")
    assert Checkpoints(folder).restore(state(0)).number == 8
    assert (folder / "8.damaged").read_text() == "mine"


def test_a_writer_that_was_killed_leaves_nothing_that_counts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("musclemap.imitation.runs.checkpoints.give_name", killed)
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
    "a bit": lambda c: _flip(max(state_files(c / "state"), key=lambda path: path.stat().st_size)),
    "a file too much": lambda c: (c / "state" / "more").touch(),
    "a pipe": lambda c: os.mkfifo(c / "state" / "more"),
    "a link": lambda c: (c / "state" / "more").symlink_to("/etc/passwd"),
    "a sparse terabyte": lambda c: os.truncate(state_files(c / "state")[0], 2**40),
    "facts that are a list": lambda c: (c / "checkpoint.json").write_text("[]"),
    "facts nested deeply": lambda c: (c / "checkpoint.json").write_text("[" * 10**5 + "]" * 10**5),
    "time of text": lambda c: _facts(c, seconds="long"),
    "time below 0": lambda c: _facts(c, seconds=-1.0),
    "another's name": lambda c: (shutil.rmtree(c), shutil.copytree(c.with_name("3"), c)),
}


def _facts(checkpoint: Path, **facts: Any) -> None:
    path = checkpoint / "checkpoint.json"
    output = json.loads(path.read_text())
    path.write_text(json.dumps(output | {"facts": output["facts"] | facts}))


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_is_read(folder: Path, what: str) -> None:
    DAMAGES[what](folder / "7")
    restored = Checkpoints(folder).restore(state(0))
    assert (restored.number, list(restored.damaged)) == (3, [7])
    assert len(restored.damaged[7]) < 600
    kept = Checkpoints(folder).set_aside(7)
    assert kept.name == "7.damaged"
    assert Checkpoints(folder).numbers() == [3]
    DAMAGES[what](folder / "3") if what != "another's name" else shutil.rmtree(folder / "3")
    with pytest.raises(TrainingError, match=r"there is no checkpoint in|no checkpoint in .* can be read: 3: "):
        Checkpoints(folder).restore(state(0))


def test_memory_that_does_not_suffice_is_no_damage(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise MemoryError

    monkeypatch.setattr("musclemap.imitation.runs.checkpoints.read_arrays", full)
    with pytest.raises(MemoryError):
        Checkpoints(folder).restore(state(0))


def test_arrays_are_as_large_as_the_run_expects_and_not_as_the_file_claims(tmp_path: Path) -> None:
    """Chunks, types and shapes that a file claims are compared before anything is allocated."""
    array_store.write_arrays(tmp_path / "state", {"a": jnp.zeros((2000, 100)), "b": jnp.zeros(3, jnp.int32)})
    for like, output in (
        ({"a": jnp.zeros((2, 2))}, "shape"), ({"a": jnp.zeros((2000, 100), jnp.int32)}, "of type"),
        ({"c": jnp.zeros(1)}, "has no c"),
    ):  # fmt: skip
        with pytest.raises(TrainingError, match=output):
            array_store.read_arrays(tmp_path / "state", like)


def test_a_chunk_that_claims_to_be_larger_than_its_array_is_not_allocated(tmp_path: Path) -> None:
    array_store.write_arrays(tmp_path / "state", {"a": jnp.zeros((20, 10))})
    stored = tensorstore.KvStore.open({"driver": "ocdbt", "base": f"file://{tmp_path}/state/"}).result()
    output = json.loads(stored["a/.zarray"])
    stored["a/.zarray"] = json.dumps(output | {"chunks": [20, 10**9]})
    with pytest.raises(TrainingError, match="larger than itself"):
        array_store.read_arrays(tmp_path / "state", {"a": jnp.zeros((20, 10))})


def test_a_folder_of_more_files_than_a_checkpoint_has_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(checkpoint_files, "MAX_FILES", 3)
    with pytest.raises(TrainingError, match="more than 3 files"):
        Checkpoints(folder).restore(state(0))


@pytest.mark.parametrize("seed", range(20))
def test_random_damage_is_one_sentence_and_no_noise(
    folder: Path, seed: int, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """Half of them without hashes, so that Orbax has to find it."""
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


def test_nothing_is_printed_at_the_end_of_the_process_either(folder: Path) -> None:
    """Tasks of Orbax that failed are reported, by other libraries, where they are not collected in time."""
    for path in state_files(folder / "7" / "state"):
        if path.stat().st_size > 200:
            _flip(path)
    without_hashes(folder / "7")
    code = (
        "import sys; from pathlib import Path; from tests.support.data.small_states import state;"
        "from musclemap.imitation.runs.checkpoints import Checkpoints;"
        "print(Checkpoints(Path(sys.argv[1])).restore(state(0)).damaged)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, cwd=Path(__file__).parents[2],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(done.stdout.splitlines()) == 1
