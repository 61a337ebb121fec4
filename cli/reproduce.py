"""`mm-reproduce`: compare a study's numbers with the expected ones."""

import platform
import shlex
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

import musclemap
from musclemap.cli.output.terminal_text import echo, echo_json
from musclemap.errors import SettingsError

from .options.shared import Json
from .program import Program

if TYPE_CHECKING:
    from musclemap.pipelines.study.reproduction import ComparedQuantity, Comparison, Expectation

app = Program("mm-reproduce")

PACKAGES = ("musclemap", "musclemimic-models", "mujoco", "jax", "jaxlib", "numpy", "scipy")
"""Packages that the numbers depend on."""

EXPECTED = Path(musclemap.__file__).parent / "expected"
"""Expected numbers that come with the package."""

SIGNS = {"both": "±", "at_most": "≤", "at_least": "≥"}


_EXAMPLES = (
    "mm-reproduce out/study/builtin/clips builtin",
    "mm-reproduce out/ kit-kinesis-test --expected numbers/ --write",
)


@app.command(examples=_EXAMPLES)
def reproduce(
    clips: Annotated[
        Path,
        typer.Argument(
            metavar="CLIPS", help="Folder of clips checked by mm-validate --muscles.", exists=True, file_okay=False,
            show_default=False,
        ),
    ],
    study: Annotated[
        str, typer.Argument(metavar="STUDY", help="Study: builtin, amass or a motion list.", show_default=False)
    ],
    folder: Annotated[
        Path | None,
        typer.Option(
            "--expected", metavar="DIR", help="Folder with STUDY.json, the expected numbers.",
            show_default="those of this package",
        ),
    ] = None,
    write: Annotated[
        bool,
        typer.Option(
            "--write", help="Save the results as the expected numbers, with --expected; tolerances stay unchanged."
        ),
    ] = False,
    json_: Json = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print deviations only.")] = False,
) -> None:
    """Compare a study's numbers with the expected ones, each within its tolerance.

    Exits with 0 if every number is within its tolerance, 1 if some are not (each is
    named), 2 for wrong usage or if the study has no expected numbers.
    """
    path = _expected_file(clips, study, folder, write=write)
    from musclemap.pipelines.study.reproduction import compare, read_expectations, write_expectations
    from musclemap.pipelines.study.study import study_figures

    figures = study_figures(clips, study)
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


def _expected_file(clips: Path, study: str, folder: Path | None, *, write: bool) -> Path:
    """Return the file of expected numbers, to read or to write, before anything heavy is imported.

    Raises:
        SettingsError: If there is none to read, no folder to write it to, or no conversion to compare.
    """
    from musclemap.datasets.output_folder import MANIFEST, has_lines

    if write and folder is None:
        raise SettingsError("--write needs --expected DIR: the folder for the expected numbers")
    path = (folder or EXPECTED) / f"{study}.json"
    if not (write or path.is_file()):
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.json"))) or "none"
        again = shlex.join(["mm-reproduce", str(clips), study, "--expected", str(folder or "DIR"), "--write"])
        raise SettingsError(f"there is no {path}; {path.parent} has: {known}; to create it: {again}")
    if not has_lines(clips):
        raise SettingsError(f"no {MANIFEST} in {clips}; give the output folder of mm-retarget")
    return path


def _made_with() -> dict[str, Any]:
    """Facts that are needed to reproduce the file."""
    return {
        "command": "make reproduce, then mm-reproduce --expected expected --write",
        "processor": _processor(),
        "python": platform.python_version(),
        "versions": {name: metadata.version(name) for name in PACKAGES},
    }


def _processor() -> str:
    """Name of the processor, from Linux if possible."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _sentence(row: "ComparedQuantity") -> str:
    """Describe how a quantity deviates."""
    if row.expected is None:
        return f"result {_number(row.result)}, but no expected number; --write adds it"
    if row.result is None:
        return f"no clip, or not every clip, has a finite value; expected {_number(row.expected.value)}"
    return f"result {_number(row.result)}, expected {_number(row.expected.value)} {_tolerance(row.expected)}"


def _show(result: "Comparison") -> None:
    """Print a row per quantity, then a summary."""
    from rich.table import Table

    from musclemap.cli.output.console import clean_console

    table = Table(box=None, pad_edge=False)
    for heading in ("quantity", "result", "expected", "tolerance", "verdict"):
        table.add_column(heading, justify="right" if heading in ("result", "expected") else "left", no_wrap=True)
    for row in result.rows:
        expected = row.expected
        shown = ("-", "-") if expected is None else (_number(expected.value), _tolerance(expected))
        table.add_row(row.name, _number(row.result), *shown, row.verdict)
    console = clean_console()
    console.print(table)
    within = len(result.rows) - len(result.deviations)
    console.print(
        f"{result.study}: {within} of {len(result.rows)} quantities are within their tolerance", soft_wrap=True
    )


def _tolerance(expected: "Expectation") -> str:
    """Direction and size of a tolerance, such as "≤ +2 %"."""
    sign = SIGNS[expected.direction]
    if not expected.tolerance:
        return f"{sign} exactly" if expected.direction == "both" else f"{sign} 0"
    side = {"both": "", "at_most": "+", "at_least": "-"}[expected.direction]
    size = f"{100 * expected.relative:g} %" if expected.relative is not None else f"{expected.absolute:g}"
    return f"{sign} {side}{size}"


def _number(value: float | None) -> str:
    """Format whole numbers in full, others with four significant digits."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value == round(value) and abs(value) < 1e12 else f"{value:.4g}"


if __name__ == "__main__":
    app()
