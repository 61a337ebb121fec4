"""Checks of untrusted file names, made before anything is written under them."""

import unicodedata
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from .errors import DownloadError

RESERVED = ".musclemap"
"""Prefix of names reserved for our own files: locks, temporary files, partial downloads."""

MAX_NAME_BYTES, MAX_PATH_BYTES = 240, 1024
"""File systems accept 255 and 4096 bytes; temporary names are longer than the name itself."""

MAX_PATH_DEPTH = 32
"""Maximum number of names in a path."""

_FORBIDDEN = frozenset('\\:*?"<>|')
_DEVICES = frozenset(("con", "prn", "aux", "nul", *(f"{port}{k}" for port in ("com", "lpt") for k in range(10))))


def checked_path(text: object) -> PurePosixPath:
    """Parse a relative path that stays below any folder it is joined to and is valid on any file system.

    Raises:
        DownloadError: If it is absolute, leads upwards, or contains a name that is reserved or not portable.
    """
    if not isinstance(text, str) or not text:
        raise DownloadError(f"a file's path must be a text, not {text!r}")
    parts = text.split("/")
    if any(part in ("", ".", "..") for part in parts):
        raise DownloadError(f"path {text!r} is not below the folder: it has an empty part, '.' or '..'")
    if len(parts) > MAX_PATH_DEPTH:
        raise DownloadError(f"path {text[:80]!r}... has {len(parts)} names; at most {MAX_PATH_DEPTH} are read")
    for part in parts:
        if not part.isprintable() or _FORBIDDEN & set(part) or part != part.strip(" ") or part.endswith("."):
            raise DownloadError(f"path {text!r} has a name that some file systems do not accept: {part!r}")
        if part.casefold().startswith(RESERVED) or part.casefold().partition(".")[0] in _DEVICES:
            raise DownloadError(f"path {text!r} has a reserved name: {part!r}")
        if len(part.encode("utf-8", "surrogatepass")) > MAX_NAME_BYTES:
            raise DownloadError(f"path {text!r} has a name of more than {MAX_NAME_BYTES} bytes")
    if len(text.encode("utf-8", "surrogatepass")) > MAX_PATH_BYTES:
        raise DownloadError(f"path {text[:80]!r}... has more than {MAX_PATH_BYTES} bytes")
    return PurePosixPath(text)


def check_distinct(paths: Iterable[PurePosixPath]) -> None:
    """Refuse paths that collide, also on file systems that ignore case, and files that are also folders.

    Raises:
        DownloadError: If two paths cannot coexist.
    """
    files: dict[str, PurePosixPath] = {}
    for path in paths:
        key = _key(path.as_posix())
        if key in files:
            raise DownloadError(f"{files[key]} and {path} are the same file if case and accents are ignored")
        files[key] = path
    for key, path in files.items():
        slash = key.find("/")
        while slash >= 0:
            if key[:slash] in files:
                raise DownloadError(f"{files[key[:slash]]} is a file, and also the folder of {path}")
            slash = key.find("/", slash + 1)


def _key(path: str) -> str:
    """Normal form that is equal for names that some file systems treat as equal: case and the encoding of accents."""
    return unicodedata.normalize("NFC", path.casefold())


def path_below(root: Path, path: PurePosixPath) -> Path:
    """Join a checked path to a folder, refusing existing links that lead out of it.

    Raises:
        DownloadError: If a link leads out of the folder.
    """
    joined = root.joinpath(*path.parts)
    if not joined.parent.resolve().is_relative_to(root.resolve()):
        raise DownloadError(f"{joined} is not below {root}: a link leads out of it")
    return joined
