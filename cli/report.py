"""`mm-report`: the page about a folder of clips, which the other commands write too when they end."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from musclemap.cli.output.terminal_text import echo
from musclemap.failures import Failure, attempt

from .program import Program

app = Program("mm-report")


@app.command()
def report(
    out: Annotated[
        Path, typer.Argument(help="Folder that mm-retarget wrote.", exists=True, file_okay=False, show_default=False)
    ],
    pictures: Annotated[bool, typer.Option(help="Draw the worst clips, at most 100: up to a second each.")] = True,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--limit", metavar="METRIC=WARN:INFEASIBLE", help="Show another threshold; mm-validate judges by it."
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the page.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what went wrong.")] = False,
) -> None:
    """Write OUT/report.html: totals, distributions, a table of all sources, and the curves of every clip.

    It needs no network and no server; its parts beside it, in OUT/report, are read when a clip is opened.

    Exit status: 0 when it is written, 2 when not.
    """
    page = write_page(out, pictures=pictures, limits=tuple(limits or ()), hidden=quiet)
    if not quiet:
        echo(str(page))
    if open_browser:
        webbrowser.open(page.resolve().as_uri())


def write_page(out: Path, *, pictures: bool = True, limits: tuple[str, ...] = (), hidden: bool = False) -> Path:
    """Write the page, with a bar on a terminal unless hidden.

    Raises:
        SettingsError: There is no manifest in `out`, or no such rule.
        OSError: The page cannot be written.
    """
    from rich.progress import Progress

    from musclemap.cli.output.console import clean_console
    from musclemap.pipelines.report.page import write_report
    from musclemap.retarget.checks.verdict import rules_with

    console = clean_console(err=True)
    with Progress(console=console, transient=True, disable=hidden or not console.is_terminal) as bar:
        task = bar.add_task("report", total=None)
        return write_report(
            out,
            pictures=pictures,
            rules=rules_with(limits),
            progress=lambda done, total: bar.update(task, completed=done, total=total),
        )


def try_page(out: Path, *, command: str, limits: tuple[str, ...], hidden: bool) -> Path | None:
    """Write the page at the end of another command, whose result stands whether or not this works."""
    page = attempt(lambda: write_page(out, limits=limits, hidden=hidden))
    if isinstance(page, Failure):
        echo(f"{command}: no report: {page.message}", err=True)
        return None
    return page


if __name__ == "__main__":
    app()
