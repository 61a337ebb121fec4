"""Log records and warnings of libraries, cleaned and without secrets, whichever handler prints them."""

import logging
import sys
import threading
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from musclemap.failures import describe
from musclemap.urls import without_secrets

from .terminal_text import printable


@contextmanager
def clean_library_text() -> Iterator[None]:
    """Clean log records, warnings, and errors of threads while a command runs."""
    factory, show, hook = logging.getLogRecordFactory(), warnings.showwarning, threading.excepthook
    logging.setLogRecordFactory(_CleanRecord)
    warnings.showwarning = _show_warning
    threading.excepthook = _log_thread_error
    try:
        yield
    finally:
        logging.setLogRecordFactory(factory)
        warnings.showwarning, threading.excepthook = show, hook


def clean_lines(text: str) -> str:
    """Clean a text line by line."""
    return "\n".join(printable(line) for line in without_secrets(text).split("\n"))


class _CleanRecord(logging.LogRecord):
    """A record whose message is one clean line, and whose traceback is clean."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        if self.exc_info and self.exc_info[0] is not None:
            # formatters use this text instead of their own
            self.exc_text = clean_lines("".join(traceback.format_exception(*self.exc_info)).rstrip("\n"))

    def getMessage(self) -> str:
        """As logging's."""
        return clean_lines(super().getMessage())


def _show_warning(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, file: TextIO | None = None,
    line: str | None = None,
) -> None:  # fmt: skip
    stream = file or sys.stderr
    if stream is not None:
        text = warnings.formatwarning(message, category, filename, lineno, line)
        stream.write(clean_lines(text))


def _log_thread_error(args: threading.ExceptHookArgs) -> None:
    """Log the error of a thread in one line; the code that waits for its result reports the consequence."""
    if args.exc_value is None or isinstance(args.exc_value, SystemExit):
        return
    name = args.thread.name if args.thread is not None else "a thread"
    logger = logging.getLogger("musclemap.cli")
    logger.warning("%s ended: %s", name, describe(args.exc_value))
    logger.debug("unexpected error", exc_info=args.exc_value)
