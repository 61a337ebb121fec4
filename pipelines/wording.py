"""Words of messages: numbers with their nouns, and names that somebody may have meant who typed another one."""

import re
from collections.abc import Sequence
from difflib import SequenceMatcher


def counted(number: int, noun: str) -> str:
    """A number and its noun, with `s` unless it is one: "1 clip", "1,200 clips"."""
    return f"{number:,} {noun}{'s' * (number != 1)}"


def close_names(text: str, names: Sequence[str], *, count: int = 3) -> list[str]:
    """Names of clips that are most like a text, as a whole or in one of their words, best first.

    Args:
        text: What was typed.
        names: Names that exist.
        count: Most names to return.
    """
    wanted = text[:100].lower()

    def likeness(name: str) -> float:
        words = re.split(r"[\W_]+", name.lower())
        return max(SequenceMatcher(None, wanted, part).ratio() for part in (name.lower(), *words))

    return sorted(names, key=likeness, reverse=True)[:count]
