"""Options of `mm-export`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .shared import EXCLUDE_HELP, LIMIT_HELP, SAME_AS_OUT, Body, body_option, output_option


class To(StrEnum):
    """Output format."""

    musclemimic = "musclemimic"
    mjlab = "mjlab"
    csv = "csv"
    mot = "mot"
    opensim = "opensim"
    bvh = "bvh"
    onnx = "onnx"


WITH_FINGERS = (To.mjlab, To.csv, To.mot, To.opensim)
"""Formats that can have the finger joints."""

Source = Annotated[
    Path | None,
    typer.Argument(metavar="CLIPS", help="Folder of clips, or one clip (.h5); not with --policy.", show_default=False),
]
Out = Annotated[
    Path | None,
    typer.Argument(
        metavar="OUT", help="Folder for the files; with --policy, a folder or .onnx file.", show_default=False
    ),
]
Output = Annotated[Path | None, output_option(SAME_AS_OUT, metavar="PATH")]
Format = Annotated[
    To,
    typer.Option(
        "--to",
        metavar="FORMAT",
        help="musclemimic: trajectory .npz of MuscleMimic and LocoMuJoCo. mjlab: motion .npz. "
        "csv: one row per frame, and a table each of forces, moments and activations. mot: OpenSim motion in degrees. "
        "opensim: the same with ground reaction, moments and activations as .mot and .sto. "
        "bvh: skeleton of the 17 landmarks. "
        "onnx: network of a policy.",
        show_default=False,
    ),
]
Policy = Annotated[
    Path | None, typer.Option(metavar="FILE", help="Export a policy, or that of a run's folder, instead of clips.")
]
Fingers = Annotated[bool, typer.Option("--fingers", help="Keep the finger joints (mjlab, csv, mot, opensim).")]
Include = Annotated[list[str] | None, typer.Option(metavar="GLOB", help="Export only clips that match; repeatable.")]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=EXCLUDE_HELP)]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help=LIMIT_HELP)]
BodyFilter = Annotated[Body | None, body_option()]
FeasibleOnly = Annotated[bool, typer.Option("--feasible-only", help="Refuse infeasible clips.")]
Tracked = Annotated[
    bool,
    typer.Option(
        "--tracked", help="Export the motion of mm-track in place of the clip's; csv and opensim add its excitations."
    ),
]
Verbose = Annotated[bool, typer.Option("--verbose", "-v", help="Print a line per clip.")]
