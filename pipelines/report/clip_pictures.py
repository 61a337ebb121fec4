"""A few small pictures of a clip, encoded for embedding in a page."""

import base64
import io
from functools import lru_cache
from typing import Any

from PIL import Image

from musclemap.datasets.clip import Clip
from musclemap.errors import TargetError
from musclemap.pipelines.rendering.drawing import RenderError, drawing_model
from musclemap.pipelines.rendering.film import strip_frames
from musclemap.pipelines.rendering.gl import find_gl, render_frames
from musclemap.pipelines.rendering.plot import plot_frames
from musclemap.skeletons.bodies import MAX_VARIANTS

COUNT = 6
"""Number of pictures of a clip."""
SIZE = (170, 240)
"""Width and height of one picture in pixels."""

_QUALITY = 80
_model = lru_cache(maxsize=MAX_VARIANTS)(drawing_model)


def clip_pictures(clip: Clip) -> tuple[list[dict[str, Any]], str]:
    """Draw a clip from the side without muscles, with OpenGL if available and with matplotlib otherwise.

    Returns:
        Time [s] and base64 JPEG of each picture, and the reason why there are none, or "".
    """
    draw = plot_frames if find_gl() is None else render_frames
    frames = strip_frames(clip.nframe, count=COUNT).tolist()
    try:
        pictures = list(
            draw(
                _model(clip.model, variant=clip.variant), clip.qpos, target_pos=clip.target_pos,
                landmark_names=clip.landmark_names, frames=frames, fps=clip.fps, size=SIZE, camera="side",
                muscles=False,
            )
        )  # fmt: skip
    except (RenderError, TargetError) as error:
        return [], f"no pictures: {error}"
    jpegs = []
    for frame, picture in zip(frames, pictures, strict=True):
        file = io.BytesIO()
        Image.fromarray(picture).save(file, "JPEG", quality=_QUALITY)
        jpegs.append({"time": frame / clip.fps, "jpeg": base64.b64encode(file.getvalue()).decode()})
    return jpegs, ""
