"""Text of a .trc file: the header and the positions of markers, as Motion Analysis' Cortex and OpenSim write them."""

import math

import numpy as np

from musclemap.datasets.amass.limits import MAX_FRAMES
from musclemap.datasets.formats.readers.decimal_commas import with_decimal_points
from musclemap.errors import SourceError
from musclemap.reason_codes import ReasonCode

from .recording import Recording

MAX_MARKERS = 1000
"""More columns mean another kind of file."""

_FIRST_WORD = b"PathFileType"


def is_trc(head: bytes) -> bool:
    """Whether a file starts as a .trc file does."""
    return head.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(_FIRST_WORD)


def parse_trc(data: bytes) -> Recording:
    """Read a .trc file.

    Empty fields, NaN and points exactly at the origin are markers that are not seen.

    Raises:
        SourceError: If the file is not such a file or its header is malformed ("not_markers"), it ends early or a row
            holds text ("truncated"), or it is too long ("too_large").
    """
    lines = data.decode("utf-8-sig", errors="replace").splitlines()
    if not is_trc(data) or len(lines) < 6:
        raise SourceError(ReasonCode.NOT_MARKERS, "it is no .trc file: the first line must start with PathFileType")
    header = dict(zip(_fields(lines[1]), _fields(*with_decimal_points([lines[2]])), strict=False))
    rate, nframe, nmarker = (_number(header, key) for key in ("DataRate", "NumFrames", "NumMarkers"))
    if not 0 < nmarker <= MAX_MARKERS or nframe > MAX_FRAMES:
        raise SourceError(
            ReasonCode.TOO_LARGE,
            f"the header announces {nmarker:g} markers in {nframe:g} frames; at most {MAX_MARKERS} in {MAX_FRAMES}",
        )
    labels = _labels(lines[3], int(nmarker))
    rows = [line for line in lines[5:] if line.strip()]
    if len(rows) < nframe:
        raise SourceError(
            ReasonCode.TRUNCATED, f"the file has {len(rows)} of the {nframe:g} frames of its header: export it again"
        )
    table = _table(with_decimal_points(rows[: int(nframe)]), 2 + 3 * len(labels))
    pos = table[:, 2:].reshape(len(table), len(labels), 3)
    pos[~np.isfinite(pos).all(axis=2) | ~pos.any(axis=2)] = np.nan
    step = float(np.median(np.diff(table[:, 1]))) if len(table) > 1 else math.nan
    return Recording(
        labels=labels,
        pos=pos,
        rate=rate,
        clock=1.0 / step if step > 0.0 else None,
        unit=header.get("Units", ""),
        upright="y",
        start=float(table[0, 1]) if len(table) and math.isfinite(table[0, 1]) else 0.0,
    )


def _fields(line: str) -> list[str]:
    """Fields of a header line; between tabs they may be empty, as the unit is in some files."""
    return [field.strip() for field in line.split("\t")] if "\t" in line.strip() else line.split()


def _number(header: dict[str, str], key: str) -> float:
    try:
        value = float(header[key])
    except (KeyError, ValueError) as error:
        raise SourceError(
            ReasonCode.NOT_MARKERS, f"the header of the .trc file has no number for {key}: export it again"
        ) from error
    if not value > 0.0 or math.isinf(value):
        raise SourceError(ReasonCode.NOT_MARKERS, f"the header of the .trc file has {key} {value:g}: export it again")
    return value


def _labels(line: str, nmarker: int) -> tuple[str, ...]:
    """Labels of the markers: in every third field, or in those that are not empty."""
    fields = [field.strip() for field in line.rstrip("\r\n").split("\t")] if "\t" in line else line.split()
    names = fields[2::3]
    if len(names) < nmarker or any(fields[3::3]) or any(fields[4::3]):
        names = [field for field in fields[2:] if field]
    if len(names) < nmarker:
        raise SourceError(
            ReasonCode.NOT_MARKERS, f"the .trc file names {len(names)} of the {nmarker} markers of its header"
        )
    return tuple(names[:nmarker])


def _table(rows: list[str], width: int) -> np.ndarray:
    """Numbers of the rows, shape (nrow, width); NaN for fields that are empty or missing at the end of a row."""
    tabs = "\t" in rows[0]
    table = np.full((len(rows), width), np.nan)
    for k, row in enumerate(rows):
        fields = (row.split("\t") if tabs else row.split())[:width]
        try:
            table[k, : len(fields)] = [float(field) if field.strip() else math.nan for field in fields]
        except ValueError as error:
            raise SourceError(ReasonCode.TRUNCATED, f"line {k + 6} of the .trc file is damaged: {error}") from error
    if not np.isfinite(table[:, 0]).all():
        raise SourceError(ReasonCode.TRUNCATED, "the .trc file has rows without a frame number: export it again")
    return table
