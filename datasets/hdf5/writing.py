"""Writes the bytes of our HDF5 files, clips and tracks."""

import io
import math
from collections.abc import Mapping
from typing import Any

import h5py
import numpy as np

CHUNK_FRAMES = 256
"""Frames per HDF5 chunk: 2.56 s at the control rate, about 130 kB of qpos."""

_FILE_FORMAT = ("v110", "v110")
"""Range of HDF5 releases whose format is used; pinned because the bytes would otherwise depend on the library."""


def file_bytes(arrays: Mapping[str, np.ndarray], attributes: Mapping[str, Any]) -> bytes:
    """Encode datasets and attributes as an HDF5 file; the same values always give the same bytes.

    Args:
        arrays: Datasets by name, chunked by their first dimension.
        attributes: Text, numbers, None for a missing number, or tuples of text, in the order in which they are written.
            Text is written as variable-length strings, which HDF5's limit of 64 KiB per attribute does not affect. A
            file name in an encoding other than UTF-8 keeps its bytes, as in the file system.
    """
    image = io.BytesIO()
    with h5py.File(image, "w", libver=_FILE_FORMAT) as file:
        for key, array in arrays.items():
            packed = {
                "chunks": (min(len(array), CHUNK_FRAMES), *array.shape[1:]), "shuffle": True, "compression": "gzip",
                "compression_opts": 1,
            }  # fmt: skip
            dataset = file.create_dataset(key, data=array, track_times=False, **packed if array.size else {})
            dataset.flush()  # explicitly, or the time of flushing, and the bytes, depend on when references are dropped
        stored = file.attrs  # kept: h5py reopens the root group on each access
        for key, value in attributes.items():
            if isinstance(value, str):
                stored.create(key, value.encode("utf-8", "surrogateescape"), dtype=h5py.string_dtype())
            elif isinstance(value, tuple | list):
                stored[key] = np.array(value, dtype=h5py.string_dtype())
            else:
                stored[key] = math.nan if value is None else value
    return image.getvalue()
