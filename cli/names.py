"""File names on a terminal."""


def printable(text: str) -> str:
    """Text that any terminal takes: bytes of a name that are no UTF-8, and control characters, are shown as `?`."""
    shown = text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in shown)
