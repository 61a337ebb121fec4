"""From files of a motion laboratory to clips: markers and force plates, on the command line and through the readers."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli.retarget import app as retarget_app
from musclemap.cli.validate import app as validate_app
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.opensim import opensim_companions
from musclemap.datasets.formats.readers.axes import UP_TO_Z
from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.formats.tables import csv_companions
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.pipelines.convert.prepare import read_options
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.forces.measured import KnownForces
from musclemap.settings import override
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints
from musclemap.skeletons.smpl.source_kinematics import source_fk

from ..support.force_writer import CORNERS, add_plates, grf_text, new_c3d, plate_channels, write
from ..support.marker_writer import virtual_markers, write_trc

EZC3D = importlib.util.find_spec("ezc3d") is not None
TO_Z = np.array(UP_TO_Z["y"], float)
MASS = 64.0
FPS = 120.0
OPTIONS = ["--no-report", "--set", "validation.refit=false", "--mass", "64"]


@pytest.fixture(scope="module")
def walk() -> SourceMotion:
    return synthesise("walk_1.2", seconds=1.5)


def forces_under(motion: SourceMotion) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Forces of body weight under the feet of a walk at 1 kHz, (nsample, 3) [N] and [m], by side: they pass from foot
    to foot as the heights of the ankles do."""
    pos, _ = source_fk(motion.rotvec, motion.trans, mean_joints())
    sides = ("left", "right")
    ankles = np.stack([pos[:, BODY_NAMES.index(f"{side}_ankle")] for side in sides], axis=1)
    balls = np.stack([pos[:, BODY_NAMES.index(f"{side}_foot")] for side in sides], axis=1)
    height = balls[..., 2] - balls[..., 2].min(axis=0)
    share = np.clip(1.0 - height / 0.02, 0.0, 1.0)
    share /= np.maximum(share.sum(axis=1, keepdims=True), 1e-9)
    point = 0.5 * (ankles + balls) * [1.0, 1.0, 0.0]
    time, fine = np.arange(motion.nframe) / motion.fps, np.arange(round(motion.duration * 1000)) / 1000.0
    spread = lambda values: np.stack([np.interp(fine, time, column) for column in values.T], axis=1)  # noqa: E731
    result = {}
    for k, side in enumerate(sides):
        force = np.zeros((len(fine), 3))
        force[:, 2] = MASS * 9.81 * np.interp(fine, time, share[:, k])
        force[:, :2] = [12.0, -7.0] * (force[:, 2:] > 0)
        result[side] = force, spread(point[:, k])
    return result


def lab_files(folder: Path, walk: SourceMotion, *, sides: bool = True) -> None:
    """walk.trc and walk_grf.mot with y up, whose clocks start at 2 s."""
    marked = virtual_markers(walk)
    lines = write_trc(marked).decode().splitlines()
    rows = [line.split("\t") for line in lines[5:]]
    rows = ["\t".join([row[0], f"{float(row[1]) + 2.0:.6f}", *row[2:]]) if len(row) > 2 else "" for row in rows]
    (folder / "walk.trc").write_text("\n".join([*lines[:5], *rows]) + "\n")
    loads, forces = {}, forces_under(walk)
    for (side, (force, point)), plain in zip(forces.items(), ("ground_{}", "1_ground_{}"), strict=True):
        values = np.hstack([force @ TO_Z, point @ TO_Z, np.tile([0.0, 1.5, 0.0], (len(force), 1))])
        loads[f"{side}_ground_{{}}" if sides else plain] = values
    (folder / "walk_grf.mot").write_bytes(grf_text(2.0 + np.arange(len(forces["left"][0])) / 1000.0, loads))


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, walk: SourceMotion) -> Path:
    """Folder with a motion, its forces, and the clips in `out`; converted once, without the checks' refit."""
    folder = tmp_path_factory.mktemp("lab")
    (folder / "trials").mkdir()
    lab_files(folder / "trials", walk, sides=False)
    args = [str(folder / "trials"), str(folder / "out"), *OPTIONS]
    result = CliRunner().invoke(retarget_app, args)
    assert result.exit_code == 0, result.output
    return folder


def test_a_table_beside_a_motion_is_no_motion(lab: Path) -> None:
    entries = Manifest.read(lab / "out" / "manifest.jsonl").entries
    assert [entry.source for entry in entries] == ["walk.trc"]


def test_forces_reach_the_clip_as_measured(lab: Path, walk: SourceMotion, body: TargetBody) -> None:
    clip = read_clip(lab / "out" / "walk.trc.h5")
    assert clip.force_source.startswith("walk_grf.mot ")
    assert clip.plate_names == ("ground_force", "1")
    assert clip.metrics["forces"] == "measured"
    assert clip.metrics["subject_mass_kg"] == MASS
    assert clip.metrics["subject_mass_source"] == "stated"
    assert clip.plate_force is not None
    assert clip.plate_foot is not None
    assert clip.ground_force is not None
    assert clip.measured is not None
    ref = np.stack([force[::10] for force, _ in forces_under(walk).values()], axis=1)[: clip.nframe]
    ref = np.concatenate([ref, ref[-1:]])[: clip.nframe]
    np.testing.assert_allclose(clip.plate_force[5:-5], ref[5:-5], atol=40.0)  # the low-pass filter rounds corners
    level = np.abs(np.diff(ref[..., 2], axis=0)).max(axis=1) < 1.0
    level = np.convolve(np.append(level, False), np.ones(9), "same") == 9
    assert level[5:-5].any()
    np.testing.assert_allclose(clip.plate_force[level], ref[level], atol=3.0)
    loaded = clip.plate_force[..., 2] > 20.0
    for k in range(2):
        assert (clip.plate_foot[loaded[:, k], k] == np.eye(2)[k]).all()
    assert clip.measured.all()
    np.testing.assert_allclose(clip.ground_force[:, :2][loaded], clip.plate_force[loaded] * body.mass / MASS, rtol=1e-4)


def test_the_clip_is_made_again_if_its_forces_change(lab: Path) -> None:
    args = [str(lab / "trials"), str(lab / "out"), *OPTIONS, "--dry-run", "--json"]
    planned = lambda: json.loads(CliRunner().invoke(retarget_app, args).stdout)["planned"]  # noqa: E731
    assert planned() == []
    table = lab / "trials" / "walk_grf.mot"
    data = table.read_bytes()
    table.write_bytes(data.replace(b"forces\n", b"other forces\n", 1))
    assert planned() == ["walk.trc"]
    table.write_bytes(data)
    args += ["--forces", "estimated"]
    assert planned() == ["walk.trc"]


def test_validate_switches_forces(lab: Path) -> None:
    path = lab / "out" / "walk.trc.h5"
    clip = before = read_clip(path)
    for forces, there in (("estimated", False), ("measured", True)):
        result = CliRunner().invoke(validate_app, [str(lab / "out"), "--forces", forces, "--no-report", "--quiet"])
        assert result.exit_code == 0, result.output
        clip = read_clip(path)
        assert clip.metrics["forces"] == forces
        assert (clip.measured is not None) == there
        np.testing.assert_array_equal(array(clip, "plate_force"), array(before, "plate_force"))
    np.testing.assert_allclose(array(clip, "ground_force"), array(before, "ground_force"), atol=0.5)


def array(clip: Clip, name: str) -> np.ndarray:
    """An array that the clip has."""
    values = getattr(clip, name)
    assert values is not None, name
    return values


def test_exports_hold_both_and_are_not_read_back_as_measured(lab: Path, tmp_path: Path) -> None:
    clip = read_clip(lab / "out" / "walk.trc.h5")
    files = opensim_companions(clip, ExportBody(load_body()))
    assert clip.plate_force is not None
    text = files["_plates.mot"].decode()
    head, rows = text.partition("\nendheader\n")[::2]
    assert "as measured" in head
    names = rows.splitlines()[0].split("\t")
    values = np.array([line.split("\t") for line in rows.splitlines()[1:]], float)
    column = names.index("ground_force_ground_force_vy")
    np.testing.assert_allclose(values[:, column], clip.plate_force[:, 0, 2], atol=1e-3)
    torque = values[:, names.index("ground_force_ground_torque_y")]
    assert torque.max() == pytest.approx(1.5, abs=0.1)
    assert "_plates.csv" in csv_companions(clip, ExportBody(load_body()))
    for end, data in (("_grf.mot", files["_grf.mot"]), ("_grf.mot", files["_plates.mot"])):
        (tmp_path / "walk.trc").write_bytes((lab / "trials" / "walk.trc").read_bytes())
        (tmp_path / f"walk{end}").write_bytes(data)
        (motion,) = read_motions(tmp_path / "walk.trc", name="walk.trc")
        assert motion.forces is None
        (said,) = [warning.text for warning in motion.warnings if warning.code == ReasonCode.BAD_FORCES]
        assert "mm-export wrote it" in said


def test_a_motion_that_starts_late_takes_its_part_of_the_forces(walk: SourceMotion, tmp_path: Path) -> None:
    """Frames without markers at the start are left out; force and motion keep the same clock."""
    lab_files(tmp_path, walk)
    lines = (tmp_path / "walk.trc").read_text().splitlines()
    blank = [line.split("\t")[:2] + [""] * (len(line.split("\t")) - 2) for line in lines[5:] if line.strip()][:12]
    kept = [line for line in lines[5:] if line.strip()][12:]
    (tmp_path / "late.trc").write_text("\n".join([*lines[:5], *("\t".join(row) for row in blank), *kept]) + "\n")
    (tmp_path / "late_grf.mot").write_bytes((tmp_path / "walk_grf.mot").read_bytes())
    early, late = (read_motions(tmp_path / f"{name}.trc", name=name)[0].forces for name in ("walk", "late"))
    assert early is not None
    assert late is not None
    assert early.feet == ("left", "right")
    np.testing.assert_allclose(late.time, early.time - 12 / FPS, atol=1e-6)
    at = lambda forces, time: forces.at(time)[0].force  # noqa: E731
    time = np.arange(20) / 100.0
    np.testing.assert_allclose(at(late, time), at(early, time + 0.1), atol=25.0)


@pytest.mark.skipif(not EZC3D, reason="needs ezc3d, the extra [markers]")
@pytest.mark.parametrize("bodymass", [None, 71.5])
def test_a_c3d_with_plates(walk: SourceMotion, tmp_path: Path, bodymass: float | None) -> None:
    """Points and plates of one file are turned and scaled alike; the vertical axis is not that of the plates."""
    marked, forces = virtual_markers(walk), forces_under(walk)
    turn = TO_Z.T  # the file has y up
    content = new_c3d(marked.labels, (marked.pos @ turn.T), fps=FPS)
    plate_turn = turn @ np.diag([1.0, -1.0, -1.0])
    centre = np.array([0.3, -0.2, 0.0])
    nsample = marked.pos.shape[0] * 10
    signals = []
    for force, point in forces.values():
        pad = nsample - round(len(force) * 1.2)
        fine = np.arange(nsample - pad) / 1200.0
        clock = np.arange(len(force)) / 1000.0
        spread = lambda values, fine=fine, clock=clock: np.stack([np.interp(fine, clock, v) for v in values.T], axis=1)  # noqa: E731
        hold = lambda values, pad=pad: np.concatenate([values, np.repeat(values[-1:], pad, axis=0)])  # noqa: E731
        f, p = hold(spread(force)), hold(spread(point))
        moment = np.cross(1e3 * (p - centre), f)
        to_plate = turn.T @ np.linalg.inv(plate_turn).T
        signals.append(plate_channels(2, -f @ to_plate, -moment @ to_plate, np.array([0.0, 0.0, -40.0])))
    corners = 1e3 * ((centre @ turn.T) + CORNERS @ plate_turn.T)
    add_plates(content, corners=np.array([corners, corners]), kinds=[2, 2], origins=np.array([[0.0, 0.0, -40.0]] * 2),
               signals=signals, rate=1200.0)  # fmt: skip
    if bodymass:
        content.add_parameter("PROCESSING", "Bodymass", [bodymass])  # type: ignore[attr-defined]
    write(content, tmp_path / "walk.c3d")
    (motion,) = read_motions(tmp_path / "walk.c3d", name="walk.c3d")
    assert motion.forces is not None
    assert motion.forces.corners is not None
    assert motion.forces.mass == bodymass
    time = np.arange(10, 140) / 100.0
    for k, (force, point) in enumerate(forces.values()):
        ref, place = force[100:1400:10], point[100:1400:10]
        result, _ = motion.forces.at(time)
        np.testing.assert_allclose(result.force[:, k], ref, atol=40.0)
        high = ref[:, 2] > 400.0
        assert high.any()
        np.testing.assert_allclose(result.centre[high, k], place[high], atol=3e-3)
    (stated,) = read_motions(tmp_path / "walk.c3d", name="walk.c3d", options=ReadOptions(mass=80.0, force_file="none"))
    assert stated.forces is None


def test_settings_reach_the_readers() -> None:
    options = read_options(override(RetargetConfig(), ["source.force_file=*_FP.mot", "source.mass=75"]))
    assert (options.force_file, options.mass) == ("*_FP.mot", 75.0)


def test_known_forces_turn_with_their_frame() -> None:
    angle = 0.7
    rot = np.array([[np.cos(angle), -np.sin(angle), 0.0], [np.sin(angle), np.cos(angle), 0.0], [0.0, 0.0, 1.0]])
    origin, rng = np.array([1.0, -2.0, 0.1]), np.random.default_rng(0)
    known = KnownForces(known=np.ones((3, 2), bool), bearing=np.ones((3, 2), bool), force=rng.normal(size=(3, 2, 3)),
                        centre=rng.normal(size=(3, 2, 3)), free_moment=rng.normal(size=(3, 2)))  # fmt: skip
    root = rng.normal(size=(3, 3))
    turned = known.in_frame(rot, origin).wrench((root - origin) @ rot)
    ref = known.wrench(root)
    np.testing.assert_allclose(turned[..., :3], ref[..., :3] @ rot, atol=1e-12)
    np.testing.assert_allclose(turned[..., 3:], ref[..., 3:] @ rot, atol=1e-12)
    assert known[1:2].force.shape == (1, 2, 3)
