"""Every command that writes is killed: nothing is lost, half written or left over, and the next run recovers.

By default at a few of the moments at which the file system changes. `pytest -m kills` tries all of these moments, and
25 random times of every command, which takes about twenty minutes.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from ..support.kills.kill_real import REAL
from ..support.kills.kill_scenarios import SCENARIOS

ROOT = Path(__file__).parents[2]
FEW = 4


def trials(*words: object) -> list[dict[str, Any]]:
    """Results of `tests.support.kills.kill_trials`, one per command, from a process without JAX, because it forks."""
    command = [sys.executable, "-m", "tests.support.kills.kill_trials", *map(str, words)]
    env = {**os.environ, "PYTHONPATH": os.pathsep.join((str(ROOT / "src"), str(ROOT)))}
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    return [json.loads(line) for line in done.stdout.splitlines()]


def nothing_wrong(results: list[dict[str, Any]]) -> None:
    """Every trial was killed or finished, recovered, and found no fault."""
    for result in results:
        assert not result["faults"], (result["name"], result["faults"], result["examples"])
        assert result["healed"] == result["killed"] + result["ended"]


@pytest.mark.slow
def test_killed_before_some_file_system_changes() -> None:
    results = trials(*SCENARIOS, "--kills", FEW)
    assert [result["name"] for result in results] == list(SCENARIOS)
    assert all(result["killed"] == FEW for result in results)
    nothing_wrong(results)


@pytest.mark.slow
def test_training_killed_before_some_file_system_changes() -> None:
    nothing_wrong(trials("mm-train", "--kills", 2))


@pytest.mark.kills
@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_before_every_file_system_change(name: str) -> None:
    nothing_wrong(trials(name))


@pytest.mark.kills
@pytest.mark.parametrize("name", SCENARIOS | REAL)
def test_killed_at_random_times(name: str) -> None:
    nothing_wrong(trials(name, "--random", "--kills", 25))
