"""Film of a policy next to its reference, with muscles coloured by activation."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import mujoco
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import ClipEvaluation
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.skeletons.bodies.small_arm import ARM_NAME

from .camera import follow_both
from .drawing import RenderError, drawing_model
from .film import film_frames, save_film
from .gl import find_gl, render_frames
from .muscles import MuscleColours
from .plot import plot_frames

FILM_FPS = 30.0

SIZE = (560, 720)
"""Width and height of each side [pixels]."""

LONGEST = 30.0
"""Maximum duration of a film [s]; the rest is left out."""

CAMERAS = {ARM_NAME: "front"}
"""View of each body; the arm moves in a plane. All other bodies use the three-quarter view."""

_INK, _FAILURE_INK = (60, 68, 78), (190, 40, 30)


@dataclass(frozen=True, kw_only=True, eq=False)
class FilmClip:
    """A clip and its evaluation, which holds the recording to show."""

    clip: Clip
    result: ClipEvaluation


def save_policy_film(
    path: Path, film_clips: Sequence[FilmClip], body: SimulationBody, *, longest: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:  # fmt: skip
    """Write a film with the reference on the left and the policy on the right, clip after clip.

    Args:
        path: File to write, ending in .mp4.
        film_clips: Clips in the order of the film.
        body: Body that the policy moves.
        longest: Maximum duration of the film [s]; `LONGEST` if None.
        progress: Called after each picture with the number done and the total.

    Returns:
        Duration of the film [s].

    Raises:
        RenderError: If the name does not end in .mp4, no clip has a recording, or ffmpeg is missing.
    """
    if path.suffix.lower() != ".mp4":
        raise RenderError(f"{path.name}: the name of a film must end in .mp4")
    recorded = [film_clip for film_clip in film_clips if film_clip.result.recording is not None]
    if not recorded:
        raise RenderError("no clip has a recording to show in a film")
    longest = LONGEST if longest is None else longest
    total = sum(len(frames) for _, frames in _planned(recorded, longest))

    def counted_pictures() -> Iterator[np.ndarray]:
        for done, picture in enumerate(film_pictures(recorded, body, longest), start=1):
            yield picture
            progress(done, total)

    return save_film(path, counted_pictures(), fps=FILM_FPS) / FILM_FPS


def film_pictures(
    film_clips: Sequence[FilmClip], body: SimulationBody, longest: float = LONGEST
) -> Iterator[np.ndarray]:
    """Draw at most `longest` seconds of clips, with OpenGL if available and with matplotlib otherwise.

    Yields:
        Pictures, shape (height, 2 * width, 3) uint8.
    """
    model = drawing_model(body.name)
    for film_clip, frames in _planned(film_clips, longest):
        yield from _draw_clip(film_clip, body, model, frames)


def full_configurations(body: SimulationBody, clip: Clip, qpos: np.ndarray) -> np.ndarray:
    """Expand configurations of a simulated body to the full model of a clip.

    Joints that the simulated body lacks, such as fingers, take their values from the clip.

    Args:
        body: Simulated body.
        clip: Reference clip.
        qpos: Configurations from the first frame of the clip on, shape (n, nq of the body).

    Returns:
        Shape (n, nq of the clip).
    """
    whole = clip.qpos[: len(qpos)].astype(np.float64)
    whole[:, body.clip_qpos] = qpos
    return whole


def _planned(film_clips: Sequence[FilmClip], longest: float) -> list[tuple[FilmClip, np.ndarray]]:
    """Clips to draw, each with the indices of its frames."""
    remaining, planned = round(longest * FILM_FPS), []
    for film_clip in film_clips:
        recording = film_clip.result.recording
        assert recording is not None
        frames = film_frames(len(recording.qpos), fps=film_clip.clip.fps, film_fps=FILM_FPS)[:remaining]
        remaining -= len(frames)
        planned += [(film_clip, frames)] * bool(len(frames))
    return planned


def _draw_clip(
    film_clip: FilmClip, body: SimulationBody, model: mujoco.MjModel, frames: np.ndarray
) -> Iterator[np.ndarray]:
    recording, score, fps = film_clip.result.recording, film_clip.result.score, film_clip.clip.fps
    assert recording is not None
    reference = film_clip.clip.qpos[: len(recording.qpos)].astype(np.float64)
    policy = full_configurations(body, film_clip.clip, recording.qpos)
    camera = CAMERAS.get(body.name, "three-quarter")
    camera_paths = follow_both(model, reference, policy, fps=fps, camera=camera, size=SIZE)
    draw = plot_frames if find_gl() is None else render_frames
    sides = zip(
        draw(model, reference, frames=frames.tolist(), camera_path=camera_paths[0]),
        draw(
            model,
            policy,
            frames=frames.tolist(),
            camera_path=camera_paths[1],
            tendon_rgb=_colours(body, model, recording.act),
        ),
        strict=True,
    )
    for frame, (left, right) in zip(frames.tolist(), sides, strict=True):
        failure = "failed" if not score.success and frame > score.covered else ""
        left = _labelled(left, "reference", f"{score.name}   {frame / fps:.2f} s")
        yield np.concatenate([left, _labelled(right, "policy", failure, ink=_FAILURE_INK)], axis=1)


def _colours(body: SimulationBody, model: mujoco.MjModel, act: np.ndarray) -> np.ndarray:
    """Colours of the tendons by muscle activation, shape (nframe, ntendon, 3) uint8."""
    activation = np.zeros((len(act), model.nu))
    activation[:, body.clip_act] = act
    colours = MuscleColours(model)
    return np.stack([colours.by_activation(row) for row in activation])


def _labelled(picture: np.ndarray, title: str, line: str, *, ink: tuple[int, int, int] = _INK) -> np.ndarray:
    """Write a title and a smaller line into the upper left corner of a picture."""
    image = Image.fromarray(picture)
    pen, height = ImageDraw.Draw(image), image.height
    pen.text((height // 40, height // 50), title, fill=_INK, font=ImageFont.load_default(size=height / 28))
    pen.text((height // 40, height // 14), line, fill=ink, font=ImageFont.load_default(size=height / 38))
    return np.asarray(image)
