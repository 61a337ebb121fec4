"""A film of what a policy does beside what it should do, muscles coloured by their activation."""

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
from .film import film_frames, save_film
from .gl import find_gl, render_frames
from .muscles import MuscleColours
from .plot import plot_frames
from .stage import RenderError, drawing_model

FILM_FPS = 30.0

SIZE = (560, 720)
"""Width and height of either side [pixels]."""

LONGEST = 30.0
"""Time of a film [s]; what comes after is left out."""

CAMERAS = {ARM_NAME: "front"}
"""Where the camera stands: the arm moves in a plane. All others are seen from before and aside."""

_INK, _LOST = (60, 68, 78), (190, 40, 30)


@dataclass(frozen=True, kw_only=True, eq=False)
class Scene:
    """One clip of a film: the clip, and what the policy made of it, with a recording."""

    clip: Clip
    result: ClipEvaluation


def save_policy_film(
    path: Path, scenes: Sequence[Scene], body: SimulationBody, *, longest: float | None = None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:  # fmt: skip
    """Write a film: left the reference, right the policy, one clip after the other.

    Args:
        path: File to write, ending in .mp4.
        scenes: Clips in the order of the film.
        body: What the policy moves.
        longest: Where the film ends at the latest [s]; `LONGEST` if None.
        progress: Called after each picture with the number done and that of all.

    Returns:
        Duration of the film [s].

    Raises:
        RenderError: The name does not end in .mp4, nothing was recorded, or there is no ffmpeg.
    """
    if path.suffix.lower() != ".mp4":
        raise RenderError(f"{path.name} ends in {path.suffix or 'nothing'}; a film ends in .mp4")
    recorded = [scene for scene in scenes if scene.result.recording is not None]
    if not recorded:
        raise RenderError("no clip was recorded that a film could show")
    longest = LONGEST if longest is None else longest
    total = sum(len(frames) for _, frames in _planned(recorded, longest))

    def message() -> Iterator[np.ndarray]:
        for done, picture in enumerate(film_pictures(recorded, body, longest), start=1):
            yield picture
            progress(done, total)

    return save_film(path, message(), fps=FILM_FPS) / FILM_FPS


def film_pictures(scenes: Sequence[Scene], body: SimulationBody, longest: float = LONGEST) -> Iterator[np.ndarray]:
    """Draw clips with OpenGL where there is one, elsewhere with matplotlib, at most `longest` of them [s].

    Yields:
        Pictures, shape (height, 2 * width, 3) uint8.
    """
    model = drawing_model(body.name)
    for scene, frames in _planned(scenes, longest):
        yield from _scene(scene, body, model, frames)


def full_configurations(body: SimulationBody, clip: Clip, qpos: np.ndarray) -> np.ndarray:
    """Configurations of the body as those of the clip's whole model; what the body lacks, such as fingers, is the
    clip's.

    Args:
        body: The body.
        clip: The clip that it tracks.
        qpos: From the clip's first frame on, shape (n, nq of the body).
    """
    whole = clip.qpos[: len(qpos)].astype(np.float64)
    whole[:, body.clip_qpos] = qpos
    return whole


def _planned(scenes: Sequence[Scene], longest: float) -> list[tuple[Scene, np.ndarray]]:
    """Which frames of which scenes are drawn."""
    left, planned = round(longest * FILM_FPS), []
    for scene in scenes:
        recording = scene.result.recording
        assert recording is not None
        frames = film_frames(len(recording.qpos), fps=scene.clip.fps, film_fps=FILM_FPS)[:left]
        left -= len(frames)
        planned += [(scene, frames)] * bool(len(frames))
    return planned


def _scene(scene: Scene, body: SimulationBody, model: mujoco.MjModel, frames: np.ndarray) -> Iterator[np.ndarray]:
    recording, score, fps = scene.result.recording, scene.result.score, scene.clip.fps
    assert recording is not None
    reference = scene.clip.qpos[: len(recording.qpos)].astype(np.float64)
    policy = full_configurations(body, scene.clip, recording.qpos)
    camera = CAMERAS.get(body.name, "three-quarter")
    tracks = follow_both(model, reference, policy, fps=fps, camera=camera, size=SIZE)
    draw = plot_frames if find_gl() is None else render_frames
    sides = zip(
        draw(model, reference, frames=frames.tolist(), track=tracks[0]),
        draw(model, policy, frames=frames.tolist(), track=tracks[1], tendon_rgb=_colours(body, model, recording.act)),
        strict=True,
    )
    for frame, (left, right) in zip(frames.tolist(), sides, strict=True):
        lost = "lost" if not score.success and frame > score.covered else ""
        left = _labelled(left, "reference", f"{score.name}   {frame / fps:.2f} s")
        yield np.concatenate([left, _labelled(right, "policy", lost, ink=_LOST)], axis=1)


def _colours(body: SimulationBody, model: mujoco.MjModel, act: np.ndarray) -> np.ndarray:
    """Colour of every tendon by the activation of its muscle, shape (nframe, ntendon, 3) uint8."""
    activation = np.zeros((len(act), model.nu))
    activation[:, body.clip_act] = act
    colours = MuscleColours(model)
    return np.stack([colours.by_activation(row) for row in activation])


def _labelled(picture: np.ndarray, title: str, line: str, *, ink: tuple[int, int, int] = _INK) -> np.ndarray:
    """A picture with a title and a smaller line in its upper left corner."""
    image = Image.fromarray(picture)
    pen, height = ImageDraw.Draw(image), image.height
    pen.text((height // 40, height // 50), title, fill=_INK, font=ImageFont.load_default(size=height / 28))
    pen.text((height // 40, height // 14), line, fill=ink, font=ImageFont.load_default(size=height / 38))
    return np.asarray(image)
