"""Every command ends with one sentence and an exit status, whatever the error and the output."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from musclemap.cli.output.terminal_text import echo, printable
from musclemap.cli.program import INTERNAL, PIPE_CLOSED, WRONG_USE, Program
from musclemap.entry_points import INTERRUPTED
from musclemap.errors import SettingsError

RUNNER = CliRunner()
HOSTILE = "a\x1b]0;title\x07\x1b[31mred\x1b[2J\x9b1mb\rc\nd\u202egnp.exe"
SOURCES = str(Path(__file__).parents[2] / "src")


def _program(act):
    app = Program("mm-test")

    @app.command()
    def command(path: Path = Path("x"), number: int = typer.Option(0, min=0, max=9)) -> None:
        act(path)

    return app


def _raising(error):
    def act(path):
        raise error

    return _program(act)


@pytest.mark.parametrize(
    ("error", "status", "words"),
    [
        (SettingsError("no such setting"), WRONG_USE, "mm-test: no such setting"),
        (typer.BadParameter("both cannot be"), WRONG_USE, "both cannot be"),
        (FileNotFoundError(2, "No such file or directory", "a/b"), WRONG_USE, "a/b: No such file or directory"),
        (OSError(28, "No space left on device"), WRONG_USE, "No space left on device"),
        (KeyError("qpos"), INTERNAL, "internal error: KeyError: 'qpos'"),
        (RecursionError("too deep"), INTERNAL, "internal error: RecursionError: too deep"),
        (MemoryError(), INTERNAL, "internal error: MemoryError"),
        (AssertionError(), INTERNAL, "internal error: AssertionError"),
        (KeyboardInterrupt(), INTERRUPTED, "mm-test: interrupted; nothing was written"),
        (ModuleNotFoundError("", name="fcntl"), WRONG_USE, "this needs Linux or macOS"),
        (ModuleNotFoundError("", name="viser.x"), WRONG_USE, "the package viser is missing: pip install"),
    ],
)
def test_any_error_gives_one_sentence_and_a_status(error, status, words):
    result = RUNNER.invoke(_raising(error), [])
    assert result.exit_code == status
    assert words in result.stderr
    assert len(result.stderr.strip().splitlines()) <= 1
    assert "Traceback" not in result.output


def test_exit_status_of_a_command_is_kept():
    for status in (0, 1, 5):
        assert RUNNER.invoke(_raising(typer.Exit(status)), []).exit_code == status
    assert RUNNER.invoke(_program(lambda path: None), []).exit_code == 0


def test_control_codes_of_names_reach_no_terminal():
    """Neither in output, nor in errors, nor in messages about a wrong option."""
    for app, arguments in (
        (_program(lambda path: echo(f"read {path}")), ["--path", HOSTILE]),
        (_raising(SettingsError(f"no clip {HOSTILE}")), []),
        (_raising(FileNotFoundError(2, "missing", HOSTILE)), []),
        (_raising(ValueError(HOSTILE)), []),
        (_program(lambda path: None), ["--number", HOSTILE]),
        (_program(lambda path: None), [f"--{HOSTILE}"]),
    ):
        result = RUNNER.invoke(app, arguments)
        assert result.output.strip()
        assert all(letter.isprintable() for line in result.output.splitlines() for letter in line), repr(result.output)
        assert len(result.output.splitlines()) == 1


def test_bytes_that_are_not_text_are_shown_as_marks():
    assert printable("a\udcffb\x00c") == "a\N{REPLACEMENT CHARACTER}b?c"


def _run(command, **options):
    return subprocess.run(
        [sys.executable, "-c", command], capture_output=True, timeout=120,
        env={**os.environ, "PYTHONPATH": SOURCES, **options},
    )  # fmt: skip


PRINTS = """
from pathlib import Path
from musclemap.cli.program import Program
from musclemap.cli.output.terminal_text import echo
app = Program("mm-test")
@app.command()
def command() -> None:
    for _ in range(LINES):
        echo("µ → 1 m²")
app([])
"""


def test_an_encoding_that_lacks_characters_is_no_error():
    tables = PRINTS.replace("LINES", "1").replace("        echo(", "        Console().print(")
    done = _run(f"from rich.console import Console\n{tables}", PYTHONIOENCODING="ascii")
    assert (done.returncode, done.stdout) == (0, b"\\xb5 \\u2192 1 m\\xb2\n"), done.stderr


def test_a_full_disk_behind_stdout_gives_one_sentence():
    for lines in (1, 100_000):  # in the buffer until the end, and beyond it
        done = subprocess.run(
            ["sh", "-c", f'exec {sys.executable} -c "$0" > /dev/full', PRINTS.replace("LINES", str(lines))],
            capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": SOURCES},
        )  # fmt: skip
        assert done.returncode == WRONG_USE, done.stderr
        assert done.stderr.startswith("mm-test: ")
        assert "No space left" in done.stderr
        assert len(done.stderr.splitlines()) == 1


def test_a_pipe_closed_early_is_no_error():
    done = subprocess.run(
        ["bash", "-c", f'{sys.executable} -c "$0" | head -1; exit ${{PIPESTATUS[0]}}', PRINTS.replace("LINES", "9999")],
        capture_output=True, text=True, timeout=120, env={**os.environ, "PYTHONPATH": SOURCES},
    )  # fmt: skip
    assert done.returncode == PIPE_CLOSED
    assert done.stderr == ""


def test_debug_variable_shows_the_traceback():
    broken = PRINTS.replace("for _ in range(LINES):", "if True:\n        raise KeyError('x')")
    assert b"Traceback" not in _run(broken).stderr
    done = _run(broken, MUSCLEMAP_DEBUG="1")
    assert done.returncode == INTERNAL
    assert b"Traceback" in done.stderr


WAITS = """
import sys, time
from concurrent.futures import ThreadPoolExecutor
from musclemap.cli.program import Program
app = Program("mm-test", kept="finished parts are kept")
@app.command()
def command() -> None:
    with ThreadPoolExecutor() as pool:  # which waits for its threads, whatever happens
        done = pool.submit(time.sleep, 300)
        print("ready", flush=True)
        done.result()
app([])
"""


def test_a_second_ctrl_c_ends_what_the_first_cannot():
    run = subprocess.Popen(
        [sys.executable, "-c", WAITS], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": SOURCES},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background processes ignore it
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stderr is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGINT)
    assert run.stderr.readline().startswith("mm-test: stopping when the step under way ends; Ctrl-C again")
    assert run.poll() is None
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (INTERRUPTED, "mm-test: interrupted; finished parts are kept\n")


LOST = WAITS.replace("        done.result()", "        pass").replace("pool.submit(time.sleep, 300)", "None").replace(
    'print("ready", flush=True)', "wait()"
).replace("app([])", """
class Slow:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(1.0)
def wait():
    slow = Slow()
    del slow  # Python ignores exceptions of a destructor
    time.sleep(300)
app([])
""")


def test_ctrl_c_is_not_lost_where_python_ignores_exceptions():
    run = subprocess.Popen(
        [sys.executable, "-c", LOST], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "PYTHONPATH": SOURCES},
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )  # fmt: skip
    assert run.stdout is not None
    assert run.stdout.readline() == "ready\n"
    run.send_signal(signal.SIGINT)
    _, err = run.communicate(timeout=30)
    assert (run.returncode, err) == (INTERRUPTED, "mm-test: interrupted; finished parts are kept\n")


STOPPED = """
import os, signal, sys
class Stop:  # Ctrl-C while a module is imported
    def find_spec(self, name, path=None, target=None):
        if name == "{module}":
            sys.meta_path.remove(self)
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Stop())
sys.argv = ["mm-{verb}", *"{arguments}".split()]
from musclemap import entry_points
entry_points.{verb}()
"""


@pytest.mark.parametrize(
    ("verb", "arguments", "module"),
    [
        ("train", "--dataset .", "typer"),
        ("view", ".", "musclemap.cli.view"),
        ("info", "", "rich.console"),
        ("train", "--dataset clip.h5", "pydantic"),
        ("info", "--list-muscles", "numpy"),
        ("info", "--list-muscles", "mujoco"),
    ],
)
def test_ctrl_c_during_imports_is_one_line(tmp_path, verb, arguments, module):
    """Also before the command, which would answer it, has been imported."""
    (tmp_path / "clip.h5").write_bytes(b"\x89HDF\r\n\x1a\n")
    run = subprocess.run(
        [sys.executable, "-c", STOPPED.format(verb=verb, arguments=arguments, module=module)], cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": SOURCES}, capture_output=True, text=True, timeout=120,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background processes ignore it
    )  # fmt: skip
    line = run.stderr.strip().splitlines()[-1]
    assert run.returncode == INTERRUPTED, run.stderr
    assert line.startswith(f"mm-{verb}: interrupted; nothing was ")
    assert "Traceback" not in run.stderr
