"""Reads the arrays of an .npz file in memory, checking each before it is unpacked. Nothing is unpickled.

An .npz file is a zip archive with one .npy file per array. It may misstate the length of its directory and the size or
shape of an array. Each of these is compared with the actual bytes before memory is allocated, and an array of numbers
is converted to float64 piece by piece, so that it is never in memory twice.
"""

import io
import math
import sys
import zipfile
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import BinaryIO, TypeVar

import numpy as np

from musclemap.errors import FileError
from musclemap.failures import Failure, attempt
from musclemap.reason_codes import ReasonCode

MAX_DIRECTORY_BYTES = 2**20
"""Longest directory of an archive [B]: about 10,000 arrays. Python uses 500 bytes of memory for each."""

MAX_RATIO = 200
"""Largest compression ratio of an array beyond 256 MiB. Motions reach 3, zeros 1,000."""

MAX_TEXT_BYTES = 2**20
"""Largest array of text [B]."""

_RATIO_FROM = 2**28
_PIECE = 2**20
_HEADER_FROM = 12  # after the version and the length field
_HEADER_BYTES = 2**14  # numpy reads headers of up to 10,000 characters
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_ENCRYPTED_OR_PATCHED = 0x61

_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, kw_only=True)
class ArrayHeader:
    """Header of an array.

    Attributes:
        shape: Size of each dimension.
        fortran_order: Whether the first index varies fastest.
        dtype: Type of an item.
        nbyte: Length of the header, before the items [B].
    """

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: np.dtype
    nbyte: int

    @property
    def size(self) -> int:
        """Number of items."""
        return math.prod(self.shape)


class NpzArrays:
    """The arrays of an .npz file in memory.

    Methods raise `FileError` with one of these codes: truncated, pickled, not_npz, too_large, missing_key, bad_type,
    bad_shape.
    """

    def __init__(self, data: bytes, *, limit: int) -> None:
        """Read the archive's directory.

        Args:
            data: Bytes of the file.
            limit: Largest array, both as stored and as float64 [B].
        """
        if not data:
            raise FileError("the file is empty", code=ReasonCode.TRUNCATED)
        if data[:1] == b"\x80":
            raise FileError("the file is a pickle, which is never loaded", code=ReasonCode.PICKLED)
        if data[:2] != b"PK":
            raise FileError(f"the file is not an .npz archive: it starts with {data[:6]!r}", code=ReasonCode.NOT_NPZ)
        self._limit, self._nbyte = limit, len(data)
        self._archive = open_archive(io.BytesIO(data))
        names = Counter(info.filename for info in self._archive.infolist())
        self._duplicates = {name for name, count in names.items() if count > 1}
        self.keys = tuple(name.removesuffix(".npy") for name in names if name.endswith(".npy"))

    def __contains__(self, key: str) -> bool:
        return key in self.keys

    def missing(self, requested: str) -> FileError:
        """Error to raise if an array is missing."""
        return missing_key(requested, self.keys)

    def header(self, key: str) -> ArrayHeader:
        """Shape and type of an array, which match the bytes that follow. Only the first 16 kB are unpacked."""
        info = self._member(key)
        return _checked(key, lambda: _header(key, info, self._archive))

    def array(self, key: str) -> np.ndarray:
        """One small array of numbers or text as stored, up to MAX_TEXT_BYTES."""
        header = self.header(key)
        if header.size * header.dtype.itemsize > MAX_TEXT_BYTES:
            message = f"{key} holds {header.shape} of {header.dtype}; at most {MAX_TEXT_BYTES} bytes are read of it"
            raise FileError(message, code=ReasonCode.TOO_LARGE)
        array = self._read(key, header, dtype=header.dtype)
        if array.dtype.kind == "U" and array.nbytes:
            points = np.ascontiguousarray(array.astype(array.dtype.newbyteorder("="))).reshape(-1).view(np.uint32)
            # numpy accepts any number as a character, and printing or writing it then fails
            if ((points > sys.maxunicode) | ((points >= 0xD800) & (points <= 0xDFFF))).any():
                raise FileError(f"{key} holds numbers that are not characters", code=ReasonCode.BAD_TYPE)
        return array

    def numbers(self, key: str, *, width: int | None = None, max_count: int | None = None) -> np.ndarray:
        """One array as float64, of shape (nframe, width) if `width` is given and with at most `max_count` numbers."""
        header = self.header(key)
        if header.dtype.kind not in "fiu":
            raise FileError(f"{key} holds {header.dtype}, not real numbers", code=ReasonCode.BAD_TYPE)
        if width is not None and (len(header.shape) != 2 or header.shape[1] != width):
            raise FileError(f"{key} has shape {header.shape}, not (nframe, {width})", code=ReasonCode.BAD_SHAPE)
        limit = self._limit // 8 if max_count is None else max_count
        if header.size > limit:
            message = f"{key} has shape {header.shape}; at most {limit} numbers are read"
            raise FileError(message, code=ReasonCode.TOO_LARGE)
        return self._read(key, header, dtype=np.dtype(np.float64))

    def _member(self, key: str) -> zipfile.ZipInfo:
        if key not in self.keys:
            raise self.missing(key)
        name = f"{key}.npy"
        info = self._archive.getinfo(name)
        if name in self._duplicates:
            raise FileError(f"{key} is in the file more than once", code=ReasonCode.NOT_NPZ)
        if info.compress_type not in _METHODS or info.flag_bits & _ENCRYPTED_OR_PATCHED:
            raise FileError(f"{key} is stored in a way that numpy does not write", code=ReasonCode.NOT_NPZ)
        if info.file_size > self._limit:
            message = f"{key} unpacks to {info.file_size} bytes; at most {self._limit} are read"
            raise FileError(message, code=ReasonCode.TOO_LARGE)
        packed = min(info.compress_size, self._nbyte)
        if info.file_size > max(_RATIO_FROM, MAX_RATIO * packed):
            message = f"{key} unpacks from {packed} bytes to {info.file_size}, which is implausible for measured data"
            raise FileError(message, code=ReasonCode.TOO_LARGE)
        return info

    def _read(self, key: str, header: ArrayHeader, *, dtype: np.dtype) -> np.ndarray:
        info = self._member(key)
        return _checked(key, lambda: _items(self._archive, info, header, dtype))


def missing_key(requested: str, keys: Sequence[str]) -> FileError:
    """Error that names an array that is missing, and those that are present."""
    names = [key if len(key) <= 60 else f"{key[:60]}..." for key in sorted(keys)[:20]]
    more = f" and {len(keys) - 20} more" if len(keys) > 20 else ""
    return FileError(
        f"no {requested}; the file has: {', '.join(names) or 'no arrays'}{more}", code=ReasonCode.MISSING_KEY
    )


def open_archive(stream: BinaryIO) -> zipfile.ZipFile:
    """Read the directory of a zip archive.

    Raises:
        FileError: If it is damaged ("truncated") or too long ("too_large").
    """
    outcome = attempt(lambda: zipfile.ZipFile(_ShortReads(stream)))  # type: ignore[arg-type]
    if isinstance(outcome, Failure):
        if isinstance(outcome.error, FileError):
            raise outcome.error
        message = f"the archive's directory is damaged or truncated: {_one_line(outcome.error)}"
        raise FileError(message, code=ReasonCode.TRUNCATED) from outcome.error
    return outcome


class _ShortReads:
    """A stream for `zipfile`, which otherwise reads a directory of any stated length at once."""

    def __init__(self, stream: BinaryIO) -> None:
        self.seek, self.tell, self.seekable, self._read = stream.seek, stream.tell, stream.seekable, stream.read

    def read(self, size: int = -1) -> bytes:
        if size > max(MAX_DIRECTORY_BYTES, _PIECE):
            raise FileError(f"the archive's directory has {size} bytes; at most {MAX_DIRECTORY_BYTES} are read",
                            code=ReasonCode.TOO_LARGE)  # fmt: skip
        return self._read(size)


def _header(key: str, info: zipfile.ZipInfo, archive: zipfile.ZipFile) -> ArrayHeader:
    with archive.open(info) as member:
        stream = io.BytesIO(member.read(_HEADER_BYTES))
    if b"\\" in stream.getvalue().partition(b"\n")[0][_HEADER_FROM:]:  # Python would show a warning to the user
        raise FileError(f"{key} has a header that cannot be parsed", code=ReasonCode.TRUNCATED)
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise FileError(
            f"{key} is stored in a way that numpy does not write: version {version}", code=ReasonCode.NOT_NPZ
        )
    try:
        shape, fortran_order, dtype = _HEADERS[version](stream)
    except MemoryError as error:  # Python's parser on deeply nested brackets or signs
        raise FileError(f"{key} has a header that cannot be parsed", code=ReasonCode.TRUNCATED) from error
    if dtype.hasobject:
        raise FileError(f"{key} holds Python objects, which are never loaded", code=ReasonCode.PICKLED)
    if dtype.kind not in "biufcSU" or dtype.subdtype is not None:
        raise FileError(f"{key} holds {dtype}, not numbers or text", code=ReasonCode.BAD_TYPE)
    nbyte = math.prod(shape) * dtype.itemsize
    if min(shape, default=0) < 0 or not dtype.itemsize or nbyte != info.file_size - stream.tell():
        message = f"{key} is declared as {shape} of {dtype}, which its bytes do not hold"
        raise FileError(message, code=ReasonCode.TRUNCATED)
    return ArrayHeader(shape=shape, fortran_order=fortran_order, dtype=dtype, nbyte=stream.tell())


def _items(archive: zipfile.ZipFile, info: zipfile.ZipInfo, header: ArrayHeader, dtype: np.dtype) -> np.ndarray:
    """All items, converted to `dtype` piece by piece, in their stored memory order."""
    flat = np.empty(header.size, dtype)
    per_piece = max(_PIECE // header.dtype.itemsize, 1)
    with archive.open(info) as member, np.errstate(all="ignore"):  # a number beyond float64 becomes infinite
        member.read(header.nbyte)
        for first in range(0, header.size, per_piece):
            count = min(per_piece, header.size - first)
            data = member.read(count * header.dtype.itemsize)  # raises at the end if the checksum is wrong
            flat[first : first + count] = np.frombuffer(data, header.dtype, count=count)
    return flat.reshape(header.shape, order="F" if header.fortran_order else "C")


def _checked(key: str, work: Callable[[], _ResultT]) -> _ResultT:
    """Run the work on one array; errors that numpy and the standard library raise on damage become FileError."""
    outcome = attempt(work)
    if not isinstance(outcome, Failure):
        return outcome
    if isinstance(outcome.error, FileError):
        raise outcome.error
    code = ReasonCode.OUT_OF_MEMORY if isinstance(outcome.error, MemoryError) else ReasonCode.TRUNCATED
    raise FileError(f"{key} is damaged or truncated: {_one_line(outcome.error)}", code=code) from outcome.error


def _one_line(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= 200 else f"{text[:200]}..."


def text_of(array: np.ndarray) -> str:
    """Text of a string array of size 1, without surrounding spaces; empty for other arrays."""
    if array.size != 1 or array.dtype.kind not in "SU":
        return ""
    encoding = "latin-1" if array.dtype.kind == "S" else "utf-32-be" if array.dtype.str[0] == ">" else "utf-32-le"
    return array.tobytes().decode(encoding, "replace").strip("\0 ")  # numpy fails on invalid code points
