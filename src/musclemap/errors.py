"""Exceptions under one base class. Bad data is a value where it can be; a bad call is one of these."""

from musclemap.reason_codes import ReasonCode


class MusclemapError(Exception):
    """Base of every error this package raises on purpose."""


class FileError(MusclemapError):
    """A file is not what it should be: of another kind, too large, damaged, or not of the right types.

    `code` is the one that a `SourceError` would have, or None if the reader gives none.
    """

    def __init__(self, message: str, *, code: ReasonCode | None = None) -> None:
        super().__init__(message)
        self.code = code


class SourceError(MusclemapError):
    """A source file cannot be used. `code` goes into the manifest."""

    def __init__(self, code: ReasonCode, message: str) -> None:
        super().__init__(message)
        self.code = code


class BodyModelError(MusclemapError):
    """A body-model file is missing, unreadable or not of the SMPL family."""


class ClipError(MusclemapError):
    """A clip file is damaged, of another format or another version."""


class SettingsError(MusclemapError):
    """A setting is unknown or has a value it cannot take; the message lists what is known."""


class TargetError(MusclemapError):
    """The target body lacks something that was asked of it; the message lists what it has."""
