"""The GPU benchmark at toy size, and what it does about stages that fail (benchmarks/gpu.py)."""

import json
import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest
import typer

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


@pytest.fixture
def gpu(monkeypatch: pytest.MonkeyPatch):
    """The module; `benchmarks/` is not a package."""
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    return pytest.importorskip("gpu")


@pytest.fixture
def run(gpu, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Runs invented stages of one Python statement each; returns their outcomes by name."""

    def run(*programs: dict, toy: bool = True, budget: float = 120.0) -> dict[str, dict]:
        stages = [
            gpu.Stage(
                name=program["name"], device=program.get("device", "CPU cores"), seconds=program.get("seconds", 60.0),
                commands=lambda setup, program=program: [["-c", line] for line in program["lines"]],
                read=lambda setup, output: json.loads(output), needs=program.get("needs", ()),
                background=program.get("background", False),
            )
            for program in programs
        ]  # fmt: skip
        monkeypatch.setattr(gpu, "stages", lambda sizes: stages)
        monkeypatch.setattr(gpu, "GRACE", 1.0)
        path = tmp_path / "results" / "gpu.json"
        bench = gpu.Run(
            sizes=gpu.TOY, toy=toy, folder=tmp_path, json_path=path, started=time.time(), budget=budget
        )  # fmt: skip
        bench.patience = 1.0
        complete = bench.run()
        outcomes = {outcome["name"]: outcome for outcome in json.loads(path.read_text())["stages"]}
        assert complete == all(outcome["status"] == "ok" for outcome in outcomes.values())
        return outcomes

    return run


def test_a_stage_that_fails_does_not_stop_the_others(run) -> None:
    outcomes = run(
        {"name": "bad", "lines": ["raise ValueError('no memory')"]},
        {"name": "after", "lines": ["print('{}')"], "needs": ("bad",)},
        {"name": "silent", "lines": ["pass"]},
        {"name": "good", "lines": ["pass", "print('{\"speed\": [1.5, NaN]}')"]},
    )
    assert outcomes["bad"]["status"] == "failed"
    assert outcomes["bad"]["error"] == "status 1: ValueError: no memory"
    assert "Traceback" in outcomes["bad"]["output_tail"]
    assert (outcomes["after"]["status"], outcomes["after"]["error"]) == ("skipped", "needs bad")
    assert outcomes["silent"]["error"].startswith("no result: JSONDecodeError")
    assert outcomes["good"]["result"] == {"speed": [1.5, None]}
    assert len(outcomes["good"]["commands"]) == 2


def test_a_stage_is_stopped_after_its_time_and_its_result_is_read(run) -> None:
    line = "import time; print('{\"steps\": 3}', flush=True); time.sleep(100)"
    started = time.monotonic()
    outcomes = run({"name": "endless", "lines": [line], "seconds": 3.0}, {"name": "next", "lines": ["print('{}')"]})
    assert time.monotonic() - started < 60.0
    assert outcomes["endless"]["status"] == "timeout"
    assert outcomes["endless"]["result"] == {"steps": 3}
    assert outcomes["next"]["status"] == "ok"


def test_a_stage_in_the_background_runs_beside_the_next(run, tmp_path: Path) -> None:
    """It waits for a file that the next stage writes."""
    wait = "import os, time\nwhile not os.path.exists('{}'): time.sleep(0.05)\nprint('{{}}')"
    flag = tmp_path / "flag"
    outcomes = run(
        {"name": "waiting", "lines": ["pass", wait.format(flag)], "background": True},
        {"name": "writing", "lines": [f"open({str(flag)!r}, 'w').close(); print('{{}}')"]},
    )
    assert [outcome["status"] for outcome in outcomes.values()] == ["ok", "ok"]


def test_without_time_or_gpu_stages_are_skipped(run) -> None:
    quick = {"name": "quick", "lines": ["print('{}')"]}
    assert run(quick, budget=3.0)["quick"]["error"] == "no time left of 3 s"
    assert run({**quick, "device": "GPU"}, toy=False)["quick"]["error"] == "JAX finds no GPU"


def test_the_commands_accept_the_arguments_of_the_full_run(gpu, tmp_path: Path) -> None:
    """They run at toy size with the small arm; these are for MyoFullBody."""
    setup = gpu.Setup(folder=tmp_path, gpu=True, seconds=300.0)
    for name in ("source", "clips"):
        (tmp_path / name).mkdir()
    parsed = 0
    for stage in gpu.stages(gpu.Sizes()):
        for flag, program, *arguments in stage.commands(setup):
            if flag == "-m":
                command = typer.main.get_command(import_module(program).app)
                command.make_context(program, arguments).close()
                parsed += 1
    assert parsed == 3


@pytest.mark.slow
def test_every_stage_runs_at_toy_size(tmp_path: Path) -> None:
    path = tmp_path / "gpu.json"
    environment = os.environ | {"GPU_TOY": "1", "PYTHON": sys.executable}
    process = subprocess.run(
        ["bash", str(BENCHMARKS / "gpu.sh"), "--json", str(path)], env=environment, capture_output=True, text=True
    )
    results = json.loads(path.read_text())
    stages = {stage["name"]: stage for stage in results["stages"]}
    assert {name: stage.get("error", "") for name, stage in stages.items()} == dict.fromkeys(stages, "")
    assert process.returncode == 0, process.stderr
    assert results["toy"]
    assert results["machine"]["versions"]["warp-lang"]
    assert stages["engines agree, SmallArm"]["result"]["bodies"][0]["agrees"]
    assert all(case["steps_per_s"] > 0 for case in stages["simulation, 4 worlds"]["result"]["cases"])
    assert stages["retarget, 1000 frames"]["result"]["scaling"]["sizes"][0]["whole"] > 0
    assert stages["mm-track"]["device"] == "CPU cores"
    assert stages["mm-track"]["result"]["clips"][0]["metrics"]["control_steps_per_second"] > 0
    training = stages["mm-train"]["result"]
    assert training["engine"] == "warp"
    assert training["curve"]["steps"][-1] == training["steps"] == 256
    assert str(tmp_path.parent) not in json.dumps([stage["commands"] for stage in stages.values()])
