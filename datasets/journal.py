"""Append-only files whose lines survive a kill: each line is on disk before `append` returns."""

import errno
import os
from pathlib import Path
from typing import BinaryIO, Self

from .atomic_file import open_no_follow, sync_folder


class Journal:
    """An append-only file of lines, created by the first line, so a run that writes no line leaves no file.

    One writer at a time. If an earlier writer or a full disk left an incomplete line, the next `append` terminates it,
    so that it damages no other line; readers skip it.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def append(self, line: bytes) -> None:
        """Write one line to disk.

        Args:
            line: The line, including its newline.

        Raises:
            OSError: If the line cannot be written completely.
        """
        if self._file is None:
            descriptor = open_no_follow(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            self._file = os.fdopen(descriptor, "a+b", buffering=0)
            sync_folder(self.path.parent)
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, "no space for a whole line", str(self.path))
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file; its lines stay."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
