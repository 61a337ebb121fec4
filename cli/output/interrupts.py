"""Ctrl-C: the first ends a command as soon as its step ends, the second at once."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType

from musclemap.entry_points import INTERRUPTED, end_at_once

from .verbs import as_typed

PATIENCE = 1.0
"""Time after which a command that has not ended says why [s]."""

RETRY = 0.05
"""Time to the next attempt where an exception would be lost [s]."""

SHOW_CURSOR = "\x1b[?25h"
"""Shows the terminal's cursor, which a progress bar hides."""


@contextmanager
def two_step_interrupts(program: str, kept: str) -> Iterator[None]:
    """Answer every Ctrl-C. Native code and threads, such as a compilation, do not notice the first one while they run.

    All files are written completely or not at all, so the second Ctrl-C may end the process anywhere.

    Args:
        program: Name of the command, such as "mm-retarget".
        kept: What an interrupted run leaves, as a sentence.
    """
    in_main_thread = threading.current_thread() is threading.main_thread()  # others receive no signals
    if not in_main_thread or signal.getsignal(signal.SIGINT) not in (signal.default_int_handler, end_at_once):
        yield
        return
    reminder = threading.Timer(
        PATIENCE, _write, [f"{program}: stopping when the step under way ends; Ctrl-C again stops at once"]
    )
    reminder.daemon = True

    def stop(number: int, frame: FrameType | None) -> None:
        if reminder.ident is not None:
            _write(f"{program}: interrupted; {kept}")
            os._exit(INTERRUPTED)
        if _would_be_lost(frame):
            again = threading.Timer(RETRY, os.kill, [os.getpid(), signal.SIGINT])  # also ends a call that waits
            again.daemon = True
            again.start()
            return
        reminder.start()
        raise KeyboardInterrupt

    signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        reminder.cancel()
        signal.signal(signal.SIGINT, signal.default_int_handler)


def _would_be_lost(frame: FrameType | None) -> bool:
    """Whether Python ignores exceptions of this code: JAX's callback of the garbage collector, and destructors."""
    while frame is not None:
        if frame.f_code.co_name in ("_xla_gc_callback", "__del__"):
            return True
        frame = frame.f_back
    return False


def _write(line: str) -> None:
    """Write a line past Python's buffers, which the interrupted code may be writing to."""
    cursor = SHOW_CURSOR if sys.stderr is not None and sys.stderr.isatty() else ""
    with suppress(OSError):
        os.write(2, f"{cursor}{as_typed(line)}\n".encode("utf-8", "replace"))
