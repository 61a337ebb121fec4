"""Pictures of clips, with and without OpenGL, and the command `mm-view --save` with its error messages."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import imageio_ffmpeg
import mujoco
import musclemimic_models
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner, Result

from musclemap.cli.view import Camera, app
from musclemap.datasets.clip import Clip, write_clip
from musclemap.pipelines.rendering import gl
from musclemap.pipelines.rendering.camera import VIEWS, follow
from musclemap.pipelines.rendering.drawing import RenderError, coarsen, drawing_model
from musclemap.pipelines.rendering.film import film_frames, save_film, save_strip, strip_frames
from musclemap.pipelines.rendering.gl import find_gl, render_frames
from musclemap.pipelines.rendering.plot import plot_frames

FPS = 100.0
SIZE = (240, 320)
NAMES = ("pelvis", "ulna_r", "ulna_l")

needs_gl = pytest.mark.skipif(find_gl() is None, reason=f"no OpenGL on this machine ({gl.INSTALL_HINT})")
routes = pytest.mark.parametrize("draw", [plot_frames, pytest.param(render_frames, marks=needs_gl)])


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return drawing_model()


@pytest.fixture(scope="module")
def original() -> mujoco.MjModel:
    return musclemimic_models.load("myofullbody")[0]


def _walk(model: mujoco.MjModel, *, nframe: int = 120, heading: float = 0.4) -> np.ndarray:
    """Walk forward at 1.2 m/s with swinging arms and legs, shape (nframe, nq)."""
    time = np.arange(nframe) / FPS
    qpos = np.tile(model.qpos0, (nframe, 1))
    for side, phase in (("r", 0.0), ("l", np.pi)):
        swing = np.sin(2 * np.pi * time + phase)
        for joint, middle, amplitude in (
            ("hip_flexion", 0.1, 0.4),
            ("knee_angle", 0.4, 0.3),
            ("elbow_flex", 0.5, -0.2),
        ):
            qpos[:, model.joint(f"{joint}_{side}").qposadr[0]] = middle + amplitude * swing
    qpos[:, 0] = 1.2 * time * np.sin(heading)
    qpos[:, 1] = -1.2 * time * np.cos(heading)
    qpos[:, 3:7] = [np.cos(heading / 2), 0.0, 0.0, np.sin(heading / 2)]
    return qpos


def _landmarks(model: mujoco.MjModel, qpos: np.ndarray) -> np.ndarray:
    data = mujoco.MjData(model)
    reached = np.empty((len(qpos), len(NAMES), 3))
    for frame, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        reached[frame] = data.xpos[[model.body(name).id for name in NAMES]]
    return reached


@pytest.fixture(scope="module")
def clip(model: mujoco.MjModel) -> Clip:
    qpos = _walk(model)
    reached = _landmarks(model, qpos)
    return Clip(
        qpos=qpos, qvel=np.zeros((len(qpos), model.nv)), landmark_pos=reached, target_pos=reached + 0.01,
        contact=np.zeros((len(qpos), 4), dtype=np.uint8), fps=FPS, landmark_names=NAMES,
        joint_names=tuple(model.joint(joint).name for joint in range(model.njnt)), model="MyoFullBody",
        model_version=version("musclemimic-models"), model_sha256="", source="walk.npz", source_sha256="",
        source_fps=None, fps_source="assumed", body_model="mean", subject_scale=1.0, hands="locked", config={},
        software={}, licence="", metrics={}, verdict="feasible", reasons=(),
    )  # fmt: skip


@pytest.fixture(scope="module")
def clip_path(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clips") / "walk.h5"
    write_clip(path, clip)
    return path


def _mm_view(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


# Drawing model


def test_drawing_model_keeps_the_kinematics(model: mujoco.MjModel, original: mujoco.MjModel) -> None:
    qpos = _walk(original, nframe=3)[2]
    drawn, ref = mujoco.MjData(model), mujoco.MjData(original)
    drawn.qpos[:], ref.qpos[:] = qpos, qpos
    mujoco.mj_kinematics(model, drawn)
    mujoco.mj_kinematics(original, ref)
    np.testing.assert_allclose(drawn.xpos, ref.xpos, atol=1e-12)


def test_coarse_bones_stay_within_a_cell_of_the_fine_bones() -> None:
    fine, coarse, cell = drawing_model(mesh_cell=0.0), drawing_model(mesh_cell=0.0), 0.003
    coarsen(coarse, cell=cell)
    assert coarse.mesh_facenum.sum() < fine.mesh_facenum.sum() / 4
    for mesh in range(fine.nmesh):
        fine_vert, coarse_vert = (
            m.mesh_vert[m.mesh_vertadr[mesh] :][m.mesh_face[m.mesh_faceadr[mesh] :][: m.mesh_facenum[mesh]].ravel()]
            for m in (fine, coarse)
        )
        assert {tuple(v) for v in coarse_vert} <= {tuple(v) for v in fine_vert}
        box, fine_box = ([vert.min(axis=0), vert.max(axis=0)] for vert in (coarse_vert, fine_vert))
        np.testing.assert_allclose(box, fine_box, atol=cell)


def test_unknown_body_raises_and_lists_the_known_bodies() -> None:
    with pytest.raises(RenderError, match="MyoBimanualArm, MyoFullBody"):
        drawing_model("skeletor")


# Camera


@pytest.mark.parametrize("camera", VIEWS)
def test_whole_body_stays_in_the_picture(model: mujoco.MjModel, camera: str) -> None:
    qpos = _walk(model)
    camera_path = follow(model, qpos, fps=FPS, camera=camera, size=SIZE)
    data = mujoco.MjData(model)
    for frame in range(0, len(qpos), 17):
        data.qpos[:] = qpos[frame]
        mujoco.mj_kinematics(model, data)
        pixel, depth = camera_path.project(data.xpos[1:], frame=frame)
        assert (depth > 0).all()
        assert (pixel > 0).all()
        assert (pixel < SIZE).all()


def test_view_is_independent_of_heading(model: mujoco.MjModel) -> None:
    qpos, turn = _walk(model), 1.9
    turned = qpos.copy()
    rotation = Rotation.from_rotvec([0.0, 0.0, turn])
    turned[:, :3] = rotation.apply(qpos[:, :3])
    turned[:, 3:7] = (rotation * Rotation.from_quat(qpos[:, 3:7], scalar_first=True)).as_quat(scalar_first=True)
    camera_path = follow(model, qpos, fps=FPS, camera="side", size=SIZE)
    turned_path = follow(model, turned, fps=FPS, camera="side", size=SIZE)
    for frame in (0, 60, 119):
        expected, _ = camera_path.project(qpos[frame, :3], frame=frame)
        pixel, _ = turned_path.project(turned[frame, :3], frame=frame)
        np.testing.assert_allclose(pixel, expected, atol=1e-6)
    assert turned_path.distance == pytest.approx(camera_path.distance)


def test_walker_moves_to_the_right_in_the_side_view(model: mujoco.MjModel) -> None:
    qpos = _walk(model, heading=2.2)
    camera_path = follow(model, qpos, fps=FPS, camera="side", size=SIZE)
    pixel, _ = camera_path.project(qpos[[0, 119], :3], frame=60)
    assert pixel[1, 0] > pixel[0, 0] + 10
    assert pixel[1, 1] == pytest.approx(pixel[0, 1], abs=1.0)


def test_camera_follows_steady_motion_without_lag(model: mujoco.MjModel) -> None:
    qpos = _walk(model)
    camera_path = follow(model, qpos, fps=FPS, camera="side", size=SIZE)
    offset = camera_path.lookat - qpos[:, :3]
    np.testing.assert_allclose(offset, np.broadcast_to(offset[0], offset.shape), atol=1e-9)


@pytest.mark.parametrize("nframe", [1, 2])
def test_camera_of_very_short_motions_is_finite(model: mujoco.MjModel, nframe: int) -> None:
    camera_path = follow(model, _walk(model, nframe=nframe), fps=FPS, size=SIZE)
    assert np.isfinite(camera_path.lookat).all()
    assert camera_path.lookat.shape == (nframe, 3)


def test_configurations_of_another_body_raise(model: mujoco.MjModel) -> None:
    with pytest.raises(RenderError, match=r"\(nframe, 129\).*\(4, 89\)"):
        follow(model, np.zeros((4, 89)), fps=FPS)
    with pytest.raises(RenderError, match="side, front, three-quarter"):
        follow(model, _walk(model, nframe=1), fps=FPS, camera="above")


# Pictures


@routes
def test_targets_are_drawn_where_the_camera_projects_them(model: mujoco.MjModel, draw) -> None:
    qpos = _walk(model, nframe=4)
    target = qpos[:, None, :3] + np.array([[0.0, 0.0, 0.9], [0.7, 0.3, 0.3]])
    names = ("ulna_l", "ulna_r")
    arguments = {"target_pos": target, "landmark_names": names, "frames": [2], "size": SIZE, "muscles": False}
    (picture,) = draw(model, qpos, **arguments)
    assert picture.shape == (SIZE[1], SIZE[0], 3)
    assert picture.dtype == np.uint8
    pixel, _ = follow(model, qpos, fps=FPS, size=SIZE, target_pos=target).project(target[2], frame=2)
    red, _, blue = np.moveaxis(picture.astype(int), -1, 0)
    for ball, mask in zip(pixel, (blue - red > 60, red - blue > 60), strict=True):
        centre = np.argwhere(mask)[:, ::-1].mean(axis=0) + 0.5
        np.testing.assert_allclose(centre, ball, atol=1.0)


@routes
def test_target_inside_the_body_stays_visible(model: mujoco.MjModel, draw) -> None:
    qpos = _walk(model, nframe=1)
    data = mujoco.MjData(model)
    data.qpos[:] = qpos[0]
    mujoco.mj_kinematics(model, data)
    skull = data.geom_xpos[model.geom("hat_skull").id][None, None]
    (unmarked,) = draw(model, qpos, size=SIZE, camera="side")
    (marked,) = draw(model, qpos, size=SIZE, camera="side", target_pos=skull)
    assert (np.abs(marked.astype(int) - unmarked).max(axis=-1) > 30).sum() > 15


@routes
def test_muscles_without_activations_are_grey_and_the_background_is_light(model: mujoco.MjModel, draw) -> None:
    qpos = _walk(model, nframe=3)
    (bones,) = draw(model, qpos, frames=[1], size=SIZE, muscles=False)
    (muscles,) = draw(model, qpos, frames=[1], size=SIZE, muscles=True)
    assert bones[[0, 0, -1, -1], [0, -1, 0, -1]].min() > 150  # all corners are light
    painted = muscles[np.abs(muscles.astype(int) - bones).max(axis=-1) > 30].astype(int)
    assert len(painted) > 300
    assert np.median(np.ptp(painted, axis=-1)) < 12  # red, green and blue are nearly the same


@routes
def test_drawing_is_deterministic(model: mujoco.MjModel, draw) -> None:
    qpos = _walk(model, nframe=30)
    first, second = (list(draw(model, qpos, frames=[0, 20], size=SIZE)) for _ in range(2))
    np.testing.assert_array_equal(first, second)
    assert (first[0] != first[1]).any()


# Detection of OpenGL


@pytest.mark.parametrize(
    "environ",
    [
        {"PYOPENGL_PLATFORM": "osmesa"},  # fails on import of MuJoCo's module, like a missing library
        {"__EGL_VENDOR_LIBRARY_FILENAMES": "/nowhere.json"},  # fails when the context is created, like a missing driver
        {"MUJOCO_GL": "disabled"},
    ],
)
def test_broken_opengl_is_detected(environ: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in environ.items():
        monkeypatch.setenv(key, value)
    assert not gl._works(environ.get("MUJOCO_GL", "egl"))


def test_crash_or_hang_of_the_driver_counts_as_no_opengl(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "_PROBE", "import os; os.abort()")
    assert not gl._works("egl")
    monkeypatch.setattr(gl, "_PROBE", "import time; time.sleep(60)")
    monkeypatch.setattr(gl, "_PROBE_SECONDS", 0.2)
    assert not gl._works("egl")


def test_opengl_detection_imports_nothing_from_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The current folder can be a downloaded data set."""
    (tmp_path / "mujoco.py").write_text(f"open({str(tmp_path / 'imported')!r}, 'w').close()\n")
    monkeypatch.chdir(tmp_path)
    gl._works("egl")
    assert not (tmp_path / "imported").exists()


def test_order_of_backends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "linux")
    assert gl._candidates({}) == ("egl", "osmesa")
    assert gl._candidates({"DISPLAY": ":0"}) == ("egl", "osmesa", "glfw")
    assert gl._candidates({"MUJOCO_GL": "OSMesa "}) == ("osmesa",)


def test_opengl_detection_leaves_the_environment_unchanged() -> None:
    code = (
        "import os; before = dict(os.environ)\n"
        "import musclemap.cli.view, musclemap.pipelines.rendering.gl as gl, musclemap.pipelines.rendering.plot\n"
        "gl.find_gl(); assert dict(os.environ) == before"
    )
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )


# Files


@pytest.mark.parametrize(
    ("nframe", "fps", "film_fps"), [(301, 100.0, 30.0), (301, 100.0, 29.97), (1, 100.0, 30.0), (50, 25.0, 60.0)]
)
def test_film_lasts_as_long_as_the_motion(nframe: int, fps: float, film_fps: float) -> None:
    frames = film_frames(nframe, fps=fps, film_fps=film_fps)
    shown_at = np.arange(len(frames)) / film_fps
    assert np.abs(frames / fps - shown_at).max() <= 0.5 / fps + 1e-9
    assert 0 <= (nframe - 1) / fps - shown_at[-1] < 1 / film_fps


def test_strip_spans_the_first_to_the_last_frame() -> None:
    np.testing.assert_array_equal(strip_frames(101, count=5), [0, 25, 50, 75, 100])
    np.testing.assert_array_equal(strip_frames(3, count=8), [0, 1, 2])
    np.testing.assert_array_equal(strip_frames(1, count=8), [0])


def _grey(count: int, *, width: int = 32, height: int = 48) -> Iterator[np.ndarray]:
    return (np.full((height, width, 3), 40 * k, dtype=np.uint8) for k in range(count))


def test_film_and_strip_contain_all_pictures(tmp_path: Path) -> None:
    assert save_film(tmp_path / "a.mp4", _grey(6), fps=30.0) == 6
    assert imageio_ffmpeg.count_frames_and_secs(str(tmp_path / "a.mp4"))[0] == 6
    assert save_strip(tmp_path / "a.png", _grey(6)) == 6
    with Image.open(tmp_path / "a.png") as picture:
        strip = np.asarray(picture)
    assert strip.shape == (48, 192, 3)
    np.testing.assert_array_equal(strip[40, 16::32, 0], 40 * np.arange(6))


@pytest.mark.parametrize("save", [lambda path, pictures: save_film(path, pictures, fps=30.0), save_strip])
def test_failed_write_keeps_the_existing_file(tmp_path: Path, save) -> None:
    def failing() -> Iterator[np.ndarray]:
        yield from _grey(3)
        raise RenderError("broken on purpose")

    path = tmp_path / "a.mp4"
    path.write_bytes(b"before")
    for pictures in (failing(), _grey(0)):
        with pytest.raises(RenderError):
            save(path, pictures)
    assert path.read_bytes() == b"before"
    assert [file.name for file in tmp_path.iterdir()] == ["a.mp4"]


def test_odd_film_size_raises(tmp_path: Path) -> None:
    with pytest.raises(RenderError, match="33x48"):
        save_film(tmp_path / "a.mp4", _grey(2, width=33), fps=30.0)


# Command


def test_strip_without_opengl_names_the_packages_to_install(
    clip_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gl, "find_gl", lambda: None)
    monkeypatch.setattr("musclemap.cli.output.progress.FIRST_LINE_SECONDS", 600.0)  # no progress on a slow machine
    result = _mm_view(clip_path, "--save", tmp_path / "a.png", "--frames", 3, "--size", "60x120")
    assert result.exit_code == 0, result.stderr
    with Image.open(tmp_path / "a.png") as strip:
        assert strip.size == (180, 120)  # too small for captions
    assert "apt-get install libegl1 libgl1-mesa-dri" in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


@pytest.mark.parametrize("backend", ["plot", pytest.param("gl", marks=needs_gl), "auto"])
def test_film_command(clip_path: Path, tmp_path: Path, backend: str) -> None:
    path = tmp_path / "a film.mp4"
    result = _mm_view(clip_path, "--save", path, "--fps", 10, "--size", "120x90", "--no-muscles", "--backend", backend)
    assert result.exit_code == 0, result.stderr
    assert imageio_ffmpeg.count_frames_and_secs(str(path))[0] == 12  # 1.19 s
    assert "12 images, 1.20 s" in result.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--frames", "3"], "--frames is for -o FILE.mp4"),
        (["--save", "a.png", "--port", "8080", "--no-open"], "--port and --open"),
        (["trot", "--save", "a.png"], "no clip 'trot'"),
        (["--save", "a.gif"], ".mp4"),
        (["--save", "a.png", "--fps", "30"], "--fps"),
        (["--save", "a.png", "--size", "big"], "WIDTHxHEIGHT"),
        (["--save", "a.mp4", "--size", "101x100", "--frames", "1", "--backend", "plot"], "101x100"),
        (["--save", "no folder/a.png", "--backend", "plot"], "no folder"),
        (["--save", "a.png", "--camera", "above"], "three-quarter"),
        (["--save", "a.png", "--reference"], "--tracked"),
        (["walk", "trot", "--save", "a.png"], "no clip 'trot'"),
    ],
)
def test_wrong_use_exits_with_2(
    clip_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    result = _mm_view(clip_path, *words)
    assert result.exit_code == 2
    assert message in result.stderr
    assert not list(tmp_path.iterdir())


def test_clip_of_a_folder_is_selected_by_name(clip_path: Path, tmp_path: Path) -> None:
    words = ("--save", tmp_path / "a.png", "--frames", 1, "--size", "60x120", "--backend", "plot")
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "walk.h5").write_bytes(clip_path.read_bytes())
    assert _mm_view(folder, *words).exit_code == 0  # there is only one
    (folder / "run.h5").write_bytes(clip_path.read_bytes())
    assert _mm_view(folder, "walk", *words).exit_code == 0
    assert _mm_view(folder, "--exclude", "run*", *words).exit_code == 0
    result = _mm_view(folder, *words)
    assert result.exit_code == 2
    assert f"mm-view {folder} run.h5 -o FILE" in result.stderr.replace("\n", "")


def test_bad_clip_exits_with_2(clip: Clip, clip_path: Path, tmp_path: Path) -> None:
    truncated = tmp_path / "truncated.h5"
    truncated.write_bytes(clip_path.read_bytes()[:2000])
    unknown = tmp_path / "unknown.h5"
    write_clip(unknown, replace(clip, model="skeletor"))
    for path, message in ((truncated, "truncated.h5"), (unknown, "skeletor"), (tmp_path / "none.h5", "none.h5")):
        result = _mm_view(path, "--save", tmp_path / "a.png", "--backend", "plot")
        assert result.exit_code == 2
        assert message in result.stderr
        assert not (tmp_path / "a.png").exists()


def test_missing_opengl_exits_with_2(clip_path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gl, "find_gl", lambda: None)
    result = _mm_view(clip_path, "--save", tmp_path / "a.png", "--backend", "gl")
    assert result.exit_code == 2
    assert "apt-get install" in result.stderr


def test_other_version_of_the_body_is_reported(clip: Clip, tmp_path: Path) -> None:
    write_clip(tmp_path / "old.h5", replace(clip, model_version="1.0.5"))
    result = _mm_view(tmp_path / "old.h5", "--save", tmp_path / "a.png", "--frames", 1, "--backend", "plot")
    assert result.exit_code == 0
    assert "1.0.5" in result.stderr


def test_command_offers_all_views_and_imports_nothing_heavy() -> None:
    assert [camera.value for camera in Camera] == list(VIEWS)
    code = "import sys, musclemap.cli.view; assert not {'mujoco', 'matplotlib', 'h5py', 'numpy'} & set(sys.modules)"
    subprocess.run(
        [sys.executable, "-c", code], check=True, env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    )
