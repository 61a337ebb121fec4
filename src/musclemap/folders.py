"""The files below a folder, whatever its links and permissions are."""

import os
from collections.abc import Callable
from pathlib import Path

from musclemap.errors import FileError
from musclemap.reason_codes import ReasonCode


def find_files(root: Path, *, accept: Callable[[str], bool]) -> tuple[list[Path], list[Path]]:
    """List files by their names.

    Links are followed. A folder that several paths lead to is listed once, by its real place where that is below the
    root, so loops end. Hidden folders are passed over. What is no folder counts as a file, also a broken link.

    Args:
        root: Folder to search.
        accept: Says of a file's name, without its folder, whether it is listed.

    Returns:
        The files, and the folders that cannot be listed.

    Raises:
        FileError: The root cannot be listed ("unreadable").
    """
    result: list[Path] = []
    unlisted: list[Path] = []
    seen: set[str] = set()
    pending, links = [root], []
    while pending or links:
        folder = pending.pop() if pending else links.pop(0)
        real = os.path.realpath(folder)
        if real in seen:
            continue
        seen.add(real)
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise FileError(f"{root} cannot be listed: {error.strerror}", code=ReasonCode.UNREADABLE) from error
            unlisted.append(folder)
            continue
        for entry in entries:
            if os.path.isdir(entry.path):  # unlike entry.is_dir(), not upset by a link to itself
                if not entry.name.startswith("."):
                    (links if entry.is_symlink() else pending).append(Path(entry.path))
            elif accept(entry.name):
                result.append(Path(entry.path))
    return result, unlisted
