"""Coordinates of OpenSim's full-body models as rotations of an SMPL-family skeleton.

The definitions are those of Rajagopal et al. 2016, IEEE Trans. Biomed. Eng. 63:2068, which OpenCap's models share and
from which MyoFullBody's are taken. All are zero in upright standing, with the arms at the sides. Axes of a body are x
forward, y up, z right. Where definitions differ:

- Arm: arm_flex, arm_add and arm_rot are rotations about z, x and y. MyoFullBody's exports have plane, elevation and
  rotation instead, and are read too.
- Forearm: pro_sup is zero with the palm forward; in the skeleton's neutral pose, as in MyoFullBody, the thumb is
  forward, which is 90 degrees of pronation.
- Knee: the model's shank also slides as the knee bends, by some millimetres; that is left out. Its rotation is kept.
- Shank and arm: the line from knee to ankle slopes back by 1.4 degrees where knee_angle is zero, that of the upper arm
  forward by 2.6, and the forearm out by 5 to 9. Skeletons are straight there; knee, ankle, shoulder and elbow take up
  the difference.
- Trunk: lumbar angles turn the thorax about one joint; here each of three joints of the spine turns by a third.
- Wrist: its angles are left out, and so are coordinates of other joints.
"""

from collections.abc import Mapping

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.formats.readers.skeletons.calibration import shortest_turn, unit
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.neutral_pose import neutral_turns

PELVIS_ANGLES = ("pelvis_tilt", "pelvis_list", "pelvis_rotation")
PELVIS_POSITION = ("pelvis_tx", "pelvis_ty", "pelvis_tz")
_LEG = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")
REQUIRED = (*PELVIS_ANGLES, *PELVIS_POSITION, *(f"{name}_{side}" for side in "rl" for name in _LEG))
"""Coordinates that a motion must have."""

_LUMBAR = ("lumbar_extension", "lumbar_bending", "lumbar_rotation")
FEET = tuple(f"{name}_{side}" for side in "rl" for name in ("subtalar_angle", "mtp_angle"))
LEGS_AND_TRUNK = (*REQUIRED[6:], *_LUMBAR)
"""Joints that MyoFullBody has by the same definition, and that no model locks; it has those of `FEET` too."""

OPTIONAL = (
    *_LUMBAR, *FEET,
    *(f"{name}_{side}" for side in "rl" for name in ("arm_flex", "arm_add", "arm_rot", "elbow_flex", "pro_sup")),
)  # fmt: skip
"""Coordinates that are zero if the file lacks them, but pro_sup, which then leaves the thumb forward."""

SPHERICAL_ARM = ("elv_angle", "shoulder_elv", "shoulder_rot")
"""Plane, elevation and rotation of MyoFullBody's arms, from Saul et al. 2015, Comput. Methods Biomech. Biomed. Eng.
18:1445. Files with them are its exports; there, pro_sup is zero with the thumb forward."""

SAME_DEFINITION = {
    "flex_extension": "lumbar_extension", "lat_bending": "lumbar_bending", "axial_rotation": "lumbar_rotation",
}  # fmt: skip
"""MyoFullBody's names of Rajagopal's coordinates, where they differ."""

AXES = {
    "ankle_angle": (-0.10501355, -0.17402245, 0.97912632),
    "subtalar_angle": (0.78717961, 0.60474746, -0.12094949),
    "mtp_angle": (0.58095440, 0.0, -0.81393611),
    "elbow_flex": (0.22604696, 0.0222686, 0.97386183),
    "pro_sup": (0.05639803, 0.99840646, 0.001952),
}
"""Axes of the right joints that are not along an axis of their body, as in Rajagopal's model. Ankle to toes are Delp et
al.'s (1990, IEEE Trans. Biomed. Eng. 37:757); MyoFullBody has the same."""

THUMB_FORWARD = np.pi / 2
"""pro_sup with the thumb forward [rad]."""

SHANK = (-0.01, -0.4, 0.0)
UPPER_ARM = (0.013144, -0.286273, -0.009595)
RADIUS = (-0.006727, -0.013007, 0.026083)
WRIST = (-0.008797, -0.235841, 0.01361)
"""Ankle in the right tibia, elbow in the humerus, radius in the ulna and wrist in the radius of Rajagopal's model [m].
The bones of the skeleton follow these lines."""

OWN_UPPER_ARM = (0.0063, -0.2904, -0.0125)
OWN_PRONATION = np.deg2rad([-80.0, -40.0, 0.0, 40.0, 80.0])
OWN_FOREARM = (
    (0.0113, 0.0180, 0.0186, 0.0127, 0.0031), (-0.2516, -0.2524, -0.2535, -0.2546, -0.2550),
    (0.0617, 0.0546, 0.0448, 0.0369, 0.0347),
)  # fmt: skip
"""The same lines of MyoFullBody's right arm, measured with a straight elbow: from humerus to ulna [m], and from ulna to
lunate by pro_sup [rad]."""

KNEE_FLEXION = np.deg2rad([0.0, 10.0, 20.0, 40.0, 60.0, 80.0, 100.0, 120.0])
SHANK_INWARD = np.deg2rad([0.0, 2.76, 4.99, 8.08, 9.79, 10.59, 10.97, 11.3])
SHANK_ADDUCTION = np.deg2rad([0.0, 0.35, 0.74, 1.49, 2.09, 2.55, 3.08, 3.5])
"""Rotations that Rajagopal's knee couples to its flexion [rad]; read off MyoFullBody's knee, which has the same up to
100 degrees, and extrapolated beyond."""

HIPS = (-0.0563, -0.0786, 0.0)
"""Point between the hip centres in the pelvis of Rajagopal's model [m]."""

_DOWN = np.array([0.0, -1.0, 0.0])

_TO_SKELETON = np.array([[0.0, 0.0, -1.0], [0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
"""From OpenSim's body axes to the skeleton's: x to the left, y up, z forward."""


def skeleton_motion(
    angles: Mapping[str, np.ndarray], pelvis_pos: np.ndarray, *, to_world: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Convert coordinates to rotations of the mean skeleton.

    Args:
        angles: Coordinates by name, shape (nframe,) each [rad]; all of `REQUIRED` but the positions.
        pelvis_pos: Position of the pelvis's origin in the ground, shape (nframe, 3) [m].
        to_world: Rotation from the ground to the world with z up, shape (3, 3).

    Returns:
        Axis-angles of the 22 joints, shape (nframe, 22, 3) [rad], and the point between the hips in the world, shape
        (nframe, 3) [m].
    """
    pelvis = _euler("zxy", *(angles[name] for name in PELVIS_ANGLES))
    neutral = {name: Rotation.from_matrix(_TO_SKELETON @ turn.as_matrix() @ _TO_SKELETON.T)
               for name, turn in _local(angles, len(pelvis_pos)).items()}  # fmt: skip
    for side, sign in (("left", -1.0), ("right", 1.0)):
        hang = Rotation.from_euler("z", sign * np.pi / 2)  # from level arms to arms at the sides
        neutral[f"{side}_shoulder"] = neutral[f"{side}_shoulder"] * hang
        neutral[f"{side}_elbow"] = hang.inv() * neutral[f"{side}_elbow"] * hang
    turns = Rotation.from_matrix(neutral_turns(mean_joints()))
    rotvec = np.zeros((len(pelvis_pos), len(BODY_NAMES), 3))
    rotvec[:, 0] = Rotation.from_matrix(to_world @ pelvis.as_matrix() @ _TO_SKELETON.T).as_rotvec()
    for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
        turn = neutral.get(BODY_NAMES[joint], Rotation.identity())
        rotvec[:, joint] = (turns[parent] * turn * turns[joint].inv()).as_rotvec()
    return rotvec, (pelvis_pos + pelvis.apply(HIPS)) @ to_world.T


def _local(angles: Mapping[str, np.ndarray], nframe: int) -> dict[str, Rotation]:
    """Rotations by joint relative to the body above, in OpenSim's axes, from arms that hang with the thumbs forward."""
    zero = np.zeros(nframe)
    at = lambda name: angles.get(name, zero)  # noqa: E731
    lumbar = _euler("zxy", at("lumbar_extension"), at("lumbar_bending"), at("lumbar_rotation"))
    third = Rotation.from_rotvec(lumbar.as_rotvec() / 3.0)
    result = {f"spine{k}": third for k in (1, 2, 3)}
    for side, end, sign in (("right", "r", 1.0), ("left", "l", -1.0)):
        hinge = lambda name, angle, sign=sign: Rotation.from_rotvec(  # noqa: E731
            angle[:, None] * (np.array(AXES[name]) * [sign, sign, 1.0])
        )
        angle = lambda name, end=end: at(f"{name}_{end}")  # noqa: E731
        mirror = np.array([1.0, 1.0, sign])
        result[f"{side}_hip"] = _euler(
            "zxy", angle("hip_flexion"), sign * angle("hip_adduction"), sign * angle("hip_rotation")
        )
        shank = _from_down(mirror * SHANK)
        result[f"{side}_knee"] = _knee(angle("knee_angle"), sign) * shank
        result[f"{side}_ankle"] = (
            shank.inv() * hinge("ankle_angle", angle("ankle_angle")) * hinge("subtalar_angle", angle("subtalar_angle"))
        )
        result[f"{side}_foot"] = hinge("mtp_angle", angle("mtp_angle"))
        spherical = f"{SPHERICAL_ARM[1]}_{end}" in angles
        roll = angles.get(f"pro_sup_{end}", np.full(nframe, 0.0 if spherical else THUMB_FORWARD))
        roll = roll if spherical else roll - THUMB_FORWARD  # pronation from the thumb forward
        if spherical:
            plane, elevation, twist = (sign * angle(name) for name in SPHERICAL_ARM)
            shoulder = _euler("yxy", plane, -elevation, twist - plane)
            upper_arm = _from_down(mirror * OWN_UPPER_ARM)
            forearm = _from_down(
                mirror * np.column_stack([np.interp(roll, OWN_PRONATION, axis) for axis in OWN_FOREARM])
            )
        else:
            shoulder = _euler("zxy", angle("arm_flex"), sign * angle("arm_add"), sign * angle("arm_rot"))
            upper_arm = _from_down(mirror * UPPER_ARM)
            wrist = hinge("pro_sup", roll + THUMB_FORWARD).apply(mirror * WRIST)
            forearm = _from_down(mirror * RADIUS + wrist)
        result[f"{side}_shoulder"] = shoulder * upper_arm
        turned = forearm * _euler("y", sign * roll)
        result[f"{side}_elbow"] = upper_arm.inv() * hinge("elbow_flex", angle("elbow_flex")) * turned
    return result


def _knee(flexion: np.ndarray, sign: float) -> Rotation:
    """Rotation of the shank relative to the thigh; sign is 1 on the right and -1 on the left."""
    adduction, inward = (np.interp(flexion, KNEE_FLEXION, table) for table in (SHANK_ADDUCTION, SHANK_INWARD))
    return _euler("zxy", -flexion, sign * adduction, sign * inward)


def _from_down(bone: np.ndarray) -> Rotation:
    """Smallest rotations that turn the downward direction to those of bones, shape (..., 3)."""
    return Rotation.from_matrix(shortest_turn(np.broadcast_to(_DOWN, bone.shape), unit(bone)))


def _euler(order: str, *angles: np.ndarray) -> Rotation:
    """Rotation about body axes, each turned by those before."""
    return Rotation.from_euler(order.upper(), np.column_stack(angles))
