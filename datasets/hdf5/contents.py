"""Reads the parts of a clip or track from an HDF5 file after checking that its structure is harmless.

Runs only in `worker`.

HDF5 supports links to other files, numbers stored in other files, views of other files, filters loaded as programs, and
fill values for data that was never written. None of these is accepted: a dataset must be a plain one with all its
numbers in this file.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from h5py import h5a, h5d, h5g, h5l, h5o, h5s, h5t, h5z  # pyright: ignore[reportAttributeAccessIssue]

from musclemap.datasets.clip_schema import MAX_NAMES
from musclemap.errors import FileError
from musclemap.files import shown

FILTERS = (h5z.FILTER_SHUFFLE, h5z.FILTER_DEFLATE, h5z.FILTER_FLETCHER32)
"""HDF5's own compression and checksum filters; others would be loaded as programs."""

MAX_CHUNK_BYTES = 2**26
"""Uncompressed size of one chunk [B]; ours have 0.4 MB at most."""

MAX_CHUNKS = 200_000
"""Number of chunks in one dataset; four hours at 100 Hz have 5,625."""

MAX_NUMBER_BYTES = 16
"""Size of a number in an attribute [B]."""

BLOCK_BYTES = 2**23
"""Size of one read [B], unless one row of chunks is larger."""

MAX_LISTED = 20
"""Number of existing names that a message about a missing one lists."""

_STORED = {np.uint8: h5t.STD_U8LE, np.float32: h5t.IEEE_F32LE, np.float64: h5t.IEEE_F64LE}

_KINDS = {
    h5t.TypeStringID: "fixed length", h5t.TypeEnumID: "bool or enum", h5t.TypeCompoundID: "complex or compound",
    h5t.TypeOpaqueID: "void", h5t.TypeReferenceID: "reference", h5t.TypeBitfieldID: "bit field",
}  # fmt: skip

Attribute = dict[str, Any]
"""Kind of an attribute ("text", "number", "names" or "other") and its value."""


def dataset_names(file: h5py.File, requested: Sequence[str]) -> list[str]:
    """The requested datasets that exist in the root group."""
    return [key for key in requested if file.id.links.exists(key.encode())]


def open_dataset(file: h5py.File, key: str, *, dtype: type[np.generic], nbyte: int) -> h5py.Dataset:
    """Open a dataset after checking its structure.

    Args:
        file: File whose root group contains it.
        key: Name of the dataset.
        dtype: Type that its numbers must have.
        nbyte: Size of the file.

    Raises:
        FileError: If it is a link, not a dataset, of another type, or not stored plainly and completely in this file.
    """
    group, name = file.id, key.encode()
    if not group.links.exists(name):
        raise FileError(f"no dataset {key}; it has: {', '.join(_names(group))}")
    if group.links.get_info(name).type != h5l.TYPE_HARD:
        raise FileError(f"{key} is a link to another place; only datasets of the file itself are read")
    if h5o.get_info(group, name).type != h5o.TYPE_DATASET:
        raise FileError(f"{key} is not a dataset")
    dataset = h5d.open(group, name)
    _check_type(dataset, key, dtype)
    _check_layout(dataset, key)
    if dataset.get_create_plist().get_layout() == h5d.CHUNKED:
        _check_chunks(dataset, key, nbyte=nbyte)
    elif dataset.get_storage_size() != _nbyte(dataset):
        raise FileError(f"{key} was never written: it has {dataset.get_storage_size()} of {_nbyte(dataset)} bytes")
    return h5py.Dataset(dataset)


def _names(group: h5g.GroupID) -> list[str]:
    names: list[str] = []

    def collect(name: bytes) -> bool | None:
        names.append(name.decode("utf-8", "replace"))
        return True if len(names) == MAX_LISTED else None

    group.links.iterate(collect)
    return names


def _check_type(dataset: h5d.DatasetID, key: str, dtype: type[np.generic]) -> None:
    requested = _STORED[dtype]
    kind = dataset.get_type()
    if not kind.equal(requested):
        name = kind.dtype if isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID) else type(kind).__name__
        raise FileError(f"{key} is of type {name}, not {dtype.__name__}")
    if dataset.get_space().get_simple_extent_type() != h5s.SIMPLE:
        raise FileError(f"{key} is a single value or empty, not an array")


def _check_layout(dataset: h5d.DatasetID, key: str) -> None:
    plist = dataset.get_create_plist()
    if plist.get_layout() not in (h5d.COMPACT, h5d.CONTIGUOUS, h5d.CHUNKED):
        raise FileError(f"{key} is a view of other datasets; only numbers of the file itself are read")
    if plist.get_external_count():
        raise FileError(f"{key} is stored in other files; only numbers of the file itself are read")
    filters = [plist.get_filter(k)[0] for k in range(plist.get_nfilters())]
    if len(filters) > len(FILTERS) or not set(filters) <= set(FILTERS):
        raise FileError(f"{key} has filters {shown(filters)}; the accepted ones are shuffle, deflate and fletcher32")


def _check_chunks(dataset: h5d.DatasetID, key: str, *, nbyte: int) -> None:
    """Require that every chunk is present exactly once in the file, and that all of them fit into it."""
    chunk, shape = dataset.get_create_plist().get_chunk(), dataset.shape
    if math.prod(chunk) * dataset.get_type().get_size() > MAX_CHUNK_BYTES:
        raise FileError(f"{key} has chunks of {shown(chunk)} numbers; at most {MAX_CHUNK_BYTES} bytes are read at once")
    count = math.prod(-(-size // step) for size, step in zip(shape, chunk, strict=True))
    if count > MAX_CHUNKS:
        raise FileError(f"{key} has {count} chunks; at most {MAX_CHUNKS} are read")
    sizes: dict[tuple[int, ...], int] = {}

    def collect(info: Any) -> None:
        offset = tuple(info.chunk_offset)
        if offset in sizes or info.byte_offset is None or info.byte_offset + info.size > nbyte:
            raise FileError(f"{key} is damaged: the chunk at {offset} is duplicated or outside the file")
        sizes[offset] = info.size

    dataset.chunk_iter(collect)
    inside = all(0 <= a < n and a % c == 0 for offset in sizes for a, n, c in zip(offset, shape, chunk, strict=True))
    if len(sizes) != count or not inside:
        raise FileError(f"{key} is incomplete: it has {len(sizes)} of {count} chunks")
    if sum(sizes.values()) > nbyte:
        raise FileError(f"{key} has chunks that overlap")


def _nbyte(dataset: h5d.DatasetID) -> int:
    return math.prod(dataset.shape) * dataset.get_type().get_size()


def row_blocks(dataset: h5py.Dataset) -> Iterator[np.ndarray]:
    """Numbers of a dataset, in order, as blocks of whole rows."""
    row = max(math.prod(dataset.shape[1:]) * dataset.dtype.itemsize, 1)
    step = dataset.chunks[0] if dataset.chunks else 1
    rows = max(BLOCK_BYTES // (row * step), 1) * step
    if rows * row > MAX_CHUNK_BYTES:  # chunks that are narrow and long
        rows = max(MAX_CHUNK_BYTES // row, 1)
    for low in range(0, len(dataset), rows):
        yield np.ascontiguousarray(dataset[low : low + rows])


def read_attributes(file: h5py.File, requested: Sequence[str]) -> Mapping[str, Attribute]:
    """Read the requested attributes that exist in the root group."""
    return {key: _attribute(file, key) for key in requested if h5a.exists(file.id, key.encode())}


def attribute_names(file: h5py.File) -> list[str]:
    """The first few names of the attributes."""
    count = min(h5a.get_num_attrs(file.id), MAX_LISTED)
    return [h5a.open(file.id, index=k).name.decode("utf-8", "replace") for k in range(count)]


def _attribute(file: h5py.File, key: str) -> Attribute:
    attribute = h5a.open(file.id, key.encode())
    kind, extent = attribute.get_type(), attribute.get_space().get_simple_extent_type()
    shape = attribute.shape if extent != h5s.NULL else None
    is_text = isinstance(kind, h5t.TypeStringID) and kind.is_variable_str()
    if is_text and extent == h5s.SCALAR:
        return {"kind": "text", "value": _texts(attribute)[0]}
    if is_text and shape is not None and len(shape) == 1 and shape[0] <= MAX_NAMES:
        return {"kind": "names", "value": _texts(attribute)}
    is_number = isinstance(kind, h5t.TypeIntegerID | h5t.TypeFloatID) and kind.get_size() <= MAX_NUMBER_BYTES
    if is_number and extent == h5s.SCALAR:
        number = np.zeros((), attribute.dtype)
        attribute.read(number)
        return {"kind": "number", "value": repr(float(number))}
    return {"kind": "other", "value": "ndarray" if shape else _KINDS.get(type(kind), "no simple type")}


def _texts(attribute: h5a.AttrID) -> list[str]:
    """Variable-length texts; bytes that are not UTF-8 become surrogates, as in file names."""
    values = np.zeros(attribute.shape, attribute.dtype)
    if values.size:
        attribute.read(values)
    return [value.decode("utf-8", "surrogateescape") if isinstance(value, bytes) else "" for value in values.ravel()]
