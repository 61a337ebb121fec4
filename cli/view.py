"""`mm-view`: look at clips in the browser, or draw one as a film or as a strip of pictures."""

import os
import sys
import tempfile
import time
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from musclemap.cli.output.terminal_text import echo
from musclemap.errors import SettingsError

from .program import Program

if TYPE_CHECKING:
    import numpy as np

    from musclemap.datasets.clip import Clip

app = Program("mm-view")


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


_FOR_SAVE, _FOR_BROWSER = "Saved picture or film", "Browser"


@app.command()
def view(
    out: Annotated[
        Path, typer.Argument(metavar="OUT", help="Folder of clips, or one clip (.h5), to look at.", exists=True)
    ],
    clip: Annotated[
        str | None, typer.Argument(metavar="CLIP", help="Clip to begin with: its path below OUT.", show_default=False)
    ] = None,
    save: Annotated[
        Path | None,
        typer.Option(
            help="File to write instead of opening the browser: .mp4 for a film, .png for pictures side by side.",
            rich_help_panel=_FOR_SAVE,
        ),
    ] = None,
    frames: Annotated[
        int | None,
        typer.Option(
            min=1, help=f"Pictures: {STRIP_FRAMES} in a strip, in a film as many as there are.",
            rich_help_panel=_FOR_SAVE,
        ),
    ] = None,
    fps: Annotated[
        float | None,
        typer.Option(
            min=1, max=240, help=f"Pictures a second of a film; {FILM_FPS:g} unless given.", rich_help_panel=_FOR_SAVE
        ),
    ] = None,
    size: Annotated[
        str | None,
        typer.Option(
            metavar="WxH", help="Of one picture, in pixels; 960x720 in a film, 320x640 in a strip.",
            rich_help_panel=_FOR_SAVE,
        ),
    ] = None,
    camera: Annotated[
        Camera | None, typer.Option(help="Three-quarter for a film, side for a strip.", rich_help_panel=_FOR_SAVE)
    ] = None,
    backend: Annotated[
        Backend | None,
        typer.Option(
            help="gl: OpenGL, no display needed; plot: matplotlib; auto: gl where there is one.",
            rich_help_panel=_FOR_SAVE, show_default="auto",
        ),
    ] = None,
    muscles: Annotated[bool, typer.Option(help="Draw the muscles; without them it takes half the time.")] = True,
    host: Annotated[
        str | None,
        typer.Option(
            help="Address to serve at. With 0.0.0.0 all who have the page's address, token included, can look from "
            "the network, unencrypted.",
            show_default="127.0.0.1", rich_help_panel=_FOR_BROWSER,
        ),
    ] = None,
    port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Port to serve at.", show_default="the first free from 8080 on",
            rich_help_panel=_FOR_BROWSER,
        ),
    ] = None,
    open_browser: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open", help="Open the page too, rather than only saying where it is.",
            show_default="where there is a desktop", rich_help_panel=_FOR_BROWSER,
        ),
    ] = None,
) -> None:  # fmt: skip
    """Look at clips in the browser until Ctrl-C; with --save, draw one clip to a file.

    The page is served to this machine alone, and only to those who have its whole address, which holds a token.

    Shown are bones, muscles (blue short, red long, or by activation where the clip has it), points asked for (left
    blue, right orange, middle green) and, in the browser, these joined to a figure and the heels and toes that stand.

    Exit status: 0 when all went well, 2 when not.
    """
    saving = {"--frames": frames, "--fps": fps, "--size": size, "--camera": camera, "--backend": backend}
    serving = {"--host": host, "--port": port, "--open": open_browser}
    if save is None:
        _refuse(saving, "for --save FILE.mp4 or --save FILE.png, not for the browser")
        _serve(out, clip, host=host, port=port, open_browser=open_browser, muscles=muscles)
    else:
        _refuse(serving, "for the browser, not for --save")
        pixels = None if size is None else _size(size)
        path = _one_clip(out, clip)
        echo(_draw(path, save, frames, fps, pixels, camera, muscles, backend or Backend.auto))


def _refuse(options: dict[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise SettingsError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} {why}")


def _one_clip(out: Path, name: str | None) -> Path:
    """File of the clip that is meant."""
    if name is None and out.is_file():
        return out
    from musclemap.pipelines.viewer.clips import find_clips

    clips = find_clips(out)
    if name is None:
        raise SettingsError(f"{out} is a folder; say which clip to draw: mm-view {out} {clips.names[0]} --save FILE")
    return clips.path(clips.find(name))


def _serve(
    out: Path, name: str | None, *, host: str | None, port: int | None, open_browser: bool | None, muscles: bool
) -> None:
    """Serve until interrupted."""
    from musclemap.pipelines.viewer.clips import find_clips
    from musclemap.pipelines.viewer.server import HOST, Viewer

    clips = find_clips(out)
    first = clips.names[0] if name is None else clips.find(name)
    try:
        viewer = Viewer(clips, first, host=host or HOST, port=port, muscles=muscles)
        count, requested = len(clips.names), _has_desktop() if open_browser is None else open_browser
        echo(f"mm-view: {count} clip{'s' if count > 1 else ''} at {viewer.url} (Ctrl-C ends)")
        try:
            with _opened(viewer.url) if requested else nullcontext():
                viewer.run()
        finally:
            viewer.stop()
    except KeyboardInterrupt:
        echo("", err=True)


@contextmanager
def _opened(url: str) -> Iterator[None]:
    """Open a page in the browser, by way of a file of this user's: others could read the token on a command line."""
    with tempfile.TemporaryDirectory(prefix="musclemap-view-") as folder:
        page = Path(folder) / "view.html"
        page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}">', encoding="utf-8")
        webbrowser.open(page.as_uri())
        yield


def _has_desktop() -> bool:
    """Whether a browser would open in a window of this machine, not in the terminal or nowhere."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _draw(
    path: Path, save: Path, frames: int | None, fps: float | None, size: tuple[int, int] | None,
    camera: Camera | None, muscles: bool, backend: Backend,
) -> str:  # fmt: skip
    """Draw and write; returns the sentence that says what was written."""
    from musclemap.datasets.clip import read_clip
    from musclemap.pipelines.rendering.film import film_frames, save_film, save_strip, strip_frames

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
        echo(
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
            echo(f"mm-view: no OpenGL was found, so matplotlib draws; for better pictures: {INSTALL_HINT}", err=True)
    pictures = draw(
        drawing_model(clip.model), clip.qpos, target_pos=clip.target_pos, landmark_pos=clip.landmark_pos,
        landmark_names=clip.landmark_names, frames=chosen.tolist(), fps=clip.fps, size=size, camera=camera.value,
        muscles=muscles,
    )  # fmt: skip
    return _with_progress(pictures, total=len(chosen))


def _with_progress(pictures: Iterator["np.ndarray"], *, total: int) -> Iterator["np.ndarray"]:
    """Show how far it is, on stderr: a bar on a terminal, otherwise a line a minute."""
    from rich.progress import Progress

    from musclemap.cli.output.console import clean_console

    console = clean_console(err=True)
    said = time.monotonic()
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        task = progress.add_task("drawing", total=total)
        for count, picture in enumerate(pictures, start=1):
            yield picture
            progress.update(task, completed=count)
            if not console.is_terminal and time.monotonic() - said > 60:
                said = time.monotonic()
                echo(f"mm-view: {count} of {total} pictures", err=True)


if __name__ == "__main__":
    app()
