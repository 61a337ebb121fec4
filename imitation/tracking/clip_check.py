"""Whether a body can follow a clip."""

from musclemap.datasets.clip import Clip
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody, refusal

MIN_FRAMES = 3
"""Shortest clip that can be tracked."""

FPS_TOLERANCE = 1e-3
"""Largest difference between a clip's frame rate and the control rate [Hz]."""


def check_clip(body: SimulationBody, clip: Clip) -> None:
    """Check that a body can follow a clip.

    Raises:
        TrackingError: If the clip belongs to another body or version of it, has another frame rate, or is too short.
    """
    if reason := refusal(body, clip):
        raise TrackingError(f"it {reason}; convert its source again")
    if abs(clip.fps - body.control_fps) > FPS_TOLERANCE:
        raise TrackingError(
            f"it has {clip.fps:g} frames per second, but control runs at {body.control_fps:g} Hz; convert its source "
            f"with --fps {body.control_fps:g}"
        )
    if clip.nframe < MIN_FRAMES:
        raise TrackingError(f"it has {clip.nframe} frames; tracking needs at least {MIN_FRAMES}")
