"""The controls beside the 3D scene. They change nothing themselves: each user action becomes a call to the server.

All text from files passes through `text` on its way to the page; none reaches `add_html`.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import viser

from musclemap.pipelines.rendering.muscles import FULL_RGB, LONG_RGB, MIDDLE_RGB, PASSIVE_RGB, REST_RGB, SHORT_RGB
from musclemap.retarget.checks.reason_text import reason_text

from .playback import Playback
from .scene import COLOURINGS, Frame, Scene
from .scene_view import LAYERS
from .text import labels, markdown

SPEEDS = {"⅛×": 0.125, "¼×": 0.25, "½×": 0.5, "1×": 1.0, "2×": 2.0}
MAX_LISTED = 500
"""Maximum number of clips listed in the chooser; a search field narrows down longer lists."""
MAX_REASONS = 20
"""Maximum number of broken rules listed per clip."""


@dataclass(frozen=True, kw_only=True)
class Actions:
    """Callbacks of the controls, called from other threads than the one that draws."""

    choose: Callable[[str], None]
    step_clip: Callable[[int], None]
    search: Callable[[str], Sequence[str]]
    toggle: Callable[[], None]
    seek: Callable[[int], None]
    step: Callable[[int], None]
    speed: Callable[[float], None]
    loop: Callable[[bool], None]
    follow: Callable[[bool], None]
    layer: Callable[[str, bool], None]
    colouring: Callable[[str], None]


class Panel:
    """Clip chooser, player and layers.

    Attributes:
        chooser, slider, colouring, info: Controls that show the state of the current clip.
        actions: Callbacks of the controls.
    """

    def __init__(
        self, server: viser.ViserServer, names: Sequence[str], *, name: str, muscles: bool, actions: Actions
    ) -> None:
        self.actions, self._label = actions, labels(names)
        self._name = {label: name for name, label in self._label.items()}
        gui = server.gui
        gui.configure_theme(show_share_button=False, show_logo=False)  # sharing would send clips over the internet
        gui.set_panel_label("musclemap")
        self._add_chooser(gui, names, name, actions)
        self._add_player(gui, actions)
        self._add_layers(gui, muscles, actions)
        self.info = gui.add_markdown("")

    def show_clip(self, name: str, scene: Scene, playback: Playback, *, notes: Sequence[str]) -> None:
        """Set the controls for another clip."""
        self.show_name(name)
        self.slider.value = 0
        self.slider.max = max(playback.nframe - 1, 1)
        self.colouring.options = COLOURINGS if scene.activation is not None else COLOURINGS[:1]
        clip = scene.clip
        self._clip_text = "  \n".join(
            [
                f"**{markdown(clip.verdict)}**, {clip.nframe} frames at {clip.fps:g} Hz, {markdown(clip.model)}",
                *(_broken_rule(reason, clip.fps) for reason in clip.reasons[:MAX_REASONS]),
                *([f"and {len(clip.reasons) - MAX_REASONS} more"] if len(clip.reasons) > MAX_REASONS else []),
                *(markdown(note) for note in notes),
            ]
        )

    def show_name(self, name: str) -> None:
        """Select a clip in the chooser."""
        label = self._label[name]
        if label not in self.chooser.options:
            self.chooser.options = (*self.chooser.options, label)
        self.chooser.value = label

    def show_frame(self, frame: Frame, playback: Playback) -> None:
        """Update the controls to the current frame."""
        self.slider.value = playback.frame
        self._play.label = "Pause" if playback.playing else "Play"
        self._time.content = f"{playback.frame / playback.fps:.2f} of {playback.duration:.2f} s"
        self.info.content = (
            f"{self._clip_text}\n\nMean landmark error {1000.0 * frame.error:.0f} mm  \n"
            f"{frame.outside} muscles outside their operating range"
        )

    def show_colouring(self, colouring: str) -> None:
        """Show the legend of a colouring of the muscles."""
        self.colouring.value = colouring
        if colouring == "activation":
            self._legend.content = _legend("at rest", "fully active", (REST_RGB, FULL_RGB))
        else:
            self._legend.content = _legend("shortest", "longest in its range", (SHORT_RGB, MIDDLE_RGB, LONG_RGB))

    def _add_chooser(self, gui: viser.GuiApi, names: Sequence[str], name: str, actions: Actions) -> None:
        listed = names[:MAX_LISTED]
        if len(names) > MAX_LISTED:
            search = gui.add_text("Search", "", hint=f"{len(names)} clips, {MAX_LISTED} listed at a time")
            listed = listed if name in listed else (*listed, name)

            @search.on_update
            def _(event: viser.GuiEvent[Any]) -> None:
                matches = tuple(self._label[name] for name in actions.search(search.value))
                self.chooser.options = matches if self.chooser.value in matches else (self.chooser.value, *matches)

        options = tuple(self._label[listed_name] for listed_name in listed)
        self.chooser = gui.add_dropdown("Clip", options, initial_value=self._label[name])
        if len(names) > 1:
            gui.add_button_group("", ("Previous", "Next")).on_click(
                lambda event: actions.step_clip(1 if event.target.value == "Next" else -1)
            )
        _on_user(self.chooser, self.choose_label)

    def choose_label(self, label: str) -> None:
        """Request the clip of a label. A page can send any text, so unknown labels are ignored."""
        if label in self._name:
            self.actions.choose(self._name[label])

    def _add_player(self, gui: viser.GuiApi, actions: Actions) -> None:
        self._time = gui.add_markdown("")
        self.slider = gui.add_slider("Frame", 0, 1, 1, 0)
        _on_user(self.slider, actions.seek)
        self._play = gui.add_button("Pause", hint="Space bar")
        self._play.on_click(lambda _: actions.toggle())
        gui.add_command("Play or pause", hotkey="space").on_trigger(lambda _: actions.toggle())
        gui.add_button_group("Step", ("Back", "Forward")).on_click(
            lambda event: actions.step(1 if event.target.value == "Forward" else -1)
        )
        speed = gui.add_dropdown("Speed", tuple(SPEEDS), initial_value="1×")
        _on_user(speed, lambda value: actions.speed(SPEEDS[value]))
        _on_user(gui.add_checkbox("Loop", True), actions.loop)
        _on_user(gui.add_checkbox("Follow", True, hint="Keep the body in view and move the ground"), actions.follow)

    def _add_layers(self, gui: viser.GuiApi, muscles: bool, actions: Actions) -> None:
        with gui.add_folder("Show"):
            for layer in LAYERS:
                box = gui.add_checkbox(layer.capitalize(), muscles or layer != "muscles")
                _on_user(box, lambda value, layer=layer: actions.layer(layer, value))
            self.colouring: viser.GuiDropdownHandle[str] = gui.add_dropdown("Colour by", COLOURINGS[:1])
            _on_user(self.colouring, actions.colouring)
            self._legend = gui.add_html("")


def _on_user(control: Any, act: Callable[[Any], None]) -> None:
    """Call `act` with values that a user sets, but not with those that the server sets."""
    control.on_update(lambda event: act(event.target.value) if event.client_id is not None else None)


def _broken_rule(reason: Mapping[str, Any], fps: float) -> str:
    """Describe a broken rule in Markdown."""
    value, limit = (f"{x:.3g}" if isinstance(x, int | float) else str(x) for x in map(reason.get, ("value", "limit")))
    where = f", {reason['at']}" if reason.get("at") else ""
    text = reason_text(reason, fps=fps)
    return markdown(f"{reason.get('rule')} {value}, limit {limit}{where}{f': {text}' if text else ''}")


def _legend(low: str, high: str, scale: Sequence[tuple[float, float, float]]) -> str:
    colours = ", ".join(_css(rgb) for rgb in scale)
    return (
        f'<div style="margin:0 0.75em 0.75em; font-size:0.75em"><div style="height:0.6em; border-radius:0.3em; '
        f'background:linear-gradient(to right, {colours})"></div><div style="display:flex; '
        f'justify-content:space-between"><span>{low}</span><span>{high}</span></div>'
        f'<span style="color:{_css(PASSIVE_RGB)}">■</span> no muscle</div>'
    )


def _css(rgb: tuple[float, float, float]) -> str:
    return f"rgb({', '.join(str(round(255 * band)) for band in rgb)})"
