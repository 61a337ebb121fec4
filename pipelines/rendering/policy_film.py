"""Film of a simulated body next to its reference, with muscles coloured by activation."""

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


@dataclass(frozen=True, kw_only=True, eq=False)
class SimulatedClip:
    """A clip and the motion of a simulated body that follows it.

    Attributes:
        name: Name of the clip.
        clip: The clip.
        qpos: Configurations of the body from the first frame of the clip on, shape (n, nq of the body).
        act: Activations, shape (n, nu).
        failed: Frame after which the body counts as failed; None if it does not.
        title: What moves the body.
    """

    name: str
    clip: Clip
    qpos: np.ndarray
    act: np.ndarray
    failed: int | None
    title: str


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
    simulated = [one for film_clip in film_clips if (one := _simulated(film_clip)) is not None]
    return save_simulated_film(path, simulated, body, longest=longest, progress=progress)


def save_simulated_film(
    path: Path, clips: Sequence[SimulatedClip], body: SimulationBody, *, longest: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:  # fmt: skip
    """Write a film with the reference on the left and the simulated body on the right, clip after clip.

    Args:
        path: File to write, ending in .mp4.
        clips: Clips in the order of the film.
        body: Simulated body.
        longest: Maximum duration of the film [s]; `LONGEST` if None.
        progress: Called after each picture with the number done and the total.

    Returns:
        Duration of the film [s].

    Raises:
        RenderError: If the name does not end in .mp4, there is no clip, or ffmpeg is missing.
    """
    if path.suffix.lower() != ".mp4":
        raise RenderError(f"{path.name}: the name of a film must end in .mp4")
    if not clips:
        raise RenderError("no clip has a recording to show in a film")
    planned = _planned(clips, LONGEST if longest is None else longest)
    total = sum(len(frames) for _, frames in planned)

    def counted_pictures() -> Iterator[np.ndarray]:
        for done, picture in enumerate(_pictures(planned, body), start=1):
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
    simulated = [one for film_clip in film_clips if (one := _simulated(film_clip)) is not None]
    yield from _pictures(_planned(simulated, longest), body)


def _simulated(film_clip: FilmClip) -> SimulatedClip | None:
    """The recorded motion of a policy; None without a recording."""
    recording, score = film_clip.result.recording, film_clip.result.score
    if recording is None:
        return None
    failed = None if score.success else score.covered
    return SimulatedClip(
        name=score.name, clip=film_clip.clip, qpos=recording.qpos, act=recording.act, failed=failed, title="policy"
    )


def _pictures(planned: Sequence[tuple[SimulatedClip, np.ndarray]], body: SimulationBody) -> Iterator[np.ndarray]:
    model = drawing_model(body.name, variant=body.target.variant)
    for clip, frames in planned:
        yield from _draw_clip(clip, body, model, frames)


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


def _planned(clips: Sequence[SimulatedClip], longest: float) -> list[tuple[SimulatedClip, np.ndarray]]:
    """Clips to draw, each with the indices of its frames."""
    remaining, planned = round(longest * FILM_FPS), []
    for one in clips:
        frames = film_frames(len(one.qpos), fps=one.clip.fps, film_fps=FILM_FPS)[:remaining]
        remaining -= len(frames)
        planned += [(one, frames)] * bool(len(frames))
    return planned


def _draw_clip(
    one: SimulatedClip, body: SimulationBody, model: mujoco.MjModel, frames: np.ndarray
) -> Iterator[np.ndarray]:
    fps = one.clip.fps
    reference = one.clip.qpos[: len(one.qpos)].astype(np.float64)
    simulated = full_configurations(body, one.clip, one.qpos)
    camera = CAMERAS.get(body.name, "three-quarter")
    camera_paths = follow_both(model, reference, simulated, fps=fps, camera=camera, size=SIZE)
    draw = plot_frames if find_gl() is None else render_frames
    sides = zip(
        draw(model, reference, frames=frames.tolist(), camera_path=camera_paths[0]),
        draw(
            model,
            simulated,
            frames=frames.tolist(),
            camera_path=camera_paths[1],
            tendon_rgb=_colours(body, model, one.act),
        ),
        strict=True,
    )
    for frame, (left, right) in zip(frames.tolist(), sides, strict=True):
        failure = "failed" if one.failed is not None and frame > one.failed else ""
        left = _labelled(left, "reference", f"{one.name}   {frame / fps:.2f} s")
        yield np.concatenate([left, _labelled(right, one.title, failure, ink=_FAILURE_INK)], axis=1)


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
