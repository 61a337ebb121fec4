"""Films of policies: reference and policy side by side, at the same distance."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import ClipEvaluation, Recording
from musclemap.imitation.eval.scores import score_clip
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.step_metrics import StepMetrics
from musclemap.pipelines.rendering import motion_film, policy_film
from musclemap.pipelines.rendering.camera import follow_both
from musclemap.pipelines.rendering.drawing import RenderError, drawing_model, place
from musclemap.pipelines.rendering.policy_film import (
    FilmClip,
    film_pictures,
    full_configurations,
    save_policy_film,
)
from musclemap.skeletons.bodies.small_arm import load_small_arm
from musclemap.skeletons.body import TargetBody

from ..support.data.exported_clips import moving_clip


def _film_clip(clip: Clip, qpos: np.ndarray, act: np.ndarray, *, failed: int | None = None) -> FilmClip:
    steps = len(qpos) - 1
    zeros: Any = np.zeros(steps)
    terminated: Any = np.arange(steps) >= (steps if failed is None else failed)
    curves = StepMetrics(*[zeros] * len(StepMetrics._fields))._replace(terminated=terminated)
    score = score_clip("clip", curves, steps=steps, root_limit=0.5)
    recording = Recording(step_metrics=curves, qpos=qpos, qvel=np.zeros((steps + 1, 2)), act=act)
    return FilmClip(clip=clip, result=ClipEvaluation(score=score, recording=recording))


@pytest.fixture(scope="module")
def clip() -> Clip:
    return arm_clips(1, 0.4, seed=1)[0][1]


def test_drawing_model_of_the_arm_matches_the_arm() -> None:
    """Same joints and muscle paths; every limb is a mesh of the size of its capsule."""
    drawn, model = drawing_model("SmallArm"), load_small_arm()
    assert (drawn.nq, drawn.nu, drawn.ntendon) == (model.nq, model.nu, model.ntendon)
    data, ref = mujoco.MjData(drawn), mujoco.MjData(model)
    data.qpos = ref.qpos = [0.7, 1.1]
    place(drawn, data)
    place(model, ref)
    np.testing.assert_allclose(data.ten_length, ref.ten_length, atol=1e-9)
    for name in ("humerus", "forearm", "palm"):
        drawn_geom, geom = drawn.geom(name).id, model.geom(name).id
        mesh = drawn.geom_dataid[drawn_geom]
        vertices = drawn.mesh_vert[drawn.mesh_vertadr[mesh] :][: drawn.mesh_vertnum[mesh]]
        world = data.geom_xpos[drawn_geom] + vertices @ data.geom_xmat[drawn_geom].reshape(3, 3).T
        half = model.geom_size[geom, 0] + (model.geom_size[geom, 1] if name != "palm" else 0.0)
        along = (world - ref.geom_xpos[geom]) @ ref.geom_xmat[geom].reshape(3, 3)[:, 2]
        np.testing.assert_allclose([along.min(), along.max()], [-half, half], atol=2e-3)


@pytest.mark.parametrize("gl", [True, False])
def test_sides_differ_where_the_policy_differs(clip: Clip, gl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not gl:
        monkeypatch.setattr(motion_film, "find_gl", lambda: None)
    elif motion_film.find_gl() is None:
        pytest.skip("no OpenGL on this machine")
    arm, n = load_simulation_body("SmallArm"), clip.nframe
    bent = clip.qpos + np.array([0.0, 0.4], np.float32)
    same = list(film_pictures([_film_clip(clip, clip.qpos, np.zeros((n, 6)))], arm))
    different = list(film_pictures([_film_clip(clip, bent, np.zeros((n, 6)))], arm))
    active = list(film_pictures([_film_clip(clip, bent, np.ones((n, 6)))], arm))
    assert len(same) == len(different) == int((n - 1) * 0.3) + 1
    height, width = same[0].shape[:2]
    assert (width, height) == (1120, 720)

    def npixel_different(a: np.ndarray, b: np.ndarray) -> int:
        body = slice(120, 650)  # without captions
        return int((np.abs(a[body].astype(int) - b[body]) > 60).any(axis=2).sum())

    left, right = slice(0, width // 2), slice(width // 2, width)
    baseline = npixel_different(same[3][:, left], same[3][:, right])  # only the muscle colours differ
    assert npixel_different(different[3][:, left], different[3][:, right]) > baseline + 2000
    assert npixel_different(different[3][:, left], active[3][:, left]) == 0
    assert 50 < npixel_different(different[3][:, right], active[3][:, right]) < 20_000


def test_frames_after_a_failure_are_marked(clip: Clip) -> None:
    arm, n = load_simulation_body("SmallArm"), clip.nframe
    tracked = list(film_pictures([_film_clip(clip, clip.qpos, np.zeros((n, 6)))], arm))
    failed = list(film_pictures([_film_clip(clip, clip.qpos, np.zeros((n, 6)), failed=20)], arm))
    marked = [bool((a != b).any()) for a, b in zip(tracked, failed, strict=True)]
    assert marked == [round(k * 10 / 3) > 20 for k in range(len(tracked))]


def test_joints_that_a_body_lacks_come_from_the_clip(body: TargetBody, human: SimulationBody) -> None:
    clip = moving_clip(body, nframe=5)
    np.testing.assert_allclose(full_configurations(human, clip, clip.qpos[:, human.clip_qpos]), clip.qpos, atol=1e-7)
    moved = clip.qpos[:3, human.clip_qpos] + 0.25
    full_qpos = full_configurations(human, clip, moved)
    np.testing.assert_allclose(full_qpos[:, human.clip_qpos], moved, atol=1e-6)
    fingers = np.setdiff1d(np.arange(clip.qpos.shape[1]), human.clip_qpos)
    assert len(fingers) == 40
    np.testing.assert_array_equal(full_qpos[:, fingers], clip.qpos[:3, fingers])


def test_both_cameras_share_direction_and_distance(body: TargetBody) -> None:
    """One body walks away, the other falls in place; each camera keeps its body in view."""
    model = drawing_model()
    qpos = moving_clip(body, nframe=30).qpos.astype(np.float64)
    fallen = qpos.copy()
    fallen[:, :2], fallen[:, 2] = qpos[0, :2], 0.2
    first, second = follow_both(model, qpos, fallen, fps=100.0)
    assert (first.azimuth_deg, first.elevation_deg, first.distance) == (
        second.azimuth_deg, second.elevation_deg, second.distance
    )  # fmt: skip
    data = mujoco.MjData(model)
    for camera_path, configurations in ((first, qpos), (second, fallen)):
        data.qpos = configurations[15]
        mujoco.mj_kinematics(model, data)
        pixel, _ = camera_path.project(data.xpos[1:], frame=15)
        assert (pixel > 0).all()
        assert (pixel < camera_path.size).all()


def test_films_are_truncated_and_report_progress(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_film, "LONGEST", 0.5)
    arm, act = load_simulation_body("SmallArm"), np.zeros((clip.nframe, 6))
    calls: list[tuple[int, int]] = []
    film_clips = [_film_clip(clip, clip.qpos, act)] * 2
    seconds = save_policy_film(tmp_path / "film.mp4", film_clips, arm, progress=lambda *n: calls.append(n))
    assert seconds == 0.5
    assert calls == [(k, 15) for k in range(1, 16)]


def test_film_without_recording_or_mp4_name_raises(clip: Clip, tmp_path: Path) -> None:
    film_clip = _film_clip(clip, clip.qpos, np.zeros((clip.nframe, 6)))
    with pytest.raises(RenderError, match=r"must end in \.mp4"):
        save_policy_film(tmp_path / "film.gif", [film_clip], load_simulation_body("SmallArm"))
    unrecorded = replace(film_clip, result=replace(film_clip.result, recording=None))
    with pytest.raises(RenderError, match="no clip has a recording"):
        save_policy_film(tmp_path / "film.mp4", [unrecorded], load_simulation_body("SmallArm"))
