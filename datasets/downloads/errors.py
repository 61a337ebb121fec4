"""Errors of downloads, with messages that say what to do."""

from musclemap.errors import MusclemapError
from musclemap.urls import without_secrets

MAX_MESSAGE = 2000
"""Characters; a message may quote a server's response of any length."""


class DownloadError(MusclemapError):
    """A file that cannot be downloaded or differs from its description.

    Messages contain URLs and quote libraries and servers that do the same; passwords and tokens are removed here.
    """

    def __init__(self, message: str) -> None:
        text = without_secrets(message[: 10 * MAX_MESSAGE])
        super().__init__(text if len(text) <= MAX_MESSAGE else f"{text[:MAX_MESSAGE]}...")


class AccessError(DownloadError):
    """A server that requires a login or refuses access to this user."""
