"""Kills writing commands repeatedly and checks the remaining files.

    python -m tests.support.kills.kill_trials mm-pack mm-export

    --kills N     number of kills; by default one per change of the file system
    --random      kill at random times instead of before changes of the file system
    --seed N      seed of the random choices

Prints one JSON object per command: the number of kills, and how often each fault occurred.
"""

import argparse
import contextlib
import json
import random
import shutil
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from .kill_clips import SEEN
from .kill_products import URL, server
from .kill_real import REAL
from .kill_scenarios import SCENARIOS, Scenario
from .killing import LOG, Ended, change_numbers, in_child, preload_imports

IGNORED = (".musclemap.lock", SEEN.name, "done.txt", URL.name)
"""Files that may differ between two runs."""


@dataclass
class Table:
    """Results of the trials of one command.

    Attributes:
        killed: Number of runs that were killed.
        ended: Number of runs that finished before the kill.
        healed: Number of next runs that ended as if nothing had happened.
        faults: Number of occurrences of each fault, by its first words.
        examples: One example of each fault.
    """

    killed: int = 0
    ended: int = 0
    healed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, faults: list[str], moment: object) -> None:
        """Count the faults of one trial, each kind once."""
        for kind, text in {fault.partition(":")[0]: fault for fault in faults}.items():
            self.faults[kind] += 1
            self.examples.setdefault(kind, f"{moment}: {text}")


def contents(folder: Path) -> dict[str, bytes]:
    """Content of every file below a folder except the ignored ones, and every empty folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if path.name not in IGNORED and (path.is_file() or not any(path.iterdir()))
    }


class Trials:
    """Trials of one command below a folder."""

    def __init__(self, scenario: Scenario, folder: Path, url: str) -> None:
        self.scenario, self.folder = scenario, folder
        self.before, self.home = folder / "before", folder / "home"
        self.before.mkdir()
        (self.before / URL).write_text(url)
        prepared = in_child(scenario.prepare, self.before)
        if prepared.status:
            raise RuntimeError(f"the initial state cannot be created:\n{self.log()}")
        self._begin()
        preload_imports(scenario.command, self.home)
        self.uninterrupted = self._run()
        self.shortest = self.uninterrupted.seconds
        self.reference = contents(self.home)
        if self.uninterrupted.status != scenario.status:
            raise RuntimeError(f"an uninterrupted run ends with {self.uninterrupted.status}:\n{self.log()}")

    def log(self) -> str:
        """The end of the log."""
        path = self.folder / LOG
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def _begin(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.before, self.home, symlinks=True)

    def _run(self, **kill: float) -> Ended:
        """Run once on a copy of the initial state."""
        self._begin()
        return in_child(self.scenario.command, self.home, **kill)  # type: ignore[arg-type]

    def trial(self, table: Table, **kill: float) -> None:
        """Kill one run, check for faults, and run again."""
        ended = self._run(**kill)
        self.shortest = self.shortest if ended.killed else min(self.shortest, ended.seconds)
        table.killed += ended.killed
        table.ended += not ended.killed
        faults = self._check()
        again = in_child(self.scenario.command, self.home)
        after = self._check() if again.status == self.scenario.status else [f"next run: ends with {again.status}"]
        if self.scenario.same:
            final = contents(self.home)
            after += [f"other bytes: {name}" for name, data in self.reference.items() if final.get(name) != data]
            after += [f"left over: {name}" for name in final.keys() - self.reference.keys()]
        table.healed += not after
        table.add([*faults, *after], kill)

    def _check(self) -> list[str]:
        """List the faults, in a child process because checks may use libraries that must not run before a fork."""
        faults = self.home.parent / "faults.json"

        def check() -> int:
            faults.write_text(json.dumps(self.scenario.faults()))
            return 0

        faults.unlink(missing_ok=True)
        checked = in_child(check, self.home)
        return json.loads(faults.read_bytes()) if checked.status == 0 else [f"check failed: {self.log()[-300:]}"]


def run_trials(name: str, *, kills: int | None, at_random: bool, seed: int) -> Table:
    """Run the kill trials of one command."""
    scenario, table, rng = (SCENARIOS | REAL)[name], Table(), random.Random(seed)
    serving = server() if scenario.serves else contextlib.nullcontext("")
    with serving as url, tempfile.TemporaryDirectory() as folder:
        trials = Trials(scenario, Path(folder).resolve(), url)
        if at_random:
            for _ in range(4 * (kills or 25)):
                trials.trial(table, after_seconds=rng.uniform(0.0, trials.shortest))
                if table.killed == (kills or 25):
                    break
        else:
            for number in change_numbers(trials.uninterrupted.changes, most=kills, rng=rng):
                trials.trial(table, before_change=number)
    return table


def main() -> None:
    """Print the results."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+", choices=SCENARIOS | REAL)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    for name in arguments.names:
        table = run_trials(name, kills=arguments.kills, at_random=arguments.random, seed=arguments.seed)
        sys.stdout.write(json.dumps({"name": name, **table.__dict__}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
