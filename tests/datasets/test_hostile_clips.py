"""A clip's file cannot lead outside itself, exhaust the memory, or contain types that the package does not expect."""

import resource
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from musclemap.datasets.clip import read_clip, write_clip
from musclemap.errors import ClipError

from ..support.data.small_clip import small_clip
from ..support.fuzz.clip_mutations import make_valid, mutated, read, sealed_parts
from ..support.hostile.hostile_clips import HARMLESS, REFUSED, Edit, make_odd_files, write_edited


@pytest.mark.parametrize(("edit", "message"), REFUSED.values(), ids=REFUSED)
def test_malicious_clip_is_refused_by_name_and_without_memory(tmp_path: Path, edit: Edit, message: str) -> None:
    write_edited(tmp_path / "clip.h5", edit)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(ClipError, match=message) as raised:
        read_clip(tmp_path / "clip.h5")
    assert len(str(raised.value)) < 600
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 300_000  # [KiB]


@pytest.mark.parametrize("edit", HARMLESS.values(), ids=HARMLESS)
def test_unusual_but_valid_clip_is_read(tmp_path: Path, edit: Edit) -> None:
    write_edited(tmp_path / "clip.h5", edit)
    assert read_clip(tmp_path / "clip.h5").nframe == 40


def test_irregular_files_are_refused_immediately(tmp_path: Path) -> None:
    """Including with a hash to compare, for which the file would be read first."""
    refused: list[str] = []

    def read_all() -> None:
        for path in make_odd_files(tmp_path):
            for sha256 in (None, "ab" * 32):
                with pytest.raises(ClipError):
                    read_clip(path, sha256=sha256)
                refused.append(path.name)

    limit = resource.getrlimit(resource.RLIMIT_FSIZE)
    thread = threading.Thread(target=read_all, daemon=True)
    thread.start()
    thread.join(30.0)
    assert len(refused) == 14
    assert resource.getrlimit(resource.RLIMIT_FSIZE) == limit


@pytest.mark.parametrize(
    "changes",
    [
        {"licence": "a\0b"},
        {"source": "\ud800"},
        {"model": "x" * 100_000},
        {"fps": 1e9},
        {"metrics": {"a": {"b": 1}}},
        {"metrics": {"a": 2**70}},
        {"metrics": {"\ud800": 1}},
        {"config": {"a": object()}},
        {"reasons": ({"rule": 5},)},
        {"reasons": ({"rule": "a", "frames": "abc"},)},
        {"software": {"a": [1]}},
        {"joint_names": ("a" * 1000,)},
        {"qpos": np.full((40, 9), 1e20)},
    ],
    ids=lambda changes: f"{next(iter(changes))}-{type(next(iter(changes.values()))).__name__}",
)
def test_clip_that_readers_would_refuse_is_not_written(tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(ClipError):
        write_clip(tmp_path / "clip.h5", small_clip(**changes))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_damaged_clips_are_read_or_refused(tmp_path: Path) -> None:
    """Any damage, with or without corrected checksums, gives a clip or a refusal, quickly and with little memory.

    In a new process: a forked reader's peak memory begins with its parent's, which earlier tests have enlarged.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        refused, slowest, memory = pool.submit(read_damaged_clips, tmp_path, 2000).result()
    assert refused > 1000
    assert slowest < 10.0
    assert memory < 2**21


def read_damaged_clips(folder: Path, count: int) -> tuple[int, float, int]:
    """Read damaged clips; return how many were refused, the longest time [s] and the readers' peak memory [KiB]."""
    valid, rng, slowest, refused = make_valid(), np.random.default_rng(20), 0.0, 0
    parts = sealed_parts(valid)
    assert len(parts) > 20
    for _ in range(count):
        started = time.perf_counter()
        try:
            read(mutated(valid, parts, rng), folder)
        except ClipError:
            refused += 1
        slowest = max(slowest, time.perf_counter() - started)
    assert read(valid, folder).nframe == 300
    return refused, slowest, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss
