"""Joint maps: a guess is saved, edited and read again; a wrong map is refused by what is wrong with it."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.formats.readers.bvh import read_bvh
from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.skeletons.bvh_text import parse_bvh
from musclemap.datasets.formats.readers.skeletons.families import spine_joints
from musclemap.datasets.formats.readers.skeletons.joint_map import JointMap, load_joint_map, save_joint_map
from musclemap.datasets.formats.readers.skeletons.topology import guess_joints
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SettingsError, SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import BODY_NAMES

from ...support.bvh_writer import write_bvh

NAMES = {name: f"Bone {k} 'x\"" for k, name in enumerate(BODY_NAMES)}


@pytest.fixture(scope="module")
def data() -> bytes:
    return write_bvh(synthesise("walk_1.2", seconds=1.0), names=NAMES)


def test_a_guess_is_saved_and_read(data: bytes, tmp_path: Path) -> None:
    guess = guess_joints(parse_bvh(data))
    save_joint_map(tmp_path / "joints.toml", guess)
    read = load_joint_map(tmp_path / "joints.toml")
    assert read == JointMap(family="file", joints=NAMES)
    assert list(read.joints) == list(BODY_NAMES)
    guessed, mapped = read_bvh(data, name="a.bvh"), read_bvh(data, name="a.bvh", joint_map=read)
    np.testing.assert_array_equal(guessed.rotvec, mapped.rotvec)
    assert {warning.code for warning in guessed.warnings} - {warning.code for warning in mapped.warnings} == {
        ReasonCode.GUESSED_JOINTS
    }


def test_the_table_of_readers_takes_a_map(data: bytes, tmp_path: Path) -> None:
    """A map overrides the names: with left and right exchanged, the body faces the other way."""
    exchanged = {
        key: NAMES[f"{'right' if key.startswith('left') else 'left'}_{key.partition('_')[2]}" if "_" in key else key]
        for key in BODY_NAMES
    }
    (tmp_path / "a.bvh").write_bytes(data)
    options = ReadOptions(joint_map=JointMap(family="file", joints=exchanged))
    (motion,) = read_motions(tmp_path / "a.bvh", name="a.bvh", options=options)
    plain = read_bvh(data, name="a.bvh")
    first, second = (Rotation.from_rotvec(each.rotvec[:, 0]) for each in (motion, plain))
    np.testing.assert_allclose((first.inv() * second).magnitude(), np.pi, atol=1e-6)
    assert ReasonCode.GUESSED_JOINTS not in {warning.code for warning in motion.warnings}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[joints\n", "is not TOML"),
        ("[bones]\npelvis = 'Hips'\n", "one table, \\[joints\\]"),
        ("[joints]\npelvis = 'Hips'\n[more]\n", "one table, \\[joints\\]"),
        ("[joints]\nhips = 'Hips'\n", "names are pelvis, left_hip"),
        ("[joints]\npelvis = 3\n", "names are pelvis, left_hip"),
        ("[joints]\npelvis = 'Hips'\n", "lacks left_hip"),
    ],
)
def test_a_wrong_file_is_refused(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "joints.toml").write_text(text)
    with pytest.raises(SettingsError, match=message):
        load_joint_map(tmp_path / "joints.toml")


def test_a_joint_is_used_once(tmp_path: Path) -> None:
    save_joint_map(tmp_path / "joints.toml", JointMap(family="guess", joints=NAMES | {"head": NAMES["neck"]}))
    with pytest.raises(SettingsError, match="more than once"):
        load_joint_map(tmp_path / "joints.toml")
    with pytest.raises(SettingsError, match="cannot read the joint map"):
        load_joint_map(tmp_path / "missing.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"pelvis": "Nobody"}, r"no joint Nobody \(pelvis\)"), ({"left_knee": NAMES["right_knee"]}, "not below")],
)
def test_a_map_must_fit_the_skeleton(data: bytes, changes: dict[str, str], message: str) -> None:
    with pytest.raises(SourceError, match=message) as caught:
        read_bvh(data, name="a.bvh", joint_map=JointMap(family="file", joints=NAMES | changes))
    assert caught.value.code == ReasonCode.UNKNOWN_SKELETON


def test_spines_of_any_length() -> None:
    assert spine_joints([]) == {}
    assert spine_joints("a") == {"spine1": "a"}
    assert spine_joints("ab") == {"spine1": "a", "spine3": "b"}
    assert spine_joints("abc") == {"spine1": "a", "spine2": "b", "spine3": "c"}
    assert spine_joints("abcde") == {"spine1": "a", "spine2": "c", "spine3": "e"}
