"""Progress on stderr: a bar or a table on a terminal, otherwise one plain line per minute."""

import threading
import time
from collections.abc import Callable
from typing import Self

import rich.progress as bars
from rich.console import RenderableType
from rich.live import Live

from .console import clean_console
from .terminal_text import printable

LINE_SECONDS = 60.0
"""Time between two lines without a terminal [s]."""

FIRST_LINE_SECONDS = 5.0
"""Time to the first line without a terminal [s]: runs that are over by then print none."""

STARTING = "loading and compiling"
"""What a command does before its first result."""


class ProgressDisplay:
    """Progress of a command: the one display that all commands use, as a context manager.

    Args:
        hidden: Show no progress; `print` still prints.
        text: What is shown until the first update, in place of `STARTING`; commands enter the display before they
            import anything heavy.
    """

    def __init__(self, *, hidden: bool = False, text: str = STARTING) -> None:
        self._console = clean_console(err=True)
        self._hidden, self._text = hidden, text
        self._started = time.monotonic()
        self._live: bars.Progress | Live | None = None
        self._line = ""
        self._printer: threading.Thread | None = None
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        """Show that the command is at work."""
        self.update(None, self._text, line=self._text)
        return self

    def __exit__(self, *error: object) -> None:
        """Remove the bar, or leave the last table, and print no more lines."""
        self._ended.set()
        if self._printer is not None:
            self._printer.join()
        if self._live is not None:
            self._live.stop()

    def update(self, share: float | None, text: str, *, line: str, left: str = "") -> None:
        """Move the bar.

        Args:
            share: Part of the work that is done, 0 to 1; None if unknown.
            text: Text beside the bar.
            line: The same as a sentence, for output without a terminal.
            left: Time left, shown after the time elapsed.
        """
        if self._hidden:
            return
        if not self._console.is_terminal:
            self._set_line(line)
            return
        bar = self._live if isinstance(self._live, bars.Progress) else self._start_bar()
        total = None if share is None else 1.0
        bar.update(bar.task_ids[0], total=total, completed=share or 0.0, text=text, left=left)

    def count(self, noun: str = "clips") -> Callable[[int, int], None]:
        """Return a function that takes the number of items done and the number of all items.

        Args:
            noun: Name of the items, in the plural.
        """

        def show(done: int, total: int) -> None:
            share = done / max(total, 1)
            left = f"{time_left(share, time.monotonic() - self._started)} left"
            self.update(share, f"{done}/{total} {noun}", line=f"{done} of {total} {noun}", left=left)

        return show

    def show_table(self, table: RenderableType, *, line: str, now: bool = False) -> None:
        """Draw a table in place of the last one.

        Args:
            table: Anything that rich can draw.
            line: The same as a sentence, for output without a terminal.
            now: Print the line at once if there is no terminal.
        """
        if self._hidden:
            return
        if self._console.is_terminal:
            if isinstance(self._live, bars.Progress):
                self._live.stop()
                self._live = None
            if self._live is None:
                self._live = Live(console=self._console, refresh_per_second=2)
                self._live.start()
            assert isinstance(self._live, Live)
            self._live.update(table)
        elif now:
            self.print(line)
        else:
            self._set_line(line)

    def print(self, line: str) -> None:
        """Print a line, above the bar if there is one."""
        self._console.print(printable(line), markup=False, soft_wrap=True)

    def _start_bar(self) -> bars.Progress:
        self._live = bar = bars.Progress(
            bars.BarColumn(),
            bars.TextColumn("{task.fields[text]}", markup=False),
            bars.TimeElapsedColumn(),
            bars.TextColumn("{task.fields[left]}", markup=False),
            console=self._console,
            transient=True,
        )
        bar.add_task("", total=None, text="", left="")
        bar.start()
        return bar

    def _set_line(self, line: str) -> None:
        self._line = line
        if self._printer is None:
            self._printer = threading.Thread(target=self._print_lines, daemon=True)
            self._printer.start()

    def _print_lines(self) -> None:
        """Print the newest line soon, then once per minute, even while one item takes longer than that."""
        pause, last = min(FIRST_LINE_SECONDS, LINE_SECONDS), ""
        while not self._ended.wait(pause):
            line = self._line
            spent = f" ({clock(time.monotonic() - self._started)} so far)" if line == last else ""
            self.print(line + spent)
            pause, last = LINE_SECONDS, line


def time_left(share: float, seconds: float) -> str:
    """Time left, as hours, minutes and seconds.

    Args:
        share: Part of the work that is done, 0 to 1.
        seconds: Time that it took [s].
    """
    return "?" if share <= 0.0 else clock(seconds * (1.0 - share) / share)


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds, such as 0:01:30."""
    whole = max(round(seconds), 0)
    return f"{whole // 3600}:{whole // 60 % 60:02}:{whole % 60:02}"
