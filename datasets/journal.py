"""Lines that must survive a kill, each on disk before anything is done that relies on it."""

import errno
import os
from pathlib import Path
from typing import BinaryIO, Self

from .atomic_file import not_by_link, sync_folder


class Journal:
    """A file of lines that grows; it is made by the first line, so a run that has nothing to say leaves none.

    One writer at a time. A line that an earlier writer, or a full disk, cut off is ended first, so that it takes no
    other along; whoever reads passes over it.

    Args:
        path: The file; its folder must exist.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file: BinaryIO | None = None

    def append(self, line: bytes) -> None:
        """Put one line on disk.

        Args:
            line: With its newline.

        Raises:
            OSError: It cannot be written as a whole.
        """
        if self._file is None:
            descriptor = not_by_link(self.path, os.O_RDWR | os.O_APPEND | os.O_CREAT)
            self._file = os.fdopen(descriptor, "a+b", buffering=0)
            sync_folder(self.path.parent)
        if self._file.seek(0, os.SEEK_END):
            self._file.seek(-1, os.SEEK_END)
            if self._file.read(1) != b"\n":
                self._file.write(b"\n")
        if self._file.write(line) != len(line):
            raise OSError(errno.ENOSPC, "no room for a whole line", str(self.path))
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
