"""The viewer: a server on this machine that plays clips in the browsers connected to it."""

import contextlib
import io
import logging
import math
import socket
import time
from collections.abc import Callable
from importlib.metadata import version
from queue import Empty, SimpleQueue

import viser

from musclemap.datasets.clip import Clip, read_clip
from musclemap.errors import MusclemapError, SettingsError
from musclemap.skeletons.variants.variant import BodyVariant

from .clips import ClipFolder
from .drawn_body import DrawnBody
from .guard import Guard, check_guarded, guarding
from .panel import MAX_LISTED, Actions, Panel
from .playback import Playback
from .scene import Scene
from .scene_view import SceneView
from .text import plain

HOST, PORT = "127.0.0.1", 8080
FRAME_SECONDS = 1.0 / 30.0
"""Time between two frames sent [s]."""
LONGEST_STEP = 0.25
"""Longest playback time between two frames [s]; otherwise a slow read of a clip would skip its start."""
_PORTS_TRIED = 100

MAX_BODIES = 8
"""Most bodies that are kept ready for drawing; a folder's clips may be of any number of variants."""


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
        read: Callable[[str], Clip] | None = None,
        colouring: str = "length",
    ) -> None:
        """Read the first clip, then start the server.

        Args:
            clips: Clips to choose from.
            name: Name of the first clip to show.
            host: Address to serve at. Anyone who can reach it and has the token in `url` can see the clips.
            port: Port; if None, the first free port from `PORT` on.
            muscles: Whether to show the muscles at first.
            read: Reads a clip by its name; None reads its file.
            colouring: Meaning of the muscle colours at first, "length" or "activation".

        Raises:
            MusclemapError: If the clip cannot be shown.
            GuardError: If access to the installed viser cannot be restricted.
            SettingsError: If the address does not exist or the port is in use.
        """
        self.clips, self._bodies = clips, dict[tuple[str, BodyVariant], DrawnBody]()
        self._read = read or (lambda name: read_clip(clips.path(name)))
        self._queue: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._following, self.colouring, self._stale = True, colouring, True
        # Browsers open connections that they never use; each would print a traceback.
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
        scene = self._read_scene(name)
        free_port = _free_port(host, port)
        self._guard = Guard(host)
        with _quiet(), guarding(self._guard):
            self.server = viser.ViserServer(host=host, port=free_port, verbose=False)
        try:
            check_guarded(host, self.server.get_port(), self._guard)  # before the page has any content
        except MusclemapError:
            self.stop()
            raise
        self.scene_view = SceneView(self.server)
        self.scene_view.set_visible("muscles", muscles)
        self.playback = Playback(nframe=1, fps=1.0)
        self.actions = self._queued_actions()
        self.panel = Panel(self.server, clips.names, name=name, muscles=muscles, actions=self.actions)
        self._show(name, scene)
        self.panel.show_colouring(self.colouring)
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
        frame = self._scene.frame(index, colouring=self.colouring)
        self.scene_view.draw(frame, index=index, following=self._following)
        self.panel.show_frame(frame, self.playback)

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

    def _read_scene(self, name: str) -> Scene:
        clip = self._read(name)
        key = (clip.model, clip.variant)
        if key not in self._bodies:
            if len(self._bodies) >= MAX_BODIES:
                self._bodies.clear()
            self._bodies[key] = DrawnBody(clip.model, variant=clip.variant)
        return Scene(clip, self._bodies[key])

    def _show(self, name: str, scene: Scene) -> None:
        self.name, self._scene = name, scene
        old = self.playback
        self.playback = Playback(
            nframe=scene.clip.nframe, fps=scene.clip.fps, speed=old.speed, playing=old.playing, loop=old.loop
        )
        if scene.activation is None:
            self._set_colouring("length")
        self.scene_view.show(scene, scene.frame(0, colouring=self.colouring))
        self.panel.show_clip(name, scene, self.playback, notes=_notes(scene))
        self._reset_cameras()

    def _reset_cameras(self) -> None:
        """Set the cameras of connected browsers, and the initial camera of browsers that connect later."""
        camera_path = self._scene.camera_path
        for camera in (self.server.initial_camera, *(c.camera for c in self.server.get_clients().values())):
            camera.position, camera.look_at = camera_path.eye(0), camera_path.lookat[0]
            camera.fov = math.radians(camera_path.fovy_deg)

    def _select_clip(self, name: str) -> None:
        """Show another clip; if it cannot be shown, notify the users and keep the current one."""
        if name == self.name:
            return
        try:
            scene = self._read_scene(name)
        except MusclemapError as error:
            for client in self.server.get_clients().values():
                client.add_notification("Cannot show this clip", plain(error), color="red")
            self.panel.show_name(self.name)
            return
        self._show(name, scene)

    def _step_clip(self, by: int) -> None:
        names = self.clips.names
        self._select_clip(names[(names.index(self.name) + by) % len(names)])

    def _step_frame(self, by: int) -> None:
        self.playback.playing = False
        self.playback.seek(self.playback.frame + by)

    def _set_colouring(self, colouring: str) -> None:
        self.colouring = colouring
        self.panel.show_colouring(colouring)

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
            layer=queued(self.scene_view.set_visible), colouring=queued(self._set_colouring),
        )  # fmt: skip


def _notes(scene: Scene) -> list[str]:
    """Describe mismatches between a clip and the installed body."""
    clip, installed, nu = scene.clip, version("musclemimic-models"), scene.body.model.nu
    notes = []
    if clip.model_version != installed:
        notes.append(f"made for {clip.model} {clip.model_version}, drawn with {installed}")
    if clip.variant:
        notes.append(f"the body has {clip.variant.text}")
    if clip.activation is not None and scene.activation is None:
        notes.append(f"activations not shown: they are for {clip.activation.shape[1]} muscles, the body has {nu}")
    return notes


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
