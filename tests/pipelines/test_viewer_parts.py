"""Parts of the viewer: picking a muscle, curves with their cursor, and two bodies side by side."""

import html
import math
import re
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest

from musclemap.datasets.clip import Clip, read_clip
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER
from musclemap.pipelines.viewer.clips import find_clips
from musclemap.pipelines.viewer.curves import Curve, CurvePlot, plot_of
from musclemap.pipelines.viewer.drawn_body import DrawnBody
from musclemap.pipelines.viewer.muscle_picking import REACH, pick_tendon
from musclemap.pipelines.viewer.page_camera import FREE, stand
from musclemap.pipelines.viewer.panel import MUSCLE_CURVE, NO_MUSCLE
from musclemap.pipelines.viewer.scene import Scene
from musclemap.pipelines.viewer.server import ASIDE, Beside, Viewer

MUSCLE, FRAME = "recfem_r", 120


@pytest.fixture(scope="module")
def walk() -> Clip:
    return read_clip(WALK_FOLDER / WALK_CLIP)


@pytest.fixture(scope="module")
def scene(walk: Clip) -> Scene:
    return Scene(walk, DrawnBody("MyoFullBody"))


@pytest.fixture(scope="module")
def pair(walk: Clip) -> Iterator[Viewer]:
    """The walk beside itself, 0.5 s later and without activations."""
    later = replace(walk.frames(slice(50, None)), activation=None)
    beside = Beside(read=lambda _: later, title="later")
    viewer = Viewer(find_clips(WALK_FOLDER / WALK_CLIP), WALK_CLIP.rpartition("/")[2], port=0, beside=beside)
    yield viewer
    viewer.stop()


# Picking


def test_line_of_sight_hits_the_muscle_in_front() -> None:
    """Two crossing muscles 1 m apart, and a third one aside; the line passes the first two within their reach."""
    segments = np.array([
        [[-1.0, 3.0, 0.0], [1.0, 3.0, 0.0]], [[0.0, 2.0, -1.0], [0.0, 2.0, 1.0]], [[0.5, 2.0, -1.0], [0.5, 2.0, 1.0]],
    ])  # fmt: skip
    tendon, eye = np.array([7, 3, 9]), np.zeros(3)
    assert pick_tendon(segments, tendon, origin=eye, direction=np.array([0.0, 5.0, 0.0])) == 3
    assert pick_tendon(segments[[0, 2]], tendon[[0, 2]], origin=eye, direction=np.array([0.0, 1.0, 0.0])) == 7
    assert pick_tendon(segments, tendon, origin=eye, direction=np.array([0.0, -1.0, 0.0])) is None  # behind the eye
    for angle, hit in ((0.9 * REACH, 7), (1.1 * REACH, None)):
        above = np.array([-0.2, 1.0, np.tan(angle) * np.hypot(1.0, 0.2)])
        assert pick_tendon(segments, tendon, origin=eye, direction=above) == hit


def test_every_muscle_is_hit_by_a_line_through_it_from_nearby(scene: Scene) -> None:
    frame, paths = scene.frame(FRAME), scene.body.paths
    for tendon in range(0, scene.body.model.ntendon, 29):
        first = frame.muscle[np.flatnonzero(paths.tendon == tendon)[0]]
        middle, along = first.mean(axis=0), first[1] - first[0]
        away = np.cross(along, [0.3, 0.5, 0.8])
        away /= np.linalg.norm(away)
        # so near that nothing else is as close to the line
        assert pick_tendon(frame.muscle, paths.tendon, origin=middle + 1e-4 * away, direction=-away) == tendon


# Curves


def test_cursor_is_on_the_curve() -> None:
    curve = Curve(values=np.array([0.0, 10.0, 20.0, 10.0, 0.0]), fps=2.0)
    plot = CurvePlot([curve], name="knee", unit="deg", limits=None)
    points = [tuple(map(float, pair.split(","))) for pair in re.findall(r"-?[\d.]+,-?[\d.]+", plot.html(1.0))]
    circle = re.search(r'cx="([\d.]+)" cy="([\d.]+)"', plot.html(1.0))
    assert circle is not None
    assert (float(circle[1]), float(circle[2])) == points[2]
    assert "<b>20.00</b>" in plot.html(1.0)
    low, high = plot.position(0.0, 0.0), plot.position(2.0, 20.0)
    assert low[0] < high[0]
    assert low[1] > high[1]
    assert "&lt;b&gt;" in CurvePlot([curve], name="<b>", unit="", limits=None).html(0.0)


def test_curves_show_angles_activations_and_lengths(scene: Scene, walk: Clip) -> None:
    assert walk.activation is not None
    column = list(scene.body.muscles).index(MUSCLE)
    model, knee = scene.body.model, scene.body.joints["knee_angle_r"]
    time = FRAME / walk.fps
    shown = {
        "knee_angle_r [deg]": (plot_of([scene], curve="knee_angle_r", muscle=NO_MUSCLE, colouring="activation"),
                               np.degrees(walk.qpos[FRAME, knee])),
        "activation": (plot_of([scene], curve=MUSCLE_CURVE, muscle=MUSCLE, colouring="activation"),
                       walk.activation[FRAME, column]),
        "mean activation": (plot_of([scene], curve=MUSCLE_CURVE, muscle=NO_MUSCLE, colouring="activation"),
                            walk.activation[FRAME].mean()),
    }  # fmt: skip
    for name, (plot, value) in shown.items():
        assert name in plot.html(time)
        assert f"<b>{value:.2f}</b>" in plot.html(time)
    bare = Scene(replace(walk.frames(slice(FRAME, FRAME + 2)), activation=None), scene.body)
    length = bare.lengths(MUSCLE)
    low, high = model.actuator_lengthrange[column]
    scene.frame(FRAME)
    tendon = scene.body.muscles[MUSCLE]
    assert length[0] == pytest.approx((scene._data.ten_length[tendon] - low) / (high - low))
    assert "length" in plot_of([bare], curve=MUSCLE_CURVE, muscle=MUSCLE, colouring="length").html(0.0)
    assert "landmark error" in plot_of([bare], curve=MUSCLE_CURVE, muscle=NO_MUSCLE, colouring="length").html(0.0)


# Side by side


def test_two_bodies_stand_side_by_side_and_move_together(pair: Viewer, walk: Clip) -> None:
    first, second = (view.offset for view in pair.views)
    assert np.linalg.norm(second - first) == pytest.approx(ASIDE)
    right = pair._scenes[0].camera_path.axes()[0]
    assert (second - first) @ right == pytest.approx(ASIDE)
    pair.playback.seek(100)
    pair._stale = True
    pair.step(0.0)
    for view, scene, index in zip(pair.views, pair._scenes, (100, 100), strict=True):
        frame, shift = scene.frame(index), view.shift(index, following=True)
        np.testing.assert_allclose(view.muscles.points, frame.muscle - shift, atol=1e-5)
    assert (np.asarray(pair.views[1].muscles.colors) == np.asarray(pair.views[1].muscles.colors)[0]).all()  # all grey
    assert len(np.unique(np.asarray(pair.views[0].muscles.colors).reshape(-1, 3), axis=0)) > 50
    assert "grey muscles: later has no activations" in html.unescape(pair.panel.info.content)
    assert not np.allclose(pair.views[0].muscles.points, pair.views[1].muscles.points, atol=1e-2)


def test_click_chooses_and_plots_the_muscle_under_it(pair: Viewer) -> None:
    pair.step(0.0)
    body, view = pair._scenes[0].body, pair.scene_view
    segment = pair._frame.muscle[np.flatnonzero(body.paths.tendon == body.muscles[MUSCLE])[0]].mean(axis=0)
    on_page = segment - view.shift(pair.playback.frame, following=True) + view.offset
    away = np.array([0.0, 0.0, 1e-4])
    pair._pick(on_page + away, -away)
    assert pair.panel.muscle.value == MUSCLE
    assert pair.panel.curve.value == MUSCLE_CURVE
    pair.step(0.0)
    pair.actions.muscle("<script>")  # as from a foreign page
    pair.actions.curve("no joint")
    pair.step(0.0)
    assert (pair.panel.muscle.value, pair.panel.curve.value) == (MUSCLE, MUSCLE_CURVE)
    assert f"{MUSCLE}, length" in pair.panel.plot.content  # the second body has no activations
    pair.actions.curve("knee_angle_r")
    pair.step(0.0)
    assert "knee_angle_r [deg]" in pair.panel.plot.content


def test_legend_explains_colours_arrows_and_pads(pair: Viewer) -> None:
    text = pair.panel.legend.content
    assert pair.colouring == "activation"
    for part in ("muscle activation 0", "0.5 m = body weight", "bears load", "tendon without a muscle"):
        assert part in text


@pytest.mark.parametrize("aspect", [390 / 844, 500 / 800])
def test_a_narrow_window_shows_the_body_above_the_panel(scene: Scene, aspect: float) -> None:
    """The panel covers the lower 60 % of the window; head and feet have to be seen above it."""
    path = scene.camera_path
    eye, lookat = stand(path, aspect=aspect)
    assert eye[2] > 0.3  # above the ground
    forward = (lookat - eye) / np.linalg.norm(lookat - eye)
    right = np.cross(forward, [0.0, 0.0, 1.0])
    up = np.cross(right, forward) / np.linalg.norm(right)
    half = math.tan(math.radians(path.fovy_deg) / 2.0)
    for z in (0.05, 1.75):
        ray = np.append(path.lookat[0, :2], z) - eye
        height = 0.5 - 0.5 * (ray @ up) / (ray @ forward) / half  # 0 at the top of the window, 1 at its bottom
        assert 0.0 < height < FREE
    wide = stand(path, aspect=1.5)
    np.testing.assert_array_equal(wide[0], path.eye(0))
    np.testing.assert_array_equal(wide[1], path.lookat[0])
