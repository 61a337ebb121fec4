"""The source as the whole conversion uses it: without repeated frames, then without noise."""

from dataclasses import dataclass

import numpy as np

from musclemap.datasets.amass.repeated_frames import find_repeats, without_repeats
from musclemap.datasets.motion import SourceMotion
from musclemap.retarget.config import RetargetConfig

from .source_filter import filter_source


@dataclass(frozen=True, kw_only=True)
class PreparedSource:
    """A source after its preparation, and the clip's metrics that say what was done to it."""

    motion: SourceMotion
    metrics: dict[str, float]


def prepare_source(
    motion: SourceMotion, config: RetargetConfig, *, joints: np.ndarray, fingers: bool
) -> PreparedSource:  # fmt: skip
    """Remove repeated frames and noise from a source; fit, clip and fingers use the result.

    Args:
        motion: Source as read.
        config: Settings.
        joints: Rest positions of the source's joints, shape (22, 3) [m].
        fingers: Whether the fingers are tracked.
    """
    repeats = find_repeats(motion.rotvec, motion.trans, fps=motion.fps)
    metrics = {"repeated_source_fraction": repeats.fraction}
    motion = without_repeats(motion, repeats)
    if config.filter.enabled:
        motion, report = filter_source(motion, config.filter, joints=joints, fingers=fingers)
        metrics |= report.metrics()
    return PreparedSource(motion=motion, metrics=metrics)
