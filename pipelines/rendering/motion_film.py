"""Pictures of one motion, or of two side by side, with captions: what all films and strips consist of."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.skeletons.bodies.small_arm import ARM_NAME

from .camera import CameraPath, follow, follow_both
from .captions import FAILURE_INK, INK, Captions, Legend, label
from .drawing import RenderError
from .film import film_frames
from .gl import find_gl, render_frames
from .loads import Loads, clip_loads
from .muscles import MuscleColours
from .plot import plot_frames

CAMERAS = {ARM_NAME: "front"}
"""View of each body; the arm moves in a plane. All other bodies use the three-quarter view."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Side:
    """A motion to draw.

    Attributes:
        qpos: Configurations of the body, shape (nframe, nq).
        fps: Frames per second of the motion.
        title: What it is, such as "reference"; written into the picture.
        activation: Muscle activations, shape (nframe, nu); None if unknown, which draws the muscles grey.
        loads: Ground forces, or None.
        target_pos: Landmark targets [m], shape (nframe, nlandmark, 3); None to draw none.
        landmark_pos: Landmarks as reached [m], same shape, or None.
        landmark_names: Their names.
        failed: Frame after which the motion counts as failed; None if it does not.
    """

    qpos: np.ndarray
    fps: float
    title: str = ""
    activation: np.ndarray | None = None
    loads: Loads | None = None
    target_pos: np.ndarray | None = None
    landmark_pos: np.ndarray | None = None
    landmark_names: tuple[str, ...] = ()
    failed: int | None = None

    def rows(self, times: np.ndarray) -> list[int]:
        """Frames at times [s]; the last one after the end."""
        return np.minimum(np.round(times * self.fps).astype(int), len(self.qpos) - 1).tolist()


def clip_side(model: mujoco.MjModel, clip: Clip, *, title: str = "", targets: bool = False) -> Side:
    """Prepare a clip for drawing, with its activations and ground forces if it has them.

    Args:
        model: Body of the clip, from `drawing_model`.
        clip: Clip.
        title: What it is.
        targets: Whether to draw landmarks and their targets.

    Raises:
        RenderError: If the configurations do not fit the body.
    """
    if clip.qpos.shape[1] != model.nq:
        raise RenderError(f"this body needs {model.nq} coordinates, the clip has {clip.qpos.shape[1]}")
    fits = clip.activation is not None and clip.activation.shape[1] == model.nu
    return Side(
        qpos=clip.qpos.astype(np.float64), fps=clip.fps, title=title, activation=clip.activation if fits else None,
        loads=clip_loads(model, clip), target_pos=clip.target_pos if targets else None,
        landmark_pos=clip.landmark_pos if targets else None, landmark_names=clip.landmark_names,
    )  # fmt: skip


class MotionFilm:
    """Draws one or two motions at given times.

    Attributes:
        captions: Captions of the pictures.
    """

    def __init__(
        self, model: mujoco.MjModel, sides: Sequence[Side], *, size: tuple[int, int], name: str, camera: str,
        muscles: bool = True, tiles: int = 1, draw: Callable[..., Iterator[np.ndarray]] | None = None,
    ) -> None:  # fmt: skip
        """Lay out the pictures.

        Args:
            model: Body of all sides, from `drawing_model`.
            sides: One motion, or two.
            size: Width and height of a picture of one side with its captions [pixels].
            name: Name of what is shown.
            camera: A name in `VIEWS`; both sides are seen from the same distance.
            muscles: Whether to draw the muscles.
            tiles: Number of pictures side by side under common captions.
            draw: `render_frames` or `plot_frames`; OpenGL if the machine has it if None.
        """
        self._model, self._sides, self._camera, self._muscles = model, tuple(sides), camera, muscles
        self._draw = draw or (plot_frames if find_gl() is None else render_frames)
        width = size[0] * len(self._sides) * tiles
        self.captions = Captions(size=(width, size[1]), name=name, legend=_legend(self._sides, muscles=muscles))
        self._size = (size[0], self.captions.body_height)

    def pictures(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """Draw the motions at times [s]; yields pictures with captions, shape (height, width, 3) uint8."""
        for time, picture in zip(times, self._plain(times), strict=True):
            yield self.captions.around(picture, time=f"{time:.2f} s")

    def tiles(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """Draw the motions at times [s] for a strip, with the time but no captions; shape (body_height, width, 3)."""
        for time, picture in zip(times, self._plain(times), strict=True):
            titled = any(side.title for side in self._sides) and self.captions.font
            lines = [("", INK)] * bool(titled) + [(f"{time:.2f} s", INK)]
            yield label(picture, lines, font=self.captions.font or max(10.0, self._size[1] / 32))

    def _plain(self, times: np.ndarray) -> Iterator[np.ndarray]:
        """Pictures without captions, but with the titles of the sides."""
        drawn = [self._drawn(side, path, times) for side, path in zip(self._sides, self._paths(), strict=True)]
        for pictures in zip(*drawn, strict=True):
            yield np.concatenate(pictures, axis=1)

    def _paths(self) -> tuple[CameraPath, ...]:
        first = self._sides[0]
        if len(self._sides) == 1:
            return (
                follow(self._model, first.qpos, fps=first.fps, camera=self._camera, size=self._size,
                       target_pos=first.target_pos),
            )  # fmt: skip
        second = self._sides[1]
        return follow_both(
            self._model, first.qpos, second.qpos, fps=(first.fps, second.fps), camera=self._camera, size=self._size
        )

    def _drawn(self, side: Side, camera_path: CameraPath, times: np.ndarray) -> Iterator[np.ndarray]:
        colours, rows = MuscleColours(self._model), side.rows(times)
        tendons = None if side.activation is None else colours.look(side.activation)
        pictures = self._draw(
            self._model, side.qpos, target_pos=side.target_pos, landmark_pos=side.landmark_pos,
            landmark_names=side.landmark_names, frames=rows, camera_path=camera_path, muscles=self._muscles,
            tendons=tendons, loads=side.loads,
        )  # fmt: skip
        font = self.captions.font
        for row, picture in zip(rows, pictures, strict=True):
            failed = [("failed", FAILURE_INK)] * (side.failed is not None and row > side.failed)
            yield label(picture, [(side.title, INK), *failed], font=font) if font else picture


def film_times(sides: Sequence[Side], *, film_fps: float) -> np.ndarray:
    """Times of a film that lasts as long as the longest side [s]."""
    longest = max(sides, key=lambda side: (len(side.qpos) - 1) / side.fps)
    return np.arange(len(film_frames(len(longest.qpos), fps=longest.fps, film_fps=film_fps))) / film_fps


def _legend(sides: Sequence[Side], *, muscles: bool) -> Legend:
    unknown = [side for side in sides if side.activation is None]
    of_side = f"{unknown[0].title}: " if len(unknown) == 1 < len(sides) and unknown[0].title else ""
    loads = [side.loads for side in sides if side.loads is not None]
    return Legend(
        activation=muscles and len(unknown) < len(sides),
        unknown=f"{of_side}no activations" if muscles and unknown else "",
        forces=any(load.arrow.any() for load in loads),
        pads=" or ".join(dict.fromkeys(load.meaning for load in loads if load.bears.any())),
        targets=any(side.target_pos is not None for side in sides),
    )
