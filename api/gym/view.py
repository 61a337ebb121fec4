"""Pictures of a running simulation: the body with its muscles coloured by activation, followed by a camera."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.pipelines.rendering.camera import follow
from musclemap.pipelines.rendering.drawing import drawing_model
from musclemap.pipelines.rendering.gl import find_gl, render_frames
from musclemap.pipelines.rendering.muscles import MuscleColours
from musclemap.pipelines.rendering.plot import plot_frames
from musclemap.pipelines.rendering.policy_film import CAMERAS

SIZE = (480, 480)
"""Width and height of a picture [pixels]; even, as films need."""


class EpisodeView:
    """Draws states of a body while it follows a reference; the camera follows the reference.

    Drawing uses OpenGL if the machine has it, otherwise matplotlib, which takes about a second for a picture.
    """

    def __init__(self, body: SimulationBody) -> None:
        self._body, self._model = body, drawing_model(body.name, variant=body.target.variant)
        self._colours = MuscleColours(self._model)
        self._draw = render_frames if find_gl() is not None else plot_frames
        self._pictures: Iterator[np.ndarray] | None = None
        self._frame = 0

    def start(self, reference_qpos: np.ndarray, *, fps: float) -> None:
        """Begin an episode.

        Args:
            reference_qpos: Configurations of the clip on the full body, shape (nframe, nq); joints that the simulated
                body lacks are drawn with them.
            fps: Frames per second.
        """
        self.close()
        nframe, model = len(reference_qpos), self._model
        camera = CAMERAS.get(self._body.name, "three-quarter")
        path = follow(model, reference_qpos, fps=fps, camera=camera, size=SIZE)
        # the drawing reads a row when it draws its frame, so states are written into these arrays as they occur
        self._qpos = reference_qpos.astype(np.float64)
        self._rgb = np.zeros((nframe, model.ntendon, 3), np.uint8)
        frames: Any = _endless(self)  # a sequence of unknown length
        self._pictures = self._draw(
            model, self._qpos, frames=frames, camera_path=path, tendon_rgb=self._rgb, fps=fps
        )  # fmt: skip

    def picture(self, frame: int, qpos: np.ndarray, act: np.ndarray) -> np.ndarray:
        """Draw one state.

        Args:
            frame: Frame of the clip.
            qpos: Configuration of the simulated body, shape (nq,).
            act: Its activations, shape (nu,).

        Returns:
            Picture, shape (height, width, 3) uint8.
        """
        assert self._pictures is not None
        activation = np.zeros(self._model.nu)
        activation[self._body.clip_act] = act
        self._frame = frame
        self._qpos[frame, self._body.clip_qpos] = qpos
        self._rgb[frame] = self._colours.by_activation(activation)
        return next(self._pictures)

    @property
    def frame(self) -> int:
        """Frame that is drawn next."""
        return self._frame

    def close(self) -> None:
        """Free the drawing's resources."""
        if self._pictures is not None:
            self._pictures.close()  # pyright: ignore[reportAttributeAccessIssue]  a generator
        self._pictures = None


def _endless(view: EpisodeView) -> Iterator[int]:
    while True:
        yield view.frame
