"""Archives of arrays with the same bytes for the same arrays, and nothing in them that only pickle could read."""

import io
from collections.abc import Mapping

import numpy as np


def npz_bytes(arrays: Mapping[str, np.ndarray]) -> bytes:
    """An .npz file as `numpy.savez` writes it; numpy gives every member the date 1980.

    Raises:
        ValueError: An array holds Python objects.
    """
    for key, array in arrays.items():
        if array.dtype.hasobject:
            raise ValueError(f"{key} holds Python objects")
    stream = io.BytesIO()
    np.savez(stream, **arrays)  # type: ignore[arg-type] - a key may not be `allow_pickle`, and none is
    return stream.getvalue()
