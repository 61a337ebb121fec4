"""The viewer: a server on this machine that plays clips in the browsers connected to it."""

import contextlib
import io
import logging
import math
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from queue import Empty, SimpleQueue

import numpy as np
import viser

from musclemap.datasets.clip import Clip, read_clip
from musclemap.errors import MusclemapError, SettingsError
from musclemap.skeletons.variants.variant import BodyVariant

from .clips import ClipFolder
from .curves import plot_of
from .drawn_body import DrawnBody
from .guard import Guard, check_guarded, guarding
from .muscle_picking import pick_tendon
from .page_camera import NARROW, stand
from .panel import MAX_LISTED, MUSCLE_CURVE, NO_MUSCLE, Actions, Panel
from .playback import Playback
from .scene import Scene
from .scene_view import SceneView
from .text import plain

HOST, PORT = "127.0.0.1", 8080
FRAME_SECONDS = 1.0 / 30.0
"""Time between two frames sent [s]."""
LONGEST_STEP = 0.25
"""Longest playback time between two frames [s]; otherwise a slow read of a clip would skip its start."""
ASIDE, BACK_FOR_TWO = 1.3, 1.2
"""Distance of two bodies side by side, and how far the camera steps back for them [m]."""
_PORTS_TRIED = 100

MAX_BODIES = 8
"""Most bodies that are kept ready for drawing; a folder's clips may be of any number of variants."""


@dataclass(frozen=True, kw_only=True)
class Beside:
    """What to show beside each clip.

    Attributes:
        read: Reads it by the name of the clip.
        title: Its title; "" for "reference".
        own_title: Title of the clip itself; "" for its name.
        left: Whether it is on the left of the clip, and not on its right.
    """

    read: Callable[[str], Clip]
    title: str = ""
    own_title: str = ""
    left: bool = False


class Viewer:
    """A page with the clips of a folder; all connected browsers show the same.

    User actions arrive on other threads through `actions` and wait in a queue until the thread that calls `step` runs
    them, so no state is shared between threads.

    Attributes:
        clips: Clips to choose from.
        name: Name of the current clip.
        scene_view: The 3D part of the page.
        panel: The controls.
        playback: Position in the current clip.
        colouring: Meaning of the muscle colours, "length" or "activation".
        actions: Callbacks for user actions.
    """

    def __init__(
        self,
        clips: ClipFolder,
        name: str,
        *,
        host: str = HOST,
        port: int | None = None,
        muscles: bool = True,
        targets: bool | None = None,
        read: Callable[[str], Clip] | None = None,
        beside: Beside | None = None,
    ) -> None:
        """Read the first clip, then start the server.

        Args:
            clips: Clips to choose from.
            name: Name of the first clip to show.
            host: Address to serve at. Anyone who can reach it and has the token in `url` can see the clips.
            port: Port; if None, the first free port from `PORT` on.
            muscles: Whether to show the muscles at first.
            targets: Whether to show the landmark targets at first; only if the first clip has no activations if None.
            read: Reads a clip by its name; None reads its file.
            beside: What to show beside each clip, or None.

        Raises:
            MusclemapError: If the clip cannot be shown.
            GuardError: If access to the installed viser cannot be restricted.
            SettingsError: If the address does not exist or the port is in use.
        """
        self.clips, self._bodies = clips, dict[tuple[str, BodyVariant], DrawnBody]()
        self._read = read or (lambda name: read_clip(clips.path(name)))
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._following, self._stale = True, True
        self.colouring = self._preferred = "activation"
        self._beside, self._curve, self._muscle = beside, MUSCLE_CURVE, NO_MUSCLE
        # Browsers open connections that they never use; each would print a traceback.
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
        scenes = self._read_scenes(name)
        free_port = _free_port(host, port)
        self._guard = Guard(host)
        with _quiet(), guarding(self._guard):
            self.server = viser.ViserServer(host=host, port=free_port, verbose=False)
        try:
            check_guarded(host, self.server.get_port(), self._guard)  # before the page has any content
        except MusclemapError:
            self.stop()
            raise
        self.views = [SceneView(self.server, root=root) for root in ("clip", "beside")[: len(scenes)]]
        self.scene_view = self.views[0]
        self.playback = Playback(nframe=1, fps=1.0)
        self.actions = self._queued_actions()
        self.panel = Panel(self.server, clips.names, name=name, muscles=muscles, actions=self.actions)
        self._show(name, scenes)
        self._set_layer("muscles", muscles)
        self.panel.set_targets(scenes[0].activation is None if targets is None else targets)
        self._set_layer("targets", self.panel.targets.value)
        self.server.scene.on_click()(self._clicked)
        self.server.on_client_connect(lambda client: self._queue.put(lambda: self._welcome(client)))
        self.step(0.0)

    @property
    def url(self) -> str:
        """Address of the page with its token; anyone who has it can see the clips."""
        host = self.server.get_host()
        name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{name}:{self.server.get_port()}/{self._guard.token}/"

    def step(self, seconds: float) -> None:
        """Advance by a duration of wall-clock time [s], run queued user actions, and send the frame if it changed."""
        before = self.playback.frame
        self.playback.advance(seconds)
        while True:
            try:
                self._queue.get_nowait()()
            except Empty:
                break
            self._stale = True
        if self.playback.frame == before and not self._stale:
            return
        self._stale = False
        index = self.playback.frame
        for view, scene in zip(self.views, self._scenes, strict=True):
            row = min(round(self.playback.time * scene.clip.fps + 1e-6), scene.clip.nframe - 1)
            row = index if scene is self._scenes[0] else row
            frame = scene.frame(row, colouring=self.colouring)
            view.draw(frame, index=row, following=self._following)
            if scene is self._scenes[0]:
                self._frame = frame
        self.panel.show_frame(self._frame, self.playback)
        self.panel.plot.content = self._plot.html(index / self.playback.fps)

    def run(self) -> None:
        """Play until interrupted; playback pauses while no browser is connected."""
        last = time.perf_counter()
        while True:
            started = time.perf_counter()
            self.step(min(started - last, LONGEST_STEP) if self.server.get_clients() else 0.0)
            last = started
            time.sleep(max(FRAME_SECONDS - (time.perf_counter() - started), 0.001))

    def stop(self) -> None:
        """Stop the server."""
        with _quiet():
            self.server.stop()

    def _read_scenes(self, name: str) -> list[Scene]:
        """The clip and, if there is one, what is shown beside it."""
        clips = [self._read(name)] + ([self._beside.read(name)] if self._beside is not None else [])
        return [Scene(clip, self._body(clip)) for clip in clips]

    def _body(self, clip: Clip) -> DrawnBody:
        key = (clip.model, clip.variant)
        if key not in self._bodies:
            if len(self._bodies) >= MAX_BODIES:
                self._bodies.clear()
            self._bodies[key] = DrawnBody(clip.model, variant=clip.variant)
        return self._bodies[key]

    def _show(self, name: str, scenes: list[Scene]) -> None:
        self.name, self._scenes = name, scenes
        scene, old = scenes[0], self.playback
        self.playback = Playback(
            nframe=scene.clip.nframe, fps=scene.clip.fps, speed=old.speed, playing=old.playing, loop=old.loop
        )
        for view, shown in zip(self.views, scenes, strict=True):
            view.show(shown, shown.frame(0, colouring=self.colouring))
        self._titles = ("",)
        if self._beside is not None:
            titles = (self._beside.own_title or name, self._beside.title or "reference")
            self._titles = tuple(plain(title).removesuffix(".h5") for title in titles)
            right = scene.camera_path.axes()[0]
            half = (0.5 if self._beside.left else -0.5) * ASIDE * right
            for view, title, offset in zip(self.views, self._titles, (half, -half), strict=True):
                view.move_aside(offset, title=title)
            self.views[1].ground.visible = False  # one grid for both
        self.panel.show_clip(name, scene, self.playback, notes=self._notes())
        self._set_colouring("length" if scene.activation is None else self._preferred)
        if self._muscle not in scene.body.muscles:
            self._muscle = NO_MUSCLE
        if self._curve not in scene.body.joints:
            self._curve = MUSCLE_CURVE
        self._set_muscle(self._muscle, curve=self._curve)
        self._reset_cameras()

    def _reset_cameras(self) -> None:
        """Set the cameras of connected browsers, and the initial camera of browsers that connect later."""
        self._place_camera(self.server.initial_camera, aspect=1.0)
        for client in self.server.get_clients().values():
            self._place_camera(client.camera, aspect=client.camera.aspect)

    def _welcome(self, client: viser.ClientHandle) -> None:
        """Show the body above the panel in the narrow window of a new browser."""
        if client.camera.aspect < NARROW:
            self._place_camera(client.camera, aspect=client.camera.aspect)

    def _place_camera(self, camera: viser.CameraHandle | viser.InitialCameraConfig, *, aspect: float) -> None:
        path, back = self._scenes[0].camera_path, BACK_FOR_TWO if len(self._scenes) > 1 else 0.0
        camera.position, camera.look_at = stand(path, aspect=aspect, back=back)
        camera.fov = math.radians(path.fovy_deg)

    def _notes(self) -> list[str]:
        """Mismatches between the clip and the installed body, and what a clip beside it lacks."""
        scene = self._scenes[0]
        clip, installed, nu = scene.clip, version("musclemimic-models"), scene.body.model.nu
        notes = []
        if clip.model_version not in (installed, f"{installed}+corrected"):
            notes.append(f"made for {clip.model} {clip.model_version}, drawn with {installed}")
        if clip.variant:
            notes.append(f"the body has {clip.variant.text}")
        if clip.activation is not None and scene.activation is None:
            notes.append(f"activations not shown: they are for {clip.activation.shape[1]} muscles, the body has {nu}")
        grey = [title for title, other in zip(self._titles, self._scenes, strict=True) if other.activation is None]
        if 0 < len(grey) < len(self._scenes):
            notes.append(f"grey muscles: {grey[0]} has no activations")
        return notes

    def _select_clip(self, name: str) -> None:
        """Show another clip; if it cannot be shown, notify the users and keep the current one."""
        if name == self.name:
            return
        try:
            scenes = self._read_scenes(name)
        except MusclemapError as error:
            for client in self.server.get_clients().values():
                client.add_notification("Cannot show this clip", plain(error), color="red")
            self.panel.show_name(self.name)
            return
        self._show(name, scenes)

    def _step_clip(self, by: int) -> None:
        names = self.clips.names
        self._select_clip(names[(names.index(self.name) + by) % len(names)])

    def _step_frame(self, by: int) -> None:
        self.playback.playing = False
        self.playback.seek(self.playback.frame + by)

    def _set_colouring(self, colouring: str) -> None:
        self.colouring = colouring
        self.panel.show_colouring(colouring)
        self._lay_out_plot()

    def _prefer_colouring(self, colouring: str) -> None:
        """Set the colouring that the user wants, also for further clips."""
        self._preferred = colouring
        self._set_colouring(colouring)

    def _set_layer(self, layer: str, visible: bool) -> None:
        for view in self.views:
            view.set_visible(layer, visible)

    def _set_muscle(self, muscle: str, *, curve: str = MUSCLE_CURVE) -> None:
        """Mark a muscle, and plot it; a page can send any text, so unknown names are ignored."""
        if muscle != NO_MUSCLE and muscle not in self._scenes[0].body.muscles:
            return
        self._muscle = muscle
        self.panel.muscle.value = muscle
        chosen = None if muscle == NO_MUSCLE else muscle
        for view, scene in zip(self.views, self._scenes, strict=True):
            view.choose(scene, scene.frame(0), chosen)
        self._set_curve(curve)

    def _set_curve(self, curve: str) -> None:
        """Plot the angle of a joint or the chosen muscle; unknown names are ignored."""
        if curve == MUSCLE_CURVE or curve in self._scenes[0].body.joints:
            self._curve = curve
            self.panel.curve.value = curve
            self._lay_out_plot()

    def _lay_out_plot(self) -> None:
        self._plot = plot_of(self._scenes, curve=self._curve, muscle=self._muscle, colouring=self.colouring,
                             titles=self._titles)  # fmt: skip

    def _clicked(self, event: viser.SceneClickEvent) -> None:
        """Find the clicked muscle; called from another thread."""
        origin, direction = np.array(event.ray_origin), np.array(event.ray_direction)
        self._queue.put(lambda: self._pick(origin, direction))

    def _pick(self, origin: np.ndarray, direction: np.ndarray) -> None:
        """Choose the first body's muscle on a line of sight."""
        body, view, index = self._scenes[0].body, self.scene_view, self.playback.frame
        start = origin - view.offset + view.shift(index, following=self._following)
        tendon = pick_tendon(self._frame.muscle, body.paths.tendon, origin=start, direction=direction)
        name = next((name for name, of_muscle in body.muscles.items() if of_muscle == tendon), None)
        if name is not None:
            self._set_muscle(name)

    def _queued_actions(self) -> Actions:
        def queued(act: Callable[..., None]) -> Callable[..., None]:
            return lambda *values: self._queue.put(lambda: act(*values))

        return Actions(
            choose=queued(self._select_clip), step_clip=queued(self._step_clip),
            search=lambda text: self.clips.matching(text, limit=MAX_LISTED),
            toggle=queued(lambda: self.playback.toggle()), seek=queued(lambda frame: self.playback.seek(frame)),
            step=queued(self._step_frame), speed=queued(lambda value: setattr(self.playback, "speed", value)),
            loop=queued(lambda value: setattr(self.playback, "loop", value)),
            follow=queued(lambda value: setattr(self, "_following", value)),
            layer=queued(self._set_layer), colouring=queued(self._prefer_colouring), muscle=queued(self._set_muscle),
            curve=queued(self._set_curve),
        )  # fmt: skip


def _free_port(host: str, port: int | None) -> int:
    """Find a port that is free: `port`, or the first free one from `PORT` on if it is None.

    This comes before viser starts, because viser waits forever at an address that does not belong to this machine.

    Raises:
        SettingsError: If no port is free or the address does not belong to this machine.
    """
    candidates = [port] if port is not None else range(PORT, PORT + _PORTS_TRIED)
    reason = ""
    for candidate in candidates:
        try:
            family, *_, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                probe.bind(address)
                return probe.getsockname()[1]
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    given = f"port {port}" if port is not None else f"any port from {PORT} to {PORT + _PORTS_TRIED - 1}"
    raise SettingsError(f"cannot serve at {host}, {given}: {reason}")


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """Silence viser's output; the command prints the address itself."""
    return contextlib.redirect_stdout(io.StringIO())
