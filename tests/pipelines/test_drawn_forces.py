"""Colours, arrows and pads in pictures: known answers on pixels, with and without OpenGL."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.track_file import read_track, track_path
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.ground_forces import ground_forces
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER
from musclemap.pipelines.rendering import gl, motion_film
from musclemap.pipelines.rendering.camera import follow
from musclemap.pipelines.rendering.captions import PAPER, Captions, Legend
from musclemap.pipelines.rendering.colour_map import ACTIVATION_STOPS, FULL_RGB, REST_RGB, activation_rgb
from musclemap.pipelines.rendering.drawing import NEUTRAL_RGB, drawing_model
from musclemap.pipelines.rendering.gl import find_gl, render_frames
from musclemap.pipelines.rendering.loads import ARROW_SCALE, Loads, clip_loads, force_loads
from musclemap.pipelines.rendering.motion_film import MotionFilm, Side, clip_side, film_times
from musclemap.pipelines.rendering.muscles import MuscleColours
from musclemap.pipelines.rendering.plot import plot_frames
from musclemap.pipelines.track.tracked_motions import read_tracked

SIZE = (360, 480)

needs_gl = pytest.mark.skipif(find_gl() is None, reason=f"no OpenGL on this machine ({gl.INSTALL_HINT})")
routes = pytest.mark.parametrize("draw", [plot_frames, pytest.param(render_frames, marks=needs_gl)])


@pytest.fixture(scope="module")
def model() -> mujoco.MjModel:
    return drawing_model()


@pytest.fixture(scope="module")
def walk() -> Clip:
    return read_clip(WALK_FOLDER / WALK_CLIP)


# Colours

_PROTANOPIA = ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998))
_DEUTERANOPIA = ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.011820, 0.042940, 0.968881))
"""Linear RGB as seen without red or green cones; Machado, Oliveira and Fernandes 2009, severity 1.0."""


def _lightness(rgb: np.ndarray, sight: tuple[tuple[float, ...], ...] = tuple(map(tuple, np.eye(3)))) -> np.ndarray:
    """CIE 1976 L* of sRGB colours from 0 to 1, as seen by some reader."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    luminance = np.clip(linear @ np.array(sight).T, 0.0, 1.0) @ [0.2126, 0.7152, 0.0722]
    return 116.0 * np.cbrt(luminance) - 16.0


def test_lightness_of_the_scale_falls_evenly() -> None:
    activation = np.linspace(0.0, 1.0, 201)
    lightness = _lightness(activation_rgb(activation))
    assert (np.diff(lightness) < 0).all()
    straight = lightness[0] + (lightness[-1] - lightness[0]) * activation
    np.testing.assert_allclose(lightness, straight, atol=1.5)
    assert lightness[0] - lightness[-1] > 50


@pytest.mark.parametrize("sight", [_PROTANOPIA, _DEUTERANOPIA])
def test_red_green_blind_readers_see_the_lightness_fall(sight: tuple[tuple[float, ...], ...]) -> None:
    lightness = _lightness(activation_rgb(np.linspace(0.0, 1.0, 51)), sight)
    assert (np.diff(lightness) < 0).all()
    assert lightness[0] - lightness[-1] > 50


def test_scale_is_clamped_and_starts_and_ends_at_its_stops() -> None:
    rgb = activation_rgb(np.array([-1.0, 0.0, 1.0, 2.0]))
    np.testing.assert_array_equal(rgb, [REST_RGB, REST_RGB, FULL_RGB, FULL_RGB])
    assert [place for place, _ in ACTIVATION_STOPS] == sorted(place for place, _ in ACTIVATION_STOPS)


def _nearest_activation(rgb: np.ndarray) -> float:
    """Activation whose colour has the hue and saturation of a pixel, whatever its brightness."""
    activation = np.linspace(0.0, 1.0, 101)
    scale = activation_rgb(activation)
    direction = lambda colours: colours / np.linalg.norm(colours, axis=-1, keepdims=True)  # noqa: E731
    return float(activation[np.argmax(direction(scale) @ direction(rgb))])


@routes
def test_active_and_inactive_muscles_have_the_ends_of_the_scale(model: mujoco.MjModel, walk: Clip, draw) -> None:
    """All muscles inactive, all active, or only the right side; compared are the pixels that muscles change."""
    qpos, colours = walk.qpos[:1].astype(float), MuscleColours(model)
    right = np.array([[model.actuator(k).name.endswith("_r") for k in range(model.nu)]], float)
    (bones,) = draw(model, qpos, size=SIZE, muscles=False)
    rest, active, mixed = np.zeros((1, model.nu)), np.ones((1, model.nu)), right
    pixels = []
    for activation in (rest, active, mixed):
        (picture,) = draw(model, qpos, size=SIZE, tendons=colours.look(activation))
        changed = np.abs(picture.astype(int) - bones).max(axis=-1) > 40
        pixels.append(picture[changed] / 255.0)
    assert _nearest_activation(np.median(pixels[0], axis=0)) < 0.15
    assert _nearest_activation(np.median(pixels[1], axis=0)) > 0.85
    near = [np.linalg.norm(pixels[2] - np.array(end), axis=1) < 0.25 for end in (REST_RGB, FULL_RGB)]
    assert min(np.mean(part) for part in near) > 0.1  # both ends are there


@routes
def test_active_muscles_are_wider(model: mujoco.MjModel, walk: Clip, draw) -> None:
    qpos, colours = walk.qpos[:1].astype(float), MuscleColours(model)
    (bones,) = draw(model, qpos, size=SIZE, muscles=False)
    counts = []
    for value in (0.0, 1.0):
        look = colours.look(np.full((1, model.nu), value))
        (picture,) = draw(model, qpos, size=SIZE, tendons=replace(look, rgb=np.zeros_like(look.rgb)))
        counts.append((np.abs(picture.astype(int) - bones).max(axis=-1) > 40).sum())
    assert counts[1] > 1.3 * counts[0]


# Forces


def _green(picture: np.ndarray) -> np.ndarray:
    """Rows and columns of pixels with the colour of forces."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return np.argwhere((green - red > 50) & (green - blue > 10))


def _beside(model: mujoco.MjModel, walk: Clip, force: float) -> Loads:
    """A vertical force 0.5 m behind the body, in body weights."""
    weight = model.body_mass.sum() * 9.81
    centre = walk.qpos[0, :3] + np.array([0.0, 0.5, 0.0]) * [1.0, 1.0, 0.0]
    centre[2] = 0.0
    up = np.array([0.0, 0.0, force * weight])
    return force_loads(model, up[None, None], centre[None, None].astype(float), np.zeros((1, 1), bool))


@routes
def test_arrow_is_as_long_as_the_force(model: mujoco.MjModel, walk: Clip, draw) -> None:
    qpos = walk.qpos[:1].astype(float)
    path = follow(model, qpos, fps=100.0, camera="side", size=SIZE)
    for force in (0.4, 1.0, 2.0):
        loads = _beside(model, walk, force)
        assert np.linalg.norm(loads.arrow) == pytest.approx(ARROW_SCALE * force)
        (picture,) = draw(model, qpos, camera_path=path, muscles=False, loads=loads)
        rows = _green(picture)[:, 0]
        ends, _ = path.project(loads.arrows(0)[0], frame=0)
        assert np.ptp(rows) == pytest.approx(ends[0, 1] - ends[1, 1], rel=0.03, abs=3.0)  # a tip ends in a point


@routes
def test_pad_lies_where_a_part_bears(model: mujoco.MjModel, walk: Clip, draw) -> None:
    qpos, loads = walk.qpos[:1].astype(float), _beside(model, walk, 0.0)
    path = follow(model, qpos, fps=100.0, camera="side", size=SIZE)
    (without,) = draw(model, qpos, camera_path=path, muscles=False, loads=loads)
    assert not len(_green(without))
    bearing = replace(loads, bears=np.ones((1, 1), bool))
    (picture,) = draw(model, qpos, camera_path=path, muscles=False, loads=bearing)
    pixel, _ = path.project(loads.pos[0, 0], frame=0)
    np.testing.assert_allclose(_green(picture).mean(axis=0)[::-1] + 0.5, pixel, atol=1.5)


def test_forces_of_a_simulation_match_its_constraint_forces(human: SimulationBody) -> None:
    """The first three generalised constraint forces of a free root are the sum of all contact forces (world axes)."""
    track = read_track(track_path(WALK_FOLDER, WALK_CLIP))
    qpos, qvel = track.tracked_qpos[:, human.clip_qpos], track.tracked_qvel[:, human.clip_qvel]
    frames = [0, 40, 95, 130, 300]
    ground = ground_forces(human, qpos, qvel, track.tracked_act, frames=frames)
    data = mujoco.MjData(human.model)
    for frame in frames:
        data.qpos[:], data.qvel[:], data.act[:] = qpos[frame], qvel[frame], track.tracked_act[frame]
        mujoco.mj_forward(human.model, data)
        np.testing.assert_allclose(ground.force[frame].sum(axis=0), data.qfrc_constraint[:3], atol=1e-6)
    assert ground.force[frames, :, 2].sum(axis=1).max() > 500.0
    loaded = ground.force[frames, :, 2] > 0
    assert loaded[:, :2].any()
    assert not loaded[:, 2:].any()  # the feet alone touch the ground
    assert np.abs(ground.centre[frames][loaded][:, 2]).max() < 0.02
    assert not ground.force[1].any()  # not requested


def test_tracked_motion_carries_the_weight_on_average(model: mujoco.MjModel) -> None:
    clip = read_tracked(WALK_FOLDER, WALK_CLIP)
    assert clip.ground_force is not None
    weight = model.body_mass.sum() * 9.81
    assert clip.ground_force[..., 2].sum(axis=1).mean() == pytest.approx(weight, rel=0.03)


def test_clip_without_forces_has_pads_at_its_contacts(model: mujoco.MjModel, walk: Clip) -> None:
    bare = replace(walk, ground_force=None, centre_of_pressure=None, bearing=None)
    loads, measured = clip_loads(model, bare), clip_loads(model, walk)
    assert loads is not None
    assert measured is not None
    assert not loads.arrow.any()
    assert measured.arrow.any()
    np.testing.assert_array_equal(loads.bears, walk.contact > 0)
    np.testing.assert_allclose(loads.pos[walk.contact > 0][:, 2], 0.0, atol=0.04)


# Captions


def test_colour_bar_spans_the_scale() -> None:
    captions = Captions(size=(640, 480), name="walk", legend=Legend(activation=True))
    picture = captions.around(np.zeros((captions.body_height, 640, 3), np.uint8), time="1.00 s")
    assert picture.shape == (480, 640, 3)
    ends = [tuple(round(255 * band) for band in rgb) for rgb in (REST_RGB, FULL_RGB)]
    columns = [np.argwhere((picture == end).all(axis=-1))[:, 1] for end in ends]
    assert all(len(column) for column in columns)
    assert columns[0].max() < columns[1].min()
    assert columns[1].max() - columns[0].min() > 60


@pytest.mark.parametrize("size", [(320, 480), (640, 360), (960, 720), (1120, 720), (1920, 640)])
def test_captions_leave_most_of_the_picture_and_are_legible_640_pixels_wide(size: tuple[int, int]) -> None:
    legend = Legend(activation=True, unknown="reference: no activations", forces=True, pads="bears load")
    captions = Captions(size=size, name="a/very/long/name/" * 9, legend=legend)
    assert captions.body_height > 0.6 * size[1]
    assert captions.font * min(1.0, 640 / size[0]) >= 10
    picture = captions.around(np.zeros((captions.body_height, size[0], 3), np.uint8), time="12.34 s")
    assert picture.shape == (size[1], size[0], 3)
    assert (picture[:, -3:][picture[:, -3:].any(axis=-1)] == PAPER).all()  # nothing is cut off at the right


def test_pictures_too_small_for_text_have_no_captions() -> None:
    captions = Captions(size=(120, 90), name="walk", legend=Legend(activation=True))
    picture = np.zeros((90, 120, 3), np.uint8)
    assert captions.body_height == 90
    assert captions.around(picture, time="1 s") is picture


def test_sides_run_in_real_time_and_stop_at_their_ends(model: mujoco.MjModel, walk: Clip) -> None:
    fast, slow = (Side(qpos=np.zeros((n, model.nq)), fps=fps) for n, fps in ((101, 100.0), (101, 50.0)))
    times = film_times((fast, slow), film_fps=10.0)
    assert times[-1] == pytest.approx(2.0)
    assert fast.rows(times)[:3] == [0, 10, 20]
    assert fast.rows(times)[-1] == 100
    assert slow.rows(times)[:3] == [0, 5, 10]


def test_film_of_a_reference_without_activations_says_so(model: mujoco.MjModel, walk: Clip) -> None:
    known, unknown = clip_side(model, walk, title="tracked"), clip_side(model, replace(walk, activation=None))
    grey = tuple(round(255 * band) for band in NEUTRAL_RGB)
    for sides, named in (((known, known), False), ((replace(unknown, title="reference"), known), True)):
        film = MotionFilm(model, sides, size=(200, 400), name="walk", camera="side", draw=plot_frames)
        (picture,) = film.pictures(np.array([0.3]))
        assert picture.shape == (400, 400, 3)
        assert (picture[-45:] == grey).all(axis=-1).any() == named  # the mark of the legend
        assert (motion_film._legend(sides, muscles=True).unknown == "reference: no activations") == named
        green = _green(picture[: film.captions.body_height])
        assert {bool(k) for k in green[:, 1] < 200} == {True, False}  # both sides show their forces


