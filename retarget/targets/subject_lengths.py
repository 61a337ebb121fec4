"""Lengths of a subject's segments from the motion's own skeleton, or from its steps."""

import numpy as np

from musclemap.skeletons.scaling.segments import ScalableBody
from musclemap.skeletons.smpl.joints import BODY_NAMES

BONES = {
    "thigh": ("hip", "knee"), "shank": ("knee", "ankle"), "upper_arm": ("shoulder", "elbow"),
    "forearm": ("elbow", "wrist"),
}  # fmt: skip
"""Ends of the segments whose joints are the same on the source and on the body. Those of pelvis, trunk and hand differ
by more than people do; they follow from the others."""


def lengths_of_skeleton(joints: np.ndarray) -> dict[str, float]:
    """Lengths of the limbs' segments, means of both sides.

    Args:
        joints: The subject's rest joints, shape (22, 3) [m].

    Returns:
        Lengths by segment [m], in steps of a millimetre, so that noise of the last digits makes no other body.
    """
    at = lambda name: joints[BODY_NAMES.index(name)]  # noqa: E731
    return {
        name: round(
            float(np.mean([np.linalg.norm(at(f"{side}_{a}") - at(f"{side}_{b}")) for side in ("left", "right")])), 3
        )
        for name, (a, b) in BONES.items()
    }


def height_of_steps(body: ScalableBody, scale: float) -> float:
    """Height of a subject whose motion fits the released body after scaling it by `scale` [m], to a centimetre."""
    return round(body.height / scale, 2)
