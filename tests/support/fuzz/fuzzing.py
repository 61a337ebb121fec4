"""Mutation fuzzing: randomly damaged files from a seed, read in a separate process under observation.

    python -m tests.support.fuzz.fuzzing 50000 [KIND ...]      prints a table; all kinds of files by default

A reader may accept a damaged file or refuse it with an error of this package. Any other exception, a signal, or a file
that takes over `SECONDS` or increases the process's memory by over `GIBIBYTES` is a fault. A fault is reported with its
seed and number, with which `damaged(KIND, seed, number)` reproduces the bytes.
"""

import json
import os
import random
import resource
import select
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

SECONDS, GIBIBYTES = 10.0, 2.0
"""Maximum time and memory growth per file."""

START_SECONDS = 120.0
"""Time for the reading process to import its modules; does not count."""

Mutation = Callable[[bytes, random.Random], bytes]


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of file.

    Attributes:
        suffix: Suffix of the file name.
        make: Returns the bytes of a valid file.
        read: Reads a file; returns or raises an error of this package.
        mutations: Mutations that know the format, in addition to those of plain bytes.
    """

    suffix: str
    make: Callable[[Path], bytes]
    read: Callable[[Path], object]
    mutations: tuple[Mutation, ...] = ()


@dataclass
class FuzzResult:
    """Counts and faults over all files of a kind."""

    accepted: int = 0
    refused: int = 0
    slowest: float = 0.0
    growth: float = 0.0
    faults: list[str] = field(default_factory=list)


def flip(data: bytes, rng: random.Random) -> bytes:
    """Flip some bits, usually one."""
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4, 16))):
        if out:
            out[rng.randrange(len(out))] ^= 1 << rng.randrange(8)
    return bytes(out)


def overwrite(data: bytes, rng: random.Random) -> bytes:
    """Overwrite 1, 2, 4 or 8 bytes with a boundary value of an integer type."""
    size = rng.choice((1, 2, 4, 8))
    value = rng.choice((0, 1, 2**7 - 1, 2**7, 2 ** (8 * size - 1) - 1, 2 ** (8 * size - 1), 2 ** (8 * size) - 1))
    start = rng.randrange(max(len(data) - size, 1))
    piece = (value % 2 ** (8 * size)).to_bytes(size, rng.choice(("little", "big")))
    return data[:start] + piece + data[start + size :]


def cut(data: bytes, rng: random.Random) -> bytes:
    """Truncate the file, or remove a piece."""
    first, last = sorted((rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)))
    return data[:first] if rng.random() < 0.5 else data[:first] + data[last:]


def repeat(data: bytes, rng: random.Random) -> bytes:
    """Copy a piece to another position, overwriting or inserting."""
    first = rng.randrange(len(data) + 1)
    piece = data[first : first + rng.choice((1, 8, 64, 512))]
    start = rng.randrange(len(data) + 1)
    return data[:start] + piece + data[start + (len(piece) if rng.random() < 0.5 else 0) :]


def noise(data: bytes, rng: random.Random) -> bytes:
    """Overwrite or insert random bytes."""
    start = rng.randrange(len(data) + 1)
    piece = rng.randbytes(rng.choice((1, 4, 32, 256)))
    return data[:start] + piece + data[start + (len(piece) if rng.random() < 0.5 else 0) :]


PLAIN: tuple[Mutation, ...] = (flip, flip, overwrite, overwrite, cut, repeat, noise)


def damage(data: bytes, rng: random.Random, mutations: tuple[Mutation, ...]) -> bytes:
    """Apply one to three mutations in turn; half of them know the format, if any do."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        mutation = rng.choice(mutations if mutations and rng.random() < 0.5 else PLAIN)
        data = mutation(data, rng) if data else rng.randbytes(8)
    return data


def stream(valid: bytes, mutations: tuple[Mutation, ...], seed: int, count: int, first: int = 0):
    """Damaged files from number `first` on: (number, bytes). Each depends only on the seed and its number."""
    for number in range(first, count):
        yield number, damage(valid, random.Random(f"{seed}-{number}"), mutations)


def fuzz(name: str, *, count: int, seed: int = 0) -> FuzzResult:
    """Read `count` damaged files of a kind in a watched process, which is restarted after a crash."""
    result, first = FuzzResult(), 0
    while first < count and len(result.faults) < 20:
        first = _one_process(name, result, first=first, count=count, seed=seed)
    return result


def _one_process(name: str, result: FuzzResult, *, first: int, count: int, seed: int) -> int:
    """Watch one process until it ends; return the number of the next file."""
    command = [sys.executable, "-m", "tests.support.fuzz.fuzzing", "--child", name, str(seed), str(first), str(count)]
    root = Path(__file__).parents[3]
    environ = {**os.environ, "PYTHONPATH": f"{root / 'src'}{os.pathsep}{root}", "JAX_PLATFORMS": "cpu"}
    number, timeout = first, START_SECONDS
    with (
        tempfile.TemporaryFile() as stderr,
        subprocess.Popen(
            command, cwd=root, env=environ, stdout=subprocess.PIPE, stderr=stderr, text=True, bufsize=1
        ) as child,
    ):
        assert child.stdout is not None
        while True:
            if not select.select([child.stdout], [], [], timeout)[0]:
                child.kill()
                result.faults.append(f"number {number}: no response in {timeout:g} s")
                return number + 1
            line = child.stdout.readline()
            if not line:
                break
            number, timeout = _add(json.loads(line), result), SECONDS
        status = child.wait()
        if status == 0 and number == count:
            return count
        stderr.seek(0)
        message = stderr.read()[-300:].decode(errors="replace").strip().rpartition("\n")[2]
        end = signal.Signals(-status).name if status < 0 else f"exit status {status}"
        result.faults.append(f"number {number}: {end} {message}")
        return number + 1


def _add(line: dict, result: FuzzResult) -> int:
    """Count one file that the process reports; return the number of the next."""
    result.slowest = max(result.slowest, line["seconds"])
    result.growth = max(result.growth, line["growth"])
    if line["fault"]:
        result.faults.append(f"number {line['number']}: {line['fault']}")
    elif line["refused"]:
        result.refused += 1
    elif line["number"] >= 0:
        result.accepted += 1
    if line["growth"] > GIBIBYTES:
        result.faults.append(f"number {line['number']}: memory grew by {line['growth']:.1f} GiB")
    return line["number"] + 1


def _child(name: str, seed: int, first: int, count: int) -> None:
    """Read files and report each on stdout as one line of JSON."""
    from musclemap.errors import MusclemapError

    from .fuzz_kinds import KINDS

    kind = KINDS[name]
    report = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # keeps what libraries print out of the report
    with tempfile.TemporaryDirectory() as folder:
        valid = kind.make(Path(folder))
        path = Path(folder) / f"file{kind.suffix}"
        path.write_bytes(valid)
        kind.read(path)  # checks the valid file and imports everything
        before, size = _peak(), _address_space()
        limit = size + int(1.5 * GIBIBYTES * 2**30)
        resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
        print(json.dumps(_line(first - 1, 0.0, 0.0)), file=report)
        for number, data in stream(valid, kind.mutations, seed, count, first):
            path.write_bytes(data)
            started, refused, fault = time.perf_counter(), False, ""
            try:
                kind.read(path)
            except MusclemapError:
                refused = True
            except Exception as error:  # noqa: BLE001 any other error is a fault
                fault = f"{type(error).__module__}.{type(error).__name__}: {error}"[:300]
            seconds = time.perf_counter() - started
            if seconds > SECONDS:
                fault = fault or f"took {seconds:.0f} s"
            line = _line(number, seconds, (_peak() - before) / 2**20, refused=refused, fault=fault)
            print(json.dumps(line), file=report)


def _line(number: int, seconds: float, growth: float, *, refused: bool = False, fault: str = "") -> dict:
    return {"number": number, "seconds": seconds, "growth": growth, "refused": refused, "fault": fault}


def _peak() -> int:
    """Largest resident memory so far [KiB]."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _address_space() -> int:
    return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()


def damaged(name: str, seed: int, number: int) -> bytes:
    """Bytes of one damaged file, as read by `fuzz`."""
    from .fuzz_kinds import KINDS

    with tempfile.TemporaryDirectory() as folder:
        valid = KINDS[name].make(Path(folder))
    return next(stream(valid, KINDS[name].mutations, seed, number + 1, number))[1]


def main(count: int, names: list[str], seed: int = 0) -> int:
    """Fuzz and print the table; return the exit status."""
    from .fuzz_kinds import KINDS

    print(f"{'kind':<18} {'files':>7} {'read':>7} {'refused':>8} {'slowest':>8} {'memory':>9} {'time':>7} faults")
    total = 0
    for name in names or KINDS:
        started = time.perf_counter()
        result = fuzz(name, count=count, seed=seed)
        total += len(result.faults)
        counts = f"{name:<18} {count:>7} {result.accepted:>7} {result.refused:>8}"
        cost = f"{result.slowest:>6.2f} s {result.growth:>5.2f} GiB {time.perf_counter() - started:>5.0f} s"
        print(f"{counts} {cost} {len(result.faults)}", flush=True)
        for fault in result.faults:
            print(f"    seed {seed} {fault}", flush=True)
    return 1 if total else 0


if __name__ == "__main__":
    if sys.argv[1] == "--child":
        _child(sys.argv[2], *map(int, sys.argv[3:6]))
    else:
        sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
