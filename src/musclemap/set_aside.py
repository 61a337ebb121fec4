"""What is in the way is kept under another name."""

import os
from pathlib import Path


def set_aside(path: Path, *, why: str = "damaged") -> Path:
    """Rename a file or folder to the first free of NAME.damaged, NAME.damaged-2 and so on.

    Args:
        path: The file or folder; where it is a link, the link.
        why: The word after the name.

    Returns:
        Where it is now.
    """
    number = 1
    while True:
        other = path.with_name(f"{path.name}.{why}" + (f"-{number}" if number > 1 else ""))
        if not os.path.lexists(other):
            path.rename(other)
            return other
        number += 1
