"""The viewer as a whole: a server on this machine that plays clips to the browsers that look at it."""

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

from musclemap.datasets.clip import read_clip
from musclemap.errors import MusclemapError, SettingsError

from .body import Body
from .clips import ClipFolder
from .guard import Guard, check_guarded, guarding
from .panel import MAX_LISTED, Actions, Panel
from .playback import Playback
from .scene import Scene
from .stage import Stage
from .text import plain

HOST, PORT = "127.0.0.1", 8080
FRAME_SECONDS = 1.0 / 30.0
"""Time between two frames that are sent."""
LONGEST_STEP = 0.25
"""Longest time that passes between two frames [s]. Reading a clip takes longer; so much would be skipped of it."""
_PORTS_TRIED = 100


class Viewer:
    """A page with the clips of a folder. All who look at it see the same.

    What users do arrives on other threads as `actions`, which wait in a queue until the thread that calls `step` takes
    them up, so nothing here is shared.

    Attributes:
        clips: Clips to choose from.
        name: The clip that is shown.
        stage: The 3D part of the page.
        panel: Its controls.
        playback: Where in the clip it is.
        colouring: What the muscles' colours mean, "length" or "activation".
        actions: What users can do.
    """

    def __init__(
        self, clips: ClipFolder, name: str, *, host: str = HOST, port: int | None = None, muscles: bool = True
    ) -> None:
        """Read the first clip, then start to serve.

        Args:
            clips: Clips to choose from.
            name: The one to begin with.
            host: Address to serve at. Whoever reaches it and has the token of `url` can look at the clips.
            port: Port; without it `PORT`, or the next that is free.
            muscles: Show the muscles to begin with.

        Raises:
            MusclemapError: The clip cannot be shown.
            GuardError: This viser cannot be closed to others.
            SettingsError: There is no such address, or its port is taken.
        """
        self.clips, self._bodies = clips, dict[str, Body]()
        self._todo: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._following, self.colouring, self._stale = True, "length", True
        # Browsers open connections that they do not use; each would be a traceback on the terminal.
        logging.getLogger("websockets.server").setLevel(logging.CRITICAL)
        scene = self._read(name)
        free = _free_port(host, port)
        self._guard = Guard(host)
        with _quiet(), guarding(self._guard):
            self.server = viser.ViserServer(host=host, port=free, verbose=False)
        try:
            check_guarded(host, self.server.get_port(), self._guard)  # before there is anything on the page
        except MusclemapError:
            self.stop()
            raise
        self.stage = Stage(self.server)
        self.stage.set_visible("muscles", muscles)
        self.playback = Playback(nframe=1, fps=1.0)
        self.actions = self._queued_actions()
        self.panel = Panel(self.server, clips.names, name=name, muscles=muscles, actions=self.actions)
        self._show(name, scene)
        self.panel.show_colouring(self.colouring)
        self.step(0.0)

    @property
    def url(self) -> str:
        """Address of the page with its token; whoever has it can look at the clips."""
        host = self.server.get_host()
        name = {"0.0.0.0": "localhost", "::": "localhost"}.get(host, f"[{host}]" if ":" in host else host)
        return f"http://{name}:{self.server.get_port()}/{self._guard.token}/"

    def step(self, seconds: float) -> None:
        """Let time pass on the clock on the wall [s], do what users asked for, and send the frame if it is new."""
        before = self.playback.frame
        self.playback.advance(seconds)
        while True:
            try:
                self._todo.get_nowait()()
            except Empty:
                break
            self._stale = True
        if self.playback.frame == before and not self._stale:
            return
        self._stale = False
        index = self.playback.frame
        frame = self._scene.frame(index, colouring=self.colouring)
        self.stage.draw(frame, index=index, following=self._following)
        self.panel.show_frame(frame, self.playback)

    def run(self) -> None:
        """Play until interrupted; while nobody looks, time stands still."""
        last = time.perf_counter()
        while True:
            started = time.perf_counter()
            self.step(min(started - last, LONGEST_STEP) if self.server.get_clients() else 0.0)
            last = started
            time.sleep(max(FRAME_SECONDS - (time.perf_counter() - started), 0.001))

    def stop(self) -> None:
        """Stop to serve."""
        with _quiet():
            self.server.stop()

    def _read(self, name: str) -> Scene:
        clip = read_clip(self.clips.path(name))
        if clip.model not in self._bodies:
            self._bodies[clip.model] = Body(clip.model)
        return Scene(clip, self._bodies[clip.model])

    def _show(self, name: str, scene: Scene) -> None:
        self.name, self._scene = name, scene
        old = self.playback
        self.playback = Playback(
            nframe=scene.clip.nframe, fps=scene.clip.fps, speed=old.speed, playing=old.playing, loop=old.loop
        )
        if scene.activation is None:
            self._colour("length")
        self.stage.show(scene, scene.frame(0, colouring=self.colouring))
        self.panel.show_clip(name, scene, self.playback, notes=_notes(scene))
        self._aim()

    def _aim(self) -> None:
        """Place the cameras of those who look, and of those who will."""
        track = self._scene.track
        for camera in (self.server.initial_camera, *(c.camera for c in self.server.get_clients().values())):
            camera.position, camera.look_at = track.eye(0), track.lookat[0]
            camera.fov = math.radians(track.fovy_deg)

    def _choose(self, name: str) -> None:
        """Show another clip; one that cannot be shown is told of, and the one before stays."""
        if name == self.name:
            return
        try:
            scene = self._read(name)
        except MusclemapError as error:
            for client in self.server.get_clients().values():
                client.add_notification("This clip cannot be shown", plain(error), color="red")
            self.panel.show_name(self.name)
            return
        self._show(name, scene)

    def _step_clip(self, by: int) -> None:
        names = self.clips.names
        self._choose(names[(names.index(self.name) + by) % len(names)])

    def _step_frame(self, by: int) -> None:
        self.playback.playing = False
        self.playback.seek(self.playback.frame + by)

    def _colour(self, colouring: str) -> None:
        self.colouring = colouring
        self.panel.show_colouring(colouring)

    def _queued_actions(self) -> Actions:
        def later(act: Callable[..., None]) -> Callable[..., None]:
            return lambda *values: self._todo.put(lambda: act(*values))

        return Actions(
            choose=later(self._choose), step_clip=later(self._step_clip),
            search=lambda text: self.clips.matching(text, limit=MAX_LISTED),
            toggle=later(lambda: self.playback.toggle()), seek=later(lambda frame: self.playback.seek(frame)),
            step=later(self._step_frame), speed=later(lambda value: setattr(self.playback, "speed", value)),
            loop=later(lambda value: setattr(self.playback, "loop", value)),
            follow=later(lambda value: setattr(self, "_following", value)),
            layer=later(self.stage.set_visible), colouring=later(self._colour),
        )  # fmt: skip


def _notes(scene: Scene) -> list[str]:
    """What a viewer should know of a clip that does not quite go with the body here."""
    clip, here, nu = scene.clip, version("musclemimic-models"), scene.body.model.nu
    notes = []
    if clip.model_version != here:
        notes.append(f"made for {clip.model} {clip.model_version}, drawn on {here}")
    if clip.activation is not None and scene.activation is None:
        notes.append(f"its activations are of {clip.activation.shape[1]} muscles, the body has {nu}: not shown")
    return notes


def _free_port(host: str, port: int | None) -> int:
    """A port that can be listened on; without one given, the first free from `PORT` on.

    Asked for before viser is: at an address that is not this machine's, it would wait for ever.
    """
    tried = [port] if port is not None else range(PORT, PORT + _PORTS_TRIED)
    reason = ""
    for candidate in tried:
        try:
            family, *_, address = socket.getaddrinfo(host, candidate, type=socket.SOCK_STREAM)[0]
            with socket.socket(family, socket.SOCK_STREAM) as trial:
                trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                trial.bind(address)
                return trial.getsockname()[1]
        except (OSError, OverflowError) as error:
            reason = getattr(error, "strerror", None) or str(error)
    given = f"port {port}" if port is not None else f"any port from {PORT} to {PORT + _PORTS_TRIED - 1}"
    raise SettingsError(f"cannot serve at {host}, {given}: {reason}")


def _quiet() -> contextlib.redirect_stdout[io.StringIO]:
    """Keep viser's own announcements off the terminal; the command says in its own words what is where."""
    return contextlib.redirect_stdout(io.StringIO())
