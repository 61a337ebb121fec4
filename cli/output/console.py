"""Rich console that prints text from files literally: no markup, no emoji codes, no control codes.

The linter refuses `rich.console.Console` elsewhere.
"""

from collections.abc import Iterable

from rich.console import Console, ConsoleOptions, RenderableType  # noqa: TID251 the one place
from rich.segment import Segment

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
