"""What goes wrong with a download, in words that say what to do."""

from musclemap.skeletons.errors import MusclemapError


class DownloadError(MusclemapError):
    """Something cannot be downloaded, or what came is not what was announced."""


class AccessError(DownloadError):
    """The server wants to know who asks, or does not let this user in."""
