"""OpenSim input: coordinates of .mot and .sto files become the motion that they describe."""

from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.opensim import grf_columns, sto_bytes
from musclemap.datasets.formats.readers.motion_reader import ReadOptions, SourceFile
from musclemap.datasets.formats.readers.opensim.coordinates import OPTIONAL, PELVIS_POSITION, REQUIRED
from musclemap.datasets.formats.readers.opensim_files import read_opensim
from musclemap.datasets.formats.readers.skeletons.calibration import unit
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.formats.tables import MOT_HEADER, mot_bytes
from musclemap.datasets.motion import SourceMotion
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ...support.data.exported_clips import moving_clip
from ...support.opensim_writer import known_walk, write_mot

TRUTH = Path(__file__).parents[4] / "shared" / "truth"
INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}
NAMES = (*REQUIRED, *OPTIONAL)


def standing(**angles: float) -> dict[str, np.ndarray]:
    """Coordinates of upright standing, but for some [deg, m]."""
    values = {name: np.zeros(20) for name in NAMES} | {"pelvis_ty": np.full(20, 0.95)}
    return values | {name: np.full(20, value) for name, value in angles.items()}


def read(data: bytes, **options) -> SourceMotion:
    return read_opensim(SourceFile(path=Path("a.mot"), name="a.mot", data=data), ReadOptions(**options))


def joints(motion: SourceMotion) -> dict[str, np.ndarray]:
    """Position of each joint relative to the pelvis in the first frame: forward, left, up, shape (3,) [m]."""
    assert motion.rest_joints is not None
    pos, _ = source_fk(motion.rotvec, motion.trans, motion.rest_joints)
    forward_left_up = (pos[0] - pos[0, 0]) @ np.array([[0.0, 1.0, 0.0], [-1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])
    return dict(zip(BODY_NAMES, forward_left_up, strict=True))


def test_standing() -> None:
    at = joints(read(write_mot(standing())))
    for side, sign in (("left", 1.0), ("right", -1.0)):
        assert at[f"{side}_hip"][1] * sign > 0.05
        np.testing.assert_allclose((at[f"{side}_knee"] - at[f"{side}_hip"])[:2], 0.0, atol=1e-6)
        assert (at[f"{side}_elbow"] - at[f"{side}_shoulder"])[2] < -0.26
        assert (at[f"{side}_foot"] - at[f"{side}_ankle"])[0] > 0.12


@pytest.mark.parametrize(
    ("coordinate", "joint", "end", "axis", "sign"),
    [
        ("hip_flexion", "hip", "knee", 0, 1.0),
        ("hip_adduction", "hip", "knee", 1, -1.0),
        ("knee_angle", "knee", "ankle", 0, -1.0),
        ("hip_rotation", "ankle", "foot", 1, -1.0),
        ("ankle_angle", "ankle", "foot", 2, 1.0),
        ("arm_flex", "shoulder", "elbow", 0, 1.0),
        ("arm_add", "shoulder", "elbow", 1, -1.0),
        ("elbow_flex", "elbow", "wrist", 0, 1.0),
    ],
)
def test_positive_directions(coordinate: str, joint: str, end: str, axis: int, sign: float) -> None:
    """Forward, left on the left side and right on the right side, up."""
    for side, end_of_name in (("left", "l"), ("right", "r")):
        outwards = (1.0 if side == "left" else -1.0) if axis == 1 else 1.0
        zero, moved = (
            joints(read(write_mot(standing(**{f"{coordinate}_{end_of_name}": angle})))) for angle in (0.0, 20.0)
        )
        bone = lambda at, side=side: at[f"{side}_{end}"] - at[f"{side}_{joint}"]  # noqa: E731
        assert sign * outwards * (bone(moved) - bone(zero))[axis] > 0.02


def test_the_trunk_and_the_pelvis() -> None:
    bent = joints(read(write_mot(standing(lumbar_extension=-30.0, lumbar_bending=10.0))))
    assert bent["neck"][0] > 0.1
    assert bent["neck"][1] < -0.03
    tilted = joints(read(write_mot(standing(pelvis_tilt=-30.0))))
    assert tilted["neck"][0] > 0.2
    turned = joints(read(write_mot(standing(pelvis_rotation=90.0))))
    assert turned["left_foot"][1] > 0.1


def test_pronation_starts_with_the_palm_forward() -> None:
    """Without the coordinate the thumb is forward, which is 90 degrees of pronation."""
    values = standing()
    plain = read(write_mot({name: values[name] for name in values if not name.startswith("pro_sup")}))
    thumb = read(write_mot(standing(pro_sup_l=90.0, pro_sup_r=90.0)))
    np.testing.assert_allclose(plain.rotvec, thumb.rotvec, atol=1e-6)
    palm = read(write_mot(standing()))
    for side in ("left", "right"):
        turn = Rotation.from_rotvec(thumb.rotvec[0, INDEX[f"{side}_elbow"]]).inv() * Rotation.from_rotvec(
            palm.rotvec[0, INDEX[f"{side}_elbow"]]
        )
        assert np.rad2deg(turn.magnitude()) == pytest.approx(90.0, abs=8.0)


def test_degrees_and_radians() -> None:
    values = standing(hip_flexion_l=30.0, knee_angle_l=40.0)
    ref = read(write_mot(values))
    radians = {name: value if name in PELVIS_POSITION else np.deg2rad(value) for name, value in values.items()}
    for header in (MOT_HEADER.replace("inDegrees=yes", "inDegrees=no"), MOT_HEADER.replace("inDegrees=yes\n", "")):
        np.testing.assert_allclose(read(write_mot(radians, header=header)).rotvec, ref.rotvec, atol=1e-6)
    silent = read(write_mot(values, header=MOT_HEADER.replace("inDegrees=yes\n", "")))
    np.testing.assert_allclose(silent.rotvec, ref.rotvec, atol=1e-9)
    (said,) = (warning.text for warning in silent.warnings if warning.code == ReasonCode.ASSUMED_UNIT)
    assert "angles were read in degrees" in said


def test_decimal_commas_a_short_header_and_line_ends_of_windows() -> None:
    values = standing(hip_flexion_l=30.0, knee_angle_l=40.0)
    radians = {name: value if name in PELVIS_POSITION else np.deg2rad(value) for name, value in values.items()}
    data = write_mot(radians, header="Coordinates\ninDegrees = No\nendheader\n")
    other = read(data.replace(b".", b",").replace(b"\n", b"\r\n"))
    np.testing.assert_allclose(other.rotvec, read(write_mot(values)).rotvec, atol=1e-6)


def test_a_stated_unit_is_that_of_the_position() -> None:
    values = standing()
    ref = read(write_mot(values))
    inches = values | {name: values[name] / 0.0254 for name in PELVIS_POSITION}
    np.testing.assert_allclose(read(write_mot(inches), units="in").trans, ref.trans, atol=1e-6)
    assert (ref.file_up, ref.file_unit) == ("y", 1.0)


def test_state_paths_and_other_columns() -> None:
    values = standing(hip_flexion_r=20.0)
    paths = {f"/jointset/any/{name}/value": value for name, value in values.items()}
    paths |= {"/jointset/any/hip_flexion_r/speed": np.ones(20), "/forceset/soleus_r/activation": np.ones(20)}
    np.testing.assert_allclose(read(write_mot(paths)).rotvec, read(write_mot(values)).rotvec)


def test_uneven_times_are_resampled() -> None:
    values = standing() | {"hip_flexion_r": np.linspace(0.0, 19.0, 20)}
    lines = write_mot(values).decode().splitlines()
    k = next(k for k, line in enumerate(lines) if line.startswith("0.05\t"))
    del lines[k]
    data = "\n".join(lines).replace("nRows=20", "nRows=19").encode()
    other = read(data)
    assert ReasonCode.UNEVEN_TIMES in {warning.code for warning in other.warnings}
    np.testing.assert_allclose(other.rotvec, read(write_mot(values)).rotvec, atol=1e-9)


def test_knees_of_other_models_have_the_other_sign() -> None:
    bent = standing(knee_angle_l=60.0, knee_angle_r=50.0)
    other = bent | {name: -bent[name] for name in ("knee_angle_l", "knee_angle_r")}
    motion = read(write_mot(other))
    assert ReasonCode.OTHER_SIGNS in {warning.code for warning in motion.warnings}
    np.testing.assert_allclose(motion.rotvec, read(write_mot(bent)).rotvec)


def test_missing_coordinates_are_said() -> None:
    values = standing()
    motion = read(write_mot({name: values[name] for name in REQUIRED}))
    (said,) = (warning.text for warning in motion.warnings if warning.code == ReasonCode.MISSING_COORDINATES)
    assert "lumbar_extension" in said
    assert not read(write_mot(values)).warnings


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data.replace(b"endheader", b"end"), ReasonCode.NOT_OPENSIM),
        (lambda data: data.replace(b"time\t", b"t\t"), ReasonCode.NOT_OPENSIM),
        (lambda data: data[: len(data) // 2], ReasonCode.TRUNCATED),
        (lambda data: data.replace(b"0.95000000", b"high"), ReasonCode.TRUNCATED),
        (lambda data: data.replace(b"0.95000000", b"nan"), ReasonCode.NON_FINITE),
        (lambda data: data.replace(b"0.95000000", b"95000.0"), ReasonCode.OUT_OF_RANGE),
        (lambda data: data.replace(b"knee_angle_r", b"knee"), ReasonCode.MISSING_KEY),
        (lambda data: data.replace(b"\n0.05\t", b"\n0.03\t"), ReasonCode.BAD_FRAME_RATE),
    ],
    ids=["header", "time", "half", "text", "nan", "far", "names", "order"],
)
def test_broken_files_are_refused(change, code: ReasonCode) -> None:
    with pytest.raises(SourceError) as caught:
        read(change(write_mot(standing())))
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_angles_of_the_same_definition_are_stated() -> None:
    """By MyoFullBody's names, with the sign of flexion that it has; joints of the foot only if they are not locked."""
    wave = 10.0 * np.sin(np.arange(20))
    values = standing(hip_flexion_l=30.0) | {"subtalar_angle_l": wave}
    values |= {name: wave - 40.0 for name in ("knee_angle_r", "knee_angle_l")}
    angles = read(write_mot(values)).angles
    assert angles is not None
    at = dict(zip(angles.names, np.rad2deg(angles.values).T, strict=True))
    np.testing.assert_allclose(at["hip_flexion_l"], 30.0, atol=1e-6)
    np.testing.assert_allclose(at["subtalar_angle_l"], wave, atol=1e-6)
    np.testing.assert_allclose(at["knee_angle_r"], 40.0 - wave, atol=1e-6)
    assert {"flex_extension", "lat_bending", "axial_rotation"} <= set(at)
    assert not {"subtalar_angle_r", "mtp_angle_r", "mtp_angle_l", "lumbar_extension", "elbow_flex_r"} & set(at)


def test_toes_lie_on_the_floor_if_the_model_locks_them() -> None:
    """A foot that rolls over its ball, with the toes locked at zero in the file, and one whose toes are measured."""
    rise = np.linspace(0.0, 20.0, 40)
    values = {name: np.zeros(40) for name in NAMES} | {"pelvis_ty": np.full(40, 0.93)}
    values |= {"hip_flexion_r": rise, "knee_angle_r": rise, "ankle_angle_r": -rise}
    locked = read(write_mot(values))
    bend = np.rad2deg(np.linalg.norm(locked.rotvec[:, INDEX["right_foot"]], axis=1))
    assert bend[0] < 1.0
    np.testing.assert_allclose(bend[10:25], rise[10:25], atol=2.0)
    measured = read(write_mot(values | {"mtp_angle_r": 0.5 * rise, "mtp_angle_l": 0.5 * rise}))
    assert np.rad2deg(np.linalg.norm(measured.rotvec[-1, INDEX["right_foot"]])) == pytest.approx(10.0, abs=0.5)


def test_tables_of_forces_are_named() -> None:
    columns = grf_columns(("right", "left"))
    data = sto_bytes("ground reaction", columns, np.arange(5) / 100, np.zeros((5, len(columns))), [])
    with pytest.raises(
        SourceError, match=r"ground reaction forces: give the motion beside it$"
    ) as caught:
        read(data)
    assert caught.value.code == ReasonCode.NOT_MOTION


def test_the_table_of_readers_knows_opensim(tmp_path: Path) -> None:
    for name in ("walk.mot", "walk.sto", "walk"):
        (tmp_path / name).write_bytes(write_mot(standing()))
        (motion,) = read_motions(tmp_path / name, name=name)
        assert (motion.name, motion.fps, motion.fps_source) == (name, 100.0, "time")


def test_the_export_is_read_back(body: TargetBody) -> None:
    """Directions of the limbs are those of the clip; shoulders, which move in its body, are at rest in the skeleton."""
    clip = moving_clip(body, nframe=40)
    motion = read(mot_bytes(clip, ExportBody(load_body())))
    assert motion.rest_joints is not None
    pos, _ = source_fk(motion.rotvec, motion.trans, motion.rest_joints)
    at = {name: k for k, name in enumerate(clip.landmark_names)}
    for side, end in (("left", "l"), ("right", "r")):
        for bone, landmarks in (
            (("hip", "knee"), ("femur", "tibia")), (("knee", "ankle"), ("tibia", "talus")),
            (("shoulder", "elbow"), ("humerus", "ulna")), (("elbow", "wrist"), ("ulna", "lunate")),
        ):  # fmt: skip
            first, second = (pos[:, INDEX[f"{side}_{joint}"]] for joint in bone)
            start, stop = (clip.landmark_pos[:, at[f"{name}_{end}"]] for name in landmarks)
            cosine = np.sum(unit(second - first) * unit(stop - start), axis=1)
            assert np.rad2deg(np.arccos(cosine.min())) < (8.0 if "elbow" in bone else 5.0)


@pytest.mark.skipif(not TRUTH.is_dir(), reason="needs the walk with known joint angles")
def test_the_walk_with_known_angles() -> None:
    """Legs agree with a conversion by positions of the model's segments; it gives the known angles within 0.5 degrees.

    That conversion takes no notice of pronation, so arms are not compared.
    """
    motion = read(known_walk(TRUTH))
    ref = read_motion(TRUTH / "walk_poses.npz", name="walk_poses.npz")
    for side in ("left", "right"):
        for part in ("hip", "knee", "ankle"):
            joint = INDEX[f"{side}_{part}"]
            turn = Rotation.from_rotvec(ref.rotvec[:, joint]).inv() * Rotation.from_rotvec(motion.rotvec[:, joint])
            assert np.rad2deg(turn.magnitude()).max() < 2.0
    assert motion.rest_joints is not None
    np.testing.assert_allclose(np.ptp(motion.trans[:, :2], axis=0), np.ptp(ref.trans[:, :2], axis=0), atol=0.02)
