"""What is known about a body from the names of its parts: how each source joint is tracked, and what its joints do.

The facts are MyoFullBody's, by the names of the source's joints and of its own joints without side.
"""

from typing import NamedTuple

from .myofullbody import CONTACT_PARTS, FIT, LANDMARKS


class Tracking(NamedTuple):
    """How a source joint is tracked: joints that carry and orient the landmark, and fields of `WeightConfig`."""

    carrier: str
    orientation: str | None
    weight: str
    rotation_weight: str | None


TRACKING = {
    landmark.joint: Tracking(
        landmark.carrier, landmark.orientation, FIT.position_weights[landmark.name],
        FIT.rotation_weights.get(landmark.name),
    )
    for landmark in LANDMARKS
}  # fmt: skip
"""Every source joint that can be tracked, in the order of landmarks: the pelvis first."""

NAME_OF = {landmark.joint: landmark.name for landmark in LANDMARKS}
"""MyoFullBody's body for each source joint, which many models have too."""

CALIBRATED = tuple(joint for joint, name in NAME_OF.items() if name in FIT.calibrated)
ALONG_FOOT = {joint: FIT.along_foot[name] for joint, name in NAME_OF.items() if name in FIT.along_foot}

FEET = {part.name: part for part in CONTACT_PARTS}
"""Contact parts by name; their bodies are MyoFullBody's."""

JOINTS = tuple(
    dict.fromkeys(
        [*FIT.neutral, *FIT.smoothing, *FIT.bent, *FIT.highest, *(arm.elbow for arm in FIT.arms)]
        + [name for start in FIT.starts for name in start]
    )
)
"""Joints whose part in the fit is known, by MyoFullBody's names."""
