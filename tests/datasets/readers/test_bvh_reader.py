"""BVH input: whatever names, axes, units and zero poses a file has, the same movement is read from it."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.formats.bvh import bvh_bytes
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.readers.bvh import read_bvh
from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.skeletons.bvh_kinematics import BvhKinematics
from musclemap.datasets.formats.readers.skeletons.bvh_text import parse_bvh
from musclemap.datasets.formats.readers.skeletons.calibration import Calibration
from musclemap.datasets.formats.readers.skeletons.families import FAMILIES, find_family
from musclemap.datasets.formats.readers.skeletons.own_skeleton import own_motion
from musclemap.datasets.formats.readers.skeletons.topology import guess_joints
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ...support.bvh_writer import CMU_NAMES, SMPL_NAMES, SOMA_NAMES, with_fingers, write_bvh
from ...support.data.exported_clips import moving_clip
from ...support.zero_poses import INDEX, arms_down, legs_apart, one_line, t_pose

MOCAP = Path(__file__).resolve().parents[3].parent / "shared" / "mocap"
MIXAMO_NAMES = CMU_NAMES | {"spine1": "Spine", "spine2": "Spine1", "spine3": "Spine2"}
UNKNOWN_NAMES = {name: f"joint{k}" for k, name in enumerate(BODY_NAMES)}
FEET = ("left_foot", "right_foot")


@pytest.fixture(scope="module")
def walk() -> SourceMotion:
    return synthesise("walk_1.2", seconds=2.0)


def differences(motion: SourceMotion, read: SourceMotion) -> tuple[np.ndarray, np.ndarray]:
    """Largest distance of each joint [m] and mean angle of each segment [deg], shape (22,) each."""
    joints = mean_joints()
    pos, mat = source_fk(motion.rotvec, motion.trans, joints)
    assert read.rest_joints is not None
    read_pos, read_mat = source_fk(read.rotvec, read.trans, read.rest_joints)
    turn = Rotation.from_matrix((np.swapaxes(mat, 2, 3) @ read_mat).reshape(-1, 3, 3))
    distance = np.linalg.norm(read_pos - pos, axis=2).max(axis=0)
    return distance, np.rad2deg(turn.magnitude().reshape(-1, 22).mean(axis=0))


def codes(motion: SourceMotion) -> set[ReasonCode]:
    return {warning.code for warning in motion.warnings}


@pytest.mark.parametrize("name", ["walk_1.2", "squat", "reach", "jump", "turn"])
@pytest.mark.parametrize("names", [CMU_NAMES, SMPL_NAMES, UNKNOWN_NAMES], ids=["CMU", "SMPL", "unknown"])
def test_round_trip(name: str, names: dict[str, str]) -> None:
    motion = synthesise(name)
    distance, angle = differences(motion, read_bvh(write_bvh(motion, names=names), name="a.bvh"))
    assert distance.max() < 1e-5
    assert angle.max() < 1e-3


@pytest.mark.parametrize(
    ("metres", "sizes"),
    [
        (1.0, (0.56, 0.8, 1.0, 1.2)),
        (0.01, (0.63, 0.8, 1.0, 1.2)),
        (0.001, (0.56, 0.8, 1.0, 1.2)),
        (0.0254 / 0.45, (0.8, 1.0, 1.2)),
        (0.0254, (0.63, 1.0, 1.2)),
    ],
)
def test_units_are_deduced_without_a_doubt(walk: SourceMotion, metres: float, sizes: tuple[float, ...]) -> None:
    for size in sizes:
        read = read_bvh(write_bvh(walk, unit=metres / size, digits=9), name="a.bvh")
        assert not codes(read)
        assert read.file_unit == pytest.approx(metres)
        assert read.rest_joints is not None
        np.testing.assert_allclose(read.rest_joints, size * (mean_joints() - mean_joints()[0]), atol=1e-4)


@pytest.mark.parametrize(
    ("metres", "size", "words"),
    [
        (0.0254 / 0.45, 0.6, "1 unit was read as 1 cmu: the legs are 0.49 m long, those of a child"),
        (0.01, 0.57, "1 unit was read as 1 cm: the legs are 0.47 m long; as 1 in, 1.18 m"),
        (0.0254, 0.56, "1 unit was read as 1 in: the legs are 0.46 m long; as 1 cmu, 1.02 m"),
    ],
)
def test_units_that_could_be_others_are_a_doubt(walk: SourceMotion, metres: float, size: float, words: str) -> None:
    read = read_bvh(write_bvh(walk, unit=metres / size, digits=9), name="a.bvh")
    (warning,) = read.warnings
    assert (warning.code, warning.text) == (ReasonCode.ASSUMED_UNIT, f"{words}; if not, add --units")
    assert read.file_unit == pytest.approx(metres)


@pytest.mark.parametrize("stated", ["cmu", "0.0564444"])
def test_a_small_child_in_a_stated_unit(walk: SourceMotion, stated: str) -> None:
    """Legs of 0.33 m are in no unit those of a person older than two."""
    data = write_bvh(walk, unit=0.0254 / 0.45 / 0.4, digits=9)
    with pytest.raises(SourceError, match=r"--units 0\.14 makes them 0\.8 m long$") as caught:
        read_bvh(data, name="a.bvh")
    assert caught.value.code == ReasonCode.UNCLEAR_UNIT
    read = read_bvh(data, name="a.bvh", units=stated)
    assert not codes(read)
    assert read.rest_joints is not None
    np.testing.assert_allclose(read.rest_joints, 0.4 * (mean_joints() - mean_joints()[0]), atol=1e-4)


@pytest.mark.parametrize("up", ["x", "y", "-y", "z"])
@pytest.mark.parametrize("order", ["ZXY", "XYZ", "YZX"])
def test_axes_and_channel_orders(walk: SourceMotion, up: str, order: str) -> None:
    read = read_bvh(write_bvh(walk, up=up, order=order), name="a.bvh")
    assert read.file_up == up
    assert not codes(read)
    distance, angle = differences(walk, read)
    assert distance.max() < 1e-5
    assert angle.max() < 1e-3


def test_stated_axes_and_units_are_not_deduced(walk: SourceMotion) -> None:
    read = read_bvh(write_bvh(walk, up="z", unit=0.2), name="a.bvh", up="z", units="m", source_fps=60.0)
    assert not codes(read)
    assert (read.fps, read.fps_source, read.source_fps) == (60.0, "corrected", pytest.approx(120.0, rel=1e-5))
    assert read.rest_joints is not None
    np.testing.assert_allclose(read.rest_joints, 5.0 * (mean_joints() - mean_joints()[0]), atol=1e-4)
    with pytest.raises(SourceError, match=r"4\.08\d long, .*; state the length of one unit") as caught:
        read_bvh(write_bvh(walk, unit=0.2), name="a.bvh")
    assert caught.value.code == ReasonCode.UNCLEAR_UNIT


@pytest.mark.parametrize("about", ["x", "y"])
def test_a_lying_body_has_the_axis_of_its_zero_pose(about: str) -> None:
    walk = synthesise("walk_1.2", seconds=1.0)
    turn = Rotation.from_euler(about, 90, degrees=True)
    rotvec = walk.rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    trans = np.tile([0.0, 0.0, 0.15] - mean_joints()[0], (walk.nframe, 1))
    lying = replace(walk, rotvec=rotvec, trans=trans)
    (said,) = (w.text for w in read_bvh(write_bvh(lying), name="a.bvh").warnings if w.code == ReasonCode.ASSUMED_UP)
    assert said.startswith("y was taken as the vertical axis: the body stands along it in the zero pose")


def test_a_zero_pose_may_lie(walk: SourceMotion) -> None:
    """Some files stand in a world with another axis up than in their zero pose."""
    turn = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])  # the SMPL rest pose on its back
    read = read_bvh(write_bvh(walk, zero=np.tile(turn, (22, 1, 1)), up="z"), name="a.bvh")
    assert read.file_up == "z"
    distance, angle = differences(walk, read)
    assert distance.max() < 1e-5
    assert angle.max() < 1e-3


@pytest.mark.parametrize(
    ("zero", "degrees"),
    [(t_pose(), 1e-3), (arms_down(45.0), 1e-3), (arms_down(90.0), 1e-3), (legs_apart(20.0), 0.3), (one_line(), 4.0)],
    ids=["T", "A", "hanging", "CMU", "LAFAN1"],
)
@pytest.mark.parametrize("name", ["walk_1.2", "squat"])
@pytest.mark.parametrize("names", [CMU_NAMES, UNKNOWN_NAMES], ids=["known", "unknown"])
def test_zero_poses(name: str, names: dict[str, str], zero: np.ndarray, degrees: float) -> None:
    """Positions are exact; orientations are as exact as a zero pose says how a limb is twisted."""
    motion = synthesise(name)
    distance, angle = differences(motion, read_bvh(write_bvh(motion, zero=zero, names=names), name="a.bvh"))
    assert distance.max() < 1e-5
    assert angle.max() < degrees


@pytest.mark.parametrize("name", ["walk_1.2", "squat", "turn", "jump"])
@pytest.mark.parametrize("up", ["y", "z"])
def test_feet_that_nothing_shows_are_level_on_the_ground(name: str, up: str) -> None:
    """All bones in one line, and no toes: along the shank, feet would be 72 degrees off."""
    motion = synthesise(name)
    read = read_bvh(write_bvh(motion, zero=one_line(), without=FEET, up=up), name="a.bvh")
    distance, angle = differences(motion, read)
    for side in ("left", "right"):
        assert distance[INDEX[f"{side}_ankle"]] < 1e-5
        assert distance[INDEX[f"{side}_foot"]] < 0.02
        assert angle[INDEX[f"{side}_ankle"]] < 8.0


def test_feet_of_a_lying_body_that_nothing_shows_follow_the_shank() -> None:
    """No floor says where soles point: the foot has the shank's mean orientation, which is right in the mean."""
    motion = synthesise("squat")
    turn = Rotation.from_euler("x", 90, degrees=True)
    rotvec = motion.rotvec.copy()
    rotvec[:, 0] = (turn * Rotation.from_rotvec(rotvec[:, 0])).as_rotvec()
    lying = replace(motion, rotvec=rotvec, trans=np.tile([0.0, 0.0, 0.15] - mean_joints()[0], (motion.nframe, 1)))
    read = read_bvh(write_bvh(lying, zero=one_line(), without=FEET, up="z"), name="a.bvh", up="z")
    bend = differences(lying, read)[1]
    assert max(bend[INDEX[f"{side}_ankle"]] for side in ("left", "right")) < 35.0


def test_bones_keep_their_own_lengths(walk: SourceMotion) -> None:
    joints = mean_joints() * [1.2, 1.0, 1.0]
    joints[INDEX["left_knee"] :] *= 1.1
    read = read_bvh(write_bvh(walk, joints=joints, zero=arms_down(45.0)), name="a.bvh")
    ref, _ = source_fk(walk.rotvec, walk.trans, joints)
    assert read.rest_joints is not None
    pos, _ = source_fk(read.rotvec, read.trans, read.rest_joints)
    np.testing.assert_allclose(pos, ref, atol=1e-5)
    rest = mean_joints()
    for start, end in (("left_hip", "left_knee"), ("right_knee", "right_ankle"), ("left_elbow", "left_wrist")):
        bones = [each[INDEX[end]] - each[INDEX[start]] for each in (rest, read.rest_joints)]
        np.testing.assert_allclose(bones[0] / np.linalg.norm(bones[0]), bones[1] / np.linalg.norm(bones[1]), atol=1e-6)


def test_joints_with_position_channels(walk: SourceMotion) -> None:
    distance, angle = differences(walk, read_bvh(write_bvh(walk, moving=True), name="a.bvh"))
    assert distance.max() < 1e-5
    assert angle.max() < 1e-3


@pytest.mark.parametrize(
    ("without", "millimetres", "degrees"),
    [
        (("spine2",), 4.0, 2.0),
        (("spine1", "spine2"), 10.0, 4.0),
        (("left_collar", "right_collar"), 0.01, 0.01),
        (("neck",), 2.5, 2.0),
        (FEET, 0.01, 0.2),
    ],
)
@pytest.mark.parametrize("names", [CMU_NAMES, UNKNOWN_NAMES], ids=["known", "unknown"])
def test_missing_joints(names: dict[str, str], without: tuple[str, ...], millimetres: float, degrees: float) -> None:
    """The joints that the file has stay in place; the trunk is as exact as one with fewer joints can be."""
    walk = synthesise("walk_1.2")
    read = read_bvh(write_bvh(walk, without=without, names=names), name="a.bvh")
    distance, angle = differences(walk, read)
    fewer = {"spine1", "spine3"} if "spine1" in without else set()  # the one joint left is spine1
    kept = [INDEX[name] for name in BODY_NAMES if name not in {*without, *fewer}]
    assert 1e3 * distance[kept].max() < millimetres
    limbs = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("hip", "knee", "elbow", "wrist")]
    assert angle[limbs].max() < 0.01
    assert angle[kept[: len(kept) if without != FEET else 8]].max() < degrees


def test_more_joints(walk: SourceMotion) -> None:
    """A fourth joint half-way up the chest shares its bend: limbs keep their directions, the trunk moves a little."""
    bvh = parse_bvh(write_bvh(walk))
    chest = bvh.names.index("Spine1")
    first = sum(map(len, bvh.channels[:chest]))
    turn = Rotation.from_euler("ZYX", bvh.values[:, first : first + 3], degrees=True)
    half = Rotation.from_rotvec(0.5 * turn.as_rotvec()).as_euler("ZYX", degrees=True)
    values = np.insert(bvh.values, [first] * 3, half, axis=1)
    values[:, first + 3 : first + 6] = half
    shift = lambda joint: joint if joint < chest else joint + 1  # noqa: E731
    offsets = np.insert(bvh.offsets, chest, 0.5 * bvh.offsets[chest], axis=0)
    offsets[chest + 1] *= 0.5
    longer = replace(
        bvh,
        names=(*bvh.names[:chest], "Extra", *bvh.names[chest:]),
        parents=(*map(shift, bvh.parents[:chest]), shift(bvh.parents[chest]), chest,
                 *map(shift, bvh.parents[chest + 1 :])),
        offsets=offsets,
        ends=np.insert(bvh.ends, chest, np.nan, axis=0),
        channels=(*bvh.channels[:chest], bvh.channels[chest], *bvh.channels[chest:]),
        values=values,
    )  # fmt: skip
    guess = guess_joints(longer)
    assert [guess.joints[key] for key in ("spine1", "spine2", "spine3")] == ["LowerBack", "Extra", "Spine1"]
    index = guess.indices(longer.names, longer.parents)
    read = own_motion(longer, index, Calibration(longer, index), to_world=np.eye(3), metres=0.01)
    joints, turns = source_fk(read.rotvec, read.trans, read.rest_joints)
    xpos, _ = BvhKinematics(longer).world(slice(None))
    assert np.linalg.norm(joints[:, INDEX["spine3"]] - 0.01 * xpos[:, index["spine3"]], axis=1).max() < 1e-3
    along = turns[:, INDEX["left_elbow"]] @ [1.0, 0.0, 0.0]
    ref = xpos[:, index["left_wrist"]] - xpos[:, index["left_elbow"]]
    np.testing.assert_allclose(along, ref / np.linalg.norm(ref, axis=1, keepdims=True), atol=1e-6)


def test_fingers(walk: SourceMotion) -> None:
    """The same fingers from two families, one of which numbers them from the metacarpal bones."""
    hands = np.random.default_rng(0).uniform(-0.5, 0.5, (walk.nframe, 30, 3))
    moving = replace(walk, hand_rotvec=hands)
    for names, metacarpal in ((MIXAMO_NAMES, False), (SOMA_NAMES, True)):
        read = read_bvh(with_fingers(write_bvh(walk, names=names), moving, metacarpal=metacarpal), name="a.bvh")
        assert read.hand_rotvec is not None
        np.testing.assert_allclose(read.hand_rotvec, hands, atol=1e-4)


def test_families() -> None:
    """Every family's own names are recognised as that family's, with a namespace too."""
    for label, names in FAMILY_NAMES.items():
        parents = [-1, *[names.index(above) for above in FAMILY_PARENTS[label][1:]]]
        joint_map = find_family(names, parents)
        assert joint_map is not None
        assert joint_map.family == label
        spaced = find_family([f"mixamorig:{name}" for name in names], parents)
        assert spaced is not None
        assert spaced.joints == {key: f"mixamorig:{name}" for key, name in joint_map.joints.items()}


def test_the_export_is_read_back(body: TargetBody) -> None:
    clip = moving_clip(body, nframe=40)
    read = read_bvh(bvh_bytes(clip, ExportBody(load_body())), name="a.bvh")
    assert ReasonCode.GUESSED_JOINTS not in codes(read)
    assert read.fps == clip.fps
    assert read.rest_joints is not None
    pos, _ = source_fk(read.rotvec, read.trans, read.rest_joints)
    for k, landmark in enumerate(body.landmarks):
        error = np.linalg.norm(pos[:, INDEX[landmark.joint]] - clip.landmark_pos[:, k], axis=1)
        leg = landmark.name.startswith(("pelvis", "femur", "tibia", "talus", "toes"))
        assert error.max() < (5e-4 if leg else 5e-3), landmark.name  # the lumbar spine lengthens by some millimetres


def test_a_guess_is_said(walk: SourceMotion) -> None:
    read = read_bvh(write_bvh(walk, names=UNKNOWN_NAMES), name="a.bvh")
    (said,) = (warning.text for warning in read.warnings if warning.code == ReasonCode.GUESSED_JOINTS)
    for k, name in enumerate(BODY_NAMES):
        assert f"{name} = joint{k}" in said
    assert ReasonCode.GUESSED_JOINTS not in codes(read_bvh(write_bvh(walk), name="a.bvh"))


@pytest.mark.parametrize("parts", [("hip", "knee", "ankle", "foot"), ("collar", "shoulder", "elbow", "wrist")])
@pytest.mark.parametrize("sides", [("left",), ("left", "right")])
def test_a_part_of_a_body_is_refused(walk: SourceMotion, sides: tuple[str, ...], parts: tuple[str, ...]) -> None:
    without = [f"{side}_{part}" for side in sides for part in parts]
    for names in (CMU_NAMES, UNKNOWN_NAMES):
        with pytest.raises(SourceError) as caught:
            read_bvh(write_bvh(walk, names=names, without=without), name="a.bvh")
        assert caught.value.code == ReasonCode.UNKNOWN_SKELETON


def test_frame_times_are_rounded_numbers() -> None:
    walk = synthesise("walk_1.2", seconds=1.0)
    data = write_bvh(walk)
    for text, fps in (("0.0083333", 120.0), ("0.033333", 30.0), ("0.03336667", 29.97), ("0.01", 100.0)):
        read = read_bvh(data.replace(b"Frame Time: 0.0083333", f"Frame Time: {text}".encode()), name="a.bvh")
        assert read.fps == pytest.approx(fps, abs=1e-4)
        assert read.fps_source == "Frame Time"


def test_one_frame_is_refused() -> None:
    walk = synthesise("walk_1.2", seconds=1.0)
    first = replace(walk, rotvec=walk.rotvec[:1], trans=walk.trans[:1])
    with pytest.raises(SourceError) as caught:
        read_bvh(write_bvh(first), name="a.bvh")
    assert caught.value.code == ReasonCode.SINGLE_FRAME


def test_the_table_of_readers_knows_bvh(walk: SourceMotion, tmp_path: Path) -> None:
    """By content, whatever the file is called."""
    for name in ("walk.bvh", "walk"):
        (tmp_path / name).write_bytes(write_bvh(walk, up="z"))
        (read,) = read_motions(tmp_path / name, name=name, options=ReadOptions(source_fps=50.0))
        assert (read.name, read.fps) == (name, 50.0)
        assert read.rest_joints is not None


@pytest.mark.skipif(not MOCAP.is_dir(), reason="the openly licensed sample recordings are not available")
def test_recorded_motion() -> None:
    motion = read_motion(MOCAP / "cmu" / "02" / "02_01_poses.npz", name="a.npz")
    for zero in (None, t_pose(), arms_down(45.0), legs_apart(20.0)):
        distance, angle = differences(motion, read_bvh(write_bvh(motion, zero=zero, unit=0.0564444), name="a.bvh"))
        assert distance.max() < 1e-4
        assert angle.max() < 0.3


_LIMBS = ("Shoulder", "Arm", "ForeArm", "Hand")
_LEG = {"CMU": ("UpLeg", "Leg", "Foot", "ToeBase"), "LAFAN1": ("UpLeg", "Leg", "Foot", "Toe"),
        "Mixamo": ("UpLeg", "Leg", "Foot", "ToeBase"), "SOMA": ("Leg", "Shin", "Foot", "ToeBase"),
        "Rokoko": ("Thigh", "Shin", "Foot", "Toe"), "Xsens": ("Hip", "Knee", "Ankle", "Toe")}  # fmt: skip
_TRUNK = {"CMU": ("LowerBack", "Spine", "Spine1"), "LAFAN1": ("Spine", "Spine1", "Spine2"),
          "Mixamo": ("Spine", "Spine1", "Spine2"), "SOMA": ("Spine1", "Spine2", "Chest"),
          "Rokoko": ("Spine1", "Spine2", "Spine3", "Spine4"),
          "Xsens": ("Chest", "Chest2", "Chest3", "Chest4")}  # fmt: skip
_NECK = {"SOMA": ("Neck1", "Neck2", "Head"), "CMU": ("Neck", "Neck1", "Head")}
_ARM = {"Xsens": ("Collar", "Shoulder", "Elbow", "Wrist")}


def _chains(label: str) -> list[tuple[str, ...]]:
    """Chains of joints of a family's skeleton, each from a joint that is known already."""
    trunk = ("Hips", *_TRUNK[label])
    chains = [trunk, (trunk[-1], *_NECK.get(label, ("Neck", "Head")))]
    for side in ("Left", "Right"):
        middle = (f"{side[0]}HipJoint",) if label == "CMU" else ()
        chains.append(("Hips", *middle, *(side + part for part in _LEG[label])))
        chains.append((trunk[-1], *(side + part for part in _ARM.get(label, _LIMBS))))
    return chains


FAMILY_NAMES: dict[str, list[str]] = {}
FAMILY_PARENTS: dict[str, list[str]] = {}
for _label in FAMILIES.keys() & _LEG.keys():
    FAMILY_NAMES[_label], FAMILY_PARENTS[_label] = ["Hips"], [""]
    for _chain in _chains(_label):
        FAMILY_NAMES[_label] += _chain[1:]
        FAMILY_PARENTS[_label] += _chain[:-1]
