"""Left and right in the names of joints and landmarks."""

SIDE_WORD = {"r": "right", "l": "left"}

_SIDES = (("_r", "r"), ("_l", "l"))


def side_of(name: str) -> tuple[str, str]:
    """Split a name into its stem and its side: "r", "l" or ""."""
    return next(((name.removesuffix(end), side) for end, side in _SIDES if name.endswith(end)), (name, ""))
