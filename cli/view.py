"""`mm-view`: look at a clip, as a film or as a strip of pictures."""

import time
from collections.abc import Iterator
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.skeletons.errors import MusclemapError, SettingsError

if TYPE_CHECKING:
    import numpy as np

    from musclemap.datasets.clip import Clip

app = typer.Typer(add_completion=False)


class Camera(StrEnum):
    """Where the camera stands."""

    side = "side"
    front = "front"
    three_quarter = "three-quarter"


class Backend(StrEnum):
    """How to draw."""

    auto = "auto"
    gl = "gl"
    plot = "plot"


FILM_SIZE, TILE_SIZE = (960, 720), (320, 640)
FILM_FPS, STRIP_FRAMES = 30.0, 8
_SIZES = range(16, 4097)


def _size(text: str) -> tuple[int, int]:
    """Width and height from "960x720"."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) in _SIZES and int(height) in _SIZES):
        raise SettingsError(f"--size {text!r} is not WIDTHxHEIGHT, each from {_SIZES.start} to {_SIZES.stop - 1}")
    return int(width), int(height)


@app.command()
def view(
    clip: Annotated[Path, typer.Argument(metavar="CLIP", help="Clip to look at (.h5).", exists=True, dir_okay=False)],
    save: Annotated[
        Path | None, typer.Option(help="File to write: .mp4 for a film, .png for pictures side by side.")
    ] = None,
    frames: Annotated[
        int | None, typer.Option(min=1, help=f"Pictures: {STRIP_FRAMES} in a strip, in a film as many as there are.")
    ] = None,
    fps: Annotated[
        float | None, typer.Option(min=1, max=240, help=f"Pictures a second of a film; {FILM_FPS:g} unless given.")
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(metavar="WxH", help="Of one picture, in pixels; 960x720 in a film, 320x640 in a strip."),
    ] = None,
    camera: Annotated[Camera | None, typer.Option(help="Three-quarter for a film, side for a strip.")] = None,
    muscles: Annotated[bool, typer.Option(help="Draw the muscles; without them it takes half the time.")] = True,
    backend: Annotated[
        Backend, typer.Option(help="gl: OpenGL, no display needed; plot: matplotlib; auto: gl where there is one.")
    ] = Backend.auto,
) -> None:
    """Draw a clip: bones, muscles, points asked for (left blue, right orange, middle green), points reached (dark).

    Exit status: 0 when the file was written, 2 when it could not be.
    """
    try:
        typer.echo(_view(clip, save, frames, fps, None if size is None else _size(size), camera, muscles, backend))
    except (MusclemapError, OSError) as error:
        typer.echo(f"mm-view: {error}", err=True)
        raise typer.Exit(2) from error


def _view(
    path: Path, save: Path | None, frames: int | None, fps: float | None, size: tuple[int, int] | None,
    camera: Camera | None, muscles: bool, backend: Backend,
) -> str:  # fmt: skip
    """Draw and write; returns the sentence that says what was written."""
    from musclemap.datasets.clip import read_clip
    from musclemap.pipelines.rendering.film import film_frames, save_film, save_strip, strip_frames

    if save is None:
        raise SettingsError("give --save FILE.mp4 or --save FILE.png; a view in the browser comes with a later version")
    ending = save.suffix.lower()
    if ending not in (".mp4", ".png"):
        raise SettingsError(f"{save.name} ends in {ending or 'nothing'}; a film ends in .mp4, a strip in .png")
    if fps is not None and ending == ".png":
        raise SettingsError("--fps is for films; the pictures of a strip are chosen by --frames")
    clip = read_clip(path)
    _warn_of_other_body(clip)
    if ending == ".mp4":
        chosen = film_frames(clip.nframe, fps=clip.fps, film_fps=fps or FILM_FPS)[:frames]
        draw = _pictures(clip, chosen, size or FILM_SIZE, camera or Camera.three_quarter, muscles, backend)
        count = save_film(save, draw, fps=fps or FILM_FPS)
        return f"{save}: {count} pictures, {count / (fps or FILM_FPS):.2f} s"
    chosen = strip_frames(clip.nframe, count=frames or STRIP_FRAMES)
    draw = _pictures(clip, chosen, size or TILE_SIZE, camera or Camera.side, muscles, backend)
    count = save_strip(save, draw, labels=[f"{frame / clip.fps:.2f} s" for frame in chosen])
    return f"{save}: {count} pictures from {clip.duration:.2f} s"


def _warn_of_other_body(clip: "Clip") -> None:
    from importlib.metadata import version

    here = version("musclemimic-models")
    if clip.model_version != here:
        typer.echo(
            f"mm-view: the clip was made for {clip.model} {clip.model_version} and drawn on {here}; joints may differ",
            err=True,
        )


def _pictures(
    clip: "Clip", chosen: "np.ndarray", size: tuple[int, int], camera: Camera, muscles: bool, backend: Backend
) -> Iterator["np.ndarray"]:
    from musclemap.pipelines.rendering.gl import INSTALL_HINT, find_gl, render_frames
    from musclemap.pipelines.rendering.plot import plot_frames
    from musclemap.pipelines.rendering.stage import drawing_model

    draw = render_frames
    if backend is Backend.plot or (backend is Backend.auto and find_gl() is None):
        draw = plot_frames
        if backend is Backend.auto:
            typer.echo(
                f"mm-view: no OpenGL was found, so matplotlib draws; for better pictures: {INSTALL_HINT}", err=True
            )
    pictures = draw(
        drawing_model(clip.model), clip.qpos, target_pos=clip.target_pos, landmark_pos=clip.landmark_pos,
        landmark_names=clip.landmark_names, frames=chosen.tolist(), fps=clip.fps, size=size, camera=camera.value,
        muscles=muscles,
    )  # fmt: skip
    return _with_progress(pictures, total=len(chosen))


def _with_progress(pictures: Iterator["np.ndarray"], *, total: int) -> Iterator["np.ndarray"]:
    """Show how far it is, on stderr: a bar on a terminal, otherwise a line a minute."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    said = time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("drawing", total=total)
        for count, picture in enumerate(pictures, start=1):
            yield picture
            progress.update(task, completed=count)
            if not console.is_terminal and time.monotonic() - said > 60:
                said = time.monotonic()
                typer.echo(f"mm-view: {count} of {total} pictures", err=True)
