"""Search for the muscle excitations by which a body follows a clip."""

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody

from .config import TrackingConfig
from .track import ProgressCallback, Track


def track_clip(
    body: SimulationBody, clip: Clip, config: TrackingConfig, *, progress: ProgressCallback | None = None
) -> Track:
    """Find the excitations by which a body follows a clip from its first frame.

    Args:
        body: Simulated body; its target must be the body of the clip.
        clip: Reference motion at the body's control rate.
        config: Settings.
        progress: Called after each computed frame.

    Returns:
        The track, which ends early if the body cannot follow or if the time is up.

    Raises:
        TrackingError: If the clip belongs to another body or has another frame rate, or has fewer than 3 frames.
    """
    raise NotImplementedError
