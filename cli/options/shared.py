"""Options that several commands share."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, TypedDict

import typer


class Device(StrEnum):
    """Device that computes."""

    cpu = "cpu"
    gpu = "gpu"


BODY_NAMES = ("full-body", "bimanual-arm")


@dataclass(frozen=True)
class Body:
    """Target body: one of `BODY_NAMES`, or the name of a body of one's own."""

    value: str


def parse_body(text: str) -> Body:
    """Body of an option: a name, or the table of a body of one's own, which then is known to the command."""
    if text in BODY_NAMES:
        return Body(text)
    from musclemap.errors import TargetError
    from musclemap.skeletons.bodies import BODY_OPTIONS, add_body  # here because it imports MuJoCo

    try:
        if text.endswith(".toml"):
            return Body(add_body(Path(text)))
        if text in BODY_OPTIONS:
            return Body(text)
    except TargetError as error:
        raise typer.BadParameter(str(error)) from error
    raise typer.BadParameter(f"{text!r} is none of {', '.join(BODY_OPTIONS)}, and no table of a body (.toml)")


class EngineName(StrEnum):
    """Physics engine; auto is MuJoCo Warp with a GPU, otherwise MuJoCo."""

    auto = "auto"
    warp = "warp"
    mujoco = "mujoco"


class MuscleCost(StrEnum):
    """What the muscle activations minimise."""

    volume = "volume"
    activation = "activation"
    stress_cubed = "stress-cubed"


class Forces(StrEnum):
    """Ground forces that inverse dynamics uses."""

    measured = "measured"
    estimated = "estimated"


CONFIG_HELP = "Read settings from a TOML file."
ENGINE_HELP = "Physics engine; auto is MuJoCo Warp with a GPU, otherwise MuJoCo."
INCLUDE_HELP = "Use only clips that match; repeatable."
EXCLUDE_HELP = "Skip clips that match; repeatable."
BODY_HELP = "Use only clips of this body: a name, or the table of a body of your own."
GROUP_HELP = "Use only the motions of this list."
LIMIT_HELP = "Use only the first N clips."
CLIPS_HELP = "Folder of clips, or one clip (.h5)."
SAME_AS_OUT = "The same as OUT."
INFEASIBLE_HELP = "Use infeasible clips too."
JSON_HELP = "Print the result on stdout as JSON."


def set_option(example: str, *, panel: str | None = None) -> Any:
    """The option `--set KEY=VALUE` with an example; `panel` is its group in the help text."""
    text = f"Override a setting, such as {example}; repeatable."
    return typer.Option("--set", metavar="KEY=VALUE", help=text, rich_help_panel=panel)


def body_option(*, panel: str | None = None, text: str = BODY_HELP, default: str = "any") -> Any:
    """The option `--body`; `panel` is its group in the help text."""
    return typer.Option(
        "--body", parser=parse_body, metavar=f"{'|'.join(BODY_NAMES)}|TABLE.toml", help=text, show_default=default,
        rich_help_panel=panel,
    )  # fmt: skip


def split_option(text: str, *, default: str | None = None, panel: str | None = None) -> Any:
    """The option `--split`: a split of a bundle."""
    shown = False if default is None else default
    return typer.Option(metavar="NAME", help=text, show_default=shown, rich_help_panel=panel)


def video_seconds_option(*, panel: str) -> Any:
    """The option `--video-seconds`."""
    return typer.Option(min=0.1, metavar="SECONDS", help="Longest video.", rich_help_panel=panel)


def config_option(*, panel: str | None = None) -> Any:
    """The option `--config`."""
    return typer.Option(metavar="FILE", help=CONFIG_HELP, exists=True, dir_okay=False, rich_help_panel=panel)


CHUNK: Any = typer.Option(min=1, metavar="N", help="Check N frames at a time; limits the memory.", show_default="2048")


def output_option(text: str, *names: str, metavar: str = "DIR", panel: str | None = None) -> Any:
    """The option `-o`, `--output`: what the command writes. `names` are further long forms."""
    return typer.Option("-o", "--output", *names, metavar=metavar, help=text, show_default=False, rich_help_panel=panel)


def jobs_option(text: str, *, default: str | None = None, panel: str | None = None, most: int | None = None) -> Any:
    """The option `-j`, `--jobs`: how many of something run at the same time. `--workers` is its older name."""
    shown = True if default is None else default
    return typer.Option(
        "-j", "--jobs", "--workers", metavar="N", min=1, max=most, help=text, show_default=shown, rich_help_panel=panel
    )


MUSCLE_COST: Any = typer.Option(
    "--muscle-cost",
    help="What activations minimise: squares weighted by muscle volume, plain squares, or cubes of muscle stress.",
    show_default="volume",
)
FORCES: Any = typer.Option(
    "--forces",
    help="Ground forces to use: those of force plates where there are any, or estimates everywhere.",
    show_default="measured",
)
Json = Annotated[bool, typer.Option("--json", help=JSON_HELP)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print problems only.")]
ComputeDevice = Annotated[
    Device | None, typer.Option(help="Device that computes.", show_default="a GPU if JAX finds one")
]
Include = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=INCLUDE_HELP)]
Exclude = Annotated[list[str] | None, typer.Option(metavar="GLOB", help=EXCLUDE_HELP)]
Limit = Annotated[int | None, typer.Option(min=1, metavar="N", help=LIMIT_HELP)]
BodyFilter = Annotated[Body | None, body_option()]
Config = Annotated[Path | None, config_option()]


class ClipFilters(TypedDict):
    """Clips to use from a data set; keywords of `select_clips`."""

    include: Sequence[str]
    exclude: Sequence[str]
    group: str | None
    split: str | None
    body: str | None
    limit: int | None
    infeasible: bool
