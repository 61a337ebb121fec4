"""Whatever goes wrong with one file is that file's reason, and never ends the work on the others.

This is the one place that catches every exception. Lists of the exceptions that a library may raise on damaged data
were never complete: each lacked one or two. What must pass, such as a full disk that ends the run, is named by the
caller; KeyboardInterrupt and SystemExit always pass.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from musclemap.errors import MusclemapError, SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.urls import without_secrets

LONGEST_MESSAGE = 500
"""Characters of a reason; a message that quotes a whole array is cut off."""

_LOGGER = logging.getLogger(__name__)

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why the work on one file failed.

    Attributes:
        code: That of a `SourceError`, OUT_OF_MEMORY, or the caller's.
        message: One sentence for people.
        expected: Whether this package raised the error on purpose, as it does for bad data.
        error: The exception.
    """

    code: ReasonCode
    message: str
    expected: bool
    error: Exception


def attempt(
    work: Callable[[], ResultT],
    *,
    code: ReasonCode = ReasonCode.CRASH,
    passing: tuple[type[Exception], ...] = (),
) -> ResultT | Failure:
    """Work on one file.

    An error that this package did not raise on purpose is logged with its traceback at level DEBUG, logger
    `musclemap.failures`.

    Args:
        work: Called without arguments.
        code: Code of an error that has none of its own.
        passing: Exceptions that end more than this file's work and are not caught.

    Returns:
        What the work returns, or why it failed.
    """
    try:
        return work()
    except passing:
        raise
    except Exception as error:
        expected = isinstance(error, MusclemapError)
        if not expected:
            _LOGGER.debug("unexpected error", exc_info=error)
        return Failure(code=_code(error, code), message=describe(error), expected=expected, error=error)


def describe(error: BaseException) -> str:
    """An exception as one sentence: its message, after the name of its type where it is not one of ours.

    Passwords and tokens of addresses, which libraries quote, are hidden.
    """
    text = without_secrets(" ".join(str(error)[: 100 * LONGEST_MESSAGE].split()))
    if not isinstance(error, MusclemapError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}..."


def _code(error: Exception, default: ReasonCode) -> ReasonCode:
    if isinstance(error, SourceError):
        return error.code
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return ReasonCode.OUT_OF_MEMORY
    return default
