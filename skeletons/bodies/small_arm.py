"""A small muscle-driven arm of our own, for tests and for checking within minutes that training works.

Two hinges in a vertical plane and six muscles: flexor and extensor of the shoulder, of the elbow, and of both. Segment
lengths and masses are those of a man of 75 kg and 1.75 m (Winter 2009, Biomechanics and Motor Control of Human
Movement, table 4.1); maximal forces are of the order of Holzbaur, Murray & Delp 2005 (Ann Biomed Eng 33), with muscles
of the same action lumped together.
"""

from functools import cache
from importlib import resources

import mujoco

from musclemap.skeletons.body import FitSettings, Landmark, TargetBody

ARM_NAME = "SmallArm"
ARM_LANDMARKS = ("shoulder", "elbow", "hand")


def small_arm_spec() -> mujoco.MjSpec:
    """The arm as a specification that can be changed before compilation."""
    text = resources.files("musclemap.skeletons.bodies").joinpath("small_arm.xml").read_text("utf-8")
    return mujoco.MjSpec.from_string(text)


@cache
def load_small_arm() -> mujoco.MjModel:
    """The arm: nq 2, nv 2, six muscles, three landmark bodies."""
    return small_arm_spec().compile()


FIT = FitSettings(
    position_weights=dict.fromkeys(ARM_LANDMARKS, "arm"),
    bent={"shoulder_flexion": 0.5, "elbow_flexion": 0.5},
    starts=({}, {"shoulder_flexion": 1.0, "elbow_flexion": 1.5}),
)


def load_small_arm_body(*, limits: str = "effective", published: bool = False) -> TargetBody:
    """The arm as a target body, fixed to the world and without feet; it is our own, so nothing is corrected."""
    del published
    return TargetBody(
        name=ARM_NAME, model=load_small_arm(), make_spec=small_arm_spec, package=None,
        landmarks=tuple(Landmark(name=name) for name in ARM_LANDMARKS), fit=FIT, limits=limits,
    )  # fmt: skip
