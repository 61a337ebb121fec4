"""Names that others chose for files, checked before anything is written under them."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .errors import DownloadError

RESERVED = ".musclemap"
"""Names that begin with this are ours: locks, temporary files, downloads in progress."""

LONGEST_NAME, LONGEST_PATH = 240, 1024
"""Bytes of one name and of a whole path; file systems take 255 and 4096, and a temporary name needs room."""

DEEPEST = 32
"""Most names in a path."""

_FORBIDDEN = frozenset('\\:*?"<>|')
_DEVICES = frozenset(("con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))))


def checked_path(text: object) -> PurePosixPath:
    """A relative path that stays below the folder it is joined to, on any file system.

    Raises:
        DownloadError: It is absolute, leads upwards, or has a name that is hidden by us or impossible somewhere.
    """
    if not isinstance(text, str) or not text:
        raise DownloadError(f"a file's path must be a text, not {text!r}")
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise DownloadError(f"path {text!r} is not below the folder: no empty part, no '.' and no '..' may be in it")
    if len(parts) > DEEPEST:
        raise DownloadError(f"path {text[:80]!r}... has {len(parts)} names; at most {DEEPEST} are read")
    for part in parts:
        if not part.isprintable() or _FORBIDDEN & set(part) or part != part.strip(" ") or part.endswith("."):
            raise DownloadError(f"path {text!r} has a name that some file systems do not take: {part!r}")
        if part.casefold().startswith(RESERVED) or part.casefold().partition(".")[0] in _DEVICES:
            raise DownloadError(f"path {text!r} has a reserved name: {part!r}")
        if len(part.encode("utf-8", "surrogatepass")) > LONGEST_NAME:
            raise DownloadError(f"path {text!r} has a name of over {LONGEST_NAME} bytes")
    if len(text.encode("utf-8", "surrogatepass")) > LONGEST_PATH:
        raise DownloadError(f"path {text[:80]!r}... has over {LONGEST_PATH} bytes")
    return PurePosixPath(text)


def check_together(paths: Iterable[PurePosixPath]) -> None:
    """Refuse paths of which one would overwrite another, also where capitals do not count, or be its folder.

    Raises:
        DownloadError: Two of them cannot exist side by side.
    """
    files: dict[str, PurePosixPath] = {}
    for path in paths:
        key = _key(path.as_posix())
        if key in files:
            raise DownloadError(f"{files[key]} and {path} are one file where capitals or accents do not count")
        files[key] = path
    for key, path in files.items():
        at = key.find("/")
        while at >= 0:
            if key[:at] in files:
                raise DownloadError(f"{files[key[:at]]} is a file, and also the folder of {path}")
            at = key.find("/", at + 1)


def _key(path: str) -> str:
    """What two names share that some file systems take for one: the case, and how accents are encoded."""
    return unicodedata.normalize("NFC", path.casefold())


def place_below(root: Path, path: PurePosixPath) -> Path:
    """Where a checked path lies below a folder, following links that are there already.

    Raises:
        DownloadError: A link leads out of the folder.
    """
    place = root.joinpath(*path.parts)
    if not place.parent.resolve().is_relative_to(root.resolve()):
        raise DownloadError(f"{place} is not below {root}: a link leads out of it")
    return place
