"""The browser viewer: each part against MuJoCo or its own rules, and the whole in a headless browser."""

import html
import io
import json
import math
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any, cast

import mujoco
import numpy as np
import pytest
from PIL import Image
from scipy.spatial.transform import Rotation
from typer.testing import CliRunner
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from musclemap.cli import view
from musclemap.cli.view import app
from musclemap.datasets.clip import Clip, write_clip
from musclemap.errors import SettingsError
from musclemap.pipelines.rendering.colour_map import FULL_RGB, REST_RGB
from musclemap.pipelines.rendering.drawing import MESH_CELL, NEUTRAL_RGB, drawing_model
from musclemap.pipelines.rendering.muscles import LONG_RGB, MIDDLE_RGB, PASSIVE_RGB, SHORT_RGB
from musclemap.pipelines.viewer.clips import ClipFolder, find_clips
from musclemap.pipelines.viewer.drawn_body import DrawnBody
from musclemap.pipelines.viewer.guard import GuardError
from musclemap.pipelines.viewer.playback import Playback
from musclemap.pipelines.viewer.scene import Scene, sticks
from musclemap.pipelines.viewer.server import LONGEST_STEP, Viewer
from musclemap.pipelines.viewer.text import plain
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.skeletons.bodies.myofullbody import LANDMARK_NAMES
from musclemap.skeletons.body import TargetBody

from ..support.devtools import CHROMIUM, Browser, browsing, until
from ..support.hostile.hostile_texts import PAGE_TEXTS
from ..support.hostile.sockets import listening_sockets

FPS, NFRAME = 100.0, 150


@pytest.fixture(scope="module")
def drawn() -> DrawnBody:
    return DrawnBody("MyoFullBody")


@pytest.fixture(scope="module")
def clip(drawn: DrawnBody) -> Clip:
    """Walk at 1.2 m/s with swinging limbs, landmarks 10 mm from their targets, and activations rising from 0 to 1."""
    model, time_s = drawn.model, np.arange(NFRAME) / FPS
    qpos = np.tile(model.qpos0, (NFRAME, 1))
    for side, phase in (("r", 0.0), ("l", np.pi)):
        swing = np.sin(2 * np.pi * time_s + phase)
        for joint, middle, amplitude in (("hip_flexion", 0.1, 0.4), ("knee_angle", 0.4, 0.3), ("elbow_flex", 0.5, 0.2)):
            qpos[:, model.joint(f"{joint}_{side}").qposadr[0]] = middle + amplitude * swing
    qpos[:, 1] = -1.2 * time_s
    data, reached = mujoco.MjData(model), np.empty((NFRAME, len(LANDMARK_NAMES), 3))
    for frame, q in enumerate(qpos):
        data.qpos[:] = q
        mujoco.mj_kinematics(model, data)
        reached[frame] = data.xpos[[model.body(name).id for name in LANDMARK_NAMES]]
    offset = np.array([0.0, 0.006, 0.008])
    return Clip(
        qpos=qpos, qvel=np.zeros((NFRAME, model.nv)), landmark_pos=reached, target_pos=reached + offset,
        contact=np.tile([1, 0, 0, 1], (NFRAME, 1)).astype(np.uint8), fps=FPS, landmark_names=LANDMARK_NAMES,
        joint_names=tuple(model.joint(joint).name for joint in range(model.njnt)), model="MyoFullBody",
        model_version=version("musclemimic-models"), model_sha256="", source="walk.npz", source_sha256="",
        source_fps=None, fps_source="assumed", body_model="mean", subject_scale=1.0, hands="locked", config={},
        software={}, licence="", metrics={}, verdict="infeasible",
        reasons=({"rule": "self_penetration_mm", "value": 59.82023, "limit": 50.0, "at": "tibia_r and tibia_l"},),
        activation=np.tile(np.linspace(0.0, 1.0, NFRAME)[:, None], (1, model.nu)),
    )  # fmt: skip


@pytest.fixture(scope="module")
def out(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two clips, the second without activations, and a truncated one."""
    out = tmp_path_factory.mktemp("clips")
    write_clip(out / "walk.h5", clip)
    still = replace(clip.frames(slice(1)), activation=None, verdict="feasible", reasons=())
    write_clip(out / "more" / "still.h5", still)
    (out / "truncated.h5").write_bytes((out / "walk.h5").read_bytes()[:3000])
    return out


def _at(model: mujoco.MjModel, qpos: np.ndarray) -> mujoco.MjData:
    """MuJoCo data after the position stage of a configuration."""
    data = mujoco.MjData(model)
    data.qpos[:] = qpos
    mujoco.mj_fwdPosition(model, data)
    return data


# Playback


@pytest.mark.parametrize("speed", [0.125, 1.0, 2.0])
def test_speed_is_independent_of_the_time_step(speed: float) -> None:
    one_step, many_steps = (Playback(nframe=1000, fps=100.0, speed=speed) for _ in range(2))
    durations = np.random.default_rng(0).uniform(0.0, 0.2, 40)
    for duration in durations:
        many_steps.advance(duration)
    one_step.advance(durations.sum())
    assert many_steps.time == pytest.approx(one_step.time) == pytest.approx(speed * durations.sum() % 10.0)
    assert many_steps.frame == int(many_steps.time * 100.0)


@pytest.mark.parametrize("fps", [100.0, 29.97, 3.0, 1.0 / 7.0])
def test_seek_reaches_every_frame(fps: float) -> None:
    playback = Playback(nframe=333, fps=fps)
    for frame in range(333):
        playback.seek(frame)
        assert playback.frame == frame
    playback.seek(-4)
    assert playback.frame == 0
    playback.seek(999)
    assert playback.frame == 332
    assert playback.time == pytest.approx(playback.duration)


def test_playback_loops_or_stops_at_the_end() -> None:
    looped, once = (Playback(nframe=10, fps=10.0, loop=loop) for loop in (True, False))
    for playback in (looped, once):
        playback.advance(1.05)
    assert (looped.playing, looped.frame) == (True, 0)
    assert (once.playing, once.frame) == (False, 9)
    once.advance(5.0)
    assert once.frame == 9
    once.toggle()
    assert (once.playing, once.frame) == (True, 0)


def test_paused_playback_resumes_from_its_frame() -> None:
    playback = Playback(nframe=10, fps=10.0)
    playback.seek(4)
    playback.toggle()
    playback.advance(0.3)
    assert playback.frame == 4
    playback.toggle()
    playback.advance(0.1)
    assert playback.frame == 5


# Clips


def test_clips_of_a_folder(tmp_path: Path) -> None:
    for name in ("b.h5", "a/Kick 2.h5", "a/kick.h5", ".cache/c.h5", "a/.d.h5", "manifest.jsonl"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    clips = find_clips(tmp_path)
    assert clips.names == ("a/Kick 2.h5", "a/kick.h5", "b.h5")
    assert clips.find("a/kick") == clips.find("a/kick.h5") == clips.find("./a/kick") == "a/kick.h5"
    assert clips.path("b.h5") == tmp_path / "b.h5"
    assert clips.matching("KICK", limit=9) == ("a/Kick 2.h5", "a/kick.h5")
    assert clips.matching("2 kick", limit=9) == ("a/Kick 2.h5",)
    assert clips.matching("", limit=2) == ("a/Kick 2.h5", "a/kick.h5")
    assert find_clips(tmp_path / "b.h5") == ClipFolder(root=tmp_path, names=("b.h5",))


def test_unknown_name_raises_and_lists_the_closest(tmp_path: Path) -> None:
    (tmp_path / "walk_1.2_poses.h5").touch()
    with pytest.raises(SettingsError, match=r"'wlak_1\.2'.*walk_1\.2_poses\.h5"):
        find_clips(tmp_path).find("wlak_1.2")
    (tmp_path / "walk_1.2_poses.h5").unlink()
    with pytest.raises(SettingsError, match=r"no clip .*mm-retarget INPUT"):
        find_clips(tmp_path)
    with pytest.raises(SettingsError, match="no folder or clip"):
        find_clips(tmp_path / "none")


# Muscles


def test_paths_are_as_long_as_the_tendons(drawn: DrawnBody, clip: Clip) -> None:
    """Exact for paths over sites only; where a path wraps around a bone, the chord is shorter than the arc."""
    model, tendon = drawn.model, drawn.paths.tendon
    wraps = [model.wrap_type[adr : adr + num] for adr, num in zip(model.tendon_adr, model.tendon_num, strict=True)]
    straight = np.array([(wrap == mujoco.mjtWrap.mjWRAP_SITE).all() for wrap in wraps])
    assert 50 < straight.sum() < model.ntendon
    for frame in (0, 40, 110):
        data = _at(model, clip.qpos[frame])
        ends = drawn.paths.segments(data)
        length = np.linalg.norm(ends[:, 1] - ends[:, 0], axis=1)
        repeated = (ends[1:] == ends[:-1]).all(axis=(1, 2)) & (tendon[1:] == tendon[:-1])
        length[1:][repeated] = 0.0  # unused segments repeat the last one
        length = np.bincount(tendon, length, minlength=model.ntendon)
        np.testing.assert_allclose(length[straight], data.ten_length[straight], atol=1e-9)
        assert (length <= data.ten_length + 1e-9).all()
        assert (length > 0.8 * data.ten_length).all()


def test_path_is_continuous_from_its_first_to_its_last_site(drawn: DrawnBody, clip: Clip) -> None:
    model, data = drawn.model, _at(drawn.model, clip.qpos[70])
    ends = drawn.paths.segments(data)
    for tendon in range(model.ntendon):
        path = ends[drawn.paths.tendon == tendon]
        sites = model.wrap_objid[model.tendon_adr[tendon] :][: model.tendon_num[tendon]][[0, -1]]
        np.testing.assert_allclose([path[0, 0], path[-1, 1]], data.site_xpos[sites], atol=1e-12)
        joined = (path[1:, 0] == path[:-1, 1]).all(axis=1) | (path[1:] == path[:-1]).all(axis=(1, 2))
        assert joined.all()


def test_normalised_length_matches_the_actuators(drawn: DrawnBody, clip: Clip) -> None:
    model, data = drawn.model, _at(drawn.model, clip.qpos[33])
    low, high = model.actuator_lengthrange.T
    np.testing.assert_allclose(drawn.colours.fraction(data.ten_length), (data.actuator_length - low) / (high - low))


def _rgb(colour: tuple[float, float, float]) -> np.ndarray:
    return np.round(255 * np.array(colour))


def test_colours_follow_length_and_activation(drawn: DrawnBody) -> None:
    model, colours = drawn.model, drawn.colours
    tendon, (low, high) = model.actuator_trnid[:, 0], model.actuator_lengthrange.T
    passive = np.setdiff1d(np.arange(model.ntendon), tendon)
    for fraction, expected in (
        (-0.5, SHORT_RGB),
        (0.0, SHORT_RGB),
        (0.5, MIDDLE_RGB),
        (1.0, LONG_RGB),
        (1.5, LONG_RGB),
    ):
        length = np.zeros(model.ntendon)
        length[tendon] = low + fraction * (high - low)
        painted = colours.by_length(length)
        assert painted.dtype == np.uint8
        np.testing.assert_allclose(painted[tendon], np.tile(_rgb(expected), (model.nu, 1)), atol=1)
        np.testing.assert_array_equal(painted[passive], np.tile(_rgb(PASSIVE_RGB), (len(passive), 1)))
    active = np.zeros(model.nu)
    active[7] = 1.0
    painted = colours.by_activation(active)[tendon]
    np.testing.assert_array_equal(painted[7], _rgb(FULL_RGB))
    np.testing.assert_array_equal(np.delete(painted, 7, axis=0), np.tile(_rgb(REST_RGB), (model.nu - 1, 1)))


# Scene


def test_bones_are_where_mujoco_puts_them(drawn: DrawnBody, clip: Clip) -> None:
    """The bounding box of every solid matches that of its meshes at full detail, and every mesh has a solid."""
    fine, frame = drawing_model(mesh_cell=0.0), Scene(clip, drawn).frame(60)
    data = _at(fine, clip.qpos[60])
    weld, nmesh = fine.body_weldid[fine.geom_bodyid], 0
    for solid, pos, quat in zip(drawn.solids, frame.body_pos, frame.body_quat, strict=True):
        placed = pos + Rotation.from_quat(quat, scalar_first=True).apply(solid.vertices)
        geoms = np.flatnonzero((fine.geom_type == mujoco.mjtGeom.mjGEOM_MESH) & (weld == solid.body))
        ref = []
        for geom in geoms:
            mesh = fine.geom_dataid[geom]
            vert = fine.mesh_vert[fine.mesh_vertadr[mesh] :][: fine.mesh_vertnum[mesh]]
            ref.append(data.geom_xpos[geom] + vert @ data.geom_xmat[geom].reshape(3, 3).T)
        ref = np.concatenate(ref)
        np.testing.assert_allclose(
            [placed.min(axis=0), placed.max(axis=0)], [ref.min(axis=0), ref.max(axis=0)], atol=MESH_CELL
        )
        assert solid.faces.max() < len(solid.vertices)
        nmesh += len(geoms)
    assert nmesh == np.count_nonzero(fine.geom_type == mujoco.mjtGeom.mjGEOM_MESH)


def test_frame_matches_the_clip(drawn: DrawnBody, clip: Clip) -> None:
    scene = Scene(clip, drawn)
    frame, data = scene.frame(60), _at(drawn.model, clip.qpos[60])
    np.testing.assert_array_equal(frame.target, clip.target_pos[60])
    np.testing.assert_array_equal(frame.standing, [True, False, False, True])
    assert frame.error == pytest.approx(0.010)
    fraction = drawn.colours.fraction(data.ten_length)
    assert frame.outside == int(((fraction < 0) | (fraction > 1)).sum())
    np.testing.assert_array_equal(frame.muscle_rgb, drawn.colours.by_length(data.ten_length)[drawn.paths.tendon])
    np.testing.assert_allclose(frame.muscle, drawn.paths.segments(data), atol=1e-12)


def test_contact_points_match_the_retargeter(drawn: DrawnBody, clip: Clip, body: TargetBody) -> None:
    scene, frames = Scene(clip, drawn), [0, 40, 110]
    expected = evaluate_clip(body, clip.qpos[frames]).contact_pos
    np.testing.assert_allclose([scene.frame(k).contact for k in frames], expected, atol=1e-4)


def test_sticks_join_all_targets_to_one_figure(drawn: DrawnBody, clip: Clip) -> None:
    pairs = sticks(drawn.model, LANDMARK_NAMES)
    assert len(pairs) == len(LANDMARK_NAMES) - 1
    reached = {0}
    for _ in pairs:
        reached |= {int(b) for a, b in pairs if a in reached}
    assert len(reached) == len(LANDMARK_NAMES)
    named = {frozenset((LANDMARK_NAMES[a], LANDMARK_NAMES[b])) for a, b in pairs}
    assert {frozenset(("femur_l", "tibia_l")), frozenset(("pelvis", "lumbar1"))} <= named
    np.testing.assert_array_equal(Scene(clip, drawn).frame(9).ghost, clip.target_pos[9][pairs])
    assert sticks(drawn.model, ("nose", "chin")).shape == (0, 2)


def test_muscles_are_coloured_by_activation_if_it_fits(drawn: DrawnBody, clip: Clip) -> None:
    scene = Scene(clip, drawn)
    muscle = np.isin(drawn.paths.tendon, drawn.model.actuator_trnid[:, 0])
    for index, expected in ((0, REST_RGB), (NFRAME - 1, FULL_RGB)):
        rgb = scene.frame(index, colouring="activation").muscle_rgb[muscle]
        np.testing.assert_array_equal(rgb, np.tile(_rgb(expected), (muscle.sum(), 1)))
    mismatched = Scene(replace(clip, activation=np.zeros((NFRAME, 7))), drawn)
    assert mismatched.activation is None
    grey = mismatched.frame(3, colouring="activation").muscle_rgb
    assert (grey == _rgb(NEUTRAL_RGB)).all()


# The page without a browser


@pytest.fixture
def viewer(out: Path) -> Iterator[Viewer]:
    viewer = Viewer(find_clips(out), "walk.h5", port=0)
    yield viewer
    viewer.stop()


def _info_text(viewer: Viewer) -> str:
    return html.unescape(viewer.panel.info.content)


def test_follow_keeps_the_body_in_place_and_moves_the_ground(viewer: Viewer, clip: Clip, drawn: DrawnBody) -> None:
    scene_view, scene = viewer.scene_view, Scene(clip, drawn)
    frame, displacement = scene.frame(100), scene.camera_path.lookat[100] - scene.camera_path.lookat[0]
    assert displacement[1] == pytest.approx(-1.2, abs=0.1)
    displacement[2] = 0.0
    scene_view.draw(frame, index=100, following=False)
    middle = np.array(scene_view.ground.position)
    for following, shift in ((False, np.zeros(3)), (True, displacement)):
        scene_view.draw(frame, index=100, following=following)
        np.testing.assert_allclose(scene_view.muscles.points, frame.muscle - shift, atol=1e-5)
        np.testing.assert_allclose(scene_view.ghost.points, frame.ghost - shift, atol=1e-5)
        np.testing.assert_allclose(scene_view.targets.batched_positions, frame.target - shift, atol=1e-5)
        np.testing.assert_allclose(scene_view.contacts.batched_positions, frame.contact - shift, atol=1e-5)
        np.testing.assert_allclose(scene_view.ground.position, middle - shift, atol=1e-5)
        for handle, pos, quat in zip(scene_view.solids, frame.body_pos, frame.body_quat, strict=True):
            np.testing.assert_allclose(handle.batched_positions[0], pos - shift, atol=2e-5)
            np.testing.assert_allclose(handle.batched_wxyzs[0], quat, atol=2e-5)
    np.testing.assert_array_equal(np.asarray(scene_view.contacts.batched_scales) > 0.5, frame.standing)


def test_viewer_steps_through_time_and_clips(viewer: Viewer) -> None:
    viewer.step(0.5)
    assert viewer.playback.frame == 50
    assert viewer.panel.slider.value == 50
    assert "self_penetration_mm 59.8, limit 50, tibia_r and tibia_l" in _info_text(viewer)
    assert viewer.colouring == "activation"
    viewer.actions.toggle()
    viewer.actions.colouring("length")
    viewer.step(0.0)
    assert viewer.colouring == viewer.panel.colouring.value == "length"
    viewer.actions.colouring("activation")
    viewer.actions.step(1)
    viewer.step(0.0)
    assert viewer.colouring == viewer.panel.colouring.value == "activation"
    assert (viewer.playback.playing, viewer.playback.frame) == (False, 51)
    viewer.actions.choose("truncated.h5")
    viewer.step(0.0)
    assert viewer.name == viewer.panel.chooser.value == "walk.h5"
    viewer.actions.choose("more/still.h5")
    viewer.step(0.0)
    viewer.step(LONGEST_STEP)
    assert viewer.name == viewer.panel.chooser.value == "more/still.h5"
    assert viewer.colouring == viewer.panel.colouring.value == "length"
    assert viewer.panel.colouring.options == ("length",)
    assert "**feasible**, 1 frame " in _info_text(viewer)
    viewer.actions.step_clip(1)
    viewer.step(0.0)
    assert viewer.name == "more/still.h5"  # the next clip is truncated


def test_mismatches_with_the_body_are_reported(clip: Clip, tmp_path: Path) -> None:
    write_clip(tmp_path / "a.h5", replace(clip, model_version="1.0.5", activation=np.zeros((NFRAME, 7))))
    viewer = Viewer(find_clips(tmp_path), "a.h5", port=0)
    viewer.stop()
    assert "made for MyoFullBody 1.0.5" in _info_text(viewer)
    assert "activations not shown: they are for 7 muscles, the body has 416" in _info_text(viewer)


def test_unusable_address_or_clip_exits_with_2(viewer: Viewer, out: Path) -> None:
    port = viewer.server.get_port()
    for words, message in (
        (["--port", str(port)], f"port {port}"),
        (["--host", "192.0.2.1", "--port", "0"], "192.0.2.1"),
        (["wlak"], "walk.h5"),
        (["truncated"], "truncated.h5"),
    ):
        result = CliRunner().invoke(app, [str(out), *words, "--no-open"])
        assert result.exit_code == 2
        assert message in result.stderr


# The browser


_PRESS = """(label) => {
  const matches = [...document.querySelectorAll("button, label")].filter((node) => node.textContent.trim() === label);
  const row = matches[0].closest("div").parentElement;
  (matches.find((node) => node.tagName === "BUTTON" || node.control) ?? row.querySelector("input")).click();
}"""


_INJECTED_ELEMENTS = "iframe, a, script[src], svg[onload], img:not([src^='data:image/svg'])"
"""Selector of elements that only injected markup can create; viser's own logo is an image."""


_WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--window-size=900,640")
"""Flags of Chromium: WebGL without a GPU, and the size of the window."""


class ViewerPage(Browser):
    """The viewer's page in a headless Chromium."""

    def __init__(self, profile: Path) -> None:
        super().__init__(profile, flags=_WEBGL)

    def click(self, label: str) -> None:
        """Click the button with a label, or the checkbox beside it."""
        self.evaluate(f"({_PRESS})({json.dumps(label)})")

    def scene(self) -> np.ndarray:
        """Screenshot of the area left of the panel and below the notices, shape (height, width, 3)."""
        return np.asarray(Image.open(io.BytesIO(self.picture())).convert("RGB")).astype(int)[160:, :560]


@contextmanager
def _serving(out: Path, clip: str, *more: str) -> Iterator[tuple[str, int]]:
    """Run the command in a subprocess; yields its address and process id. Ctrl-C must end it cleanly."""
    environ = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    command = [sys.executable, "-m", "musclemap.cli.view", str(out), clip, "--port", "0", "--no-open", *more]
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environ,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background processes ignore it
    )  # fmt: skip
    assert process.stdout is not None
    line = process.stdout.readline()
    try:
        yield re.findall(r" at (http://127\.0\.0\.1:\d+/[\w-]{32}/\S*) ", line)[0], process.pid
    finally:
        process.send_signal(signal.SIGINT)
        output, errors = process.communicate(timeout=30)
    assert (process.returncode, output, errors.strip()) == (0, "", "")


def test_command_listens_on_loopback_only_and_requires_its_token(out: Path) -> None:
    with _serving(out, "walk") as (address, pid):
        port = urllib.parse.urlsplit(address).port
        listening = [(item.kind, item.address, item.port) for item in listening_sockets(pid)]
        assert listening == [("tcp", "127.0.0.1", port)]
        with urllib.request.urlopen(address) as response:
            assert response.status == 200
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(f"http://127.0.0.1:{port}/")
        protocol: Any = f"viser-v{version('viser')}"
        websocket_url = address.replace("http://", "ws://").rstrip("/")
        with connect(websocket_url, subprotocols=[protocol], max_size=None) as connection:
            assert connection.recv(timeout=30)
        for url, origin in ((f"ws://127.0.0.1:{port}", None), (websocket_url, "http://evil.example")):
            with pytest.raises(InvalidStatus, match="403"):
                connect(url, subprotocols=[protocol], origin=cast("Any", origin))


def test_viser_that_cannot_be_guarded_serves_nothing(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("musclemap.pipelines.viewer.server.guarding", lambda guard: nullcontext())
    before = listening_sockets(os.getpid())
    with pytest.raises(GuardError, match="nothing is served"):
        Viewer(find_clips(out), "walk.h5", port=0)
    assert listening_sockets(os.getpid()) == before


def test_token_is_on_no_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """The browser opens a file that only this user can read."""
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    with view._opened("http://127.0.0.1:8080/secret/"):
        page = Path(urllib.parse.urlsplit(opened[0]).path)
        assert "secret" not in opened[0]
        assert 'url=http://127.0.0.1:8080/secret/"' in page.read_text()
        assert page.parent.stat().st_mode & 0o077 == 0
    assert not page.parent.exists()


@pytest.fixture(scope="module")
def hostile(clip: Clip, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of clips whose text and names are scripts and markup."""
    out = tmp_path_factory.mktemp("hostile")
    reasons = tuple({"rule": text, "value": 2.0, "limit": 1.0, "at": text} for text in PAGE_TEXTS[:10])
    write_clip(out / "walk.h5", replace(clip, reasons=reasons, model_version=PAGE_TEXTS[1], activation=None))
    for k, name in enumerate(
        text.replace("/", "∕") for text in PAGE_TEXTS if 0 < len(text) < 80 and text.isprintable()
    ):
        write_clip(out / f"{k} {name}.h5", replace(clip, verdict="feasible", reasons=(), source=name))
    for name in (b"\xff\xfe.h5", b"\x1b[31mred.h5", b"turned \xe2\x80\xaemp4.h5"):
        Path(os.fsdecode(os.fsencode(out) + b"/" + name)).write_bytes(b"no clip")
    return out


def test_text_from_files_is_inert_on_the_page(hostile: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    viewer = Viewer(find_clips(hostile), "walk.h5", port=0)
    try:
        assert "<" not in viewer.panel.info.content
        assert "`" not in viewer.panel.info.content
        options = viewer.panel.chooser.options
        assert len(options) == len(viewer.clips.names) == len(set(options))
        assert all(option.isprintable() for option in options)
        selected: list[str] = []
        monkeypatch.setattr(viewer.panel, "actions", replace(viewer.panel.actions, choose=selected.append))
        for option in options:
            viewer.panel.choose_label(option)
        viewer.panel.choose_label("../../elsewhere.h5")  # as from a foreign page
        assert selected == list(viewer.clips.names)
    finally:
        viewer.stop()


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_browser_shows_and_plays_the_clip(out: Path, tmp_path: Path) -> None:
    with _serving(out, "walk") as (address, _), browsing(ViewerPage(tmp_path)) as browser:
        browser.open(address)
        assert until(lambda: browser.evaluate("document.querySelectorAll('canvas').length"))

        def seconds() -> float:
            result = re.search(r"(\d+\.\d\d) of 1\.49 s", browser.evaluate("document.body.innerText") or "")
            return float(result[1]) if result else math.nan

        def npixel() -> np.ndarray:
            """Pixels of long muscles and of bones, without ground, background or orange browser notices."""
            red, green, blue = np.moveaxis(browser.scene(), -1, 0)
            bones = (red - blue > 8) & (red - blue < 60) & (red - green < 15) & (red < 245)
            muscles = (red - green > 90) & (red - blue > 90) & (abs(green - blue) < 60)
            return np.array([muscles.sum(), bones.sum()])

        until(lambda: (npixel() > 200).all())
        first = until(seconds)
        until(lambda: abs(seconds() - first) > 0.05)  # playing
        browser.click("Pause")
        until(lambda: "Play" in browser.evaluate("document.body.innerText").splitlines())
        paused_at = seconds()
        time.sleep(0.5)
        assert seconds() == paused_at
        browser.click("Forward")
        until(lambda: seconds() == pytest.approx(min(paused_at + 0.01, 1.49)))
        browser.click("Muscles")
        until(lambda: npixel()[0] < 20)
        assert browser.errors == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_a_dark_page(out: Path, tmp_path: Path) -> None:
    with _serving(out, "walk", "--dark") as (address, _), browsing(ViewerPage(tmp_path)) as browser:
        browser.open(address)
        scheme = """document.documentElement.getAttribute("data-mantine-color-scheme")"""
        until(lambda: browser.evaluate(scheme) == "dark")
        until(lambda: np.median(browser.scene()) < 60)
        assert browser.errors == []


@pytest.mark.skipif(CHROMIUM is None, reason="no chromium, chromium-browser or google-chrome on the PATH")
def test_browser_runs_no_text_from_files_and_shows_nothing_without_the_token(hostile: Path, tmp_path: Path) -> None:
    with _serving(hostile, "walk") as (address, _), browsing(ViewerPage(tmp_path)) as browser:
        browser.open(address)
        until(lambda: "parent.PWN" in (browser.evaluate("document.body.innerText") or ""))
        text = browser.evaluate("document.body.innerText").replace("\u2060", "")
        for hostile_text in PAGE_TEXTS[:10]:
            assert plain(hostile_text) in text
        browser.click("Previous")  # this clip cannot be shown, which gives a notice
        until(lambda: "Cannot show this clip" in browser.evaluate("document.body.innerText"))
        assert browser.evaluate("String(window.PWN)") == "undefined"
        assert browser.evaluate(f"document.querySelectorAll({json.dumps(_INJECTED_ELEMENTS)}).length") == 0
        browser.open(address.rstrip("/").rpartition("/")[0] + "/")
        until(lambda: "This viewer requires its token" in (browser.evaluate("document.body.innerText") or ""))
        assert browser.evaluate("document.querySelectorAll('canvas').length") == 0
