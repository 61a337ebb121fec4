"""Text of files as the page may show it. viser renders Markdown with the HTML in it, scripts included."""

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable

LONGEST = 200
"""Characters of one text; what is longer is cut off."""

_LINKS = re.compile(r"(?<=:)(?=//)|(?<=www)(?=\.)|(?=@)", re.IGNORECASE)
"""Where a text would be taken for a link or an address of mail without being marked as one."""

_WORD_JOINER = "\u2060"
"""Has no width and breaks no line."""


def plain(text: object) -> str:
    """One line without control characters, invisible ones and those that turn the direction of writing.

    Half of a surrogate pair, as in a file name that is not UTF-8, and what Unicode has not assigned become U+FFFD.
    """
    line = str(text)
    if not (line.isprintable() and len(line) <= LONGEST):
        line = "".join(map(_shown, line[: 8 * LONGEST]))
    line = " ".join(line.split())
    return line if len(line) <= LONGEST else f"{line[: LONGEST - 1]}…"


def markdown(text: object) -> str:
    """The same as Markdown that renders as just these characters: no HTML, no emphasis, no link.

    Everything but letters, digits and spaces becomes a numeric character reference, which by CommonMark (section 2.5)
    stands for the character alone and never for structure. Links that are found in plain text (GitHub's extension of
    Markdown) are kept apart by a word joiner.
    """
    apart = _LINKS.sub(_WORD_JOINER, plain(text))
    return "".join(sign if sign.isalnum() or sign == " " else f"&#{ord(sign)};" for sign in apart)


def labels(names: Iterable[str]) -> dict[str, str]:
    """A plain text for each name, no two the same."""
    result, taken, count = dict[str, str](), set[str](), Counter[str]()
    for name in names:
        label = base = plain(name)
        while label in taken:
            count[base] += 1
            label = f"{base} ({count[base] + 1})"
        taken.add(label)
        result[name] = label
    return result


def _shown(sign: str) -> str:
    if sign.isspace():
        return " "
    kind = unicodedata.category(sign)
    if kind in ("Cc", "Cf"):
        return ""
    return "\N{REPLACEMENT CHARACTER}" if kind in ("Cs", "Co", "Cn") else sign
