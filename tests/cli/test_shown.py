"""Text from files, names, servers and libraries reaches terminal, logs and tables as plain text."""

import csv
import io
import json
import logging
import os
import re
import socket
import threading
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from rich.progress import Progress
from rich.table import Table
from typer.testing import CliRunner

from musclemap.cli import download, eval, export, info, pack, reproduce, retarget, track, train, validate, view
from musclemap.cli import report as page
from musclemap.cli.output.console import ClipName, clean_console
from musclemap.cli.output.conversion_report import (
    conversion_listener,
    print_doubts,
    print_failures,
    print_summary,
)
from musclemap.cli.output.progress import ProgressDisplay
from musclemap.cli.output.terminal_text import echo_json
from musclemap.cli.program import Program
from musclemap.datasets.downloads import transport
from musclemap.datasets.downloads.errors import DownloadError
from musclemap.datasets.formats.spreadsheet import safe_cell
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.motion import SourceWarning
from musclemap.datasets.summary import Summary
from musclemap.failures import describe
from musclemap.pipelines.convert.progress import Progress as Moment
from musclemap.pipelines.packing.card import escaped
from musclemap.reason_codes import ReasonCode
from musclemap.urls import shown_url, without_secrets

from ..support.hostile.hostile_texts import MARKUP, NAMES, TERMINAL, hostile_folder, image, script
from ..support.hostile.raw_server import OK, raw_serving

RUNNER = CliRunner()

ARTEFACTS = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]|\r")
"""Codes of rich for colours and cursor movements."""


def check_clean(text: str, *, terminal: bool) -> None:
    """A terminal must not obey anything in the data."""
    assert not re.search(r"\x1b\[3[12]mESCAPED|\x1b\]|\x1b\[2J", text), repr(text)
    plain = ARTEFACTS.sub("", text) if terminal else text
    odd = {letter for letter in plain if not letter.isprintable() and letter != "\n"}
    assert not odd, (odd, repr(plain)[:3000])
    assert "\N{BOMB}" not in plain  # :bomb: stays text


# Every command


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return hostile_folder(tmp_path_factory.mktemp("clips") / TERMINAL)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sources") / TERMINAL
    folder.mkdir()
    for name in NAMES:
        for ending, data in ((".npz", b"PK no archive"), (".pkl", b"\x80 no pickle")):
            path = folder / f"{name}{ending}"  # some names hold a slash
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


def answering(connection: socket.socket, path: str, over: threading.Event) -> None:
    """Serve a bundle with hostile texts, and refuse its files with hostile reasons."""
    text = "".join(letter for letter in TERMINAL if letter not in "\r\n")
    files = [{"path": f"clips/{k}.h5", "size": 5, "sha256": "0" * 64} for k in range(3)]
    manifest = {"format": "musclemap-bundle", "version": 1, "name": text, "licence": text, "files": files}
    if path.startswith("/b/MANIFEST.json"):
        data = json.dumps(manifest).encode()
        connection.sendall(OK + b"Content-Length: %d\r\n\r\n%s" % (len(data), data))
    elif path.startswith("/moved"):
        connection.sendall(b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\nLocation: /none?sig=s3cret\r\n\r\n")
    else:
        reason = f"418 {text}".encode("utf-8", "replace")
        connection.sendall(b"HTTP/1.1 " + reason + b"\r\nContent-Length: 0\r\n\r\n")


Call = tuple[Any, Callable[[Path, Path, Path], list[object]]]

CALLS: dict[str, Call] = {
    "report": (page.app, lambda out, src, tmp: [out, "--no-pictures"]),
    "report, no folder": (page.app, lambda out, src, tmp: [tmp / TERMINAL]),
    "pack": (pack.app, lambda out, src, tmp: [out, tmp / "b", "--private"]),
    "pack, refused": (pack.app, lambda out, src, tmp: [out, tmp / "b", "--name", TERMINAL, "--dry-run"]),
    "pack, json": (pack.app, lambda out, src, tmp: [out, tmp / "b", "--private", "--json"]),
    "export": (export.app, lambda out, src, tmp: [out, tmp / "e", "--to", "csv", "--verbose"]),
    "export, json": (export.app, lambda out, src, tmp: [out, tmp / "e", "--to", "csv", "--json"]),
    "status": (retarget.app, lambda out, src, tmp: [out, "--status"]),
    "retarget, dry": (retarget.app, lambda out, src, tmp: [src, tmp / "o", "--dry-run", "--verbose"]),
    "retarget, config": (retarget.app, lambda out, src, tmp: [src, tmp / "o", "--set", f"{TERMINAL}={MARKUP}"]),
    "validate": (validate.app, lambda out, src, tmp: [out, "--dry-run"]),
    "view": (view.app, lambda out, src, tmp: [out, TERMINAL, "--save", tmp / "x.png"]),
    "view, folder": (view.app, lambda out, src, tmp: [out, "--save", tmp / "x.png"]),
    "train": (train.app, lambda out, src, tmp: ["--dataset", out, "--run", tmp / TERMINAL, "--dry-run"]),
    "track": (track.app, lambda out, src, tmp: [out, "--dry-run"]),
    "track, status": (track.app, lambda out, src, tmp: [out, "--status", "--json"]),
    "track, unknown": (track.app, lambda out, src, tmp: [out, TERMINAL]),
    "track, replay": (track.app, lambda out, src, tmp: [out, "--replay"]),
    "eval": (eval.app, lambda out, src, tmp: [tmp / TERMINAL, "--dataset", out]),
    "reproduce": (reproduce.app, lambda out, src, tmp: [out, TERMINAL, "--expected", tmp]),
    "info": (info.app, lambda out, src, tmp: ["--body-models", src]),
    "check": (download.app, lambda out, src, tmp: ["--check", "amass", src, "--body-models", src]),
    "list": (download.app, lambda out, src, tmp: ["--list"]),
    "unknown": (download.app, lambda out, src, tmp: [TERMINAL, tmp / "o"]),
    "no option": (download.app, lambda out, src, tmp: [f"--{TERMINAL}"]),
}  # fmt: skip


COMPILE = ("retarget, dry", "validate")
"""Calls that compile the body."""


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
@pytest.mark.parametrize(
    "call", [pytest.param(call, marks=[pytest.mark.slow] if call in COMPILE else []) for call in CALLS]
)
def test_no_command_prints_control_codes(
    call: str, terminal: bool, out: Path, sources: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    app, arguments = CALLS[call]
    result = RUNNER.invoke(app, [os.fsdecode(os.fsencode(str(one))) for one in arguments(out, sources, tmp_path)])
    assert result.exit_code in (0, 1, 2), (result.exit_code, result.output[-2000:])
    assert result.output.strip()
    assert "Traceback" not in result.output
    check_clean(result.stdout, terminal=terminal)
    check_clean(result.stderr, terminal=terminal)


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_text_from_servers_is_clean_short_and_without_secrets(
    terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    with raw_serving(answering) as server:
        user = "ann:s3cret@"
        for path, more in (
            ("/b/MANIFEST.json?token=s3cret&X-Amz-Signature=s3cret#s3cret", ["-v"]),
            ("/b/MANIFEST.json?token=s3cret", ["--dry-run"]), ("/b/MANIFEST.json?s3cret", ["--json"]),
            ("/b/MANIFEST.json?s3cret", ["--json", "--dry-run"]), ("/moved.json?token=s3cret", []),
            ("/none?a=s3cret", []),
            ("/b/MANIFEST.json?token=s3cret", ["--sha256", "0" * 64]),
        ):  # fmt: skip
            result = RUNNER.invoke(download.app, [server.url(path, user=user), str(tmp_path / "out"), *more])
            assert result.exit_code in (0, 1, 2), result.output
            assert result.output.strip()
            check_clean(result.stdout, terminal=terminal)
            check_clean(result.stderr, terminal=terminal)
            assert "s3cret" not in result.output
            assert "ann" not in result.output.replace("cannot", "")
        assert "Authorization: Basic" in server.asked[0]
    for file in (tmp_path / "out").rglob("*"):
        assert not file.is_file() or b"s3cret" not in file.read_bytes()


def test_wrong_urls_are_quoted_without_secrets(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "PAUSE", 0.0)
    for url in ("ftp://ann:s3cret@x/y", "https://ann:s3cret@[x/y", "http://ann:s3cret@127.0.0.1:1/MANIFEST.json"):
        result = RUNNER.invoke(download.app, [url, str(tmp_path / "out"), "--timeout", "0.1"])
        assert result.exit_code == 2
        assert "s3cret" not in result.output
    result = RUNNER.invoke(pack.app, [str(tmp_path), str(tmp_path / "b"), "--url", "https://ann:s3cret@x/y"])
    assert (result.exit_code, "s3cret" in result.output, "no address to publish" in result.output) == (2, False, True)
    result = RUNNER.invoke(pack.app, [str(tmp_path), str(tmp_path / "b"), "--url", "javascript:alert(1)"])
    assert result.exit_code == 2


# Output functions


def _program(act: Callable[[], None]) -> Program:
    app = Program("mm-test")

    @app.command()
    def command() -> None:
        act()

    return app


def test_rich_tables_lines_and_bars_print_text_literally(monkeypatch: pytest.MonkeyPatch) -> None:
    def act() -> None:
        console = clean_console(terminal=True, width=100)
        table = Table(title=TERMINAL)
        table.add_column(MARKUP)
        table.add_row(TERMINAL)
        table.add_row(MARKUP)
        console.print(table)
        console.print(TERMINAL, MARKUP, [TERMINAL])
        console.print(f"{TERMINAL} {MARKUP}", soft_wrap=True)
        with Progress(console=console) as bar:
            bar.add_task("x", total=3)
            console.print(TERMINAL)
        with clean_console(terminal=True).status(TERMINAL):
            pass

    monkeypatch.setenv("TERM", "xterm-256color")
    result = RUNNER.invoke(_program(act), [])
    assert result.exit_code == 0, result.output
    check_clean(result.stdout, terminal=True)
    assert "[red]r[/red]" in result.stdout
    assert ":bomb:" in result.stdout


@pytest.mark.parametrize("terminal", [False, True], ids=["pipe", "terminal"])
def test_summary_and_progress_of_a_conversion_are_clean(
    terminal: bool, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Uses the manifest of a run instead of a run."""
    manifest = Manifest.read(out / "manifest.jsonl")
    warnings = {TERMINAL: tuple(SourceWarning(ReasonCode.BAD_GENDER, text) for text in (MARKUP, TERMINAL))}
    summary = Summary(
        out=out, entries=manifest.entries, kept=frozenset(), problems=manifest.problems, seconds=1.0,
        stopped=TERMINAL, missing=(TERMINAL,), warnings=warnings,
    )  # fmt: skip

    def act() -> None:
        with ProgressDisplay() as display:
            show = conversion_listener(display, verbose=True)
            for number, entry in enumerate(manifest.entries):
                show(Moment(entry=entry, nclip=number, total=99, nframe=9, seconds=1.0, fraction=0.5))
        print_summary(summary)
        print_failures(summary)
        print_doubts(summary, every=True)

    if terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("TERM", "xterm-256color")
    result = RUNNER.invoke(_program(act), [])
    assert result.exit_code == 0, result.output
    check_clean(result.stdout, terminal=terminal)
    check_clean(result.stderr, terminal=terminal)
    assert MARKUP in result.stderr


def test_log_records_warnings_and_thread_errors_are_clean(caplog: pytest.LogCaptureFixture) -> None:
    url = "https://ann:s3cret@host/x?token=s3cret"

    def failing() -> None:
        raise ValueError(f"{TERMINAL} {url}")

    def act() -> None:
        stream = io.StringIO()
        handler = logging.StreamHandler(stream)
        logger = logging.getLogger("some.library")
        logger.addHandler(handler)
        try:
            logger.warning("Failed to parse headers (url=%s): %s", url, TERMINAL)
            try:
                failing()
            except ValueError:
                logger.exception("it %s", TERMINAL)
        finally:
            logger.removeHandler(handler)
        typer.echo(stream.getvalue())
        with warnings.catch_warnings():
            warnings.simplefilter("always")
            warnings.warn(f"{TERMINAL} {url}", stacklevel=1)
        thread = threading.Thread(target=failing)
        thread.start()
        thread.join()

    before = logging.getLogRecordFactory(), warnings.showwarning, threading.excepthook
    result = RUNNER.invoke(_program(act), [])
    assert result.exit_code == 0, result.output
    check_clean(result.output, terminal=False)
    assert "s3cret" not in result.output
    assert "Traceback" in result.stdout  # from logger.exception
    assert result.output.count("https://host/x?token=...") >= 2
    assert (logging.getLogRecordFactory(), warnings.showwarning, threading.excepthook) == before


def test_json_is_ascii_without_control_codes_and_unchanged() -> None:
    value = {TERMINAL: [TERMINAL, MARKUP, 1.5, None], "latin\udce9": "\x7f\x9b"}
    result = RUNNER.invoke(_program(lambda: echo_json(value)), [])
    assert json.loads(result.stdout) == value
    check_clean(result.stdout, terminal=False)
    assert result.stdout.isascii()


def test_commands_print_in_no_other_way() -> None:
    """The linter refuses these elsewhere; this test checks that the rule exists."""
    root = Path(__file__).parents[2]
    rules = (root / "pyproject.toml").read_text()
    for name in ("typer.echo", "typer.secho", "rich.print", "rich.console.Console"):
        assert f'"{name}".msg' in rules
    for path in (root / "cli").glob("*.py"):
        text = path.read_text()
        assert not re.search(r"(?<![\w.])print\(|sys\.std(out|err)\.write", text), path


# URLs


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://host/a/b.json", "https://host/a/b.json"),
        ("https://user:pw@host:8443/a?token=x&b=1&c#frag", "https://host:8443/a?token=...&b=...&..."),
        ("http://pw@[::1]:80/", "http://[::1]:80/"),
        ("https://u:p@w@host/", "https://host/"),
        ("https://user:p/w@host/x", "https://..."),
        ("https://[x", "https://..."),
        ("s3cret", "..."),
    ],
)
def test_url_is_shown_without_secrets(url: str, expected: str) -> None:
    assert shown_url(url) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("nothing to hide: a?b, x=1, hf_hub_download, Basic motion of 3 clips", None),
        ("GET 'https://u:s3cret@h/x?sig=s3cret' failed", "GET 'https://h/x?sig=...' failed"),
        ("Max retries exceeded with url: /a?X-Amz-Signature=s3cret&Expires=1 (Caused by",
         "Max retries exceeded with url: /a?X-Amz-Signature=...&Expires=... (Caused by"),
        ("(see https://h/x?s3cret).", "(see https://h/x?...)."),
        ("{'Authorization': 'Bearer s3cret'}", "{'Authorization': '...'}"),
        ("Bearer s3cret-s3cret and hf_s3crets3crets3cret1", "Bearer ... and hf_..."),
        ("git+ssh://me:s3cret@h/x", "git+ssh://h/x"),
    ],
)  # fmt: skip
def test_secrets_in_sentences_are_hidden(text: str, expected: str | None) -> None:
    assert without_secrets(text) == (text if expected is None else expected)
    assert without_secrets(without_secrets(text)) == without_secrets(text)


def test_token_of_the_environment_is_hidden_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_TOKEN", "abcd-efgh-ijkl")
    assert without_secrets("refused: abcd-efgh-ijkl.") == "refused: ...."
    monkeypatch.setenv("HF_TOKEN", "a")
    assert without_secrets("a clip") == "a clip"


def test_hiding_secrets_takes_linear_time() -> None:
    began = time.process_time()
    for part in ("x", "x:", "?", "?a", "&a=", "://", "a://", "a://!", "authorization ", "Basic ", "hf_", "a.b", "%"):
        without_secrets(part * (1_000_000 // len(part)))
    assert time.process_time() - began < 30.0


def test_download_and_library_errors_hide_secrets() -> None:
    url = "https://u:s3cret@h/x?sig=s3cret"
    assert "s3cret" not in str(DownloadError(f"{url!r} does not come"))
    assert "s3cret" not in describe(ConnectionError(f"HTTPSConnectionPool(host='h'): url: {url}"))
    assert len(str(DownloadError("x" * 10_000_000))) < 3000


# Tables and cards


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1+2", "@SUM(A1)", "\t=1", "\r=1", "\n=1", " =1", "\uff1d1", "=", "-"])
def test_formula_cell_starts_with_an_apostrophe(text: str) -> None:
    assert safe_cell(text) == f"'{text}"
    assert safe_cell(safe_cell(text)) == f"'{text}"


@pytest.mark.parametrize("value", [-1, -1.5, 0, None, "", "a=1", "walks/a-b.npz", "'=1", np.float32(-2)])
def test_other_cells_are_unchanged(value: Any) -> None:
    assert safe_cell(value) is value


def test_written_tables_contain_no_formulas(out: Path, tmp_path: Path) -> None:
    result = RUNNER.invoke(pack.app, [os.fsdecode(os.fsencode(str(out))), str(tmp_path / "b"), "--private", "-q"])
    assert result.exit_code in (0, 1), result.output
    tables = list((tmp_path / "b").rglob("*.csv"))
    assert tables
    cells = [c for t in tables for row in csv.reader(io.StringIO(t.read_text("utf-8"), newline="")) for c in row]
    assert any(cell.startswith("'=") for cell in cells)
    for cell in cells:
        assert not cell.lstrip().startswith(("=", "+", "-", "@", "\uff1d")), cell


def test_every_csv_writer_uses_safe_cell() -> None:
    """Review a new writer, then add it here."""
    root = Path(__file__).parents[2]
    writers = {
        path.relative_to(root).as_posix()
        for folder in ("api", "cli", "datasets", "imitation", "pipelines", "retarget", "skeletons")
        for path in (root / folder).rglob("*.py")
        if re.search(r"csv\.(writer|DictWriter)|separator\.join|to_csv|savetxt", path.read_text())
    }
    assert writers == {"pipelines/packing/bundle.py", "datasets/formats/tables.py"}
    for path in writers:
        assert "safe_cell(" in (root / path).read_text()


def test_card_and_metadata_of_a_bundle_contain_no_foreign_markup(out: Path, tmp_path: Path) -> None:
    name = f"{image('bundle')}\n---\n{{PWN}}"
    result = RUNNER.invoke(
        pack.app, [os.fsdecode(os.fsencode(str(out))), str(tmp_path / "b"), "--private", "-q", "--name", name]
    )
    assert result.exit_code in (0, 1), result.output
    text = (tmp_path / "b/README.md").read_text("utf-8")
    _, head, rest = text.split("---\n", 2)
    assert head.isprintable() or set(head) - {"\n"} == {c for c in head if c.isprintable()}
    assert head.splitlines()[0].startswith('pretty_name: "<img')  # YAML: a string
    assert json.loads(head.splitlines()[0].partition(": ")[2]).endswith("?---?{PWN}")
    for mark in ("<", "{", "![", "](http:evil"):
        assert not re.search(rf"(?<!\\){re.escape(mark)}", rest), mark
    assert "\x1b" not in text
    metadata = (tmp_path / "b/croissant.json").read_text("utf-8")
    assert "<" not in metadata
    assert metadata.isascii()
    assert json.loads(metadata)["license"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("see https://evil.example/x", r"see https\://evil.example/x"),
        ("www.evil.example", r"www\.evil.example"),
        ("![x](y)", r"\!\[x\](y)"),
        ("&lt;b&gt;", r"\&lt;b\&gt;"),
        ("{evil}", r"\{evil\}"),
        ("@everyone $x$", r"\@everyone \$x\$"),
        ("a\n# b", r"a?\# b"),
    ],
)
def test_foreign_text_is_escaped_in_markdown(text: str, expected: str) -> None:
    assert escaped(text) == expected


def test_hostile_texts_are_hostile() -> None:
    """Otherwise the tests above would be empty."""
    assert not TERMINAL.isprintable()
    assert "<script>" in script("x")


@pytest.mark.parametrize(
    "name", ["BMLmovi/Subject_11_F_MoSh/Subject_11_F_10_poses", "a/b", "", "_", "one two/thirty-three", "x" * 50]
)
@pytest.mark.parametrize("width", [60, 36])
def test_names_of_clips_break_between_their_parts(name: str, width: int, capsys: pytest.CaptureFixture[str]) -> None:
    table = Table(box=None, pad_edge=False)
    table.add_column("clip", overflow="fold")
    table.add_column("figures", no_wrap=True)
    table.add_row(ClipName(name), "9" * 20)
    clean_console(width=width).print(table)
    column = [line[: width - 21] for line in capsys.readouterr().out.splitlines()[1:]]
    lines = [line.replace("9", "").strip() for line in column]
    assert "".join(lines).replace(" ", "") == name.replace(" ", "")
    if "x" not in name:
        assert all(line[-1] in "/_-" or line.endswith("one") for line in lines[:-1])
