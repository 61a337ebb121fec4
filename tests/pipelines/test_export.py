"""Exports: files have the layout and types that other programs expect, and the contents of the clip."""

import io
import json
import warnings
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner

from musclemap.cli.export import To, app
from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.bvh import bvh_bytes
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.formats.locomujoco import SITE_OF, read_trajectory, trajectory_arrays
from musclemap.datasets.formats.mjlab import mjlab_arrays
from musclemap.datasets.formats.npz import npz_bytes
from musclemap.datasets.formats.tables import ROOT_COLUMNS, csv_bytes, mot_bytes
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.errors import ClipError, SourceError
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.pipelines.export import FORMATS
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.myofullbody import FINGER_JOINTS, LANDMARK_NAMES
from musclemap.skeletons.body import TargetBody

from ..support.data.arm_policies import save_untrained
from ..support.data.exported_clips import FPS, moving_clip, put, with_forces

N = 40
NBODY = 102


@pytest.fixture(scope="module")
def clip(body: TargetBody) -> Clip:
    """Shared clip; tests must not modify it."""
    return moving_clip(body, nframe=N)


@pytest.fixture(scope="module")
def bare() -> ExportBody:
    """Export body without fingers."""
    return ExportBody(load_body())


@pytest.fixture(scope="module")
def published() -> mujoco.MjModel:
    """MuscleMimic's body, built from the published file as its environment does: fingers deleted, sites added."""
    import musclemimic_models

    spec = mujoco.MjSpec.from_file(str(musclemimic_models.get_xml_path("myofullbody")))
    for joint in [joint for joint in spec.joints if joint.name in FINGER_JOINTS]:
        spec.delete(joint)
    for name, site in SITE_OF.items():
        spec.body(name).add_site(name=site, pos=[0.0, 0.0, 0.0])
    return spec.compile()


def _save(path: Path, arrays: dict[str, np.ndarray]) -> None:
    """Save arrays as other programs do, including object arrays."""
    np.savez(path, **arrays)  # type: ignore[arg-type] - no key is `allow_pickle`


# LocoMuJoCo and MuscleMimic

LAYOUT = {
    "qpos": (np.float32, (N, 89)), "qvel": (np.float32, (N, 88)), "xpos": (np.float32, (N, NBODY, 3)),
    "xquat": (np.float32, (N, NBODY, 4)), "cvel": (np.float32, (N, NBODY, 6)),
    "subtree_com": (np.float32, (N, NBODY, 3)), "site_xpos": (np.float32, (N, 17, 3)),
    "site_xmat": (np.float32, (N, 17, 9)), "split_points": (np.int32, (2,)), "frequency": (np.float64, ()),
    "njnt": (np.int64, ()), "jnt_type": (np.int32, (83,)), "nbody": (np.int64, ()),
    "body_rootid": (np.int32, (NBODY,)), "body_weldid": (np.int32, (NBODY,)), "body_mocapid": (np.int32, (NBODY,)),
    "body_pos": (np.float32, (NBODY, 3)), "body_quat": (np.float32, (NBODY, 4)), "body_ipos": (np.float32, (NBODY, 3)),
    "body_iquat": (np.float32, (NBODY, 4)), "nsite": (np.int64, ()), "site_bodyid": (np.int32, (17,)),
    "site_pos": (np.float32, (17, 3)), "site_quat": (np.float32, (17, 4)),
}  # fmt: skip
NAMES = {"joint_names": 83, "body_names": NBODY, "site_names": 17}
"""All keys that `Trajectory.load` of loco-mujoco 1.0.0 and musclemimic 0.1.0 reads into info, model and data, except
`metadata`, which is None if absent; loco-mujoco refuses files with other keys."""


def test_trajectory_has_the_published_layout(clip: Clip, bare: ExportBody) -> None:
    with np.load(io.BytesIO(npz_bytes(trajectory_arrays(clip, bare))), allow_pickle=False) as file:
        stored = dict(file)
    assert stored.keys() == LAYOUT.keys() | NAMES.keys()
    assert {key: (stored[key].dtype.type, stored[key].shape) for key in LAYOUT} == LAYOUT
    for key, count in NAMES.items():
        assert stored[key].dtype.kind == "U"
        assert len(set(stored[key].tolist())) == stored[key].size == count
    assert stored["frequency"] == FPS
    np.testing.assert_array_equal(stored["split_points"], [0, N])


def test_trajectory_matches_the_published_body(clip: Clip, bare: ExportBody, published: mujoco.MjModel) -> None:
    arrays, data = trajectory_arrays(clip, bare), mujoco.MjData(published)
    joints = [published.joint(j).name for j in range(published.njnt)]
    sites = [s for s in range(published.nsite) if published.site(s).name in SITE_OF.values()]
    assert arrays["joint_names"].tolist() == joints
    assert arrays["body_names"].tolist() == [published.body(b).name for b in range(published.nbody)]
    assert arrays["site_names"].tolist() == [published.site(s).name for s in sites]
    for key in ("jnt_type", "body_rootid", "body_weldid", "body_mocapid"):
        np.testing.assert_array_equal(arrays[key], getattr(published, key), err_msg=key)
    for key in ("body_pos", "body_quat", "body_ipos", "body_iquat"):
        np.testing.assert_allclose(arrays[key], getattr(published, key), atol=1e-6, err_msg=key)
    for key in ("site_bodyid", "site_pos", "site_quat"):
        np.testing.assert_allclose(arrays[key], getattr(published, key)[sites], atol=1e-6, err_msg=key)
    np.testing.assert_array_equal(arrays["qpos"][0, :2], 0.0)
    for frame in (0, 17, N - 1):
        data.qpos, data.qvel = arrays["qpos"][frame], arrays["qvel"][frame]
        mujoco.mj_forward(published, data)
        for key in ("xpos", "xquat", "cvel", "subtree_com"):
            np.testing.assert_allclose(arrays[key][frame], getattr(data, key), atol=2e-5, err_msg=key)
        for key in ("site_xpos", "site_xmat"):
            np.testing.assert_allclose(arrays[key][frame], getattr(data, key)[sites], atol=1e-5, err_msg=key)


def test_trajectory_round_trip(clip: Clip, bare: ExportBody, tmp_path: Path) -> None:
    arrays = trajectory_arrays(clip, bare)
    (tmp_path / "a.npz").write_bytes(npz_bytes(arrays))
    back = read_trajectory(tmp_path / "a.npz")
    assert (back.frequency, back.nmotion) == (FPS, 1)
    columns = dict(zip(clip.joint_names[1:], clip.qpos[:, 7:].T, strict=True))
    for name, column in zip(back.joint_names[1:], back.qpos[:, 7:].T, strict=True):
        np.testing.assert_array_equal(column, columns[name])
    np.testing.assert_allclose(back.qpos[:, :2], clip.qpos[:, :2] - clip.qpos[0, :2], atol=1e-6)
    np.testing.assert_array_equal(back.qpos[:, 2:7], clip.qpos[:, 2:7])
    assert back.qvel is not None
    np.testing.assert_array_equal(back.qvel[:, :6], clip.qvel[:, :6].astype(np.float32))


def test_trajectory_becomes_a_clip_with_its_joint_angles(
    clip: Clip, bare: ExportBody, body: TargetBody, tmp_path: Path
) -> None:
    importing = pytest.importorskip("musclemap.pipelines.import_trajectories", reason="mm-download is not there")
    (tmp_path / "a.npz").write_bytes(npz_bytes(trajectory_arrays(clip, bare)))
    full, _ = importing.project(body, read_trajectory(tmp_path / "a.npz"))
    kept = [j for j, name in enumerate(clip.joint_names) if j and name not in FINGER_JOINTS]
    adr = body.model.jnt_qposadr[kept]
    np.testing.assert_allclose(full[:, adr], clip.qpos[:, adr], atol=1e-6)


def test_pickled_metadata_is_ignored(clip: Clip, bare: ExportBody, tmp_path: Path) -> None:
    arrays = trajectory_arrays(clip, bare) | {"metadata": np.array(None)}
    _save(tmp_path / "a.npz", arrays)
    assert read_trajectory(tmp_path / "a.npz").nmotion == 1
    with pytest.raises(ValueError, match="metadata contains Python objects"):
        npz_bytes(arrays)


def test_minimal_files_and_several_motions_are_read(clip: Clip, bare: ExportBody, tmp_path: Path) -> None:
    arrays = trajectory_arrays(clip, bare)
    brief = {key: arrays[key] for key in ("qpos", "joint_names")} | {"split_points": np.array([0, 15, N])}
    _save(tmp_path / "a.npz", brief)
    back = read_trajectory(tmp_path / "a.npz")
    assert (back.qvel, back.jnt_type, back.frequency, back.nmotion) == (None, None, None, 2)


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"qpos": np.full((N, 89), np.nan)}, "non_finite"),
        ({"qpos": np.zeros((0, 89))}, "no_frames"),
        ({"qpos": np.zeros(5)}, "bad_shape"),
        ({"qvel": np.zeros((N, 3))}, "bad_shape"),
        ({"joint_names": np.array(["a", "a"])}, "bad_joints"),
        ({"joint_names": np.array(["a", None])}, "pickled"),
        ({"jnt_type": np.zeros(83)}, "bad_joints"),
        ({"split_points": np.array([0, 3])}, "bad_split"),
        ({"split_points": np.array([0, 9, 9, N])}, "bad_split"),
        ({"frequency": np.array(0.0)}, "bad_frame_rate"),
    ],
)
def test_bad_trajectories_are_refused(changes: dict, reason: str, clip: Clip, bare: ExportBody, tmp_path: Path) -> None:
    _save(tmp_path / "a.npz", trajectory_arrays(clip, bare) | changes)
    with pytest.raises(SourceError) as refused:
        read_trajectory(tmp_path / "a.npz")
    assert refused.value.code == reason


# mjlab


@pytest.mark.parametrize("fingers", [False, True])
def test_mjlab_motion_matches_mujoco(fingers: bool, clip: Clip) -> None:
    body = ExportBody(load_body(), fingers=fingers)
    arrays, model, data = mjlab_arrays(clip, body), body.model, mujoco.MjData(body.model)
    nq, nbody = 129 if fingers else 89, NBODY - 1
    shapes = {"joint_pos": (N, nq - 7), "joint_vel": (N, nq - 7), "body_pos_w": (N, nbody, 3),
              "body_quat_w": (N, nbody, 4), "body_lin_vel_w": (N, nbody, 3),
              "body_ang_vel_w": (N, nbody, 3)}  # fmt: skip
    assert {key: arrays[key].shape for key in shapes} == shapes
    assert {arrays[key].dtype for key in shapes} == {np.dtype(np.float32)}
    assert arrays["fps"].tolist() == [FPS]
    qpos, qvel = body.state(clip)
    for frame in (0, 20):
        data.qpos, data.qvel = qpos[frame], qvel[frame]
        mujoco.mj_forward(model, data)
        np.testing.assert_allclose(arrays["body_pos_w"][frame], data.xpos[1:], atol=1e-5)
        np.testing.assert_allclose(arrays["body_quat_w"][frame], data.xquat[1:], atol=1e-6)
        velocity = np.empty(6)
        for b in range(1, model.nbody):
            mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, b, velocity, 0)
            np.testing.assert_allclose(arrays["body_ang_vel_w"][frame, b - 1], velocity[:3], atol=1e-5)
            np.testing.assert_allclose(arrays["body_lin_vel_w"][frame, b - 1], velocity[3:], atol=1e-5)
    steps = (arrays["body_pos_w"][2:] - arrays["body_pos_w"][:-2]) * FPS / 2
    np.testing.assert_allclose(arrays["body_lin_vel_w"][1:-1], steps, atol=0.02)


# Text


def _table(text: str, separator: str) -> tuple[list[str], np.ndarray]:
    head, *rows = text.splitlines()
    return head.split(separator), np.array([[float(value) for value in row.split(separator)] for row in rows])


def test_csv_round_trip_is_exact(clip: Clip) -> None:
    columns, values = _table(csv_bytes(clip, ExportBody(load_body(), fingers=True)).decode(), ",")
    assert columns == ["time", *ROOT_COLUMNS, *clip.joint_names[1:]]
    np.testing.assert_array_equal(values[:, 1:].astype(np.float32), clip.qpos)
    np.testing.assert_allclose(values[:, 0], np.arange(N) / FPS, atol=1e-9)


def test_opensim_reads_degrees_metres_and_its_own_axes(clip: Clip, bare: ExportBody) -> None:
    text = mot_bytes(clip, bare).decode()
    header, _, rest = text.partition("endheader\n")
    columns, values = _table(rest, "\t")
    assert header.splitlines()[:5] == ["Coordinates", "version=1", f"nRows={N}", "nColumns=89", "inDegrees=yes"]
    assert values.shape == (N, 89)
    qpos, _ = bare.state(clip)
    for j, name in enumerate(bare.joint_names[1:], start=7):
        hinge = bare.model.joint(name).type[0] == mujoco.mjtJoint.mjJNT_HINGE
        want = np.degrees(qpos[:, j]) if hinge else qpos[:, j]
        np.testing.assert_allclose(values[:, columns.index(name)], want, atol=1e-6, err_msg=name)
    pelvis = bare.body_names.index("pelvis")
    motion = bare.motion(*bare.state(clip))
    forward, up, right = np.array([0, -1, 0]), np.array([0, 0, 1]), np.array([-1, 0, 0])
    for frame in range(N):
        tilt, sideways, rotation = (Rotation.from_rotvec(np.radians(values[frame, 1 + k]) * np.eye(3)[axis])
                                    for k, axis in enumerate((2, 0, 1)))  # fmt: skip
        turn = (tilt * sideways * rotation).as_matrix()
        axes = motion.xmat[frame, pelvis].reshape(3, 3)
        np.testing.assert_allclose(turn, np.stack([forward, up, right]) @ axes, atol=1e-6)
        np.testing.assert_allclose(values[frame, 4:7], np.stack([forward, up, right]) @ motion.xpos[frame, pelvis],
                                   atol=1e-6)  # fmt: skip
    assert np.abs(np.diff(values[:, 1:4], axis=0)).max() < 10


def test_standing_upright_is_zero_in_opensim(clip: Clip, bare: ExportBody) -> None:
    qpos = clip.qpos.copy()
    qpos[:, :7] = [0.0, 0.0, 0.9, 1.0, 0.0, 0.0, 0.0]
    _, values = _table(mot_bytes(replace(clip, qpos=qpos), bare).decode().partition("endheader\n")[2], "\t")
    np.testing.assert_allclose(values[:, 1:4], 0.0, atol=0.1)


def test_a_horizontal_pelvis_causes_no_warning(clip: Clip, bare: ExportBody) -> None:
    qpos = clip.qpos.copy()
    qpos[:, 3:7] = Rotation.from_euler("y", 90, degrees=True).as_quat(scalar_first=True)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(
            _table(mot_bytes(replace(clip, qpos=qpos), bare).decode().partition("endheader\n")[2], "\t")[1]
        ).all()


def test_bvh_landmark_positions(clip: Clip, bare: ExportBody) -> None:
    lines = bvh_bytes(clip, bare).decode().splitlines()
    order, parents, open_ = [], {}, []
    for line in lines[: lines.index("MOTION")]:
        word, *rest = line.split()
        if word in ("ROOT", "JOINT"):
            parents[rest[0]] = next((name for name in reversed(open_) if name), None)
            order.append(rest[0])
            open_.append(rest[0])
        elif word == "End":
            open_.append("")
        elif word == "}":
            open_.pop()
    assert set(order) == set(LANDMARK_NAMES)
    assert lines[lines.index("MOTION") + 1 :][:2] == [f"Frames: {N}", "Frame Time: 0.01"]
    values = np.array([[float(v) for v in line.split()] for line in lines[lines.index("MOTION") + 3 :]])
    assert values.shape == (N, 6 * 17)
    turns, where = {}, {}
    for k, name in enumerate(order):
        position, angles = values[:, 6 * k : 6 * k + 3], values[:, 6 * k + 3 : 6 * k + 6]
        above = parents[name]
        turn = Rotation.from_euler("ZXY", angles, degrees=True)
        turns[name] = turns[above] * turn if above else turn
        where[name] = where[above] + turns[above].apply(position) if above else position
        want = 100 * clip.landmark_pos[:, clip.landmark_names.index(name)][:, [0, 2, 1]] * [1, 1, -1]
        np.testing.assert_allclose(where[name], want, atol=1e-2, err_msg=name)


@pytest.mark.parametrize("to", FORMATS)
def test_same_clip_same_bytes(to: str, clip: Clip, body: TargetBody) -> None:
    clip = with_forces(clip, body)
    one, two = ExportBody(load_body()), ExportBody(load_body())
    assert FORMATS[to].write(clip, one) == FORMATS[to].write(clip, two)
    assert FORMATS[to].companions(clip, one) == FORMATS[to].companions(clip, two)


@pytest.mark.parametrize("to", FORMATS)
def test_another_body_is_refused(to: str, clip: Clip, bare: ExportBody) -> None:
    with pytest.raises(ClipError, match="another version of the body"):
        FORMATS[to].write(replace(clip, model_sha256="0" * 64), bare)
    with pytest.raises(ClipError, match="is not the exported body"):
        FORMATS[to].write(replace(clip, joint_names=("root", *reversed(clip.joint_names[1:]))), bare)


# The command


@pytest.fixture
def out(clip: Clip, tmp_path: Path) -> Path:
    """Two good clips (one infeasible), a truncated, an altered, a missing and an outside clip, and a failed source."""
    folder = tmp_path / "out"
    bad = replace(clip, verdict="infeasible", reasons=({"rule": "floor"},))
    entries = [put(folder, f"{name}.npz", one) for name, one in (("sub/walk_0.8", clip), ("bad", bad), ("torn", clip),
                                                                 ("altered", clip), ("lost", clip))]  # fmt: skip
    (folder / "torn.h5").write_bytes((folder / "torn.h5").read_bytes()[:2000])
    put(folder, "altered.npz", replace(clip, licence="other"))
    (folder / "lost.h5").unlink()
    entries.append(replace(entries[0], source="outside.npz", clip="../outside.h5"))
    put(tmp_path, "outside.npz", clip)
    entries.append(ManifestEntry(source="failed.npz", status="failed", reason="solver: no"))
    Manifest(entries=tuple(entries)).write(folder / "manifest.jsonl")
    return folder


def _run(*words: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, result.stdout, result.stderr


def test_bad_clips_are_reported_and_the_rest_is_exported(out: Path, tmp_path: Path) -> None:
    status, stdout, stderr = _run(out, tmp_path / "csv", "--to", "csv", "--json")
    output = json.loads(stdout)
    reasons = {clip["clip"]: clip["reason"] for clip in output["clips"] if clip["status"] == "refused"}
    assert (status, output["counts"]) == (1, {"ok": 2, "refused": 4})
    assert set(reasons) == {"torn.h5", "altered.h5", "lost.h5", "../outside.h5"}
    assert "outside the folder" in reasons["../outside.h5"]
    assert "is not the file that was written" in reasons["altered.h5"]
    assert all(name in stderr for name in reasons)
    assert sorted(path.relative_to(tmp_path / "csv").as_posix() for path in (tmp_path / "csv").rglob("*.csv")) == [
        "bad.csv", "sub/walk_0.8.csv",
    ]  # fmt: skip
    assert "tracked fingers" in stderr
    record = json.loads((tmp_path / "csv" / "export.json").read_bytes())
    assert (record["to"], len(record["clips"])) == ("csv", 6)
    before = {path: path.read_bytes() for path in (tmp_path / "csv").rglob("*.*") if path.is_file()}
    _run(out, tmp_path / "csv", "--to", "csv", "-q")
    assert {path: path.read_bytes() for path in before} == before


def test_exporting_selected_clips_and_a_single_clip(out: Path, tmp_path: Path) -> None:
    assert _run(out, tmp_path / "a", "--to", "mot", "--include", "walk_*")[0] == 0
    selecting = ("--include", "walk_*", "--include", "bad*", "--include", "torn*", "--exclude", "sub/*", "--limit", 1)
    assert _run(out, "-o", tmp_path / "d", "--to", "mot", *selecting)[0] == 0
    assert [clip["clip"] for clip in json.loads((tmp_path / "d" / "export.json").read_bytes())["clips"]] == ["bad.h5"]
    status, stdout, _ = _run(out / "sub" / "walk_0.8.h5", tmp_path / "b", "--to", "mot", "-v")
    assert (status, stdout.splitlines()[0]) == (0, f"walk_0.8.mot: {N} frames")
    assert (tmp_path / "a" / "sub" / "walk_0.8.mot").read_bytes() == (tmp_path / "b" / "walk_0.8.mot").read_bytes()
    status, _, stderr = _run(out, tmp_path / "c", "--to", "csv", "--include", "bad*", "--feasible-only")
    assert status == 1
    assert "infeasible (floor)" in stderr


def test_an_earlier_record_is_kept_and_another_format_refused(out: Path, tmp_path: Path) -> None:
    _run(out, tmp_path / "a", "--to", "csv", "--include", "walk_*")
    _run(out, tmp_path / "a", "--to", "csv", "--include", "bad*")
    record = json.loads((tmp_path / "a" / "export.json").read_bytes())
    assert [clip["clip"] for clip in record["clips"]] == ["bad.h5", "sub/walk_0.8.h5"]
    status, _, stderr = _run(out, tmp_path / "a", "--to", "mot")
    assert (status, "holds exports to csv without fingers" in stderr) == (2, True)


def test_clips_are_not_exported_into_their_own_folder(out: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(out)
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    for place in (out, tmp_path / "link", tmp_path / "nowhere" / ".." / out.name):
        status, _, stderr = _run(out, place, "--to", "csv")
        assert (status, "is the input folder" in stderr) == (2, True)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    assert _run(out, out / "csv", "--to", "csv", "--include", "walk_*", "-q")[0] == 0


@pytest.mark.parametrize("error", [KeyError("pelvis"), RecursionError(), AssertionError(), MemoryError()])
def test_an_export_error_affects_only_its_clip(
    out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def broken(clip: Clip, body: ExportBody) -> bytes:
        if "walk" in clip.source:
            raise error
        return csv_bytes(clip, body)

    monkeypatch.setitem(FORMATS, "csv", replace(FORMATS["csv"], write=broken))
    _, stdout, _ = _run(out, tmp_path / "csv", "--to", "csv", "--json")
    output = {clip["clip"]: (clip["status"], clip["reason"]) for clip in json.loads(stdout)["clips"]}
    assert output["bad.h5"] == ("ok", "")
    assert output["sub/walk_0.8.h5"][1].startswith(type(error).__name__)


def test_wrong_use(out: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for words, output in (
        ((tmp_path / "empty", tmp_path / "a", "--to", "csv"), "there is no clip"),
        ((out, tmp_path / "a", "--to", "csv", "--include", "x*"), "none of the 6 clips"),
        ((out, tmp_path / "a", "--to", "bvh", "--fingers"), "bvh does not support fingers"),
        ((out, tmp_path / "a", "--to", "fbx"), "fbx"),
    ):
        status, _, stderr = _run(*words)
        assert status == 2
        assert output in stderr
    assert not (tmp_path / "a").exists()


def test_the_command_knows_every_format() -> None:
    assert [to.value for to in To] == [*FORMATS, "onnx"]  # the last is for policies


def test_a_policy_is_written_as_a_graph(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="onnxruntime comes with the extra [onnx]")
    save_untrained(tmp_path / "run" / POLICY)
    for words, file in (
        ((tmp_path / "run", "--to", "onnx", tmp_path / "net.onnx"), "net.onnx"),
        ((tmp_path / "run" / POLICY, "--to", "onnx", tmp_path / "nets"), "nets/policy.onnx"),
    ):
        status, stdout, _ = _run("--policy", *words)
        assert status == 0
        assert f"{tmp_path / file}: 159 observations to 6 excitations of SmallArm" in stdout
        assert (tmp_path / file).stat().st_size > 10_000


def test_wrong_use_with_policies(tmp_path: Path) -> None:
    save_untrained(tmp_path / POLICY)
    policy, to = ("--policy", tmp_path / POLICY), ("--to", "onnx")
    for words, output in (
        ((*policy, tmp_path / "a", "--to", "csv"), "--to onnx -o OUT"),
        ((*policy, tmp_path / "a", tmp_path / "b", *to), "--to onnx -o OUT"),
        ((tmp_path / "a", *to), "--to onnx -o OUT"),
        ((*policy, tmp_path / "a", *to, "--fingers"), "--fingers is for clips"),
        (("--policy", tmp_path / "none", tmp_path / "a", *to), "there is no policy at"),
    ):
        status, _, stderr = _run(*words)
        assert status == 2
        assert output in stderr
    assert not (tmp_path / "a").exists()
