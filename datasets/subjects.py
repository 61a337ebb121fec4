"""Tables of subjects: the size of the person in each file."""

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path, PurePosixPath

from musclemap.errors import SettingsError, TargetError
from musclemap.files import read_bytes, shown

MAX_BYTES, MAX_ROWS = 4 << 20, 20_000
"""Limits of a table: its file, and its subjects."""

_NUMBERS = {"height_m": "height", "mass_kg": "mass", "age": "age"}
_WORDS = ("sex",)
ANY = "*"
"""Subject of a row for all files that no other row names."""

Facts = dict[str, float | str]
"""Facts of size, as in a variant."""


def read_subjects(path: Path) -> dict[str, Facts]:
    """Read a table of subjects.

    Its columns are `subject`, `height_m`, `mass_kg`, `sex`, `age` and `SEGMENT_m`; only the first is required. Empty
    fields are not known. `*` in the first column stands for every file without a row of its own.

    Args:
        path: CSV file in UTF-8 with a header.

    Returns:
        Facts of size by subject.

    Raises:
        SettingsError: If the file is no such table, or a person has no body; the message names the line.
    """
    try:
        rows = list(csv.DictReader(io.StringIO(read_bytes(path, limit=MAX_BYTES).decode("utf-8-sig")), strict=True))
    except (UnicodeDecodeError, csv.Error) as error:
        raise SettingsError(f"{path} is no table of subjects: {error}") from None
    if not rows:
        raise SettingsError(f"{path} has no subjects; a table has columns such as subject, height_m, mass_kg, sex, age")
    # Imported here because datasets that are only read need no model of a body.
    from musclemap.skeletons.bodies.human_segments import HUMAN
    from musclemap.skeletons.scaling.body_size import scaling_of
    from musclemap.skeletons.variants.size import size_of

    lengths = {f"{segment.name}_m": segment.name for segment in HUMAN.scaled}
    numbers = _NUMBERS | lengths
    _check_columns(path, rows, known=("subject", *_NUMBERS, *_WORDS, *lengths))
    subjects: dict[str, Facts] = {}
    for line, row in enumerate(rows, start=2):
        where = f"{path}, line {line}"
        name = (row["subject"] or "").strip()
        if not name or name in subjects:
            raise SettingsError(f"{where}: {'a second row of' if name else 'no'} subject {shown(name)}")
        given = {column: text.strip() for column, text in row.items() if text and text.strip() and column != "subject"}
        facts: Facts = {word: given[word] for word in _WORDS if word in given}
        facts |= {fact: _number(given[column], column, where) for column, fact in numbers.items() if column in given}
        try:
            scaling_of(size_of(tuple(facts.items())), HUMAN)
        except TargetError as error:
            raise SettingsError(f"{where}: {error}") from None
        subjects[name] = facts
    return subjects


def subjects_text(subjects: Mapping[str, Facts]) -> str:
    """The table as the text of a setting; equal tables have the same."""
    return json.dumps(subjects, sort_keys=True, separators=(",", ":"))


def subject_of(source: str, subjects: Mapping[str, Facts]) -> str | None:
    """The subject of a file: a folder of its path, its name, or the beginning of its name up to a separator.

    The deepest folder and the longest name win.

    Args:
        source: Path of the file below the input root.
        subjects: Sizes by subject.

    Returns:
        The subject, `ANY` if only that row applies, or None.
    """
    path = PurePosixPath(source)
    for part in (path.stem, *reversed(path.parts[:-1])):
        starts = [k for k in range(len(part), 0, -1) if k == len(part) or not part[k].isalnum()]
        for end in starts:
            if part[:end] in subjects:
                return part[:end]
    return ANY if ANY in subjects else None


def _check_columns(path: Path, rows: list[dict[str, str]], *, known: tuple[str, ...]) -> None:
    if len(rows) > MAX_ROWS:
        raise SettingsError(f"{path} has more than {MAX_ROWS} subjects")
    columns = [column for column in rows[0] if column is not None]
    unknown = [column for column in columns if column not in known]
    if "subject" not in columns or unknown or any(None in row for row in rows):
        wrong = f"the column {shown(unknown[0])}" if unknown else "no column 'subject', or more fields than columns"
        raise SettingsError(f"{path} has {wrong}; the columns are: {', '.join(known)}")


def _number(text: str, column: str, where: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise SettingsError(f"{where}: {column} is {shown(text)}, not a number") from None
