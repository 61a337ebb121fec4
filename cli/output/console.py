"""Rich console that prints text from files literally: no markup, no emoji codes, no control codes.

The linter refuses `rich.console.Console` elsewhere.
"""

import re
from collections.abc import Iterable

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType, RenderResult  # noqa: TID251 the one place
from rich.measure import Measurement
from rich.segment import Segment
from rich.text import Text

from .terminal_text import printable


def clean_console(*, err: bool = False, terminal: bool | None = None, width: int | None = None) -> Console:
    """Return a console on stdout or stderr.

    Args:
        err: Print on stderr.
        terminal: Whether to treat it as a terminal; detected if None.
        width: Columns; detected if None.
    """
    return _CleanConsole(stderr=err, force_terminal=terminal, width=width, markup=False, emoji=False, highlight=False)


class _CleanConsole(Console):
    """Cleans all rendered text. Rich's own colours and cursor movements are not text and pass."""

    def render(self, renderable: RenderableType, options: ConsoleOptions | None = None) -> Iterable[Segment]:
        """As rich's."""
        for segment in super().render(renderable, options):
            if segment.control or segment.text.isprintable():
                yield segment
            else:
                lines = "\n".join(printable(line) for line in segment.text.split("\n"))
                yield Segment(lines, segment.style)


class ClipName:
    """The path of a clip in a table; it breaks after `/`, `_`, `-` or a space where the column is too narrow."""

    def __init__(self, name: str) -> None:
        self._parts = re.findall(r"[^/_\- ]*[/_\- ]|[^/_\- ]+", printable(name))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        """Widths between which the column can be."""
        widths = [cell_len(part) for part in self._parts]
        return Measurement(max(widths, default=0), sum(widths)).with_maximum(options.max_width)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """The name in as many lines as it takes."""
        lines = [""]
        for part in self._parts:
            if lines[-1] and cell_len(lines[-1] + part) > options.max_width:
                lines.append("")
            lines[-1] += part
        yield Text("\n".join(lines), overflow="fold")
