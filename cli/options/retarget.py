"""Options of `mm-retarget`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from musclemap.cli.output.format_list import list_formats

from .shared import (
    CHUNK,
    FORCES,
    MUSCLE_COST,
    SAME_AS_OUT,
    Body,
    Forces,
    MuscleCost,
    body_option,
    jobs_option,
    output_option,
    set_option,
)


class Chest(StrEnum):
    """What becomes of the motion of the chest that arms hang from."""

    moving = "moving"
    fixed = "fixed"
    full_body = "full-body"


class Hands(StrEnum):
    """Treatment of the fingers."""

    locked = "locked"
    tracked = "tracked"


class Treadmill(StrEnum):
    """Treatment of motions on a treadmill."""

    keep = "keep"
    overground = "overground"
    off = "off"


class Dynamics(StrEnum):
    """Whether the ground has to explain the motion."""

    on = "on"
    off = "off"


_CLUSTER = "Many processes and machines"


class UpAxis(StrEnum):
    """Axis that points up in the source files."""

    auto = "auto"
    z = "z"
    y = "y"


class Ground(StrEnum):
    """Height of the floor."""

    auto = "auto"
    zero = "zero"


_SOURCES = "What the source files do not say"


def _checked_rate(rate: float | None) -> float | None:
    from musclemap.datasets.amass.limits import FPS_RANGE

    if rate is not None and not FPS_RANGE[0] <= rate <= FPS_RANGE[1]:
        raise typer.BadParameter(f"expected {FPS_RANGE[0]:g} to {FPS_RANGE[1]:,g} Hz, not {rate:g}")
    return rate


def _checked_unit(text: str | None) -> str | None:
    from musclemap.datasets.formats.readers.units import checked_unit

    return None if text is None else checked_unit(text)



Source = Annotated[
    Path,
    typer.Argument(
        metavar="SOURCE", help="Folder of motions, or one file; --list-formats lists the formats.", show_default=False
    ),
]
ListFormats = Annotated[
    bool,
    typer.Option(
        "--list-formats", help="List the formats that are read, and exit.", callback=list_formats, is_eager=True
    ),
]
Up = Annotated[
    UpAxis | None,
    typer.Option(
        help="Axis that points up; auto turns a world with y up if it is certain.",
        show_default="auto",
        rich_help_panel=_SOURCES,
    ),
]
UnitsOption = Annotated[
    str | None,
    typer.Option(
        "--units",
        metavar="UNIT",
        callback=_checked_unit,
        help="Unit of positions: m, cm, mm, in, cmu (56.4 mm), or a length in metres such as 0.0254; auto converts "
        "centimetres and millimetres if they are certain.",
        show_default="auto",
        rich_help_panel=_SOURCES,
    ),
]
SourceFps = Annotated[
    float | None,
    typer.Option(
        metavar="HZ",
        callback=_checked_rate,
        help="Frame rate in place of the files' own.",
        show_default="that of each file",
        rich_help_panel=_SOURCES,
    ),
]
JointMapFile = Annotated[
    Path | None,
    typer.Option(
        "--joint-map",
        exists=True,
        dir_okay=False,
        metavar="FILE",
        help="TOML file that names the joints of BVH files.",
        show_default="by names, else by shape",
        rich_help_panel=_SOURCES,
    ),
]
SaveJointMap = Annotated[
    Path | None,
    typer.Option(
        "--save-joint-map",
        metavar="FILE",
        help="Write the joint map of SOURCE, one BVH file, and exit.",
        show_default=False,
        rich_help_panel=_SOURCES,
    ),
]
ForceFile = Annotated[
    str | None,
    typer.Option(
        "--force-file",
        metavar="NAME",
        help="File of measured ground forces beside each motion; * is the motion's name; none for no forces.",
        show_default="NAME_grf.mot and similar",
        rich_help_panel=_SOURCES,
    ),
]
StaticTrialOption = Annotated[
    str | None,
    typer.Option(
        "--static-trial",
        metavar="NAME",
        help="Static trial of each folder, which calibrates its other files of markers; none for no static trials.",
        show_default="the one with static in its name",
        rich_help_panel=_SOURCES,
    ),
]
Mass = Annotated[
    float | None,
    typer.Option(
        metavar="KG", min=5.0, max=300.0, help="Mass of the subject; with --height also of the body.",
        show_default="from measured forces",
        rich_help_panel=_SOURCES,
    ),
]  # fmt: skip
GroundOption = Annotated[
    Ground | None,
    typer.Option(
        "--ground",
        help="Height of the floor: that of the standing feet, or z = 0 of the files.",
        show_default="auto",
        rich_help_panel=_SOURCES,
    ),
]
Out = Annotated[
    Path | None, typer.Argument(metavar="OUT", help="Folder for the clips and manifest.jsonl.", show_default=False)
]
Output = Annotated[Path | None, output_option(SAME_AS_OUT)]
BodyModels = Annotated[
    Path | None,
    typer.Option(metavar="DIR", help="Folder of SMPL-family body models as downloaded; otherwise a mean skeleton."),
]
Fps = Annotated[float | None, typer.Option(metavar="HZ", help="Frame rate of the clips.", show_default="100")]
BodyOption = Annotated[
    Body | None,
    body_option(text="Target body: MyoFullBody, MyoBimanualArm, or the table of your own.", default="full-body"),
]
ChestOption = Annotated[
    Chest | None,
    typer.Option(
        "--chest",
        help="With --body bimanual-arm: keep the motion of the source's chest, hold it upright and at rest, or use "
        "chest and arms of MyoFullBody's fit.",
        show_default="moving",
    ),
]
HandsOption = Annotated[
    Hands | None,
    typer.Option(
        "--hands",
        help="Lock the fingers at rest, or track those of the source.",
        show_default="tracked for bimanual-arm, else locked",
    ),
]
TreadmillOption = Annotated[
    Treadmill | None,
    typer.Option(
        "--treadmill",
        help="Leave walks on a treadmill in place, add their travel, or do not recognise them.",
        show_default="keep",
    ),
]
DynamicsOption = Annotated[
    Dynamics | None,
    typer.Option(
        "--dynamics",
        help="Move each clip by millimetres until ground forces explain its motion, or leave it purely kinematic.",
        show_default="on",
    ),
]
Include = Annotated[
    list[str] | None,
    typer.Option(metavar="GLOB", help="Convert only files whose path or name matches; repeatable."),
]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Skip files that match; repeatable.")]
Group = Annotated[
    str | None,
    typer.Option(metavar="NAME", help="Convert only the motions of this list; a wrong name prints all names."),
]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help="Convert only the first N files.")]
Workers = Annotated[
    int | None,
    jobs_option("Number of worker processes.", default="one per GPU or core", panel=_CLUSTER),
]
Scheduler = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Use a running Dask scheduler.", rich_help_panel=_CLUSTER)
]
SchedulerFile = Annotated[
    Path | None,
    typer.Option(
        metavar="FILE", exists=True, dir_okay=False, help="Use the running Dask scheduler that wrote this file.",
        rich_help_panel=_CLUSTER,
    ),
]  # fmt: skip
ClipSeconds = Annotated[
    float,
    typer.Option(min=0.0, metavar="SECONDS", help="Time limit per clip; 0 for none.", rich_help_panel=_CLUSTER),
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Convert again even if a clip is up to date.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Read everything, write nothing.")]
Status = Annotated[
    bool, typer.Option("--status", help="Report what is done, failed or stale: mm-retarget --status OUT.")
]
Muscles = Annotated[
    bool, typer.Option("--muscles", help="Compute muscle activations too; without it, existing ones are kept.")
]
MuscleCostOption = Annotated[MuscleCost | None, MUSCLE_COST]
ForcesOption = Annotated[Forces | None, FORCES]
Chunk = Annotated[int | None, CHUNK]
Report = Annotated[bool, typer.Option(help="Write OUT/report.html, an HTML report on all clips.")]
Assignments = Annotated[list[str] | None, set_option("solver.sweeps=6")]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line per file, and doubts about sources.")]
