"""Names that the documentation explains."""

import re
from pathlib import Path

DOCS = Path(__file__).parents[2] / "docs"


def explained(*pages: str) -> set[str]:
    """Names in the first columns of the tables of metrics, without a trailing number of steps."""
    names: set[str] = set()
    for page in pages:
        for line in (DOCS / page).read_text(encoding="utf-8").splitlines():
            if line.startswith("| `"):
                names |= set(re.findall(r"`([a-z_]+?)(?:_\d+)?`", line.split("|")[1]))
    return names
