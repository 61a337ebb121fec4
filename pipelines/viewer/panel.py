"""The controls beside the 3D scene. They change nothing themselves: each user action becomes a call to the server.

All text from files passes through `text` on its way to the page. `add_html` gets names of the body and titles of clips,
which `curves` escapes.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import viser

from musclemap.pipelines.rendering.colour_map import ACTIVATION_STOPS
from musclemap.pipelines.rendering.drawing import CENTRE_RGB, FORCE_RGB, LEFT_RGB, RIGHT_RGB
from musclemap.pipelines.rendering.loads import ARROW_SCALE
from musclemap.pipelines.rendering.muscles import LONG_RGB, MIDDLE_RGB, PASSIVE_RGB, SHORT_RGB
from musclemap.pipelines.wording import counted
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
NO_MUSCLE: str = "none"
"""Choice of no muscle."""
MUSCLE_CURVE: str = "chosen muscle"
"""Choice of the curve of the chosen muscle."""


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
    muscle: Callable[[str], None]
    curve: Callable[[str], None]


class Panel:
    """Clip chooser, player and layers.

    Attributes:
        chooser, slider, targets, colouring, muscle, curve, plot, legend, info: Controls that show the state of the
            current clip.
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
        self._add_curves(gui, actions)
        self.legend = gui.add_html("")
        self._add_layers(gui, muscles, actions)
        self._add_playback(gui, actions)
        self.info = gui.add_markdown("")

    def show_clip(self, name: str, scene: Scene, playback: Playback, *, notes: Sequence[str]) -> None:
        """Set the controls for another clip."""
        self.show_name(name)
        self.slider.value = 0
        self.slider.max = max(playback.nframe - 1, 1)
        self.colouring.options = COLOURINGS if scene.activation is not None else COLOURINGS[:1]
        self.muscle.options = (NO_MUSCLE, *scene.body.muscles)
        self.curve.options = (MUSCLE_CURVE, *scene.body.joints)
        forces = scene.loads.arrow.any()
        self._force_legend = [
            *([f"{_mark(FORCE_RGB, '↑')} ground force, {ARROW_SCALE:g} m = body weight"] if forces else []),
            *([f"{_mark(FORCE_RGB, '●')} {scene.loads.meaning}"] if scene.loads.bears.any() else []),
            f"targets {_mark(LEFT_RGB, '●')} left {_mark(RIGHT_RGB, '●')} right {_mark(CENTRE_RGB, '●')} middle",
        ]
        clip = scene.clip
        size = f"{counted(clip.nframe, 'frame')} at {clip.fps:g} Hz"
        self._clip_text = "  \n".join(
            [
                f"**{markdown(clip.verdict)}**, {size}, {markdown(clip.model)}",
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

    def set_targets(self, visible: bool) -> None:
        """Tick whether the targets are shown."""
        self.targets.value = visible

    def show_colouring(self, colouring: str) -> None:
        """Show the legend of a colouring of the muscles."""
        self.colouring.value = colouring
        if colouring == "activation":
            bar = _colour_bar("muscle activation 0", "1", [(place, _hex(text)) for place, text in ACTIVATION_STOPS])
        else:
            scale = [(0.0, SHORT_RGB), (0.5, MIDDLE_RGB), (1.0, LONG_RGB)]
            unknown = "no activations in this clip; " if len(self.colouring.options) == 1 else ""
            bar = _colour_bar(f"{unknown}muscle length: shortest", "longest", scale)
        lines = [*self._force_legend, f"{_mark(PASSIVE_RGB, '■')} tendon without a muscle"]
        self.legend.content = f'<div style="margin:0 0.75em 0.75em; font-size:0.8em">{bar}{"<br>".join(lines)}</div>'

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

    def _add_playback(self, gui: viser.GuiApi, actions: Actions) -> None:
        with gui.add_folder("Playback", expand_by_default=False):
            speed = gui.add_dropdown("Speed", tuple(SPEEDS), initial_value="1×")
            _on_user(speed, lambda value: actions.speed(SPEEDS[value]))
            _on_user(gui.add_checkbox("Loop", True), actions.loop)
            hint = "Keep the body in view and move the ground"
            _on_user(gui.add_checkbox("Follow", True, hint=hint), actions.follow)

    def _add_curves(self, gui: viser.GuiApi, actions: Actions) -> None:
        self.plot = gui.add_html("")
        hint = "Angle of a joint, or the chosen muscle"
        self.curve: viser.GuiDropdownHandle[str] = gui.add_dropdown("Plot", (MUSCLE_CURVE,), hint=hint)
        hint = "Type a part of its name, or click a muscle"
        self.muscle: viser.GuiDropdownHandle[str] = gui.add_dropdown("Muscle", (NO_MUSCLE,), hint=hint)
        _on_user(self.curve, actions.curve)
        _on_user(self.muscle, actions.muscle)

    def _add_layers(self, gui: viser.GuiApi, muscles: bool, actions: Actions) -> None:
        with gui.add_folder("Show", expand_by_default=False):
            for layer, shown in LAYERS.items():
                box = gui.add_checkbox(layer.capitalize(), shown and (muscles or layer != "muscles"))
                _on_user(box, lambda value, layer=layer: actions.layer(layer, value))
                if layer == "targets":
                    self.targets = box
            self.colouring: viser.GuiDropdownHandle[str] = gui.add_dropdown("Colour by", COLOURINGS[:1])
            _on_user(self.colouring, actions.colouring)


def _on_user(control: Any, act: Callable[[Any], None]) -> None:
    """Call `act` with values that a user sets, but not with those that the server sets."""
    control.on_update(lambda event: act(event.target.value) if event.client_id is not None else None)


def _broken_rule(reason: Mapping[str, Any], fps: float) -> str:
    """Describe a broken rule in Markdown."""
    value, limit = (f"{x:.3g}" if isinstance(x, int | float) else str(x) for x in map(reason.get, ("value", "limit")))
    where = f", {reason['at']}" if reason.get("at") else ""
    text = reason_text(reason, fps=fps)
    return markdown(f"{reason.get('rule')} {value}, limit {limit}{where}{f': {text}' if text else ''}")


def _colour_bar(low: str, high: str, stops: Sequence[tuple[float, tuple[float, float, float]]]) -> str:
    colours = ", ".join(f"{_css(rgb)} {100 * place:.0f}%" for place, rgb in stops)
    bar = f"flex:1; min-width:3em; height:0.8em; background:linear-gradient(to right, {colours})"
    return (
        f'<div style="display:flex; gap:0.4em; align-items:center"><span>{low}</span>'
        f'<div style="{bar}"></div><span>{high}</span></div>'
    )


def _mark(rgb: tuple[float, float, float], sign: str) -> str:
    return f'<span style="color:{_css(rgb)}">{sign}</span>'


def _hex(text: str) -> tuple[float, float, float]:
    red, green, blue = (int(text[k : k + 2], 16) / 255.0 for k in (1, 3, 5))
    return red, green, blue


def _css(rgb: tuple[float, float, float]) -> str:
    return f"rgb({', '.join(str(round(255 * band)) for band in rgb)})"
