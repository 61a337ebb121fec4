"""Options of `mm-track`."""

from pathlib import Path
from typing import Annotated

import typer

from musclemap.settings import MAX_SEED

from . import shared

_CLIPS, _SEARCH, _CLUSTER, _OUTPUT = "Clips", "Search", "Many processes and machines", "Output"

Out = Annotated[
    Path,
    typer.Argument(metavar="CLIPS", help="Folder of clips, a bundle, or one clip.", exists=True, show_default=False),
]
ClipName = Annotated[
    str | None,
    typer.Argument(metavar="CLIP", help="Clip to track: its path below CLIPS, or a part of it.", show_default="all"),
]
Include = Annotated[
    list[str] | None, typer.Option("--include", "--clip", metavar="GLOB", help=shared.INCLUDE_HELP,
                                   rich_help_panel=_CLIPS)
]  # fmt: skip
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=shared.EXCLUDE_HELP, rich_help_panel=_CLIPS)]
Group = Annotated[str | None, typer.Option(metavar="NAME", help=shared.GROUP_HELP, rich_help_panel=_CLIPS)]
Split = Annotated[str | None, shared.split_option("Split of a bundle, such as test.", panel=_CLIPS)]
BodyFilter = Annotated[shared.Body | None, shared.body_option(panel=_CLIPS)]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help=shared.LIMIT_HELP, rich_help_panel=_CLIPS)]
Infeasible = Annotated[bool, typer.Option("--infeasible", help=shared.INFEASIBLE_HELP, rich_help_panel=_CLIPS)]
Seconds = Annotated[
    float | None,
    typer.Option(
        min=0.0, metavar="SECONDS", help="Computing time per clip.", show_default="600", rich_help_panel=_SEARCH
    ),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=MAX_SEED, help="Seed of the search.", show_default="0", rich_help_panel=_SEARCH),
]
Hands = Annotated[bool, typer.Option("--hands", help="Free the fingers and use all muscles.", rich_help_panel=_SEARCH)]
Config = Annotated[Path | None, shared.config_option(panel=_SEARCH)]
Assignments = Annotated[list[str] | None, shared.set_option("tracking.samples=80", panel=_SEARCH)]
Workers = Annotated[
    int | None,
    shared.jobs_option("Number of worker processes, one clip each.", default="one per core", panel=_CLUSTER),
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
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Track again even if a track is up to date.")]
Replay = Annotated[
    bool,
    typer.Option("--replay", help="Simulate the stored excitations without feedback, and compare the motion."),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="List what would be tracked, and exit.")]
Status = Annotated[bool, typer.Option("--status", help="Report what is tracked, lost or stale, and exit.")]
Video = Annotated[
    Path | None,
    typer.Option(metavar="FILE", help="Write a video of reference and tracked body (.mp4).", rich_help_panel=_OUTPUT),
]
VideoSeconds = Annotated[float, shared.video_seconds_option(panel=_OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help=shared.JSON_HELP, rich_help_panel=_OUTPUT)]
