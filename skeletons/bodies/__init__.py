"""The target bodies, one file each, and `load_body`, which loads one by name. Other packages name no body's file.

Imports only `skeletons`.
"""

from musclemap.errors import TargetError
from musclemap.skeletons.body import TargetBody

from . import myofullbody, small_arm

BODIES = {myofullbody.NAME: myofullbody.load_myofullbody, small_arm.ARM_NAME: small_arm.load_small_arm_body}
"""Loader of each body, by name."""


def load_body(name: str = myofullbody.NAME, *, limits: str = "effective") -> TargetBody:
    """Load a body by the name in a clip's `model`.

    Args:
        name: Name of the body.
        limits: "effective" or "declared" joint ranges, see `TargetBody`.

    Raises:
        TargetError: If the body does not exist; the message lists the known ones.
    """
    if name not in BODIES:
        raise TargetError(f"there is no body {name!r}; the bodies are: {', '.join(BODIES)}")
    return BODIES[name](limits=limits)
