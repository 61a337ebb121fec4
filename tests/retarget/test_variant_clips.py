"""Clips of altered bodies: limits of joints are kept, and the clip is one of that body."""

from dataclasses import replace

import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import ClipError
from musclemap.pipelines.validation import validate_clip
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.targets.proportions import fit_proportions
from musclemap.settings import override
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.variants.variant import facts_of, make_variant

from ..conftest import optimised

LIMIT = float(np.deg2rad(40.0))
VARIANT = make_variant(
    strength={"soleus_r": 0.5}, joint_range={"knee_angle_r": [0.0, LIMIT], "elbow_flex_l": [0.8, 1.2]},
    added_mass={"tibia_r": 2.0},
)  # fmt: skip


@pytest.fixture(scope="module")
def stiff() -> tuple[Clip, Retargeter]:
    """Walking with a stiff right knee and a bent left elbow, without refinement and checks, which take longer."""
    config = override(RetargetConfig(), ["dynamics.enabled=false", "validation.enabled=false"])
    with optimised():
        retargeter = Retargeter(replace(config, body=replace(config.body, variant=VARIANT)))
        clip = retargeter.retarget([synthesise("walk_1.2", seconds=1.5)])[0].clip
    assert clip is not None
    return clip, retargeter


def test_a_limited_joint_stays_in_its_range(stiff: tuple[Clip, Retargeter]) -> None:
    """The walk bends both knees by 66 degrees and the elbows by less than 0.8 rad."""
    clip, model = stiff[0], load_body().model
    angle = {
        name: clip.qpos[:, model.joint(name).qposadr[0]] for name in ("knee_angle_r", "knee_angle_l", "elbow_flex_l")
    }
    assert angle["knee_angle_l"].max() > LIMIT + 0.2
    assert LIMIT - 1e-3 < angle["knee_angle_r"].max() <= LIMIT + 1e-6
    assert 0.8 - 1e-6 <= angle["elbow_flex_l"].min() < 0.8 + 1e-3


def test_limits_do_not_change_proportions(stiff: tuple[Clip, Retargeter]) -> None:
    own = fit_proportions(load_body(), mean_joints())
    fitted = stiff[1].proportions(synthesise("walk_1.2", seconds=1.0))
    np.testing.assert_array_equal(fitted.t_pose, own.t_pose)
    elbow = load_body(variant=VARIANT).reduced.index("elbow_flex_l")
    assert own.t_pose[7 + elbow] < 0.5  # a straight arm, which the altered body does not have


def test_the_clip_is_of_the_altered_body(stiff: tuple[Clip, Retargeter]) -> None:
    clip, body = stiff[0], load_body(variant=VARIANT)
    assert (clip.variant, clip.model_sha256, clip.model_version) == (VARIANT, body.sha256, body.version)
    assert {kind: facts for kind, facts in clip.config["body"]["variant"].items() if facts} == facts_of(VARIANT)
    with pytest.raises(ClipError, match="it was made for MyoFullBody"):
        validate_clip(replace(clip, variant=make_variant(strength={"soleus_r": 0.6})), config=RetargetConfig())
