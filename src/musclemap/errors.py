"""Exceptions under one base class. Bad data is returned as a value where possible; a bad call raises one of these."""

from musclemap.reason_codes import ReasonCode


class MusclemapError(Exception):
    """Base of every error that this package raises on purpose."""


class FileError(MusclemapError):
    """A file is invalid: of another kind, too large, damaged, or with wrong types.

    `code` is a code that the reader may give, the same as in a `SourceError`; otherwise None.
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


class TrackError(MusclemapError):
    """A track file is damaged, of another format or another version."""


class SettingsError(MusclemapError):
    """A setting is unknown or has an invalid value; the message lists the valid ones."""


class TargetError(MusclemapError):
    """The target body lacks a requested part; the message lists what it has."""
