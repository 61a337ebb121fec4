"""Text of OpenSim's storage files, .mot and .sto: a header, the names of the columns, and rows of numbers."""

from dataclasses import dataclass

import numpy as np

from musclemap.datasets.amass.limits import MAX_FRAMES
from musclemap.datasets.formats.readers.decimal_commas import with_decimal_points
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

MAX_COLUMNS = 10_000


@dataclass(frozen=True, kw_only=True)
class Storage:
    """A table of OpenSim.

    Attributes:
        columns: Names of the columns after the time. Of a state's path, such as /jointset/hip_r/hip_flexion_r/value, it
            is the coordinate; other states keep their path.
        time: Time of each row [s], shape (nrow,).
        values: Numbers, shape (nrow, ncolumn).
        in_degrees: Whether the header says that angles are in degrees; None if it does not say.
    """

    columns: tuple[str, ...]
    time: np.ndarray
    values: np.ndarray
    in_degrees: bool | None


def parse_storage(data: bytes) -> Storage:
    """Read a storage file.

    Raises:
        SourceError: If the file is no such table ("not_opensim"), it ends early or a row is damaged ("truncated"), it
            is too large ("too_large"), or holds NaN ("non_finite").
    """
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    end = next((k for k, line in enumerate(lines) if line.strip().casefold() == "endheader"), None)
    rows = [] if end is None else [line for line in lines[end + 1 :] if line.strip()]
    names = rows[0].split() if rows else []
    if end is None or not names or names[0].casefold() != "time":
        raise SourceError(
            ReasonCode.NOT_OPENSIM, "it is no .mot or .sto file: it needs a line endheader and a first column time"
        )
    settings = dict(line.replace(" ", "").casefold().split("=", 1) for line in lines[:end] if line.count("=") == 1)
    if len(rows) - 1 > MAX_FRAMES or len(names) > MAX_COLUMNS:
        raise SourceError(
            ReasonCode.TOO_LARGE, f"{len(rows) - 1} rows of {len(names)} columns; at most {MAX_FRAMES} of {MAX_COLUMNS}"
        )
    announced = settings.get("nrows", "")
    if announced.isdecimal() and len(rows) - 1 < int(announced):
        raise SourceError(
            ReasonCode.TRUNCATED,
            f"the file has {len(rows) - 1} of the {announced} rows of its header: export it again",
        )
    table = _table(with_decimal_points(rows[1:]), len(names), first=end + 2)
    stated = settings.get("indegrees")
    return Storage(
        columns=tuple(_coordinate(name) for name in names[1:]),
        time=table[:, 0],
        values=table[:, 1:],
        in_degrees=None if stated is None else stated in ("yes", "true", "1"),
    )


def _table(rows: list[str], width: int, *, first: int) -> np.ndarray:
    """Numbers of the rows, shape (nrow, width)."""
    table = np.empty((len(rows), width))
    for k, row in enumerate(rows):
        fields = row.split()
        try:
            table[k] = [float(field) for field in fields]
        except ValueError as error:
            raise SourceError(
                ReasonCode.TRUNCATED,
                f"row {k + 1} of the table, near line {first + k}, has {len(fields)} fields for {width} columns, or "
                "text: export it again",
            ) from error
    if not np.isfinite(table).all():
        raise SourceError(ReasonCode.NON_FINITE, "the table has NaN or infinity: export it again")
    return table


def _coordinate(name: str) -> str:
    """Name of a coordinate from the path of its value."""
    parts = name.split("/")
    return parts[-2] if len(parts) > 2 and parts[-1] == "value" else name
