"""`mm-view`: show clips in the browser, or draw one as a video or a strip of images."""

import os
import sys
import tempfile
import webbrowser
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from musclemap.cli.output.terminal_text import echo
from musclemap.errors import SettingsError
from musclemap.pipelines.wording import counted

from .options import view as opt
from .options.checks import check_clip_file, check_output_file, selected_clips
from .options.shared import Exclude, Include, Limit
from .options.variants import AddedMass, Alterations, JointRange, Strength, alterations
from .options.view import FILM_FPS, STRIP_FRAMES, Backend, Camera
from .program import Program

if TYPE_CHECKING:
    import numpy as np

    from musclemap.datasets.clip import Clip
    from musclemap.pipelines.rendering.motion_film import MotionFilm, Side
    from musclemap.pipelines.viewer.clips import ClipFolder
    from musclemap.skeletons.variants.variant import BodyVariant

app = Program("mm-view")

FILM_SIZE, HALF_SIZE, TILE_SIZE = (960, 720), (560, 720), (320, 640)

_Filters = tuple[Sequence[str], Sequence[str], int | None]
"""--include, --exclude, --limit."""

_Motion = tuple[str, "BodyVariant | None"]
"""Name of a clip, and what alters the body that tracked it; None for the clip itself."""

_SIZES = range(16, 4097)


def _size(text: str) -> tuple[int, int]:
    """Parse width and height, such as "960x720"."""
    width, _, height = text.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal() and int(width) in _SIZES and int(height) in _SIZES):
        raise SettingsError(f"--size {text!r} is not WIDTHxHEIGHT, each from {_SIZES.start} to {_SIZES.stop - 1}")
    return int(width), int(height)


_EXAMPLES = (
    "mm-view out/                               # in the browser, until Ctrl-C",
    "mm-view out/ walk_1.2                      # by a part of its name",
    "mm-view out/ walk_1.2 walk_1.6             # side by side",
    "mm-view out/ walk_1.2 -o walk.mp4          # a video",
    "mm-view out/ walk_1.2 -o walk.png --frames 6 --tracked",
)


@app.command(examples=_EXAMPLES)
def view(
    out: opt.Out,
    clip: opt.ClipName = None,
    other: opt.OtherName = None,
    include: Include = None,
    exclude: Exclude = None,
    limit: Limit = None,
    body: opt.BodyFilter = None,
    save: opt.Save = None,
    frames: opt.Frames = None,
    fps: opt.Fps = None,
    size: opt.Size = None,
    camera: opt.CameraOption = None,
    backend: opt.BackendOption = None,
    muscles: opt.Muscles = True,
    targets: opt.Targets = None,
    tracked: opt.Tracked = False,
    reference: opt.Reference = False,
    strength: Strength = None,
    joint_range: JointRange = None,
    added_mass: AddedMass = None,
    host: opt.Host = None,
    port: opt.Port = None,
    dark: opt.Dark = False,
    open_browser: opt.Open = None,
) -> None:
    """Show clips in the browser until Ctrl-C, or save one clip as a video or image with -o.

    The page is served to this machine only, and only to those who have its full
    address, which contains a token.

    It shows bones, muscles by activation (pale at rest, dark red and thicker when
    active; grey without activations), ground forces as green arrows (0.5 m = body
    weight), and pads where parts bear load. The browser also shows the length of
    muscles, landmark targets, and curves; click a muscle for its name. With OTHER,
    or --tracked --reference, two motions are shown side by side. --strength,
    --joint-range and --added-mass choose the track of a body that they altered.

    Exits with 0 on success, 2 on any error.
    """
    saving = {"--frames": frames, "--fps": fps, "--size": size, "--camera": camera, "--backend": backend}
    serving = {"--host": host, "--port": port, "--open": open_browser, "--dark": dark or None}
    if reference and (not tracked or other is not None):
        raise SettingsError("--reference shows a clip beside its tracked motion: it needs --tracked, and no OTHER")
    altered = alterations(strength, joint_range, added_mass)
    altered.refuse_without(tracked=tracked)
    filters = (include or (), exclude or (), limit)
    if save is None:
        _refuse(saving, "for -o FILE.mp4 or -o FILE.png, not for the browser")
        shown, variant = _clips(out, (clip, other), filters, altered, tracked=tracked, body=body and body.value)
        _serve(
            shown, clip, other, host=host, port=port, dark=dark, open_browser=open_browser, muscles=muscles,
            targets=targets, variant=variant, reference=reference,
        )  # fmt: skip
        return
    _refuse(serving, "for the browser, not for -o FILE")
    pixels = None if size is None else _size(size)
    _check_file(save, fps)
    shown, variant = _clips(out, (clip, other), filters, altered, tracked=tracked, body=body and body.value)
    root, name = _one_clip(out, clip, shown)
    motions = [(name, variant)]
    if other is not None:
        motions.append((shown.find(other), variant))
    elif reference:
        motions.insert(0, (name, None))
    echo(_draw(root, motions, save, frames, fps, pixels, camera, backend or Backend.auto,
               muscles=muscles, targets=targets))  # fmt: skip


def _refuse(options: dict[str, object], why: str) -> None:
    given = [name for name, value in options.items() if value is not None]
    if given:
        raise SettingsError(f"{' and '.join(given)} {'is' if len(given) == 1 else 'are'} {why}")


def _check_file(save: Path, fps: float | None) -> None:
    """Refuse a file that cannot be written, before anything heavy is imported."""
    ending = save.suffix.lower()
    if ending not in (".mp4", ".png"):
        raise SettingsError(f"{save.name} ends in {ending or 'nothing'}; a video ends in .mp4, a strip in .png")
    if fps is not None and ending == ".png":
        raise SettingsError("--fps is for videos; --frames sets the number of images in a strip")
    check_output_file("-o", save, ending)


def _clips(
    out: Path, named: Sequence[str | None], filters: _Filters, altered: Alterations, *, tracked: bool, body: str | None
) -> "tuple[ClipFolder, BodyVariant | None]":
    """List the selected clips of a body, or those with a track.

    Returns:
        The clips, and what alters the body that tracked them; None for the clips themselves.
    """
    from musclemap.pipelines.viewer.clips import find_clips

    check_clip_file(out)
    clips = find_clips(out, body=body)
    chosen = selected_clips(out, *filters)
    if chosen is not None:
        clips = replace(clips, names=tuple(name for name in clips.names if name in chosen))
        if not clips.names:
            raise SettingsError(f"none of the selected clips of {out} is of this body")
    if not tracked:
        return clips, None
    from musclemap.datasets.output_folder import TRACKS

    if not (clips.root / TRACKS).is_dir():  # said before anything heavy is imported
        raise SettingsError(f"no clip in {out} has a track; mm-track {out} makes them")
    from musclemap.datasets.clip import read_clip
    from musclemap.pipelines.track.tracked_motions import missing_track, with_tracks
    from musclemap.skeletons.variants.variant import UNALTERED

    first = clips.names[0] if named[0] is None else clips.find(named[0])
    variant = altered.variant(read_clip(clips.root / first).model) if altered else UNALTERED
    shown = with_tracks(clips, variant=variant)
    for text in named:
        if text is not None and (name := clips.find(text)) not in shown.names:
            raise missing_track(clips.root, name, variant)
    return shown, variant


def _one_clip(out: Path, name: str | None, clips: "ClipFolder") -> tuple[Path, str]:
    """Return the folder and the name of the clip to draw."""
    if name is None and len(clips.names) == 1:
        return clips.root, clips.names[0]
    if name is None:
        raise SettingsError(
            f"{out} has {len(clips.names)} clips; name the one to draw: mm-view {out} {clips.names[0]} -o FILE"
        )
    return clips.root, clips.find(name)


def _read(root: Path, name: str, variant: "BodyVariant | None") -> "Clip":
    """Read a clip, or its tracked motion by a body that `variant` alters."""
    if variant is None:
        from musclemap.datasets.clip import read_clip

        return read_clip(root / name)
    from musclemap.pipelines.track.tracked_motions import read_tracked

    return read_tracked(root, name, variant=variant)


def _serve(
    clips: "ClipFolder", name: str | None, other: str | None, *, host: str | None, port: int | None,
    dark: bool, open_browser: bool | None, muscles: bool, targets: bool | None, variant: "BodyVariant | None",
    reference: bool,
) -> None:  # fmt: skip
    """Serve the page until Ctrl-C."""
    first = clips.names[0] if name is None else clips.find(name)
    second = None if other is None else clips.find(other)
    from musclemap.pipelines.viewer.server import HOST, Beside, Viewer  # after the names are checked: it imports MuJoCo

    beside = None
    if second is not None:
        beside = Beside(read=lambda _: _read(clips.root, second, variant), title=second)
    elif reference:
        own_title = f"tracked, {variant.text}" if variant else "tracked"
        beside = Beside(read=lambda name: _read(clips.root, name, None), own_title=own_title, left=True)
    try:
        viewer = Viewer(
            clips, first, host=host or HOST, port=port, muscles=muscles, targets=targets, beside=beside,
            read=lambda name: _read(clips.root, name, variant),
        )  # fmt: skip
        count, opens = len(clips.names), _has_desktop() if open_browser is None else open_browser
        url = viewer.url + "?darkMode" * dark  # which viser's page understands
        echo(f"mm-view: {counted(count, 'clip')} at {url} (Ctrl-C stops)")
        try:
            with _opened(url) if opens else nullcontext():
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
    root: Path, motions: "list[_Motion]", save: Path, frames: int | None, fps: float | None,
    size: tuple[int, int] | None, camera: Camera | None, backend: Backend, *, muscles: bool, targets: bool | None,
) -> str:  # fmt: skip
    """Draw and write one motion, or two side by side.

    Returns:
        A sentence about the file.
    """
    from musclemap.pipelines.rendering.film import save_film, save_strip, strip_frames
    from musclemap.pipelines.rendering.motion_film import film_times

    clips = [_read(root, name, variant) for name, variant in motions]
    for clip in clips:
        _warn_of_other_body(clip)
    film, still = save.suffix.lower() == ".mp4", clips[0]
    view = camera or (Camera.three_quarter if film else Camera.side)
    rate, pixels = fps or FILM_FPS, size or (TILE_SIZE if not film else HALF_SIZE if len(clips) > 1 else FILM_SIZE)
    times = strip_frames(still.nframe, count=frames or STRIP_FRAMES) / still.fps
    motion_film, sides = _film(clips, motions, pixels, view, backend, muscles=muscles, targets=targets,
                               tiles=1 if film else len(times))  # fmt: skip
    if film:
        times = film_times(sides, film_fps=rate)[:frames]
        count = save_film(save, _with_progress(motion_film.pictures(times), total=len(times)), fps=rate)
        return f"{save}: {count} images, {count / rate:.2f} s"
    pictures = _with_progress(motion_film.tiles(times), total=len(times))
    count = save_strip(save, pictures, captions=motion_film.captions)
    return f"{save}: {count} images from {still.duration:.2f} s"


def _warn_of_other_body(clip: "Clip") -> None:
    """Warn if this installation has the clip's body neither corrected nor as released."""
    from musclemap.skeletons.bodies import load_body_version

    body = load_body_version(clip.model, clip.model_sha256, variant=clip.variant)
    if clip.model_version not in (body.version, body.version.removesuffix("+corrected")):
        made = f"the clip was made for {clip.model} {clip.model_version}"
        echo(f"mm-view: {made} and is drawn on {body.version}; joints may differ", err=True)


def _film(
    clips: "list[Clip]", motions: "list[_Motion]", size: tuple[int, int], camera: Camera, backend: Backend,
    *, muscles: bool, targets: bool | None, tiles: int,
) -> "tuple[MotionFilm, list[Side]]":  # fmt: skip
    """Lay out the pictures of clips; targets are drawn by default where no muscle shows its activation."""
    from musclemap.pipelines.rendering.drawing import drawing_model
    from musclemap.pipelines.rendering.gl import INSTALL_HINT, find_gl, render_frames
    from musclemap.pipelines.rendering.motion_film import MotionFilm, clip_side
    from musclemap.pipelines.rendering.plot import plot_frames

    if len({clip.model for clip in clips}) > 1:
        raise SettingsError(f"clips of one body fit side by side; these are of {clips[0].model} and {clips[1].model}")
    draw = render_frames
    if backend is Backend.plot or (backend is Backend.auto and find_gl() is None):
        draw = plot_frames
        if backend is Backend.auto:
            echo(f"mm-view: no OpenGL found, so matplotlib draws; for better images: {INSTALL_HINT}", err=True)
    model = drawing_model(clips[0].model, variant=clips[0].variant)
    if targets is None:
        targets = not muscles or all(clip.activation is None for clip in clips)
    names = [name.removesuffix(".h5") for name, _ in motions]
    how = ["reference" if variant is None else f"tracked{f', {variant.text}' if variant else ''}"
           for _, variant in motions]  # fmt: skip
    titles = names if len(set(names)) > 1 else how
    sides = [
        clip_side(model, clip, title=title if len(clips) > 1 else "", targets=targets)
        for clip, title in zip(clips, titles, strict=True)
    ]
    name = " and ".join(dict.fromkeys(names))
    if len(motions) == 1 and (variant := motions[0][1]) is not None:
        name += f", tracked by muscles{f', {variant.text}' if variant else ''}"
    film = MotionFilm(
        model, sides, size=size, name=name, camera=camera.value, muscles=muscles, tiles=tiles, draw=draw
    )  # fmt: skip
    return film, sides


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
