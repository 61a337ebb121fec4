"""Turns any error in the work on one file into that file's reason, so that the work on other files continues.

This is the only place that catches every exception: lists of the exceptions that a library raises on damaged data were
never complete. The caller names the exceptions that must pass, such as a full disk that ends the run; KeyboardInterrupt
and SystemExit always pass.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from musclemap.errors import MusclemapError, SourceError
from musclemap.reason_codes import ReasonCode
from musclemap.urls import without_secrets

MAX_MESSAGE = 500
"""Characters of a message; one that quotes a whole array is shortened."""

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
    """Run the work on one file and return its result or its failure.

    An error that this package did not raise on purpose is logged with its traceback at level DEBUG, logger
    `musclemap.failures`.

    Args:
        work: Called without arguments.
        code: Code for an error without one of its own.
        passing: Exceptions that affect more than this file and are not caught.

    Returns:
        Result of the work, or its failure.
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
    """Describe an exception in one sentence: its message, preceded by its type if it is not one of ours.

    Passwords and tokens in URLs, which libraries quote, are hidden.
    """
    text = without_secrets(" ".join(str(error)[: 100 * MAX_MESSAGE].split()))
    if not isinstance(error, MusclemapError):
        text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}..."


def _code(error: Exception, default: ReasonCode) -> ReasonCode:
    if isinstance(error, SourceError):
        return error.code
    if isinstance(error, MemoryError) or "RESOURCE_EXHAUSTED" in str(error):
        return ReasonCode.OUT_OF_MEMORY
    return default
