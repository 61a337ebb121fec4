"""How many clips are done, on stderr: a bar on a terminal, otherwise a plain line a minute."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich.progress as bars

from .console import clean_console
from .progress_bar import LINE_SECONDS

Count = Callable[[int, int], None]


@contextmanager
def show_count(*, hidden: bool = False, what: str = "clips") -> Iterator[Count]:
    """Give a function that is told the number of clips, or of what else it is, done and that of all."""
    console = clean_console(err=True)
    if hidden:
        yield lambda done, total: None
    elif console.is_terminal:
        columns = (bars.BarColumn(), bars.MofNCompleteColumn(), bars.TimeElapsedColumn(), bars.TimeRemainingColumn())
        with bars.Progress(*columns, console=console, transient=True) as bar:
            task = bar.add_task("", total=None)
            yield lambda done, total: bar.update(task, completed=done, total=total)
    else:
        message = [time.monotonic()]

        def tell(done: int, total: int) -> None:
            if time.monotonic() - message[0] >= LINE_SECONDS:
                message[0] = time.monotonic()
                console.print(f"{done} of {total} {what}", markup=False, soft_wrap=True)

        yield tell
