"""`mm-view`: show clips in the browser, or draw one as a video or a strip of images."""

import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING

from musclemap.cli.output.terminal_text import echo
from musclemap.errors import SettingsError

from .options import view as opt
from .options.view import FILM_FPS, STRIP_FRAMES, Backend, Camera
from .program import Program

if TYPE_CHECKING:
    import numpy as np

    from musclemap.datasets.clip import Clip
    from musclemap.pipelines.viewer.clips import ClipFolder

app = Program("mm-view")


FILM_SIZE, TILE_SIZE = (960, 720), (320, 640)
_SIZES = range(16, 4097)


def _size(text: str) -> tuple[int, int]:
    """Parse width and height, such as "960x720"."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) in _SIZES and int(height) in _SIZES):
        raise SettingsError(f"--size {text!r} is not WIDTHxHEIGHT, each from {_SIZES.start} to {_SIZES.stop - 1}")
    return int(width), int(height)


@app.command()
def view(
    out: opt.Out,
    clip: opt.ClipName = None,
    body: opt.BodyFilter = None,
    save: opt.Save = None,
    frames: opt.Frames = None,
    fps: opt.Fps = None,
    size: opt.Size = None,
    camera: opt.CameraOption = None,
    backend: opt.BackendOption = None,
    muscles: opt.Muscles = True,
    tracked: opt.Tracked = False,
    host: opt.Host = None,
    port: opt.Port = None,
    open_browser: opt.Open = None,
) -> None:
    """Show clips in the browser until Ctrl-C, or save one clip as a video or image with --save.

    The page is served to this machine only, and only to those who have its full
    address, which contains a token.

    It shows bones, muscles (blue short, red long; or coloured by activation if the
    clip has it) and target landmarks (left blue, right orange, middle green). In
    the browser, lines join the landmarks, and heels and toes in contact are marked.

    Exits with 0 on success, 2 on any error.
    """
    saving = {"--frames": frames, "--fps": fps, "--size": size, "--camera": camera, "--backend": backend}
    serving = {"--host": host, "--port": port, "--open": open_browser}
    if save is None:
        _refuse(saving, "for --save FILE.mp4 or --save FILE.png, not for the browser")
        shown = _clips(out, tracked=tracked, body=body and body.value)
        _serve(shown, clip, host=host, port=port, open_browser=open_browser, muscles=muscles, tracked=tracked)
    else:
        _refuse(serving, "for the browser, not for --save")
        pixels = None if size is None else _size(size)
        root, name = _one_clip(out, clip, _clips(out, tracked=tracked, body=body and body.value))
        echo(_draw(root, name, save, frames, fps, pixels, camera, muscles, backend or Backend.auto, tracked=tracked))


def _refuse(options: dict[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise SettingsError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} {why}")


def _clips(out: Path, *, tracked: bool, body: str | None) -> "ClipFolder":
    """List the clips of a body, or those with a track."""
    from musclemap.pipelines.viewer.clips import find_clips

    clips = find_clips(out, body=body)
    if not tracked:
        return clips
    from musclemap.pipelines.track.tracked_motions import with_tracks

    return with_tracks(clips)


def _one_clip(out: Path, name: str | None, clips: "ClipFolder") -> tuple[Path, str]:
    """Return the folder and the name of the clip to draw."""
    if name is None and out.is_file():
        return clips.root, clips.names[0]
    if name is None:
        raise SettingsError(f"{out} is a folder; name the clip to draw: mm-view {out} {clips.names[0]} --save FILE")
    return clips.root, clips.find(name)


def _read(root: Path, name: str, *, tracked: bool) -> "Clip":
    """Read a clip, or its tracked motion."""
    if not tracked:
        from musclemap.datasets.clip import read_clip

        return read_clip(root / name)
    from musclemap.pipelines.track.tracked_motions import read_tracked

    return read_tracked(root, name)


def _serve(
    clips: "ClipFolder", name: str | None, *, host: str | None, port: int | None, open_browser: bool | None,
    muscles: bool, tracked: bool,
) -> None:  # fmt: skip
    """Serve the page until Ctrl-C."""
    first = clips.names[0] if name is None else clips.find(name)
    from musclemap.pipelines.viewer.server import HOST, Viewer  # after the names are checked: it imports MuJoCo

    try:
        viewer = Viewer(
            clips, first, host=host or HOST, port=port, muscles=muscles,
            read=lambda name: _read(clips.root, name, tracked=tracked), colouring="activation" if tracked else "length",
        )  # fmt: skip
        count, opens = len(clips.names), _has_desktop() if open_browser is None else open_browser
        echo(f"mm-view: {count} clip{'s' if count > 1 else ''} at {viewer.url} (Ctrl-C stops)")
        try:
            with _opened(viewer.url) if opens else nullcontext():
                viewer.run()
        finally:
            viewer.stop()
    except KeyboardInterrupt:
        echo("", err=True)


@contextmanager
def _opened(url: str) -> Iterator[None]:
    """Open a page in the browser through a private file: other users could read the token on a command line."""
    with tempfile.TemporaryDirectory(prefix="musclemap-view-") as folder:
        page = Path(folder) / "view.html"
        page.write_text(f'<!doctype html><meta http-equiv="refresh" content="0; url={url}">', encoding="utf-8")
        webbrowser.open(page.as_uri())
        yield


def _has_desktop() -> bool:
    """Whether a browser can open a window on this machine."""
    return sys.platform in ("darwin", "win32") or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


def _draw(
    root: Path, name: str, save: Path, frames: int | None, fps: float | None, size: tuple[int, int] | None,
    camera: Camera | None, muscles: bool, backend: Backend, *, tracked: bool,
) -> str:  # fmt: skip
    """Draw and write a clip; returns a sentence about the file."""
    from musclemap.pipelines.rendering.film import film_frames, save_film, save_strip, strip_frames

    ending = save.suffix.lower()
    if ending not in (".mp4", ".png"):
        raise SettingsError(f"{save.name} ends in {ending or 'nothing'}; a video ends in .mp4, a strip in .png")
    if fps is not None and ending == ".png":
        raise SettingsError("--fps is for videos; --frames sets the number of images in a strip")
    clip = _read(root, name, tracked=tracked)
    _warn_of_other_body(clip)
    if ending == ".mp4":
        chosen = film_frames(clip.nframe, fps=clip.fps, film_fps=fps or FILM_FPS)[:frames]
        draw = _pictures(
            clip, chosen, size or FILM_SIZE, camera or Camera.three_quarter, muscles, backend, active=tracked
        )
        count = save_film(save, draw, fps=fps or FILM_FPS)
        return f"{save}: {count} images, {count / (fps or FILM_FPS):.2f} s"
    chosen = strip_frames(clip.nframe, count=frames or STRIP_FRAMES)
    draw = _pictures(clip, chosen, size or TILE_SIZE, camera or Camera.side, muscles, backend, active=tracked)
    count = save_strip(save, draw, labels=[f"{frame / clip.fps:.2f} s" for frame in chosen])
    return f"{save}: {count} images from {clip.duration:.2f} s"


def _warn_of_other_body(clip: "Clip") -> None:
    """Warn if this installation has the clip's body neither corrected nor as released."""
    from musclemap.skeletons.bodies import load_body_version

    body = load_body_version(clip.model, clip.model_sha256, variant=clip.variant)
    if clip.model_version not in (body.version, body.version.removesuffix("+corrected")):
        made = f"the clip was made for {clip.model} {clip.model_version}"
        echo(f"mm-view: {made} and is drawn on {body.version}; joints may differ", err=True)


def _pictures(
    clip: "Clip", chosen: "np.ndarray", size: tuple[int, int], camera: Camera, muscles: bool, backend: Backend,
    *, active: bool,
) -> Iterator["np.ndarray"]:  # fmt: skip
    """Draw frames of a clip; with `active`, muscles have the colours of their activation."""
    import numpy as np

    from musclemap.pipelines.rendering.drawing import drawing_model
    from musclemap.pipelines.rendering.gl import INSTALL_HINT, find_gl, render_frames
    from musclemap.pipelines.rendering.muscles import MuscleColours
    from musclemap.pipelines.rendering.plot import plot_frames

    draw = render_frames
    if backend is Backend.plot or (backend is Backend.auto and find_gl() is None):
        draw = plot_frames
        if backend is Backend.auto:
            echo(f"mm-view: no OpenGL found, so matplotlib draws; for better images: {INSTALL_HINT}", err=True)
    model, tendon_rgb = drawing_model(clip.model, variant=clip.variant), None
    if active and clip.activation is not None and clip.activation.shape[1] == model.nu:
        colours = MuscleColours(model)
        tendon_rgb = np.stack([colours.by_activation(row) for row in clip.activation])
    pictures = draw(
        model, clip.qpos, target_pos=clip.target_pos, landmark_pos=clip.landmark_pos,
        landmark_names=clip.landmark_names, frames=chosen.tolist(), fps=clip.fps, size=size, camera=camera.value,
        muscles=muscles, tendon_rgb=tendon_rgb,
    )  # fmt: skip
    return _with_progress(pictures, total=len(chosen))


def _with_progress(pictures: Iterator["np.ndarray"], *, total: int) -> Iterator["np.ndarray"]:
    """Pass the images on, and show progress."""
    from musclemap.cli.output.progress import ProgressDisplay

    with ProgressDisplay() as display:
        count = display.count("images")
        for done, picture in enumerate(pictures, start=1):
            yield picture
            count(done, total)


if __name__ == "__main__":
    app()
