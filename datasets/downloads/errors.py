"""What goes wrong with a download, in words that say what to do."""

from musclemap.errors import MusclemapError
from musclemap.urls import without_secrets

LONGEST_MESSAGE = 2000
"""Characters; a message may quote an answer of a server, which may be of any length."""


class DownloadError(MusclemapError):
    """Something cannot be downloaded, or what came is not what was announced.

    Messages name addresses, and quote libraries and servers that do: every one is freed here of passwords and tokens.
    """

    def __init__(self, message: str) -> None:
        text = without_secrets(message[: 10 * LONGEST_MESSAGE])
        super().__init__(text if len(text) <= LONGEST_MESSAGE else f"{text[:LONGEST_MESSAGE]}...")


class AccessError(DownloadError):
    """The server wants to know who asks, or does not let this user in."""
