"""Write pictures to files: as a film, or as a strip of pictures side by side."""

import os
import tempfile
import warnings
from collections.abc import Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import imageio_ffmpeg
import numpy as np
from PIL import Image, ImageDraw

from .captions import PAPER, Captions
from .drawing import RenderError


def film_frames(nframe: int, *, fps: float, film_fps: float) -> np.ndarray:
    """Select the frames of a motion for a film by their time stamps, so that the film lasts as long as the motion."""
    count = int(np.floor((nframe - 1) * film_fps / fps + 1e-9)) + 1
    return np.minimum(np.round(np.arange(count) * fps / film_fps).astype(int), nframe - 1)


def strip_frames(nframe: int, *, count: int) -> np.ndarray:
    """Select at most `count` frames of a motion, evenly spaced from first to last."""
    return np.unique(np.linspace(0, nframe - 1, count).round().astype(int))


def save_film(path: Path, frames: Iterable[np.ndarray], *, fps: float) -> int:
    """Write pictures, shape (height, width, 3) uint8, as an H.264 film.

    Args:
        path: File to write. It is created or replaced only once the film is complete.
        frames: Pictures of one size with even width and height (H.264 halves the resolution of colour).
        fps: Pictures per second.

    Returns:
        Number of pictures written.

    Raises:
        RenderError: If there are no pictures, if width or height is odd, or if ffmpeg is missing.
    """
    with _replacing(path) as part, closing(_film(part, fps=fps)) as film:
        next(film)
        count = 0
        for picture in frames:
            film.send(picture)
            count += 1
        if not count:
            raise RenderError("a film needs at least one picture")
    return count


def save_strip(path: Path, frames: Iterable[np.ndarray], *, captions: Captions | None = None) -> int:
    """Write pictures, shape (height, width, 3) uint8, side by side into one PNG file.

    Args:
        path: File to write. It is created or replaced only once it is complete.
        frames: Pictures of one height.
        captions: Captions around the whole strip.

    Returns:
        Number of pictures in the strip.

    Raises:
        RenderError: If there are no pictures.
    """
    with _replacing(path) as part:
        pictures = list(frames)
        if not pictures:
            raise RenderError("a strip needs at least one picture")
        strip = Image.fromarray(np.concatenate(pictures, axis=1))
        _divide(strip, [picture.shape[1] for picture in pictures])
        if captions is not None:
            strip = Image.fromarray(captions.around(np.asarray(strip)))
        strip.save(part)
    return len(pictures)


def _divide(strip: Image.Image, widths: Sequence[int]) -> None:
    """Draw a line between neighbouring pictures."""
    pen, height = ImageDraw.Draw(strip), strip.height
    for left in np.cumsum(widths)[:-1].tolist():
        pen.line([(left, 0), (left, height)], fill=PAPER, width=max(2, height // 120))


def _film(path: Path, *, fps: float) -> Generator[None, np.ndarray, None]:
    """Encode the pictures sent to this generator; the encoder starts with the first picture, which gives the size."""
    picture = yield
    height, width = picture.shape[:2]
    if height % 2 or width % 2:
        raise RenderError(f"a film needs an even width and height; these pictures have {width}x{height}")
    rate: Any = fps  # annotated as int, but written with two decimals
    film = imageio_ffmpeg.write_frames(
        str(path), (width, height), fps=rate, codec="libx264", quality=7, macro_block_size=2
    )
    try:
        with warnings.catch_warnings():
            # once loaded, JAX warns about every fork; this fork execs another program at once, which is safe
            warnings.filterwarnings("ignore", r"os\.fork\(\) was called", RuntimeWarning)
            film.send(None)
    except RuntimeError as error:  # raised by imageio-ffmpeg if ffmpeg is missing
        raise RenderError(f"ffmpeg is missing, so no film can be written: {error}") from error
    with closing(film):
        while True:
            film.send(np.ascontiguousarray(picture))
            picture = yield


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Yield a temporary file beside `path` with its suffix; it replaces `path` on success and is removed on failure."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem}-", suffix=path.suffix)
    os.close(handle)
    part = Path(name)
    try:
        yield part
        part.chmod(0o644)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
