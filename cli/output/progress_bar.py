"""How far a conversion is, on stderr: a bar on a terminal, otherwise a plain line a minute."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich.progress as bars

from musclemap.pipelines.convert.progress import Progress

from .console import clean_console
from .terminal_text import printable

if TYPE_CHECKING:
    from rich.console import Console  # noqa: TID251 as a type

LINE_SECONDS = 60.0

Listener = Callable[[Progress], None]


@contextmanager
def show_progress(*, hidden: bool = False, verbose: bool = False) -> Iterator[Listener]:
    """Give a listener for `convert_archive` that shows what it hears.

    Args:
        hidden: Show nothing.
        verbose: One more line for every file that is done.
    """
    console = clean_console(err=True)
    if hidden:
        yield lambda progress: None
    elif console.is_terminal:
        with _bar(console) as show:
            yield _and_lines(show, console) if verbose else show
    else:
        with _minute_lines(console) as show:
            yield _and_lines(show, console) if verbose else show


def sentence(progress: Progress) -> str:
    """Clips, frames a second and the time left, in words."""
    return f"{progress.nclip} of {progress.total} clips, {_rate(progress)} frames/s, {_left(progress)} left"


def file_line(progress: Progress) -> str:
    """The file that was just done and what came of it."""
    entry = progress.entry
    if entry is None:
        return f"{progress.total} files"
    message = f"{entry.nframe} frames, {entry.verdict}" if entry.clip else entry.reason
    return f"{entry.status:8} {printable(entry.source)}: {printable(message)}"


@contextmanager
def _bar(console: "Console") -> Iterator[Listener]:
    columns = (
        bars.BarColumn(),
        bars.TextColumn("{task.fields[clips]} clips  {task.fields[rate]} frames/s ", markup=False),
        bars.TimeElapsedColumn(),
        bars.TextColumn(" {task.fields[left]} left", markup=False),
    )
    with bars.Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=1.0, clips="0", rate="-", left="?")

        def show(progress: Progress) -> None:
            clips = f"{progress.nclip}/{progress.total}"
            bar.update(task, completed=progress.share, clips=clips, rate=_rate(progress), left=_left(progress))

        yield show


@contextmanager
def _minute_lines(console: "Console") -> Iterator[Listener]:
    latest: list[Progress] = []
    ended = threading.Event()

    def tell() -> None:
        while not ended.wait(LINE_SECONDS):
            if latest:
                console.print(sentence(latest[0]), markup=False, soft_wrap=True)

    def show(progress: Progress) -> None:
        latest[:] = [progress]

    thread = threading.Thread(target=tell, daemon=True)
    thread.start()
    try:
        yield show
    finally:
        ended.set()
        thread.join()


def _and_lines(show: Listener, console: "Console") -> Listener:
    def both(progress: Progress) -> None:
        console.print(file_line(progress), markup=False, soft_wrap=True)
        show(progress)

    return both


def _rate(progress: Progress) -> str:
    return f"{progress.nframe / progress.seconds:,.0f}" if progress.nframe else "-"


def _left(progress: Progress) -> str:
    """Time left, by the share of the bytes that is done: minutes and seconds."""
    if progress.share <= 0.0:
        return "?"
    seconds = round(progress.seconds * (1.0 - progress.share) / progress.share)
    return f"{seconds // 3600}:{seconds // 60 % 60:02}:{seconds % 60:02}"
