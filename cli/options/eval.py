"""Options of `mm-eval`."""

from pathlib import Path
from typing import Annotated

import typer

from . import shared

_CLIPS, _SIMULATION, _OUTPUT = "Clips", "Simulation", "Output"

Source = Annotated[
    Path,
    typer.Argument(metavar="RUN|POLICY", help="Folder of a run, or a policy file.", exists=True, show_default=False),
]
Dataset = Annotated[
    Path, typer.Option(metavar="CLIPS", help="Folder of clips, a bundle, or one clip.", show_default=False)
]
Include = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=shared.INCLUDE_HELP, rich_help_panel=_CLIPS)]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=shared.EXCLUDE_HELP, rich_help_panel=_CLIPS)]
Group = Annotated[str | None, typer.Option(metavar="NAME", help=shared.GROUP_HELP, rich_help_panel=_CLIPS)]
Split = Annotated[str | None, shared.split_option("Split of a bundle, such as test.", panel=_CLIPS)]
HeldOut = Annotated[
    bool,
    typer.Option("--held-out", help="Use only clips that the policy was not trained on.", rich_help_panel=_CLIPS),
]
BodyFilter = Annotated[shared.Body | None, shared.body_option(panel=_CLIPS)]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help=shared.LIMIT_HELP, rich_help_panel=_CLIPS)]
Infeasible = Annotated[bool, typer.Option("--infeasible", help=shared.INFEASIBLE_HELP, rich_help_panel=_CLIPS)]
Engine = Annotated[shared.EngineName, typer.Option(help=shared.ENGINE_HELP, rich_help_panel=_SIMULATION)]
NumEnvs = Annotated[
    int | None,
    typer.Option(min=1, help="Clips tracked in parallel; fewer need less memory.", rich_help_panel=_SIMULATION),
]
TrainedGround = Annotated[
    bool,
    typer.Option(
        "--trained-ground", help="Use the terrain of training instead of flat ground.", rich_help_panel=_SIMULATION
    ),
]
ToEnd = Annotated[
    bool,
    typer.Option("--to-end/--stop", help="Continue after a failure, or stop there.", rich_help_panel=_SIMULATION),
]
Report = Annotated[
    Path | None,
    shared.output_option("Write an HTML report (.html).", "--report", metavar="FILE", panel=_OUTPUT),
]
Video = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a video of policy and reference (.mp4).", rich_help_panel=_OUTPUT),
]
VideoSeconds = Annotated[float, shared.video_seconds_option(panel=_OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help=shared.JSON_HELP, rich_help_panel=_OUTPUT)]
Strict = Annotated[bool, typer.Option("--strict", help="Exit with 1 if a clip was not tracked to its end.")]
