"""Options of `mm-view`."""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from .shared import CLIPS_HELP, Body, body_option, output_option


class Camera(StrEnum):
    """Position of the camera."""

    side = "side"
    front = "front"
    three_quarter = "three-quarter"


class Backend(StrEnum):
    """Renderer."""

    auto = "auto"
    gl = "gl"
    plot = "plot"


FILM_FPS, STRIP_FRAMES = 30.0, 6
"""Frames per second of a video, and images in a strip."""

_SAVE, _BROWSER = "Saved image or video", "Browser"

Out = Annotated[Path, typer.Argument(metavar="CLIPS", help=CLIPS_HELP, exists=True, show_default=False)]
ClipName = Annotated[
    str | None,
    typer.Argument(
        metavar="CLIP", help="Clip to show first, or to save: its path below CLIPS, or a part of it.",
        show_default=False,
    ),
]  # fmt: skip
OtherName = Annotated[
    str | None,
    typer.Argument(
        metavar="OTHER", help="Clip to show beside it: its path below CLIPS, or a part of it.", show_default=False
    ),
]
BodyFilter = Annotated[Body | None, body_option()]
Save = Annotated[
    Path | None,
    output_option(
        "Write a video (.mp4) or a strip of images (.png) instead of opening the browser.", "--save", metavar="FILE",
        panel=_SAVE,
    ),
]  # fmt: skip
Frames = Annotated[
    int | None,
    typer.Option(
        min=1, help="Number of images.", show_default=f"strip {STRIP_FRAMES}, video all", rich_help_panel=_SAVE
    ),
]
Fps = Annotated[
    float | None,
    typer.Option(
        min=1, max=240, metavar="HZ", help="Frame rate of a video.", show_default=f"{FILM_FPS:g}", rich_help_panel=_SAVE
    ),
]
Size = Annotated[
    str | None,
    typer.Option(
        metavar="WxH", help="Size of one image with its captions, in pixels.",
        show_default="video 960x720, of two motions 560x720 each, strip 320x640",
        rich_help_panel=_SAVE,
    ),
]  # fmt: skip
CameraOption = Annotated[
    Camera | None,
    typer.Option(
        "--camera", help="Position of the camera.", show_default="video three-quarter, strip side",
        rich_help_panel=_SAVE,
    ),
]  # fmt: skip
BackendOption = Annotated[
    Backend | None,
    typer.Option(
        "--backend", help="Renderer: gl needs OpenGL but no display, plot is matplotlib, auto is gl if it works.",
        rich_help_panel=_SAVE, show_default="auto",
    ),
]  # fmt: skip
Tracked = Annotated[
    bool, typer.Option("--tracked", help="Show the motions of mm-track.")
]
Reference = Annotated[bool, typer.Option("--reference", help="Show the clip itself beside its tracked motion.")]
Targets = Annotated[
    bool | None,
    typer.Option(
        "--targets/--no-targets", help="Draw landmarks and their targets.",
        show_default="only without activations",
    ),
]  # fmt: skip
Muscles = Annotated[bool, typer.Option(help="Draw the muscles; without them, drawing takes half the time.")]
Host = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        help="Address to listen on. With 0.0.0.0, anyone on the network who has the full address, token included, "
        "can watch, unencrypted.",
        show_default="127.0.0.1", rich_help_panel=_BROWSER,
    ),
]  # fmt: skip
Port = Annotated[
    int | None,
    typer.Option(
        min=0, max=65535, help="Port to listen on.", show_default="the first free one from 8080",
        rich_help_panel=_BROWSER,
    ),
]  # fmt: skip
Dark = Annotated[bool, typer.Option("--dark", help="Dark colours for the page.", rich_help_panel=_BROWSER)]
Open = Annotated[
    bool | None,
    typer.Option(
        "--open/--no-open", help="Open the page, or only print its address.", show_default="open on a desktop",
        rich_help_panel=_BROWSER,
    ),
]  # fmt: skip
