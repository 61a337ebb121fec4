"""The bodies, one table a file, and `load_body`, which gives one by its name. Nothing outside names a body's file."""

from musclemap.errors import TargetError
from musclemap.skeletons.body import TargetBody

from . import myofullbody, small_arm

BODIES = {myofullbody.NAME: myofullbody.load_myofullbody, small_arm.ARM_NAME: small_arm.load_small_arm_body}
"""What makes each body, by its name."""


def load_body(name: str = myofullbody.NAME, *, limits: str = "effective") -> TargetBody:
    """Give a body by the name that clips have in `model`.

    Args:
        name: Name of the body.
        limits: "effective" or "declared" joint ranges, see `TargetBody`.

    Raises:
        TargetError: There is no such body; the message lists those there are.
    """
    if name not in BODIES:
        raise TargetError(f"there is no body {name!r}; there are: {', '.join(BODIES)}")
    return BODIES[name](limits=limits)
