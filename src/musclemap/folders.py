"""Lists the files below a folder, whatever its links and permissions."""

import os
from collections.abc import Callable
from pathlib import Path

from musclemap.errors import FileError
from musclemap.reason_codes import ReasonCode


def find_files(root: Path, *, accept: Callable[[str], bool]) -> tuple[list[Path], list[Path]]:
    """List files by name.

    Links are followed. A folder reachable by several paths is listed once, under its real path if that is below the
    root, so link loops end. Hidden folders are skipped. Everything else counts as a file, including a broken link.

    Args:
        root: Folder to search.
        accept: Returns whether to list a file, from its name without the folder.

    Returns:
        The files, and the folders that cannot be listed.

    Raises:
        FileError: If the root cannot be listed ("unreadable").
    """
    files: list[Path] = []
    unlisted: list[Path] = []
    visited: set[str] = set()
    pending, links = [root], []
    while pending or links:
        folder = pending.pop() if pending else links.pop(0)
        real = os.path.realpath(folder)
        if real in visited:
            continue
        visited.add(real)
        try:
            with os.scandir(folder) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
        except OSError as error:
            if folder == root:
                raise FileError(f"{root} cannot be listed: {error.strerror}", code=ReasonCode.UNREADABLE) from error
            unlisted.append(folder)
            continue
        for entry in entries:
            if os.path.isdir(entry.path):  # unlike entry.is_dir(), does not raise on a link to itself
                if not entry.name.startswith("."):
                    (links if entry.is_symlink() else pending).append(Path(entry.path))
            elif accept(entry.name):
                files.append(Path(entry.path))
    return files, unlisted
