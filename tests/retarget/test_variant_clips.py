"""Clips of altered bodies: limits of joints are kept, and the clip is one of that body."""

from dataclasses import replace

import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import ClipError
from musclemap.pipelines.validation import validate_clip
from musclemap.retarget.config import BodyConfig, RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.variants.variant import make_variant

from ..conftest import optimised

LIMIT = np.deg2rad(40.0)
VARIANT = make_variant(
    strength={"soleus_r": 0.5}, joint_range={"knee_angle_r": [0.0, LIMIT], "elbow_flex_l": [0.8, 1.2]},
    added_mass={"tibia_r": 2.0},
)  # fmt: skip


@pytest.fixture(scope="module")
def stiff() -> tuple[Clip, Retargeter]:
    """Two seconds of walking with a stiff right knee and a bent left elbow."""
    with optimised():
        retargeter = Retargeter(RetargetConfig(body=BodyConfig(variant=VARIANT)))
        clip = retargeter.retarget([synthesise("walk_1.2", seconds=2.0)])[0].clip
    assert clip is not None
    return clip, retargeter


def test_a_limited_joint_stays_in_its_range(stiff: tuple[Clip, Retargeter], walk_clip: Clip) -> None:
    clip, _ = stiff
    body = load_body()
    column = {name: body.model.joint(name).qposadr[0] for name in ("knee_angle_r", "knee_angle_l", "elbow_flex_l")}
    assert walk_clip.qpos[:, column["knee_angle_r"]].max() > LIMIT + 0.2
    assert clip.qpos[:, column["knee_angle_r"]].max() == pytest.approx(LIMIT, abs=1e-3)
    assert clip.qpos[:, column["knee_angle_r"]].max() <= LIMIT + 1e-6
    assert clip.qpos[:, column["elbow_flex_l"]].min() >= 0.8 - 1e-6
    assert clip.qpos[:, column["knee_angle_l"]].max() > LIMIT + 0.2


def test_limits_do_not_change_proportions(stiff: tuple[Clip, Retargeter], retargeter: Retargeter) -> None:
    motion = synthesise("walk_1.2", seconds=1.0)
    for own, other in zip(
        vars(retargeter.proportions(motion)).values(), vars(stiff[1].proportions(motion)).values(), strict=True
    ):
        np.testing.assert_equal(other, own)


def test_the_clip_is_of_the_altered_body(stiff: tuple[Clip, Retargeter]) -> None:
    clip, _ = stiff
    body = load_body(variant=VARIANT)
    assert (clip.variant, clip.model_sha256, clip.model_version) == (VARIANT, body.sha256, body.version)
    assert clip.config["body"]["variant"]["strength"] == {"soleus_r": 0.5}
    again = validate_clip(clip, config=RetargetConfig())
    assert (again.verdict, again.variant) == (clip.verdict, VARIANT)
    with pytest.raises(ClipError, match="it was made for MyoFullBody"):
        validate_clip(replace(clip, variant=make_variant(strength={"soleus_r": 0.6})), config=RetargetConfig())
