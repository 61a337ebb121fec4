"""`mm-reproduce`: does a study give the numbers that are expected of it."""

import platform
import shlex
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musclemap.cli.output.terminal_text import echo, echo_json
from musclemap.errors import SettingsError

from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.study.reproduction import Compared, Comparison, Expectation

app = Program("mm-reproduce")

PACKAGES = ("musclemap", "musclemimic-models", "mujoco", "jax", "jaxlib", "numpy", "scipy")
"""What the numbers depend on."""

EXPECTED = Path("expected")

SIGNS = {"both": "±", "at_most": "≤", "at_least": "≥"}


@app.command()
def reproduce(
    clips: Annotated[
        Path, typer.Argument(help="Folder of clips that mm-validate --muscles has checked.", show_default=False)
    ],
    study: Annotated[
        str, typer.Argument(help="Name of the study: builtin, amass or a group of motions.", show_default=False)
    ],
    folder: Annotated[
        Path, typer.Option("--expected", metavar="DIR", help="Folder of expectations, STUDY.json each.")
    ] = EXPECTED,
    write: Annotated[
        bool, typer.Option("--write", help="Make what is found the expectation; its tolerances stay as they are.")
    ] = False,
    json_: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Only what deviates.")] = False,
) -> None:
    """Compare a study's numbers with those expected of it, each within its tolerance.

    Exit status: 0 all are within, 1 some deviate (each is named), 2 wrong use, or no expectations for this study.
    """
    from musclemap.pipelines.study.reproduction import compare, read_expectations, write_expectations
    from musclemap.pipelines.study.study import study_figures

    path = folder / f"{study}.json"
    figures = study_figures(clips, study)
    if not (write or path.is_file()):
        again = shlex.join(["mm-reproduce", str(clips), study, "--expected", str(folder), "--write"])
        raise SettingsError(f"there is no {path}, so nothing is expected of {study} yet; to make it: {again}")
    if write:
        write_expectations(path, study, figures, made_with=_made_with())
    result = compare(study, figures, read_expectations(path))
    if json_:
        echo_json(result.to_dict())
    elif not quiet:
        _show(result)
        if write:
            echo(f"Written: {path}")
    for row in result.deviations:
        echo(f"{row.verdict} {row.name}: {_sentence(row)}", err=True)
    raise typer.Exit(1 if result.deviations else 0)


def _made_with() -> dict[str, Any]:
    """What a reader of the file has to know to make it again."""
    return {
        "command": "make reproduce, then mm-reproduce --write",
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """Name of the processor as Linux has it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _sentence(row: "Compared") -> str:
    """What is wrong with a quantity."""
    if row.expected is None:
        return f"found {_number(row.result)}, and nothing is expected; --write takes it up"
    if row.result is None:
        return f"no clip or not every clip has a finite number for it; expected {_number(row.expected.value)}"
    return f"found {_number(row.result)}, expected {_number(row.expected.value)} {_tolerance(row.expected)}"


def _show(result: "Comparison") -> None:
    """One line a quantity, then one sentence."""
    from rich.table import Table

    from musclemap.cli.output.console import clean_console

    table = Table(box=None, pad_edge=False)
    for heading in ("quantity", "found", "expected", "tolerance", "verdict"):
        table.add_column(heading, justify="right" if heading in ("found", "expected") else "left", no_wrap=True)
    for row in result.rows:
        requested = row.expected
        shown = ("-", "-") if requested is None else (_number(requested.value), _tolerance(requested))
        table.add_row(row.name, _number(row.result), *shown, row.verdict)
    console = clean_console()
    console.print(table)
    good = len(result.rows) - len(result.deviations)
    console.print(f"{result.study}: {good} of {len(result.rows)} quantities are within their tolerance", soft_wrap=True)


def _tolerance(requested: "Expectation") -> str:
    """Its direction and size, such as "≤ +2 %"."""
    sign = SIGNS[requested.direction]
    if not requested.slack:
        return f"{sign} exactly" if requested.direction == "both" else f"{sign} 0"
    side = {"both": "", "at_most": "+", "at_least": "-"}[requested.direction]
    size = f"{100 * requested.relative:g} %" if requested.relative is not None else f"{requested.absolute:g}"
    return f"{sign} {side}{size}"


def _number(value: float | None) -> str:
    """Whole numbers in full, others with four significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e12 else f"{value:.4g}"


if __name__ == "__main__":
    app()
