"""Rest directions on a walk with known joint angles: the orientation targets of the legs have those angles.

No fit is involved: the targets are the source's rotations, turned from its rest pose to the target's neutral pose.
"""

from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.formats.readers.motion_reader import ReadOptions, SourceFile
from musclemap.datasets.formats.readers.opensim_files import read_opensim
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.targets.landmark_targets import build_targets
from musclemap.retarget.targets.proportions import fit_proportions
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..support.opensim_writer import known_walk

TRUTH = Path(__file__).parents[3] / "shared" / "truth"
pytestmark = pytest.mark.skipif(not TRUTH.is_dir(), reason="needs the walk with known joint angles")

ANGLES = ("hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle")


@pytest.fixture(scope="module", params=["npz", "mot"])
def angles(body: TargetBody, request: pytest.FixtureRequest) -> dict[str, np.ndarray]:
    """Angles of the orientation targets, shape (nframe,) each [deg], by joint and side."""
    motion = read_motion(TRUTH / "walk_poses.npz", name="walk_poses.npz")
    if request.param == "mot":
        file = SourceFile(path=Path("walk.mot"), name="walk.mot", data=known_walk(TRUTH))
        motion = read_opensim(file, ReadOptions())
    joints = mean_joints() if motion.rest_joints is None else motion.rest_joints
    proportions = fit_proportions(body, joints)
    targets = build_targets(body, motion, proportions, RetargetConfig(), source_joints=joints)
    names = [body.landmark_names[k] for k in body.oriented]
    zero = _at_zero(body)
    rot = {name: targets.rot[:, k] @ zero[name].T for k, name in enumerate(names)}  # identity in the neutral pose
    result = {}
    for side, sign in (("r", 1.0), ("l", -1.0)):
        pairs = {"hip": ("pelvis", f"femur_{side}"), "knee": (f"femur_{side}", f"tibia_{side}"),
                 "ankle": (f"tibia_{side}", f"talus_{side}")}  # fmt: skip
        euler = {joint: Rotation.from_matrix(np.swapaxes(rot[a], 1, 2) @ rot[b]).as_euler("XYZ", degrees=True)
                 for joint, (a, b) in pairs.items()}  # fmt: skip
        result[f"hip_flexion_{side}"] = -euler["hip"][:, 0]
        result[f"hip_adduction_{side}"] = -sign * euler["hip"][:, 1]
        result[f"hip_rotation_{side}"] = sign * euler["hip"][:, 2]
        result[f"knee_angle_{side}"] = euler["knee"][:, 0]
        result[f"ankle_angle_{side}"] = -euler["ankle"][:, 0]
    return result


def _at_zero(body: TargetBody) -> dict[str, np.ndarray]:
    """Orientation of each landmark's body with all joints at zero, by name."""
    data = mujoco.MjData(body.symmetric_model)
    q = np.concatenate([[0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0], np.zeros(body.reduced.njoint)])
    data.qpos[:] = body.reduced.expand(q[None])[0]
    mujoco.mj_kinematics(body.symmetric_model, data)
    return {
        name: data.xmat[k].reshape(3, 3).copy() for name, k in zip(body.landmark_names, body.landmark_ids, strict=True)
    }


@pytest.mark.parametrize("name", ANGLES)
def test_orientation_targets_have_the_known_angles(angles: dict[str, np.ndarray], name: str) -> None:
    """Straight legs in the rest pose would be off by 14 degrees in hip rotation and by 5.5 in the knee.

    Hip rotation shows that thighs slope outwards without a twist: a twist of 5 degrees would be an error of 5.
    """
    with np.load(TRUTH / "reference.npz", allow_pickle=False) as reference:
        for side in "rl":
            error = angles[f"{name}_{side}"] - np.rad2deg(reference[f"angle__{name}_{side}"])
            assert np.sqrt(np.mean(error**2)) < 0.5
