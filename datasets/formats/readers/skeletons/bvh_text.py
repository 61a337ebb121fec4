"""BVH text to a hierarchy of joints and a table of channel values, within limits of memory and time.

A file has two sections. HIERARCHY nests joints, each with an OFFSET from the joint above and a list of CHANNELS. MOTION
gives the number of frames, the time between them, and one line of values per frame, in the order of the channels.
"""

import io
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from musclemap.datasets.amass.limits import MAX_FRAMES
from musclemap.errors import SourceError
from musclemap.files import shown
from musclemap.reason_codes import ReasonCode

MAX_HIERARCHY_BYTES = 2**20
"""Longest hierarchy [B]; one with 77 joints takes 20 kB."""

MAX_JOINTS = 1000
"""Most joints, including those of fingers and face; bodies with both have about 200."""

MAX_VALUES = 2**26
"""Most channel values: three hours of 77 joints at 30 Hz, 0.5 GB as float64."""

MAX_VALUE = 1e7
"""Largest plausible number: 10 km in millimetres."""

CHANNELS = tuple(f"{axis}{kind}" for kind in ("position", "rotation") for axis in "XYZ")
"""Known channels. A joint has some of them, in any order; rotations are applied in that order, about turned axes."""

_BYTE_ORDER_MARK = b"\xef\xbb\xbf"
_MOTION_SECTION = re.compile(rb"^[ \t]*MOTION[ \t]*$", re.MULTILINE | re.IGNORECASE)
_FRAMES = re.compile(rb"\s*Frames[ \t]*:?[ \t]*(\S+)[ \t]*\n\s*Frame[ \t]+Time[ \t]*:?[ \t]*(\S+)[ \t]*(?:\n|$)", re.I)


@dataclass(frozen=True, kw_only=True)
class Bvh:
    """Contents of a BVH file, in the file's unit and axes.

    Attributes:
        names: Names of the joints; each joint comes after the one above it. A repeated name gets "#2", "#3" and so on.
        parents: Index of the joint above each joint, -1 for the root.
        offsets: Offset of each joint from the one above, shape (njoint, 3).
        ends: Offset of the first End Site of each joint, shape (njoint, 3); NaN for a joint without one.
        channels: Channels of each joint, from `CHANNELS`, in the file's order.
        values: Channel values, shape (nframe, nchannel); rotations in degrees.
        frame_time: Time between frames [s].
    """

    names: tuple[str, ...]
    parents: tuple[int, ...]
    offsets: np.ndarray
    ends: np.ndarray
    channels: tuple[tuple[str, ...], ...]
    values: np.ndarray
    frame_time: float

    @property
    def rest(self) -> np.ndarray:
        """Positions with all rotations zero, the root at the origin, shape (njoint, 3)."""
        rest = np.zeros_like(self.offsets)
        for joint, parent in enumerate(self.parents):
            if parent >= 0:
                rest[joint] = rest[parent] + self.offsets[joint]
        return rest


def parse_bvh(data: bytes) -> Bvh:
    """Parse the bytes of a BVH file.

    Raises:
        SourceError: If the text is not BVH or its hierarchy is malformed ("not_bvh"), ends early or has another number
            of frames or values than it states ("truncated"), exceeds a limit ("too_large"), has values that are no
            numbers ("bad_type"), not finite ("non_finite") or implausibly large ("out_of_range"), or has no frames
            ("no_frames") or no usable frame time ("bad_frame_rate").
    """
    if not is_bvh(data[:4096]):
        raise SourceError(ReasonCode.NOT_BVH, f"a BVH file starts with HIERARCHY, this one with {shown(data[:20])}")
    data = data.removeprefix(_BYTE_ORDER_MARK)
    if b"\r" in data:
        data = data.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    section = _MOTION_SECTION.search(data, 0, MAX_HIERARCHY_BYTES)
    if section is None:
        if len(data) > MAX_HIERARCHY_BYTES:
            raise SourceError(ReasonCode.TOO_LARGE, f"no MOTION section within the first {MAX_HIERARCHY_BYTES} bytes")
        raise SourceError(ReasonCode.TRUNCATED, "the file ends before its MOTION section")
    hierarchy = _Hierarchy(data[: section.start()].decode("utf-8", "replace"))
    nframe, frame_time, start = _motion_header(data, section.end())
    nchannel = sum(map(len, hierarchy.channels))
    return Bvh(
        names=tuple(hierarchy.names),
        parents=tuple(hierarchy.parents),
        offsets=np.array(hierarchy.offsets),
        ends=np.array(hierarchy.ends),
        channels=tuple(hierarchy.channels),
        values=_values(memoryview(data)[start:], nframe=nframe, nchannel=nchannel),
        frame_time=frame_time,
    )


def is_bvh(head: bytes) -> bool:
    """Whether the first bytes of a file are those of a BVH file."""
    return head.removeprefix(_BYTE_ORDER_MARK).lstrip()[:9].upper() == b"HIERARCHY"


class _Hierarchy:
    """Reads the HIERARCHY section line by line; braces count as lines of their own."""

    def __init__(self, text: str) -> None:
        self.names: list[str] = []
        self.parents: list[int] = []
        self.offsets: list[list[float]] = []
        self.ends: list[list[float]] = []
        self.channels: list[tuple[str, ...]] = []
        self._open: list[int] = []  # joints whose braces are open; -1 for an End Site
        lines = self._lines(text)
        for line in lines:
            self._read(line, lines)
        if self._open or not self.names:
            raise SourceError(ReasonCode.TRUNCATED, "the hierarchy ends before all its braces are closed")
        if not any(self.channels):
            raise SourceError(ReasonCode.NOT_BVH, "no joint of the hierarchy has channels")
        for name, offset, channels in zip(self.names, self.offsets, self.channels, strict=True):
            if not offset:
                raise SourceError(ReasonCode.NOT_BVH, f"joint {shown(name)} has no OFFSET")
            axes = [channel for channel in channels if channel.endswith("rotation")]
            if len(axes) != len(set(axes)) or len(channels) != len(set(channels)):
                raise SourceError(ReasonCode.NOT_BVH, f"joint {shown(name)} lists a channel twice")

    @staticmethod
    def _lines(text: str) -> Iterator[str]:
        spaced = text.replace("{", "\n{\n").replace("}", "\n}\n")
        return iter([line for line in (raw.strip() for raw in spaced.split("\n")) if line][1:])

    def _read(self, line: str, lines: Iterator[str]) -> None:
        keyword, *arguments = line.split()
        kind = keyword.upper()
        if kind in ("ROOT", "JOINT"):
            self._begin_joint(kind, " ".join(arguments), next(lines, ""))
        elif kind == "END":
            if not self._open or self._open[-1] < 0 or next(lines, "") != "{":
                raise SourceError(ReasonCode.NOT_BVH, "an End Site is not inside a joint or has no brace")
            self._open.append(-1)
        elif kind == "OFFSET":
            self._offset(arguments)
        elif kind == "CHANNELS":
            self._channels(arguments)
        elif kind == "}" and self._open:
            self._open.pop()
        else:
            raise SourceError(
                ReasonCode.NOT_BVH, f"the hierarchy has {shown(line)}; expected JOINT, OFFSET, CHANNELS, End Site or }}"
            )

    def _begin_joint(self, kind: str, name: str, brace: str) -> None:
        if kind == "ROOT" and self.names:
            raise SourceError(ReasonCode.NOT_BVH, "the file has two skeletons (ROOT twice); files of one are read")
        if (kind == "JOINT") != bool(self._open) or (self._open and self._open[-1] < 0) or brace != "{" or not name:
            raise SourceError(
                ReasonCode.NOT_BVH, f"{kind} {shown(name)} is not inside a joint, or has no name or brace"
            )
        if len(self.names) >= MAX_JOINTS:
            raise SourceError(ReasonCode.TOO_LARGE, f"more than {MAX_JOINTS} joints")
        self.parents.append(self._open[-1] if self._open else -1)
        self._open.append(len(self.names))
        copy = self.names.count(name) + sum(other.startswith(f"{name}#") for other in self.names)
        self.names.append(f"{name}#{copy + 1}" if copy else name)
        self.offsets.append([])
        self.ends.append([math.nan] * 3)
        self.channels.append(())

    def _offset(self, arguments: list[str]) -> None:
        try:
            offset = [float(text) for text in arguments]
        except ValueError:
            offset = []
        if len(offset) != 3 or not all(abs(value) <= MAX_VALUE for value in offset):
            hint = "; decimals need points, not commas" if any("," in text for text in arguments) else ""
            raise SourceError(ReasonCode.NOT_BVH, f"OFFSET {shown(' '.join(arguments))} is not three numbers{hint}")
        if not self._open:
            raise SourceError(ReasonCode.NOT_BVH, "an OFFSET is outside the joints")
        if self._open[-1] >= 0:
            self.offsets[self._open[-1]] = offset
        elif math.isnan(self.ends[self._open[-2]][0]):
            self.ends[self._open[-2]] = offset

    def _channels(self, arguments: list[str]) -> None:
        known = {name.lower(): name for name in CHANNELS}
        names = tuple(known.get(name.lower(), "") for name in arguments[1:])
        if not self._open or self._open[-1] < 0 or arguments[:1] != [str(len(names))] or not all(names):
            raise SourceError(
                ReasonCode.NOT_BVH,
                f"CHANNELS {shown(' '.join(arguments))} is not a number and as many of {', '.join(CHANNELS)}",
            )
        self.channels[self._open[-1]] = names


def _motion_header(data: bytes, start: int) -> tuple[int, float, int]:
    """Number of frames, time between them [s], and where the values start."""
    header = _FRAMES.match(data, start, start + 1000)
    if header is None:
        raise SourceError(ReasonCode.TRUNCATED, "after MOTION there are no lines 'Frames: N' and 'Frame Time: SECONDS'")
    count, seconds = (text.decode("ascii", "replace") for text in header.groups())
    if not re.fullmatch(r"\d{1,18}", count):
        raise SourceError(ReasonCode.NOT_BVH, f"Frames: {shown(count)} is not a number of frames")
    if int(count) > MAX_FRAMES:
        raise SourceError(ReasonCode.TOO_LARGE, f"the file states {int(count)} frames; at most {MAX_FRAMES} are read")
    if int(count) == 0:
        raise SourceError(ReasonCode.NO_FRAMES, "the file holds no frames")
    try:
        frame_time = float(seconds.replace(",", "."))
    except ValueError:
        frame_time = math.nan
    if not 0.0 < frame_time < math.inf:
        raise SourceError(ReasonCode.BAD_FRAME_RATE, f"Frame Time: {shown(seconds)} is not a time in seconds")
    return int(count), frame_time, header.end()


def _values(text: memoryview, *, nframe: int, nchannel: int) -> np.ndarray:
    """The channel values, shape (nframe, nchannel)."""
    if nframe * nchannel > MAX_VALUES:
        raise SourceError(ReasonCode.TOO_LARGE, f"{nframe} frames of {nchannel} values; at most {MAX_VALUES} are read")
    if 2 * nframe * nchannel > len(text) + 1:  # a value and a space each; before memory is allocated
        raise SourceError(
            ReasonCode.TRUNCATED,
            f"the file states {nframe} frames of {nchannel} values, which do not fit into its {len(text)} bytes",
        )
    lines = io.BytesIO(text)
    try:
        values = np.loadtxt(lines, comments=None, ndmin=2, max_rows=nframe, encoding="ascii")
    except (ValueError, UnicodeError) as error:
        raise _bad_values(bytes(text[: 2**16]), error) from error
    more = any(line.strip() for line in lines)
    if values.shape != (nframe, nchannel) or more:
        found = f"more than {nframe}" if more else f"{len(values)}"
        raise SourceError(
            ReasonCode.TRUNCATED,
            f"the file has {found} frames of {values.shape[1]} values; expected {nframe} frames of {nchannel}",
        )
    bad = np.flatnonzero(~np.isfinite(values).all(axis=1))
    if bad.size:
        raise SourceError(
            ReasonCode.NON_FINITE, f"{bad.size} frames hold values that are not finite, the first {bad[0]}"
        )
    largest = max(values.max(), -values.min())
    if largest > MAX_VALUE:
        raise SourceError(ReasonCode.OUT_OF_RANGE, f"a value reaches {largest:.3g}; at most {MAX_VALUE:g} is plausible")
    return values


def _bad_values(text: bytes, error: Exception) -> SourceError:
    """Error for values that could not be read, from NumPy's."""
    if b"," in text:
        return SourceError(
            ReasonCode.BAD_TYPE, "the values have commas; expected numbers with decimal points, separated by spaces"
        )
    message = " ".join(str(error).split(";")[0].split())
    code = ReasonCode.TRUNCATED if "number of columns changed" in message else ReasonCode.BAD_TYPE
    return SourceError(code, f"the frames are not lines of equally many numbers: {message}")
