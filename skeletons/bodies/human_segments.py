"""Segments of MyoFullBody for bodies of a subject's size; MyoBimanualArm has some of them.

Lengths, heights and masses are those of the released MyoFullBody; a test measures them on the model. Shares of mass,
centres of mass and radii of gyration are those of de Leva 1996 (J Biomech 29:1223-1230,
doi:10.1016/0021-9290(95)00178-6, table 4), between joint centres. Radii across a limb are the mean of de Leva's
sagittal and transverse ones, which differ by up to 7 %. In trunk, head, hands and feet the released body keeps its own:
their segments end at landmarks that the model does not have.
"""

from musclemap.skeletons.body import SIDES
from musclemap.skeletons.scaling.segments import LimbShape, ScalableBody, Segment


def _both(*names: str) -> tuple[str, ...]:
    return tuple(f"{name}_{side}" for name in names for side in SIDES)


def _of_two(female: float, male: float) -> tuple[float, float]:
    """Shares of both sides from percentages of one."""
    return 2e-2 * female, 2e-2 * male


HUMAN = ScalableBody(
    links=0.016,
    segments=(
        Segment(
            name="pelvis", bodies=("Full Body",), released=18.446, mass=(0.1247, 0.1117),
            length=0.15452, measured="left to right hip joint", height=0.14946,
        ),
        Segment(
            # With the shoulder girdle, and the root of MyoBimanualArm.
            name="trunk", bodies=("lumbar5", "Bimanual"), released=29.00792, mass=(0.1465 + 0.1545, 0.1633 + 0.1596),
            length=0.68075, measured="lumbosacral joint to top of the head", height=0.68075,
        ),
        # Its frame's origin is half a metre below the head, about which it cannot be scaled apart from the trunk.
        Segment(name="head", bodies=("head_attach",), released=2.37747, mass=(0.0668, 0.0694), follows="trunk"),
        Segment(
            name="upper_arm", bodies=_both("humerus"), released=3.99514, mass=_of_two(2.55, 2.71),
            length=0.29073, measured="shoulder to elbow joint",
            shape=LimbShape(bones=_both("humerus"), end=_both("ulna"), centre=(0.5754, 0.5772),
                            across=(0.269, 0.277), along=(0.148, 0.158)),
        ),
        Segment(
            name="forearm", bodies=_both("ulna"), released=2.67778, mass=_of_two(1.38, 1.62),
            length=0.25812, measured="elbow to wrist joint",
            shape=LimbShape(bones=_both("ulna", "radius"), end=_both("lunate"), centre=(0.4559, 0.4574),
                            across=(0.259, 0.2705), along=(0.094, 0.121)),
        ),
        Segment(
            name="hand", bodies=_both("lunate"), released=0.88699, mass=_of_two(0.56, 0.61),
            length=0.15529, measured="wrist to last joint of the middle finger",
        ),
        Segment(
            name="thigh", bodies=_both("femur"), released=16.85571, mass=_of_two(14.78, 14.16),
            length=0.40443, measured="hip to knee joint", height=0.40443,
            shape=LimbShape(bones=_both("femur"), end=_both("tibia"), centre=(0.3612, 0.4095),
                            across=(0.3665, 0.329), along=(0.162, 0.149)),
        ),
        Segment(
            name="shank", bodies=_both("tibia"), released=7.6, mass=_of_two(4.81, 4.33),
            length=0.40012, measured="knee to ankle joint", height=0.40001,
            # Gastrocnemii wrap a condyle here, off which a shank shorter than the thigh would let them slip.
            joint_region=0.15,
            shape=LimbShape(bones=_both("tibia"), end=_both("talus"), centre=(0.4352, 0.4395),
                            across=(0.265, 0.2485), along=(0.092, 0.102)),
        ),
        Segment(
            name="foot", bodies=_both("talus"), released=2.40698, mass=_of_two(1.29, 1.37),
            length=0.26552, measured="heel to tip of the toes", height=0.06385,
        ),
    ),
)  # fmt: skip
