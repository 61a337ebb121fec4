"""Names of a body's parts in what users and files say, and the closest ones for those that do not exist."""

import difflib
from collections.abc import Collection, Iterable

from musclemap.errors import TargetError
from musclemap.files import shown

NEAREST = 5
"""Most names in a message."""


def nearest_names(wrong: str, known: Iterable[str]) -> str:
    """The known names that resemble a wrong one, separated by commas; those of parts that contain it come first."""
    names = list(dict.fromkeys(known))
    lowered = wrong.casefold()
    inside = [name for name in names if len(lowered) > 2 and lowered in name.casefold()]
    close = difflib.get_close_matches(wrong[:100], names, n=NEAREST, cutoff=0.5)
    return ", ".join(list(dict.fromkeys([*inside, *close]))[:NEAREST])


def require_names(given: Iterable[str], known: Collection[str], *, noun: str, plural: str = "") -> None:
    """Check that parts exist.

    Raises:
        TargetError: If one does not; the message names similar ones, or says how many there are.
    """
    for name in given:
        if name not in known:
            close = nearest_names(name, known)
            hint = f"close to it: {close}" if close else f"it has {len(known)} {plural or f'{noun}s'}"
            raise TargetError(f"the body has no {noun} {shown(name)}; {hint}")
