"""Films of policies: both sides show what they should, from the same distance."""

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
from musclemap.pipelines.rendering import policy_film
from musclemap.pipelines.rendering.camera import follow_both
from musclemap.pipelines.rendering.drawing import RenderError, drawing_model, place
from musclemap.pipelines.rendering.muscles import FULL_RGB, REST_RGB
from musclemap.pipelines.rendering.policy_film import (
    FilmClip,
    _colours,
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
    return FilmClip(
        clip=clip, result=ClipEvaluation(score=score, recording=Recording(step_metrics=curves, qpos=qpos, act=act))
    )


@pytest.fixture(scope="module")
def clip() -> Clip:
    return arm_clips(1, 0.4, seed=1)[0][1]


def test_the_drawn_arm_is_the_arm() -> None:
    """Same joints and muscles' paths; every limb is a mesh as large as its capsule."""
    drawn, model = drawing_model("SmallArm"), load_small_arm()
    assert (drawn.nq, drawn.nu, drawn.ntendon) == (model.nq, model.nu, model.ntendon)
    data, other = mujoco.MjData(drawn), mujoco.MjData(model)
    data.qpos = other.qpos = [0.7, 1.1]
    place(drawn, data)
    place(model, other)
    np.testing.assert_allclose(data.ten_length, other.ten_length, atol=1e-9)
    for name in ("humerus", "forearm", "palm"):
        new, old = drawn.geom(name).id, model.geom(name).id
        mesh = drawn.geom_dataid[new]
        corners = drawn.mesh_vert[drawn.mesh_vertadr[mesh] :][: drawn.mesh_vertnum[mesh]]
        world = data.geom_xpos[new] + corners @ data.geom_xmat[new].reshape(3, 3).T
        half = model.geom_size[old, 0] + (model.geom_size[old, 1] if name != "palm" else 0.0)
        along = (world - other.geom_xpos[old]) @ other.geom_xmat[old].reshape(3, 3)[:, 2]
        np.testing.assert_allclose([along.min(), along.max()], [-half, half], atol=2e-3)


@pytest.mark.parametrize("gl", [True, False])
def test_the_sides_differ_where_the_policy_does(clip: Clip, gl: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not gl:
        monkeypatch.setattr(policy_film, "find_gl", lambda: None)
    elif policy_film.find_gl() is None:
        pytest.skip("there is no OpenGL here")
    arm, n = load_simulation_body("SmallArm"), clip.nframe
    bent = clip.qpos + np.array([0.0, 0.4], np.float32)
    same = list(film_pictures([_film_clip(clip, clip.qpos, np.zeros((n, 6)))], arm))
    other = list(film_pictures([_film_clip(clip, bent, np.zeros((n, 6)))], arm))
    strong = list(film_pictures([_film_clip(clip, bent, np.ones((n, 6)))], arm))
    assert len(same) == len(other) == int((n - 1) * 0.3) + 1
    height, width = same[0].shape[:2]
    assert (width, height) == (1120, 720)

    def apart(one: np.ndarray, two: np.ndarray) -> int:
        return int((np.abs(one[120:].astype(int) - two[120:]) > 60).any(axis=2).sum())

    left, right = slice(0, width // 2), slice(width // 2, width)
    bare = apart(same[3][:, left], same[3][:, right])  # only the muscles' colours differ
    assert apart(other[3][:, left], other[3][:, right]) > bare + 2000
    assert apart(other[3][:, left], strong[3][:, left]) == 0
    assert 50 < apart(other[3][:, right], strong[3][:, right]) < 20_000


def test_a_lost_clip_is_marked(clip: Clip) -> None:
    arm, n = load_simulation_body("SmallArm"), clip.nframe
    fine = list(film_pictures([_film_clip(clip, clip.qpos, np.zeros((n, 6)))], arm))
    lost = list(film_pictures([_film_clip(clip, clip.qpos, np.zeros((n, 6)), failed=20)], arm))
    differ = [bool((one != two).any()) for one, two in zip(fine, lost, strict=True)]
    assert differ == [round(k * 10 / 3) > 20 for k in range(len(fine))]


def test_muscles_have_the_colours_of_their_activation() -> None:
    arm, model = load_simulation_body("SmallArm"), drawing_model("SmallArm")
    act = np.zeros((2, 6))
    act[1, 4] = 1.0
    rgb = _colours(arm, model, act) / 255.0
    np.testing.assert_allclose(rgb[0], np.tile(REST_RGB, (6, 1)), atol=3e-3)
    np.testing.assert_allclose(rgb[1, 4], FULL_RGB, atol=3e-3)
    np.testing.assert_allclose(rgb[1, 5], REST_RGB, atol=3e-3)


def test_what_a_body_lacks_is_the_clips(body: TargetBody, human: SimulationBody) -> None:
    clip = moving_clip(body, nframe=5)
    np.testing.assert_allclose(full_configurations(human, clip, clip.qpos[:, human.clip_qpos]), clip.qpos, atol=1e-7)
    moved = clip.qpos[:3, human.clip_qpos] + 0.25
    whole = full_configurations(human, clip, moved)
    np.testing.assert_allclose(whole[:, human.clip_qpos], moved, atol=1e-6)
    fingers = np.setdiff1d(np.arange(clip.qpos.shape[1]), human.clip_qpos)
    assert len(fingers) == 40
    np.testing.assert_array_equal(whole[:, fingers], clip.qpos[:3, fingers])


def test_both_cameras_see_the_same_way(body: TargetBody) -> None:
    """One walks off and the other stays and falls: same direction and distance, each with its own body in view."""
    model = drawing_model()
    qpos = moving_clip(body, nframe=30).qpos.astype(np.float64)
    fallen = qpos.copy()
    fallen[:, :2], fallen[:, 2] = qpos[0, :2], 0.2
    one, other = follow_both(model, qpos, fallen, fps=100.0)
    assert (one.azimuth_deg, one.elevation_deg, one.distance) == (
        other.azimuth_deg, other.elevation_deg, other.distance
    )  # fmt: skip
    data = mujoco.MjData(model)
    for camera_path, configurations in ((one, qpos), (other, fallen)):
        data.qpos = configurations[15]
        mujoco.mj_kinematics(model, data)
        pixel, _ = camera_path.project(data.xpos[1:], frame=15)
        assert (pixel > 0).all()
        assert (pixel < camera_path.size).all()


def test_films_are_cut_at_their_longest_and_told(clip: Clip, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(policy_film, "LONGEST", 0.5)
    arm, act = load_simulation_body("SmallArm"), np.zeros((clip.nframe, 6))
    heard: list[tuple[int, int]] = []
    film_clips = [_film_clip(clip, clip.qpos, act)] * 2
    seconds = save_policy_film(tmp_path / "film.mp4", film_clips, arm, progress=lambda *n: heard.append(n))
    assert seconds == 0.5
    assert heard == [(k, 15) for k in range(1, 16)]


def test_what_cannot_be_filmed_is_told(clip: Clip, tmp_path: Path) -> None:
    film_clip = _film_clip(clip, clip.qpos, np.zeros((clip.nframe, 6)))
    with pytest.raises(RenderError, match=r"ends in \.mp4"):
        save_policy_film(tmp_path / "film.gif", [film_clip], load_simulation_body("SmallArm"))
    bare = replace(film_clip, result=replace(film_clip.result, recording=None))
    with pytest.raises(RenderError, match="no clip was recorded"):
        save_policy_film(tmp_path / "film.mp4", [bare], load_simulation_body("SmallArm"))
