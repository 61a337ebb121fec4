"""The floor lies under the lowest part that rests on it, and scale is not read from feet in the air."""

import numpy as np
import pytest

from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.resample import resample
from musclemap.retarget.targets.landmark_targets import MotionTargets, build_targets
from musclemap.retarget.targets.proportions import Proportions, fit_proportions
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..support.resting import resting


@pytest.fixture(scope="module")
def proportions(body: TargetBody) -> Proportions:
    return fit_proportions(body, mean_joints())


def targets_of(body: TargetBody, proportions: Proportions, name: str, *, floor: float = 0.0) -> MotionTargets:
    motion = resample(resting(name, floor=floor), 100.0)
    return build_targets(body, motion, proportions, RetargetConfig(), source_joints=mean_joints())


@pytest.mark.parametrize(
    ("name", "landmark", "height"),
    [
        ("boat", "femur_r", (0.06, 0.16)),  # hip joints
        ("lying", "femur_r", (0.06, 0.16)),
        ("kneeling", "tibia_r", (0.02, 0.10)),  # knee joints
        ("handstand", "lunate_r", (0.01, 0.16)),  # wrists
    ],
)
def test_the_lowest_part_rests_on_the_floor(
    body: TargetBody, proportions: Proportions, name: str, landmark: str, height: tuple[float, float]
) -> None:
    targets = targets_of(body, proportions, name)
    place = targets.pos[:, body.landmark_names.index(landmark), 2]
    assert height[0] < place.min()
    assert place.max() < height[1]
    assert targets.stance.scale_evidence != "feet"
    assert targets.stance.scale == pytest.approx(0.98, abs=0.05)
    if name != "kneeling":  # its toes may touch the ground
        assert not targets.stance.contact.any()


@pytest.mark.parametrize("name", ["boat", "lying"])
def test_a_floor_at_another_height_changes_nothing(body: TargetBody, proportions: Proportions, name: str) -> None:
    there, raised = targets_of(body, proportions, name), targets_of(body, proportions, name, floor=0.3)
    np.testing.assert_allclose(there.pos[..., 2], raised.pos[..., 2], atol=0.01)
