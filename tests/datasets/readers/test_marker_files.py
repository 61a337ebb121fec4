"""Marker input: a motion comes back from virtual markers, whatever the set, unit, axes and gaps of the file."""

import importlib.util
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.formats.readers.marker_files import read_markers
from musclemap.datasets.formats.readers.markers.marker_body import NTURN, PARTS, MarkerBody, Poses
from musclemap.datasets.formats.readers.markers.marker_fit import MARKER_SPREAD, _inverse_right_jacobian, _System
from musclemap.datasets.formats.readers.markers.marker_sets import MARKER_SETS, find_marker_set
from musclemap.datasets.formats.readers.markers.recording import bridge_gaps
from musclemap.datasets.formats.readers.markers.trc_text import parse_trc
from musclemap.datasets.formats.readers.motion_reader import ReadOptions, SourceFile
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ...support.marker_writer import Marked, labels_of, virtual_markers, write_trc

MOCAP = Path(__file__).resolve().parents[3].parent / "shared" / "mocap"
EZC3D = importlib.util.find_spec("ezc3d") is not None
INDEX = {name: joint for joint, name in enumerate(BODY_NAMES)}

TOES = [INDEX["left_foot"], INDEX["right_foot"]]
ARMS = [INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("shoulder", "elbow", "wrist")]


@pytest.fixture(scope="module")
def walk() -> SourceMotion:
    return synthesise("walk_1.2", seconds=1.5)


@pytest.fixture(scope="module")
def marked(walk: SourceMotion) -> Marked:
    return virtual_markers(walk)


def read(data: bytes, **options) -> SourceMotion:
    file = SourceFile(path=Path("a.trc"), name="a.trc", data=data)
    return read_markers(parse_trc(data), file, ReadOptions(**options))


def differences(
    motion: SourceMotion, other: SourceMotion, *, joints: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Largest distance of each joint [mm] and mean angle of each segment [deg], shape (22,) each."""
    pos, mat = source_fk(motion.rotvec, motion.trans, mean_joints() if joints is None else joints)
    assert other.rest_joints is not None
    other_pos, other_mat = source_fk(other.rotvec, other.trans, other.rest_joints)
    turn = Rotation.from_matrix((np.swapaxes(mat, 2, 3) @ other_mat).reshape(-1, 3, 3))
    distance = 1e3 * np.linalg.norm(other_pos - pos, axis=2).max(axis=0)
    return distance, np.rad2deg(turn.magnitude().reshape(-1, 22).mean(axis=0))


def assert_same(motion: SourceMotion, other: SourceMotion, *, without: Sequence[int] = ()) -> None:
    """All joints but some within 15 mm, and segments within 3 degrees.

    Two millimetres on the 70 mm between the markers of a wrist are 1.6 degrees; no marker shows how far toes bend.
    """
    distance, angle = differences(motion, other)
    limit = np.full(22, 3.0)
    limit[ARMS], limit[TOES] = 4.0, 5.0
    assert np.delete(distance, without).max() < 15.0
    assert np.delete(angle / limit, without).max() < 1.0


def said(motion: SourceMotion, code: ReasonCode) -> str:
    """The one warning with a code."""
    (text,) = (warning.text for warning in motion.warnings if warning.code == code)
    return text


def codes(motion: SourceMotion) -> set[ReasonCode]:
    return {warning.code for warning in motion.warnings}


@pytest.mark.parametrize("which", MARKER_SETS)
def test_round_trip(walk: SourceMotion, which: str) -> None:
    """Markers are some mm off their places over bones and cm off on the segments; two sets do not mark the head."""
    labels = labels_of(which)
    assert find_marker_set(labels).name == which
    assert len(find_marker_set(labels).labels) == len(labels)
    unmarked = [] if which in ("Plug-in Gait", "CMU 41") else [INDEX["neck"], INDEX["head"]]
    assert_same(walk, read(write_trc(virtual_markers(walk, labels=labels))), without=unmarked)


@pytest.mark.parametrize("name", ["squat", "jump", "arm_raise"])
def test_other_motions(name: str) -> None:
    """A straight arm does not show how it is twisted: its segments are compared without the twist, by the joints."""
    motion = synthesise(name)
    distance, angle = differences(motion, read(write_trc(virtual_markers(motion))))
    assert distance.max() < 15.0
    assert np.delete(angle, [*ARMS, *TOES]).max() < 3.0


def test_a_subject_with_its_own_proportions(walk: SourceMotion) -> None:
    sizes = 0.8 * np.array([1.1 if part == "shank" else 0.9 if part == "shoulder" else 1.0 for part in PARTS])
    joints = MarkerBody(find_marker_set(labels_of("Plug-in Gait")).places).rest_joints(sizes)
    small = replace(walk, trans=0.8 * walk.trans)
    other = read(write_trc(virtual_markers(small, sizes=sizes, noise=0.001)))
    distance, angle = differences(small, other, joints=joints)
    assert distance.max() < 15.0
    assert angle.max() < 4.5
    assert other.rest_joints is not None
    shank = [INDEX["left_knee"], INDEX["left_ankle"]]
    lengths = [np.linalg.norm(np.diff(each[shank], axis=0)) for each in (joints, other.rest_joints)]
    assert lengths[1] == pytest.approx(lengths[0], rel=0.02)


@pytest.mark.parametrize(("unit", "metres"), [("mm", 0.001), ("m", 1.0), ("cm", 0.01)])
@pytest.mark.parametrize("up", ["y", "z"])
def test_units_and_axes(walk: SourceMotion, marked: Marked, unit: str, metres: float, up: str) -> None:
    for stated in (unit, ""):
        other = read(write_trc(marked, unit=stated, metres=metres, up=up))
        assert (other.file_up, other.file_unit) == (up, metres)
        assert differences(walk, other)[0].max() < 15.0
        assert codes(other) == set()


def test_decimal_commas_and_line_ends_of_windows(marked: Marked) -> None:
    ref, data = read(write_trc(marked)), write_trc(replace(marked, fps=119.88))
    other = read(data.replace(b".", b",").replace(b"walk,trc", b"walk.trc").replace(b"\n", b"\r\n"))
    assert (other.fps, other.fps_source) == (119.88, "the header")
    np.testing.assert_array_equal(other.rotvec, ref.rotvec)
    mixed = write_trc(marked).replace(b"\n9\t0.", b"\n9\t1,000.")
    with pytest.raises(SourceError, match=r"of the \.trc file is damaged"):
        read(mixed)


def test_a_swapped_unit_is_noticed_and_said(walk: SourceMotion, marked: Marked) -> None:
    data = write_trc(marked, unit="m", metres=0.001)
    other = read(data)
    assert "read in mm (the header says m, " in said(other, ReasonCode.OTHER_UNITS)
    assert differences(walk, other)[0].max() < 15.0
    assert ReasonCode.OTHER_UNITS not in codes(read(data, units="mm"))
    with pytest.raises(SourceError, match=r"--units 0\.1$") as caught:
        read(write_trc(marked, unit="m", metres=0.1))
    assert caught.value.code == ReasonCode.UNCLEAR_UNIT


def test_gaps_and_unlabelled_markers(walk: SourceMotion, marked: Marked) -> None:
    pos = marked.pos.copy()
    pos[30:38, marked.labels.index("LKNE")] = np.nan  # 0.07 s
    pos[40:100, marked.labels.index("RANK")] = np.nan  # 0.5 s
    extra = {"*3": marked.pos[:, 0] + 0.1, "Wand:Tip": marked.pos[:, 0] + 0.2}
    other = read(write_trc(replace(marked, pos=pos), extra=extra))
    assert_same(walk, other)
    assert said(other, ReasonCode.MARKER_GAPS) == (
        "gaps of markers: 1 of up to 0.1 s are bridged; in 1 others, up to 0.50 s (RANK), the pose is solved without "
        "the marker"
    )
    assert "48 markers of the set Plug-in Gait are used; 1 without a name and 1 others are ignored: 'Wand:Tip'" in said(
        other, ReasonCode.UNUSED_MARKERS
    )


def test_a_limb_that_is_not_seen_turns_evenly(walk: SourceMotion, marked: Marked) -> None:
    pos, hidden = marked.pos.copy(), slice(60, 90)
    for label in ("LFRM", "LWRA", "LWRB", "LFIN"):
        pos[hidden, marked.labels.index(label)] = np.nan
    other = read(write_trc(replace(marked, pos=pos)))
    turn = Rotation.from_rotvec(other.rotvec[:, INDEX["left_elbow"]])
    steps = np.rad2deg((turn[:-1].inv() * turn[1:]).magnitude())
    assert steps.max() < 3.0
    assert differences(walk, other)[0][: INDEX["left_wrist"]].max() < 20.0


def test_ends_without_markers_are_left_out(walk: SourceMotion, marked: Marked) -> None:
    pos = marked.pos.copy()
    pos[:5] = np.nan
    other = read(write_trc(replace(marked, pos=pos)))
    assert other.nframe == walk.nframe - 5
    assert said(other, ReasonCode.EMPTY_FRAMES).startswith("5 frames at the ends")
    pos[50:80] = np.nan
    with pytest.raises(SourceError, match=r"at 0\.42 s: fill the gap, or cut the file there$") as caught:
        read(write_trc(replace(marked, pos=pos)))
    assert caught.value.code == ReasonCode.MARKER_GAPS


def test_bridged_gaps_follow_the_marker() -> None:
    time = np.linspace(0.0, 1.0, 101)
    pos = np.stack([np.sin(4.0 * time), time, np.cos(3.0 * time)], axis=1)[:, None]
    broken = pos.copy()
    broken[:3] = broken[40:50] = broken[60:71] = np.nan
    filled, gaps = bridge_gaps(broken, ("A",), fps=100.0)
    np.testing.assert_allclose(filled[3:60], pos[3:60], atol=2e-3)
    assert np.isnan(filled[60:71]).all()
    assert np.isnan(filled[:3]).all()
    assert (gaps.bridged, gaps.open, gaps.label) == (1, 2, "A")
    assert gaps.longest == pytest.approx(0.11)


def test_rates(marked: Marked) -> None:
    data = write_trc(marked)
    assert (read(data).fps, read(data).fps_source) == (120.0, "the header")
    assert (read(data, source_fps=60.0).fps, read(data, source_fps=60.0).fps_source) == (60.0, "corrected")
    other = read(data.replace(b"\n120\t", b"\n100\t"))
    assert "the header says 100 Hz, the times of the frames 120 Hz" in said(other, ReasonCode.TWO_FRAME_RATES)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda data: data.replace(b"PathFileType", b"Path"), ReasonCode.NOT_MARKERS),
        (lambda data: data[: len(data) // 2].rsplit(b"\n", 1)[0], ReasonCode.TRUNCATED),
        (lambda data: data.replace(b"\n120\t", b"\nfast\t"), ReasonCode.NOT_MARKERS),
        (lambda data: data.replace(b"\n120\t", b"\n-1\t"), ReasonCode.NOT_MARKERS),
        (lambda data: data.replace(b"\t48\tmm", b"\t480000\tmm"), ReasonCode.TOO_LARGE),
        (lambda data: data.replace(b"\t48\tmm", b"\t60\tmm"), ReasonCode.NOT_MARKERS),
        (lambda data: data.replace(b"\n9\t", b"\n9\tx"), ReasonCode.TRUNCATED),
        (lambda data: data.replace(b"ASI", b"XYZ").replace(b"PSI", b"ZYX"), ReasonCode.UNKNOWN_MARKERS),
        (lambda data: data.split(b"\n1\t")[0], ReasonCode.NOT_MARKERS),
    ],
    ids=["word", "half", "rate", "negative", "many", "labels", "text", "names", "header"],
)
def test_broken_files_are_refused(marked: Marked, change, code: ReasonCode) -> None:
    with pytest.raises(SourceError) as caught:
        read(change(write_trc(marked)))
    assert caught.value.code == code
    assert "\n" not in str(caught.value)


def test_swapped_labels_are_refused(marked: Marked) -> None:
    """Left and right of the legs alone are swapped: no body has such markers."""
    labels = tuple(
        {"L": "R", "R": "L"}[label[0]] + label[1:] if label[1:] in ("KNE", "THI", "TIB", "ANK", "HEE", "TOE") else label
        for label in marked.labels
    )
    with pytest.raises(SourceError) as caught:
        read(write_trc(replace(marked, labels=labels)))
    assert caught.value.code == ReasonCode.MARKER_MISFIT


def test_derivatives_against_finite_differences(marked: Marked) -> None:
    rng = np.random.default_rng(0)
    body = MarkerBody(find_marker_set(marked.labels).places)
    turn = Rotation.from_rotvec(rng.normal(size=(NTURN, 3))).as_matrix()[None]
    poses, shape = Poses(root=rng.normal(size=(1, 3)), turn=turn), body.start_shape(1.1)
    xpos, xmat = body.joints(poses, shape.sizes)
    pos = body.markers(xpos, xmat, shape.offsets)
    jac, by_size, step = body.pose_derivatives(xpos, xmat, pos), body.size_derivatives(xmat), 1e-6
    for unknown in range(3 + 3 * NTURN):
        change = np.zeros(3 + 3 * NTURN)
        change[unknown] = step
        turned = turn @ Rotation.from_rotvec(change[3:].reshape(-1, 3)).as_matrix()
        moved = body.markers(*body.joints(Poses(root=poses.root + change[:3], turn=turned), shape.sizes), shape.offsets)
        np.testing.assert_allclose((moved - pos) / step, jac[..., unknown], atol=1e-5)
    for part in range(len(PARTS)):
        sizes = shape.sizes + step * (np.arange(len(PARTS)) == part)
        moved = body.markers(*body.joints(poses, sizes), shape.offsets)
        np.testing.assert_allclose((moved - pos) / step, by_size[..., part], atol=1e-5)
    moved = body.markers(xpos, xmat, shape.offsets + step * np.eye(3)[1])
    np.testing.assert_allclose((moved - pos) / step, xmat[:, body.carrier][..., 1], atol=1e-5)


def test_normal_equations_are_those_of_the_derivatives(marked: Marked) -> None:
    """Moments of the markers below each joint give the same as the derivatives of every marker, also with gaps."""
    rng = np.random.default_rng(1)
    body = MarkerBody(find_marker_set(marked.labels).places)
    turn = Rotation.from_rotvec(0.5 * rng.normal(size=(3 * NTURN, 3))).as_matrix().reshape(3, NTURN, 3, 3)
    poses, shape = Poses(root=1.0 + rng.normal(size=(3, 3)), turn=turn), body.start_shape(0.9)
    xpos, xmat = body.joints(poses, shape.sizes)
    pos = body.markers(xpos, xmat, shape.offsets)
    seen = pos + 0.02 * rng.normal(size=pos.shape)
    seen[0, ::5] = np.nan
    miss = (np.nan_to_num(pos - seen) / MARKER_SPREAD).reshape(3, -1)
    weight = np.isfinite(seen[..., :1, None]) / MARKER_SPREAD
    jac = (weight * body.pose_derivatives(xpos, xmat, pos)).reshape(*miss.shape, -1)
    free = _System(body, seen, np.full((NTURN, 3), 1e9))  # without prior
    matrix, gradient = free.normal(poses, shape)
    np.testing.assert_allclose(matrix, jac.swapaxes(1, 2) @ jac, rtol=1e-9, atol=1e-6)
    np.testing.assert_allclose(gradient, (jac.swapaxes(1, 2) @ miss[..., None])[..., 0], rtol=1e-9, atol=1e-6)
    by_offset = np.zeros((*pos.shape, pos.shape[1], 3))
    for marker, carrier in enumerate(body.carrier):
        by_offset[:, marker, :, marker] = xmat[:, carrier]
    columns = [body.size_derivatives(xmat), by_offset.reshape(*pos.shape, -1)]
    by_shape = (weight * np.concatenate(columns, axis=3)).reshape(*miss.shape, -1)
    flat = by_shape.reshape(-1, by_shape.shape[2])
    refs = jac.swapaxes(1, 2) @ by_shape, flat.T @ flat, flat.T @ miss.ravel()
    for value, ref in zip(free.shape_blocks(poses, shape), refs, strict=True):
        np.testing.assert_allclose(value, ref, rtol=1e-9, atol=1e-6)


def test_derivative_of_rotation_vectors() -> None:
    angles = np.array([[0.4, -1.2, 0.3], [1e-5, 0.0, 2e-5], [0.0, 0.0, 0.0], [2.0, 1.0, -1.0]])
    matrices, step = _inverse_right_jacobian(angles), 1e-6
    for axis in range(3):
        moved = (Rotation.from_rotvec(angles) * Rotation.from_rotvec(step * np.eye(3)[axis])).as_rotvec()
        np.testing.assert_allclose((moved - angles) / step, matrices[..., axis], atol=1e-4)


def test_the_table_of_readers_knows_trc(marked: Marked, tmp_path: Path) -> None:
    for name in ("walk.trc", "walk"):
        (tmp_path / name).write_bytes(write_trc(marked))
        (motion,) = read_motions(tmp_path / name, name=name)
        assert (motion.name, motion.fps) == (name, 120.0)


def write_c3d(path: Path, marked: Marked) -> None:
    """A C3D file with y up, in millimetres."""
    ezc3d = importlib.import_module("ezc3d")
    content = ezc3d.c3d()
    content["parameters"]["POINT"]["RATE"]["value"] = [marked.fps]
    content["parameters"]["POINT"]["LABELS"]["value"] = list(marked.labels)
    content["parameters"]["POINT"]["UNITS"]["value"] = ["mm"]
    points = np.ones((4, len(marked.labels), len(marked.pos)))
    points[:3] = 1e3 * marked.pos.transpose(2, 1, 0)
    content["data"]["points"] = points
    content.write(str(path))


@pytest.mark.skipif(not EZC3D, reason="needs ezc3d, the extra [markers]")
def test_c3d(walk: SourceMotion, marked: Marked, tmp_path: Path) -> None:
    pos = marked.pos.copy()
    pos[30:38, marked.labels.index("LKNE")] = np.nan
    write_c3d(tmp_path / "walk.c3d", replace(marked, pos=pos, labels=(*marked.labels[:-1], "*1")))
    (motion,) = read_motions(tmp_path / "walk.c3d", name="walk.c3d")
    assert_same(walk, motion)
    assert {ReasonCode.MARKER_GAPS, ReasonCode.UNUSED_MARKERS} <= codes(motion)
    data = (tmp_path / "walk.c3d").read_bytes()
    for size in (600, len(data) // 2):
        (tmp_path / "half.c3d").write_bytes(data[:size])
        with pytest.raises(SourceError) as caught:
            read_motions(tmp_path / "half.c3d", name="half.c3d")
        assert caught.value.code in (ReasonCode.TRUNCATED, ReasonCode.NOT_MARKERS)


def test_c3d_without_ezc3d(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ezc3d", None)
    (tmp_path / "walk.c3d").write_bytes(b"\x02\x50" + bytes(600))
    with pytest.raises(SourceError, match=r'pip install "musclemap\[markers\]"$') as caught:
        read_motions(tmp_path / "walk.c3d", name="walk.c3d")
    assert caught.value.code == ReasonCode.MISSING_PACKAGE


@pytest.mark.skipif(not MOCAP.is_dir(), reason="the openly licensed sample recordings are not available")
def test_recorded_motion() -> None:
    """Knees and elbows of recorded SMPL motions are no hinges: only joint positions and legs are compared."""
    motion = read_motion(MOCAP / "cmu" / "02" / "02_01_poses.npz", name="a.npz")
    other = read(write_trc(virtual_markers(motion, labels=labels_of("CMU 41"))))
    distance, angle = differences(motion, other)
    assert distance.max() < 15.0
    assert (
        angle[[INDEX[f"{side}_{part}"] for side in ("left", "right") for part in ("hip", "knee", "ankle")]].max() < 5.0
    )
