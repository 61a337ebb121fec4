"""Segments of MyoFullBody, which MyoBimanualArm has a part of, for bodies of a subject's size.

Lengths and heights are those of the released MyoFullBody; a test measures them on the model. Shares of mass are those
of de Leva 1996 (J Biomech 29, 1223-1230, doi:10.1016/0021-9290(95)00178-6, table 4: women and men).
"""

from musclemap.skeletons.body import SIDES
from musclemap.skeletons.scaling.segments import Segment


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in SIDES)


RELEASED_MASS = 84.273
"""Mass of the released MyoFullBody [kg]."""
