"""Renames files and folders that are in the way, so that nothing is deleted."""

import os
from pathlib import Path


def rename_to_backup(path: Path, *, suffix: str = "damaged") -> Path:
    """Rename a file or folder to the first free name of NAME.damaged, NAME.damaged-2 and so on.

    Args:
        path: File or folder; a link is renamed itself.
        suffix: Word appended to the name.

    Returns:
        The new path.
    """
    number = 1
    while True:
        backup = path.with_name(f"{path.name}.{suffix}" + (f"-{number}" if number > 1 else ""))
        if not os.path.lexists(backup):
            path.rename(backup)
            return backup
        number += 1
