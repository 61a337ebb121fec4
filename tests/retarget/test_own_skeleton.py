"""A source with its own skeleton gives the clip that the same movement gives as AMASS data."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.readers.bvh import read_bvh
from musclemap.datasets.formats.readers.marker_files import read_markers
from musclemap.datasets.formats.readers.markers.trc_text import parse_trc
from musclemap.datasets.formats.readers.motion_reader import ReadOptions, SourceFile
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.body_model import BodyModel
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

from ..conftest import optimised
from ..support.bvh_writer import write_bvh
from ..support.marker_writer import labels_of, virtual_markers, write_trc
from ..support.zero_poses import arms_down, legs_apart

MOCAP = Path(__file__).resolve().parents[2].parent / "shared" / "mocap"
CMU_UNIT = 0.0254 / 0.45


@pytest.fixture(scope="module")
def unchecked() -> Retargeter:
    """Retargeter without checks by the muscle model."""
    config = RetargetConfig()
    return Retargeter(replace(config, validation=replace(config.validation, enabled=False)))


def clips(retargeter: Retargeter, motions: Sequence[SourceMotion]) -> list[Clip]:
    with optimised():
        results = retargeter.retarget(motions)
    made = [result.clip for result in results if result.clip is not None]
    assert len(made) == len(motions)
    return made


def compare(retargeter: Retargeter, body: TargetBody, motion: SourceMotion, others: Sequence[SourceMotion]) -> None:
    """Landmarks within 15 mm; independent joint angles within 3 degrees in the mean over frames."""
    ref, *made = clips(retargeter, [motion, *others])
    for clip in made:
        assert clip.body_model == "source"
        distance = 1e3 * np.linalg.norm(clip.landmark_pos - ref.landmark_pos, axis=2)
        assert distance.max() < 15.0
        angles = [body.reduced.reduce(each.qpos.astype(np.float64))[:, 7:] for each in (ref, clip)]
        assert np.rad2deg(np.abs(angles[0] - angles[1]).mean(axis=0)).max() < 3.0
        assert clip.subject_scale == pytest.approx(ref.subject_scale, rel=0.01)


def test_a_walk_through_bvh(unchecked: Retargeter, body: TargetBody) -> None:
    walk = synthesise("walk_1.2", seconds=3.0)
    others = [read_bvh(write_bvh(walk, unit=CMU_UNIT, zero=zero), name="walk.bvh") for zero in (None, arms_down(45.0))]
    compare(unchecked, body, walk, others)


@pytest.mark.skipif(not MOCAP.is_dir(), reason="the openly licensed sample recordings are not available")
def test_a_recorded_walk_through_bvh(unchecked: Retargeter, body: TargetBody) -> None:
    walk = read_motion(MOCAP / "cmu" / "02" / "02_01_poses.npz", name="02_01_poses.npz")
    compare(unchecked, body, walk, [read_bvh(write_bvh(walk, unit=CMU_UNIT, zero=legs_apart(20.0)), name="walk.bvh")])


def test_a_walk_through_markers(unchecked: Retargeter, body: TargetBody) -> None:
    walk = synthesise("walk_1.2", seconds=2.0)
    recording = parse_trc(write_trc(virtual_markers(walk, labels=labels_of("CMU 41"))))
    file = SourceFile(path=Path("walk.trc"), name="walk.trc", data=b"")
    compare(unchecked, body, walk, [read_markers(recording, file, ReadOptions())])


def test_body_models_are_not_for_own_skeletons() -> None:
    """Joints, proportions and provenance come from the source, whatever models there are."""
    model = BodyModel(file="a.npz", sha256="0" * 64, family="smplx", gender="male", joint_template=np.zeros((55, 3)),
                      joint_dirs=np.zeros((55, 3, 10)))  # fmt: skip
    retargeter = Retargeter(body_models=(model,))
    joints = 1.1 * mean_joints()
    motion = replace(synthesise("walk_1.2", seconds=1.0), rest_joints=joints, family="smplh", gender="neutral")
    assert retargeter.provenance(motion)["body_model"] == "source"
    fitted = retargeter.proportions(motion)
    assert retargeter.proportions(motion) is fitted
    other = replace(motion, rest_joints=joints * [1.2, 1.0, 1.0])
    assert retargeter.proportions(other) is not fitted
    assert fitted.betas is None
