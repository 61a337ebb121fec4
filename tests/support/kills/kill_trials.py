"""Kills writing commands again and again and looks at what is left.

    python -m tests.support.kills.kill_trials mm-pack mm-export

    --kills N     so many moments; all changes of the file system without it
    --random      at random times, rather than before a change of the file system
    --seed N      of the moments

Prints one JSON object a command: how many were killed, and for each fault how often it was seen.
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
from .killing import LOG, Ended, import_what_it_imports, in_child, moments

PASSED_OVER = (".musclemap.lock", SEEN.name, "done.txt", URL.name)
"""Files that may differ between two runs."""


@dataclass
class Table:
    """What came of the trials of one command.

    Attributes:
        killed: Runs that were killed.
        ended: Runs that had come to their end before.
        healed: Next runs that ended as if nothing had happened.
        faults: How often each was seen, by its first words.
        examples: One of each.
    """

    killed: int = 0
    ended: int = 0
    healed: int = 0
    faults: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def add(self, faults: list[str], moment: object) -> None:
        """Count faults of one trial, each kind once."""
        for kind, text in {fault.partition(":")[0]: fault for fault in faults}.items():
            self.faults[kind] += 1
            self.examples.setdefault(kind, f"{moment}: {text}")


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder but those that may differ, and every folder that is empty."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() if path.is_file() else b""
        for path in sorted(folder.rglob("*"))
        if path.name not in PASSED_OVER and (path.is_file() or not any(path.iterdir()))
    }


class Trials:
    """Trials of one command below a folder."""

    def __init__(self, scenario: Scenario, folder: Path, url: str) -> None:
        self.scenario, self.folder = scenario, folder
        self.before, self.home = folder / "before", folder / "home"
        self.before.mkdir()
        (self.before / URL).write_text(url)
        made = in_child(scenario.prepare, self.before)
        if made.status:
            raise RuntimeError(f"what is there before cannot be made:\n{self.log()}")
        self._begin()
        import_what_it_imports(scenario.command, self.home)
        self.alone = self._run()
        self.shortest = self.alone.seconds
        self.reference = contents(self.home)
        if self.alone.status != scenario.status:
            raise RuntimeError(f"a run that is left alone ends with {self.alone.status}:\n{self.log()}")

    def log(self) -> str:
        """The end of what was printed."""
        path = self.folder / LOG
        return path.read_text(errors="replace")[-3000:] if path.exists() else ""

    def _begin(self) -> None:
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.copytree(self.before, self.home, symlinks=True)

    def _run(self, **kill: float) -> Ended:
        """One run on a copy of what is there before."""
        self._begin()
        return in_child(self.scenario.command, self.home, **kill)  # type: ignore[arg-type]

    def trial(self, table: Table, **kill: float) -> None:
        """Kill one run, look, and run again."""
        ended = self._run(**kill)
        self.shortest = self.shortest if ended.killed else min(self.shortest, ended.seconds)
        table.killed += ended.killed
        table.ended += not ended.killed
        faults = self._look()
        again = in_child(self.scenario.command, self.home)
        after = self._look() if again.status == self.scenario.status else [f"next run: ends with {again.status}"]
        if self.scenario.same:
            result = contents(self.home)
            after += [f"other bytes: {name}" for name, data in self.reference.items() if result.get(name) != data]
            after += [f"left over: {name}" for name in result.keys() - self.reference.keys()]
        table.healed += not after
        table.add([*faults, *after], kill)

    def _look(self) -> list[str]:
        """Look for faults in a child, as looking may use what must not be used before a fork."""
        faults = self.home.parent / "faults.json"

        def look() -> int:
            faults.write_text(json.dumps(self.scenario.faults()))
            return 0

        faults.unlink(missing_ok=True)
        looked = in_child(look, self.home)
        return json.loads(faults.read_bytes()) if looked.status == 0 else [f"cannot be looked at: {self.log()[-300:]}"]


def run_trials(name: str, *, kills: int | None, at_random: bool, seed: int) -> Table:
    """Kill one command."""
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
            for moment in moments(trials.alone.changes, most=kills, rng=rng):
                trials.trial(table, before_change=moment)
    return table


def main() -> None:
    """Print what came of it."""
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="+", choices=SCENARIOS | REAL)
    parser.add_argument("--kills", type=int)
    parser.add_argument("--random", action="store_true")
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    for name in given.names:
        table = run_trials(name, kills=given.kills, at_random=given.random, seed=given.seed)
        sys.stdout.write(json.dumps({"name": name, **table.__dict__}) + "\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
