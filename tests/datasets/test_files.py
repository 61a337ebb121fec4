"""Reading of untrusted files: limits hold, file types are checked, nothing blocks."""

import json
import os
import threading
import tracemalloc
from pathlib import Path

import pytest

from musclemap.errors import ClipError, FileError, SourceError
from musclemap.failures import Failure, attempt, describe
from musclemap.files import (
    MAX_JSON_DEPTH,
    check_fields,
    parse_json,
    read_bytes,
    read_json,
    read_json_object,
    shown,
)  # fmt: skip
from musclemap.reason_codes import ReasonCode


def test_regular_file_is_read_completely_and_through_a_link(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert read_bytes(tmp_path / "b", limit=100) == b"x" * 100


def test_too_large_file_is_refused_before_reading(tmp_path):
    with (tmp_path / "sparse").open("wb") as file:
        file.truncate(2**40)
    with pytest.raises(FileError, match="at most 1000"):
        read_bytes(tmp_path / "sparse", limit=1000)


def test_small_file_takes_little_memory_whatever_the_limit(tmp_path):
    (tmp_path / "a").write_bytes(b"x" * 100)
    tracemalloc.start()
    try:
        assert len(read_bytes(tmp_path / "a", limit=2**32)) == 100
        assert tracemalloc.get_traced_memory()[1] < 2**20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="only Linux has files without a size")
def test_file_without_a_size_is_read_completely():
    assert os.stat("/proc/self/status").st_size == 0
    assert b"Name:" in read_bytes(Path("/proc/self/status"), limit=2**20)[:100]
    with pytest.raises(FileError, match="beyond 10 bytes"):
        read_bytes(Path("/proc/self/status"), limit=10)


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: os.symlink("/dev/zero", path)])
def test_irregular_files_are_refused_immediately(tmp_path, make):
    make(tmp_path / "odd")
    raised: list[Exception] = []

    def read() -> None:
        try:
            read_bytes(tmp_path / "odd", limit=1000)
        except FileError as error:
            raised.append(error)

    thread = threading.Thread(target=read, daemon=True)
    thread.start()
    thread.join(5.0)
    assert raised


def test_missing_file_and_impossible_name_are_file_errors(tmp_path):
    for name in ("none", "nul\0name", "x" * 5000):
        with pytest.raises(FileError, match="cannot be read"):
            read_bytes(tmp_path / name, limit=10)


def test_json_is_parsed_as_by_the_standard_library():
    tree = {"a": [1, 2.5, None, True, "é", "\udcff"], "b": {"c": -(2**63 - 1)}}
    assert parse_json(json.dumps(tree).encode()) == tree


def test_numbers_that_are_not_finite_become_none():
    assert parse_json(b'{"a": NaN, "b": [1e999, -Infinity]}') == {"a": None, "b": [None, None]}
    assert parse_json(b"NaN") is None


def test_json_nesting_is_limited():
    deep = b"[" * (MAX_JSON_DEPTH + 1) + b"]" * (MAX_JSON_DEPTH + 1)
    assert parse_json(deep)
    for depth in (MAX_JSON_DEPTH + 2, 500, 200_000):
        with pytest.raises(FileError, match="nested deeper"):
            parse_json(b"[" * depth + b"]" * depth)


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"\xff", b'{"a": 1} x', b"9" * 400, b"9" * 5000, b'"\\ud800"', b'{"\\ud800": 1}', b"\xef\xbb\xbf{}"],
)
def test_invalid_json_is_a_file_error(text):
    with pytest.raises(FileError):
        parse_json(text)


def test_root_must_be_an_object_if_required(tmp_path):
    path = tmp_path / "a.json"
    path.write_text("[]")
    assert read_json(path) == []
    with pytest.raises(FileError, match="not a JSON object"):
        read_json_object(path)


def test_fields_are_checked_by_type_and_a_bool_is_not_a_number():
    check_fields({"a": 1, "b": "x", "c": None}, {"a": int, "b": (str, list)}, where="it")
    for tree in ({}, {"a": True}, {"a": 1.0}, {"a": "1"}):
        with pytest.raises(FileError, match=r"\ba\b"):
            check_fields(tree, {"a": int}, where="it")


def test_long_values_are_shortened_in_messages():
    assert len(shown("x" * 10_000)) < 100


class _Odd(Exception):
    pass


@pytest.mark.parametrize(
    ("error", "reason", "message", "expected"),
    [
        (SourceError(ReasonCode.NO_FRAMES, "the file holds no frames"), "no_frames", "the file holds no frames", True),
        (ClipError("bad"), "crash", "bad", True),
        (MemoryError(), "out_of_memory", "MemoryError", False),
        (RuntimeError("RESOURCE_EXHAUSTED: 1 GB"), "out_of_memory", "RuntimeError: RESOURCE_EXHAUSTED: 1 GB", False),
        (_Odd("two\nlines"), "crash", "_Odd: two lines", False),
        (AssertionError(), "crash", "AssertionError", False),
        (RecursionError("deep"), "crash", "RecursionError: deep", False),
    ],
)
def test_any_error_becomes_a_reason(error, reason, message, expected):
    def work() -> None:
        raise error

    failure = attempt(work)
    assert isinstance(failure, Failure)
    assert (failure.code, failure.message, failure.expected) == (reason, message, expected)


def test_results_named_errors_and_interrupts_pass_through():
    assert attempt(lambda: 7) == 7

    def full() -> None:
        raise OSError(28, "full")

    with pytest.raises(OSError, match="full"):
        attempt(full, passing=(OSError,))

    def interrupted() -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        attempt(interrupted)


def test_long_messages_are_shortened():
    assert len(describe(ValueError("x" * 10_000))) < 600
