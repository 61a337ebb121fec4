"""`mm-report`: write the HTML report on a folder of clips. Other commands write it too when they end."""

import webbrowser
from pathlib import Path
from typing import Annotated

import typer

from musclemap.cli.output.terminal_text import echo, echo_json
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt

from .options.shared import Json, Quiet
from .program import Program

app = Program("mm-report", kept="an earlier report is unchanged")


_EXAMPLES = (
    "mm-report out/ --open",
    "mm-report out/ --threshold skate_m_s=0.1:0.3 --no-pictures",
)


@app.command(examples=_EXAMPLES)
def report(
    out: Annotated[
        Path,
        typer.Argument(
            metavar="CLIPS", help="Folder of clips from mm-retarget.", exists=True, file_okay=False, show_default=False
        ),
    ],
    pictures: Annotated[bool, typer.Option(help="Draw the worst clips, at most 100, in up to a second each.")] = True,
    limits: Annotated[
        list[str] | None,
        typer.Option(
            "--threshold",
            metavar="METRIC=WARN:INFEASIBLE",
            help="Show other limits of a rule; mm-validate applies them. Repeatable.",
        ),
    ] = None,
    open_browser: Annotated[bool, typer.Option("--open", help="Open the report in the browser.")] = False,
    json_: Json = False,
    quiet: Quiet = False,
) -> None:
    """Write CLIPS/report.html: totals, distributions, a table of all sources, and the curves of every clip.

    The report needs no network and no server. It loads a clip's data from the
    folder CLIPS/report when you open the clip.

    Exits with 0 if the report was written, 2 if not.
    """
    from musclemap.datasets.output_folder import MANIFEST, has_lines

    if not has_lines(out):  # before anything heavy is imported
        raise SettingsError(f"no {MANIFEST} in {out}; give the output folder of mm-retarget")
    html = write_html_report(out, pictures=pictures, limits=tuple(limits or ()), hidden=quiet or json_)
    if json_:
        echo_json({"report": str(html)})
    elif not quiet:
        echo(str(html))
    if open_browser:
        webbrowser.open(html.resolve().as_uri())


def write_html_report(out: Path, *, pictures: bool = True, limits: tuple[str, ...] = (), hidden: bool = False) -> Path:
    """Write the report, and show progress unless `hidden`.

    Raises:
        SettingsError: If `out` has no manifest, or a limit names no rule.
        OSError: If the report cannot be written.
    """
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.retarget.checks.verdict import rules_with

    rules = rules_with(limits)
    with ProgressDisplay(hidden=hidden) as display:
        from musclemap.pipelines.report.page import write_report

        return write_report(out, pictures=pictures, rules=rules, progress=display.count("clips in the report"))


def try_report(out: Path, *, command: str, limits: tuple[str, ...], hidden: bool) -> Path | None:
    """Write the report at the end of another command, whose result stands even if this fails."""
    html = attempt(lambda: write_html_report(out, limits=limits, hidden=hidden))
    if isinstance(html, Failure):
        echo(f"{command}: no report: {html.message}", err=True)
        return None
    return html


if __name__ == "__main__":
    app()
