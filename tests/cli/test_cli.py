"""The commands: accepted options, output on stdout and stderr, exit status."""

import errno
import io
import json
import os
import re
import time
from importlib import import_module

import numpy as np
import pytest
import typer
from rich.console import Console
from rich.text import Text
from typer.testing import CliRunner

from musclemap.cli import info, retarget
from musclemap.cli.output import conversion_report as report
from musclemap.cli.output import progress as progress_module
from musclemap.cli.output import train_view
from musclemap.cli.output.progress import ProgressDisplay
from musclemap.cli.output.terminal_text import printable
from musclemap.datasets import output_folder
from musclemap.datasets.clip import read_clip
from musclemap.datasets.formats.readers.table import suffixes
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.summary import Summary
from musclemap.pipelines import archive
from musclemap.pipelines.convert.progress import Progress
from musclemap.pipelines.train.training import TrainingProgress
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import SourceConfig

from ..support.data.fake_retargeter import BreaksOn, FakeRetargeter, save

RUNNER = CliRunner()


@pytest.fixture
def source(tmp_path):
    for k in range(3):
        save(tmp_path / "in" / f"m{k}.npz", nframe=5 + k)
    return tmp_path / "in"


@pytest.fixture
def out(tmp_path):
    return tmp_path / "out"


@pytest.fixture
def made(monkeypatch):
    """Retargeters that the command creates: (config, body_models, device) of each."""
    calls = []

    def make(config, *, body_models, device):
        calls.append((config, body_models, device))
        return FakeRetargeter(config)

    monkeypatch.setattr(archive, "make_retargeter", make)
    return calls


def run(*arguments, report="--no-report"):
    return RUNNER.invoke(retarget.app, [str(argument) for argument in arguments] + [report])


def test_success_exits_with_0_and_prints_the_worst_clips(source, out, made):
    result = run(source, out)
    assert result.exit_code == 0, result.output
    assert "3 clips in" in result.stdout
    assert "3 feasible" in result.stdout
    assert re.search(r"m2\.h5\s+feasible\s+7", result.stdout)
    assert result.stderr == ""
    assert len(list(out.rglob("*.h5"))) == 3
    again = run(source, out)
    assert "3 of them up to date" in again.stdout


def test_any_file_name_can_be_printed(source, out, made):
    save(source / "[red]x[.npz")
    save(source / os.fsdecode(b"l\xfcks.npz"))
    (source / "[blue].npz").write_bytes(b"")
    result = run(source, out, "-v")
    assert result.exit_code == 1
    assert "[red]x[.h5" in result.stdout
    assert "landmarks [mm]" in result.stdout
    assert "l\ufffdks.h5" in result.stdout
    assert "rejected [blue].npz" in result.stderr
    assert json.loads(run(source, out, "--json").stdout)["counts"]["ok"] == 5


def test_failed_files_exit_with_1_and_are_named_with_their_reason(source, out, made):
    (source / "m1.npz").write_bytes(b"")
    result = run(source, out)
    assert result.exit_code == 1
    assert "rejected m1.npz: truncated: the file is empty" in result.stderr
    assert "2 clips in" in result.stdout
    quiet = run(source, out, "-q")
    assert (quiet.exit_code, quiet.stdout) == (1, "")
    assert "m1.npz" in quiet.stderr


@pytest.mark.parametrize(
    ("arguments", "output"),
    [
        (["--set", "solver.nonsense=1"], "solver.nonsense"),
        (["--set", "fps"], "KEY=VALUE"),
        (["--fps", "0"], "'fps' takes a number from 5 to 1,000, got 0.0"),
        (["--hands", "waving"], "locked"),
        (["--treadmill", "moving"], "overground"),
        (["--limit", "0"], "limit"),
        (["--group", "nonsense"], "kit-kinesis-test"),
        (["--include", "nothing*"], "none of 3 motions"),
        (["--config", "absent.toml"], "file 'absent.toml' does not exist"),
        (["--device", "abacus"], "cpu"),
        (["-v", "-q"], "exclude each other"),
    ],
)
def test_wrong_usage_exits_with_2_and_says_what_is_right(source, out, made, arguments, output):
    result = run(source, out, *arguments)
    assert result.exit_code == 2
    assert output in result.stderr
    assert result.stdout == ""
    assert not out.exists()


def test_facts_of_the_sources_reach_the_settings(source, out, made):
    result = run(source, out, "--up", "y", "--units", "cm", "--source-fps", "50", "--ground", "zero")
    assert result.exit_code == 0, result.output
    assert made[0][0].source == SourceConfig(up="y", units="cm", fps=50.0, ground="zero")
    assert read_clip(next(out.rglob("*.h5"))).fps == 50.0
    assert "3 of them up to date" in run(source, out, "--set", "source.up=y", "--units", "cm", "--source-fps", "50",
                                         "--ground", "zero").stdout  # fmt: skip
    assert "0 of them up to date" in run(source, out).stdout


def test_serious_doubts_are_printed_without_v(source, out, made):
    save(source / "m0.npz", mocap_framerate=59.0, nframe=59)
    result = run(source, out)
    assert result.exit_code == 0
    assert "doubt m0.npz: frame rate 59 Hz is doubtful" in result.stderr
    assert run(source, out, "--overwrite", "-q").stderr == ""


def test_formats_are_listed_without_other_arguments():
    result = RUNNER.invoke(retarget.app, ["--list-formats"])
    assert result.exit_code == 0
    for suffix in suffixes():
        assert suffix in result.stdout


@pytest.mark.parametrize(
    ("name", "output"),
    [("dance.fbx", "Blender"), ("clip.h5", "HDF5"), ("absent", "does not exist"), ("KIT.zip", "unpack it")],
)
def test_wrong_sources_exit_with_2_in_one_line(tmp_path, out, made, name, output):
    if name != "absent":
        (tmp_path / name).write_bytes(b"x")
    result = run(tmp_path / name, out)
    assert result.exit_code == 2
    assert output in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert not out.exists()


def test_an_output_folder_is_no_source_and_a_file_is_no_output(source, out, made):
    run(source, out)
    result = run(out, out.with_name("other"))
    assert result.exit_code == 2
    assert "is an output folder of mm-retarget" in result.stderr
    result = run(source, source / "m0.npz")
    assert result.exit_code == 2
    assert "it is a file; give the folder for the clips" in result.stderr


def test_nothing_to_convert_exits_with_2(tmp_path, out, made):
    (tmp_path / "void").mkdir()
    for folder in ("void", "absent"):
        result = run(tmp_path / folder, out)
        assert result.exit_code == 2
        assert folder in result.stderr


def test_an_output_folder_that_is_a_file_exits_with_2(source, tmp_path, made):
    (tmp_path / "file").write_text("")
    result = run(source, tmp_path / "file")
    assert result.exit_code == 2
    assert "cannot write to" in result.stderr


def test_options_override_set_and_set_overrides_the_file(source, out, made, tmp_path):
    (tmp_path / "settings.toml").write_text('fps = 30\nhands = "tracked"\n[solver]\nsweeps = 2\nbatch_size = 64\n')
    file = ["--config", tmp_path / "settings.toml"]
    run(source, out, *file, "--set", "solver.sweeps=3", "--set", "fps=40", "--fps", "50", "--dry-run")
    config, body_models, device = made[-1]
    assert (config.fps, config.hands, config.solver.sweeps, config.solver.batch_size) == (50.0, "tracked", 3, 64)
    assert (body_models, device.platform) == (None, "cpu")
    run(source, out, *file, "--treadmill", "overground", "--dry-run")
    assert made[-1][0].treadmill == "overground"
    models = tmp_path / "models"
    models.mkdir()
    arrays = {"v_template": np.zeros((9, 3)), "shapedirs": np.zeros((9, 3, 10)), "J_regressor": np.zeros((24, 9))}
    np.savez(models / "SMPL_NEUTRAL.npz", **arrays)
    run(source, out, *file, "--hands", "locked", "--dry-run", "--device", "cpu", "--body-models", models)
    config, body_models, device = made[-1]
    assert (config.fps, config.hands, body_models, device.platform) == (30.0, "locked", models, "cpu")


def test_a_missing_gpu_exits_with_2(source, out, made):
    import jax

    if any(device.platform == "gpu" for device in jax.devices()):
        pytest.skip("this machine has a GPU")
    result = run(source, out, "--device", "gpu")
    assert result.exit_code == 2
    assert "available: cpu" in result.stderr


def test_selection_and_dry_run(source, out, made):
    result = run(source, out, "--include", "m[12]*", "--exclude", "m2*", "--dry-run")
    assert result.exit_code == 0
    assert re.search(r"1 to convert \(.* h, \d+ frames, .* MB; about .* min on one core\), 0 up to date", result.stdout)
    assert not out.exists()
    run(source, out, "--limit", "2")
    assert {path.name for path in out.glob("*.h5")} == {"m0.h5", "m1.h5"}


def test_overwrite_converts_everything_again(source, out, made):
    run(source, out)
    stamps = {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    run(source, out)
    assert stamps == {path: path.stat().st_mtime_ns for path in out.glob("*.h5")}
    run(source, out, "--overwrite")
    assert not set(stamps.items()) & {(path, path.stat().st_mtime_ns) for path in out.glob("*.h5")}


def test_json_is_the_only_output_on_stdout(source, out, made):
    (source / "m1.npz").write_bytes(b"")
    result = run(source, out, "--json", "-v")
    output = json.loads(result.stdout)
    assert output["counts"] == {"ok": 2, "rejected": 1, "failed": 0, "kept": 0}
    assert [entry["source"] for entry in output["entries"]] == ["m0.npz", "m1.npz", "m2.npz"]


def test_verbose_names_every_file_and_every_doubt(source, out, made):
    save(source / "m3.npz", gender=None)
    result = run(source, out, "-v")
    for k in range(4):
        assert re.search(rf"ok +m{k}\.npz: \d+ frames, feasible", result.stderr)
    assert "doubt m3.npz: the file gives no gender" in result.stderr
    assert "doubt" not in run(source, out, "--overwrite").stderr


def test_a_full_disk_is_reported_and_exits_with_1(source, out, made, monkeypatch):
    def full(path, clip, **options):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(output_folder, "write_clip", full)
    result = run(source, out)
    assert result.exit_code == 1
    assert "stopped early: the disk of" in result.stderr
    assert "failed m2.npz: not_converted" in result.stderr


def test_an_interrupt_says_how_to_resume(source, out, monkeypatch):
    monkeypatch.setattr(archive, "make_retargeter", lambda *_, **__: BreaksOn("m0.npz", KeyboardInterrupt()))
    result = run(source, out)
    assert result.exit_code == 130
    assert "repeat the command to resume" in result.stderr


def entry(name, *, verdict="feasible", error=1.0):
    metrics = {report.COLUMNS[0][0]: error}
    return ManifestEntry(
        source=f"{name}.npz", clip=f"{name}.h5", status="ok", verdict=verdict, metrics=metrics, nframe=9
    )


def test_worst_clips_are_ordered_by_verdict_then_by_error():
    entries = [
        entry("a", error=9.0),
        entry("b", verdict="infeasible"),
        entry("c", verdict="warn"),
        entry("d", error=10.0),
    ]
    assert [result.source[0] for result in report.worst(entries)] == ["b", "c", "d", "a"]
    assert len(report.worst([entry(str(k)) for k in range(99)])) == report.WORST


def test_many_failures_are_counted_by_reason(tmp_path, capsys):
    failures = [
        ManifestEntry(source=f"{k:03}.npz", status="rejected", code=ReasonCode.TRUNCATED, reason="truncated: x: y")
        for k in range(60)
    ]
    report.print_failures(Summary(out=tmp_path, entries=tuple(failures)))
    output = capsys.readouterr().err.splitlines()
    assert len(output) == report.NAMED + 1
    assert "60 truncated" in output[-1]


def test_time_left_follows_from_the_share_done():
    half = Progress(entry=None, nclip=3, total=9, nframe=5000, fraction=0.5, seconds=10.0)
    assert report.progress_line(half) == "3 of 9 clips, 500 frames/s, 0:00:10 left"
    start = Progress(entry=None, nclip=0, total=9, nframe=0, fraction=0.0, seconds=0.0)
    assert report.progress_line(start) == "0 of 9 clips, loading and compiling"


def test_a_pipe_gets_lines_at_intervals(monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.05)
    with ProgressDisplay() as display:
        report.conversion_listener(display)(
            Progress(entry=None, nclip=1, total=2, nframe=10, fraction=0.25, seconds=1.0)
        )
        time.sleep(0.2)
    output = capsys.readouterr().err.splitlines()
    line = "1 of 2 clips, 10 frames/s, 0:00:03 left"
    assert output[0] == line
    assert set(output[1:]) <= {f"{line} (0:00:00 so far)"}  # a line that has not changed says how long it has been so
    assert len(output) <= 4


def test_a_terminal_gets_a_bar(monkeypatch, capsys):
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressDisplay() as display:
        report.conversion_listener(display)(
            Progress(entry=None, nclip=1, total=2, nframe=10, fraction=0.25, seconds=1.0)
        )
    output = capsys.readouterr().err
    assert "1/2 clips" in output
    assert "10 frames/s" in output
    assert "0:00:03 left" in output


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_hidden_progress_shows_nothing(terminal, monkeypatch, capsys):
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.01)
    with ProgressDisplay(hidden=True) as display:
        display.count()(1, 2)
        display.show_table("x", line="y", now=True)
        time.sleep(0.05)
    assert capsys.readouterr() == ("", "")


def test_counts_are_lines_in_a_pipe_and_a_bar_on_a_terminal(monkeypatch, capsys):
    monkeypatch.setattr(progress_module, "LINE_SECONDS", 0.05)
    with ProgressDisplay() as display:
        display.count("images")(1, 4)
        time.sleep(0.2)
    assert {line.partition(" (")[0] for line in capsys.readouterr().err.splitlines()} == {"1 of 4 images"}
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "120")
    with ProgressDisplay() as display:
        display.count("images")(1, 4)
    assert "1/4 images" in capsys.readouterr().err


def test_training_prints_the_first_and_the_last_line_in_a_pipe(capsys):
    with ProgressDisplay() as display:
        show = train_view.training_listener(display, max_seconds=None, max_steps=100)
        for steps in (10.0, 20.0, 30.0):
            figures = {"steps": steps, "steps_per_second": 10.0}
            show(TrainingProgress(figures=figures, final=steps == 30.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["10 steps, 10 per second, 0:00:09 left", "30 steps, 10 per second, 0:00:07 left"]


def test_unprintable_names_are_shown_with_marks():
    assert printable("ü 走\udcff\n\x1b[31m") == "ü 走\ufffd??[31m"
    printable("\udcff").encode()


def test_info_answers_in_both_forms():
    result = RUNNER.invoke(info.app, ["--json"])
    assert result.exit_code == 0
    output = json.loads(result.stdout)
    assert output["packages"]["musclemimic-models"] == "1.0.6"
    assert output["target"]["nq"] == 129
    assert output["other_targets"]["bimanual-arm"]["nmuscle"] == 126
    assert any(device.startswith("cpu") for device in output["devices"]["jax"])
    text = RUNNER.invoke(info.app, [])
    assert text.exit_code == 0
    for key in output:
        assert re.search(rf"^{key}:", text.stdout, re.MULTILINE)


def test_info_survives_errors_of_libraries(tmp_path, monkeypatch):
    def broken():
        raise OSError("driver and library do not match")

    monkeypatch.setattr(info, "_jax_devices", broken)
    monkeypatch.setattr(info, "_target", broken)
    (tmp_path / "SMPL_NEUTRAL.npz").write_bytes(b"junk")
    for form in ([], ["--json"]):
        for folder in (tmp_path, tmp_path / "SMPL_NEUTRAL.npz"):
            result = RUNNER.invoke(info.app, [*form, "--body-models", str(folder)])
            assert result.exit_code == 1, result.output  # no model that can be read
            assert "driver and library do not match" in result.stdout
            assert "has none that can be read" in result.stdout
        result = RUNNER.invoke(info.app, [*form, "--body-models", str(tmp_path / "absent")])
        assert (result.exit_code, result.stdout) == (2, "")
        assert "absent' does not exist" in result.stderr


APPS = (
    "download", "eval", "export", "info", "pack", "report", "reproduce", "retarget", "track", "train", "validate",
    "view",
)  # fmt: skip


@pytest.mark.parametrize("name", APPS)
def test_help_contains_no_markup(name):
    """Square brackets are markup to the terminal, which swallows them."""
    command = typer.main.get_command(import_module(f"musclemap.cli.{name}").app)
    texts = [command.help or "", *(getattr(param, "help", None) or "" for param in command.params)]
    assert sum(map(len, texts)) > 100
    for text in texts:
        assert Text.from_markup(text).plain == text


def test_training_table_shows_units():
    figures = {"steps": 10.0, "steps_per_second": 5.0, "landmark_error_mm": 3.0}
    console = Console(record=True, width=80, file=io.StringIO())
    console.print(train_view.figure_table(figures, "0:01:00"))
    assert re.search(r"landmark error \[mm\]\s+3\b", console.export_text())
