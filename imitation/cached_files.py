"""Files of results that are computed again where they are missing or damaged."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from musclemap.backup import rename_to_backup
from musclemap.failures import Failure, attempt

Result = TypeVar("Result")


def read_cached(path: Path, read: Callable[[Path], Result], on_message: Callable[[str], None]) -> Result | None:
    """Read a file that may be missing or damaged; a damaged one is removed, a folder in its place renamed.

    Args:
        path: The file.
        read: Reads it; may raise any exception.
        on_message: Called with a sentence about a damaged file.

    Returns:
        What `read` returns, or None if there is no usable file.
    """
    if not os.path.lexists(path):
        return None
    result = attempt(lambda: read(path))
    if not isinstance(result, Failure):
        return result
    on_message(f"{path} is damaged ({result.message}); it is replaced")
    if path.is_dir() and not path.is_symlink():
        rename_to_backup(path)
    else:
        path.unlink(missing_ok=True)
    return None
