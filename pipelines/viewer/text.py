"""Escape text from files for the page: viser renders Markdown with any HTML in it, scripts included."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

LONGEST = 200
"""Longest text shown, in characters; longer text is truncated."""

_LINKS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
"""Positions at which plain text would be recognised as a link or an e-mail address."""

_WORD_JOINER = "\u2060"
"""Zero-width character that prevents a line break."""


def plain(text: object) -> str:
    """Reduce text to one line without control, invisible and bidirectional formatting characters.

    Lone surrogates, as in file names that are not UTF-8, private-use and unassigned code points become U+FFFD.
    """
    line = str(text)
    if not (line.isprintable() and len(line) <= LONGEST):
        line = "".join(map(_visible, line[: 8 * LONGEST]))
    line = " ".join(line.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def markdown(text: object) -> str:
    """Convert text to Markdown that renders as exactly the characters of `plain(text)`: no HTML, emphasis or links.

    Everything but letters, digits and spaces becomes a numeric character reference, which per CommonMark (section 2.5)
    stands for the literal character and never for structure. A word joiner breaks up text that GitHub Flavored
    Markdown would turn into a link.
    """
    joined = _LINKS.sub(_WORD_JOINER, plain(text))
    return "".join(char if char.isalnum() or char == " " else f"&#{ord(char)};" for char in joined)


def labels(names: Iterable[str]) -> dict[str, str]:
    """Assign each name a unique plain label."""
    labelled, used, count = dict[str, str](), set[str](), Counter[str]()
    for name in names:
        label = base = plain(name)
        while label in used:
            count[base] += 1
            label = f"{base} ({count[base] + 1})"
        used.add(label)
        labelled[name] = label
    return labelled


def _visible(char: str) -> str:
    if char.isspace():
        return " "
    category = unicodedata.category(char)
    if category in ("Cc", "Cf"):
        return ""
    return "\N{REPLACEMENT CHARACTER}" if category in ("Cs", "Co", "Cn") else char
