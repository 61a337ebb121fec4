"""Bodies of one's own in Python."""

import os
from pathlib import Path


def add_body(table: str | os.PathLike[str]) -> str:
    """Make a body of one's own known to this process and to those that it starts.

    Args:
        table: TOML file that describes the body (docs/own-body.md); its model is in the same folder.

    Returns:
        Name of the body, as in a clip's `model`; `mm.retarget(..., config={"body": {"name": NAME}})` converts to it.

    Raises:
        TargetError: If the table cannot be read, or another body with this name is known.

    Example:
        >>> import musclemap as mm
        >>> mm.add_body("legs/legs.toml")
    """
    from musclemap.skeletons.bodies import add_body as add

    return add(Path(table))
