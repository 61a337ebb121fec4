"""Options of `mm-train`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from musclemap.settings import MAX_SEED

from . import shared


class Algorithm(StrEnum):
    """Training algorithm."""

    ppo = "ppo"
    world_model = "world-model"
    dagger = "dagger"


class ExperimentTracker(StrEnum):
    """Service that receives the figures of a run."""

    wandb = "wandb"
    trackio = "trackio"


_CLIPS, _TRAINING = "Clips", "Training"

Dataset = Annotated[Path, typer.Option(metavar="CLIPS", help="Folder of clips, or a bundle.", show_default=False)]
Run = Annotated[
    Path | None,
    typer.Option(
        "-o", "--output", "--run", metavar="DIR", help="Folder of the run.", show_default="the data set's name + -run"
    ),
]
Include = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=shared.INCLUDE_HELP, rich_help_panel=_CLIPS)]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=shared.EXCLUDE_HELP, rich_help_panel=_CLIPS)]
Group = Annotated[str | None, typer.Option(metavar="NAME", help=shared.GROUP_HELP, rich_help_panel=_CLIPS)]
Split = Annotated[str | None, shared.split_option("Split of a bundle.", default="train", panel=_CLIPS)]
BodyFilter = Annotated[shared.Body | None, shared.body_option(panel=_CLIPS)]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help=shared.LIMIT_HELP, rich_help_panel=_CLIPS)]
Infeasible = Annotated[bool, typer.Option("--infeasible", help=shared.INFEASIBLE_HELP, rich_help_panel=_CLIPS)]
Algo = Annotated[
    Algorithm | None, typer.Option(help="Training algorithm.", rich_help_panel=_TRAINING, show_default="ppo")
]
NumEnvs = Annotated[
    int | None,
    typer.Option(min=1, help="Number of parallel worlds; fewer need less memory.", rich_help_panel=_TRAINING),
]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=MAX_SEED, help="Seed of networks, episodes and noise.", rich_help_panel=_TRAINING),
]
Engine = Annotated[shared.EngineName, typer.Option(help=shared.ENGINE_HELP, rich_help_panel=_TRAINING)]
Hands = Annotated[
    bool | None,
    typer.Option(
        "--hands/--no-hands", help="Free the fingers and use all muscles, or lock them.",
        show_default="free if the clips' fingers are tracked", rich_help_panel=_TRAINING,
    ),
]  # fmt: skip
Config = Annotated[Path | None, shared.config_option(panel=_TRAINING)]
Assignments = Annotated[list[str] | None, shared.set_option("ppo.epochs=2", panel=_TRAINING)]
MaxSeconds = Annotated[
    float | None, typer.Option(min=0.0, metavar="SECONDS", help="Stop this command after this time.")
]
MaxSteps = Annotated[int | None, typer.Option(min=1, help="Stop the run after so many control steps in total.")]
Resume = Annotated[
    bool, typer.Option("--resume", help="Resume the run in the folder, with its clips, algorithm and settings.")
]
Start = Annotated[
    Path | None,
    typer.Option("--from", metavar="RUN", exists=True, help="Start at the policy of another run, or in a policy file."),
]
Episodes = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", exists=True, help="Fill the replay buffer of a world model with recorded episodes.",
        rich_help_panel=_TRAINING,
    ),
]  # fmt: skip
SaveSeconds = Annotated[float, typer.Option(min=1.0, metavar="SECONDS", help="Time between checkpoints.")]
TensorBoard = Annotated[bool, typer.Option(help="Write files for TensorBoard too.")]
Track = Annotated[ExperimentTracker | None, typer.Option(help="Send figures to a tracking service.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Print the plan and exit.")]
