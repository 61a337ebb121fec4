"""Each motion on the body of its subject; the bodies and the solver are stood in for."""

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.pipelines.convert.prepare import _difference
from musclemap.pipelines.convert.subject_retargeter import SubjectRetargeter
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import BodyConfig, RetargetConfig
from musclemap.retarget.targets.subject_lengths import height_of_steps, lengths_of_skeleton
from musclemap.settings import to_dict
from musclemap.skeletons.bodies.human_segments import HUMAN
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..support.data.small_clip import small_clip


@dataclass
class FakeRetargeter:
    """Returns the settings in place of a clip."""

    config: RetargetConfig
    body_models: Sequence[Any] = ()
    device: Any = None

    @property
    def body(self) -> SimpleNamespace:
        return SimpleNamespace(name="body", scalable=HUMAN)

    def own_joints(self, motion: SourceMotion) -> np.ndarray | None:
        return motion.rest_joints

    def targets(self, motion: SourceMotion) -> SimpleNamespace:
        return SimpleNamespace(stance=SimpleNamespace(scale=1.1))

    def provenance(self, motion: SourceMotion) -> dict[str, Any]:
        return {"config": to_dict(self.config)}

    def retarget(self, motions: Sequence[SourceMotion]) -> list[SimpleNamespace]:
        facts = dict(self.config.body.variant.size)
        return [SimpleNamespace(clip=(m.name, facts, len(motions)), code=None, message="") for m in motions]


@pytest.fixture(autouse=True)
def _fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.retarget.retargeter.Retargeter", FakeRetargeter)


@pytest.fixture(scope="module")
def motion() -> SourceMotion:
    return synthesise("walk_1.2", seconds=0.5)


def facts_of_result(result: Any) -> dict[str, Any]:
    """The size of the body that a motion was fitted to."""
    return result.clip[1]


TABLE = json.dumps({"s01": {"height": 1.62, "mass": 58.0}, "s02": {"height": 1.8}})


def test_motions_of_one_subject_are_fitted_together_in_their_order(motion: SourceMotion) -> None:
    names = ["s01/a.npz", "s02/b.npz", "s01/c.npz", "s03/d.npz"]
    results = SubjectRetargeter(RetargetConfig(body=BodyConfig(subjects=TABLE))).retarget(
        [replace(motion, name=name) for name in names]
    )
    first = {"height": 1.62, "mass": 58.0}
    assert [result.clip for result in results] == [
        ("s01/a.npz", first, 2), ("s02/b.npz", {"height": 1.8}, 1), ("s01/c.npz", first, 2), None,
    ]  # fmt: skip
    assert results[3].code is ReasonCode.NO_SUBJECT
    assert "no row for s03/d.npz" in results[3].message


def test_a_clip_depends_on_its_own_subject_alone(motion: SourceMotion) -> None:
    """Otherwise a new row would make every clip stale."""
    more = json.dumps(json.loads(TABLE) | {"s09": {"height": 1.5}})
    one, other = (SubjectRetargeter(RetargetConfig(body=BodyConfig(subjects=text))) for text in (TABLE, more))
    named = replace(motion, name="s01/a.npz")
    assert one.provenance(named) == other.provenance(named)
    assert "subjects" not in one.provenance(named)["config"]["body"]


def test_a_body_is_fitted_to_the_bones_or_else_to_the_steps(motion: SourceMotion) -> None:
    retargeter = SubjectRetargeter(RetargetConfig(body=BodyConfig(scale="body")))
    joints = 1.05 * mean_joints()
    own, none = retargeter.retarget([replace(motion, rest_joints=joints), motion])
    assert facts_of_result(own) == lengths_of_skeleton(joints)
    assert facts_of_result(none) == {"height": height_of_steps(HUMAN, 1.1)}
    assert height_of_steps(HUMAN, 1.1) == pytest.approx(HUMAN.height / 1.1, abs=0.006)


def test_what_is_stated_wins_over_what_is_fitted(motion: SourceMotion) -> None:
    table = json.dumps({"*": {"thigh": 0.41, "mass": 66.0}})
    retargeter = SubjectRetargeter(RetargetConfig(body=BodyConfig(scale="body", subjects=table)))
    (result,) = retargeter.retarget([replace(motion, rest_joints=mean_joints())])
    assert facts_of_result(result) == lengths_of_skeleton(mean_joints()) | {"thigh": 0.41, "mass": 66.0}


def test_the_status_of_a_folder_does_not_compare_bodies_of_subjects(motion: SourceMotion) -> None:
    config = RetargetConfig(body=BodyConfig(subjects=TABLE))
    stored = SubjectRetargeter(config).provenance(replace(motion, name="s01/a.npz"))["config"]
    clip = small_clip(config=stored)
    assert _difference("config", stored, to_dict(config), clip) == ""
    other = replace(config, fps=50.0)
    assert "fps" in _difference("config", stored, to_dict(other), clip)
    assert "body.variant" in _difference("config", stored, to_dict(RetargetConfig()), clip)


def test_settings_without_a_size_are_written_as_ever() -> None:
    assert to_dict(RetargetConfig())["body"].keys() == {"name", "chest", "published"}
