"""Named arrays of a motion file, whatever container they come from."""

from collections.abc import Mapping
from typing import Protocol

import numpy as np

from musclemap.errors import FileError
from musclemap.npz_arrays import missing_key
from musclemap.reason_codes import ReasonCode


class Arrays(Protocol):
    """Arrays by name, as `NpzArrays` reads them."""

    @property
    def keys(self) -> tuple[str, ...]:
        """Names of the arrays."""
        ...

    def __contains__(self, key: str) -> bool: ...

    def missing(self, requested: str) -> FileError:
        """Error to raise if an array is missing."""
        ...

    def array(self, key: str) -> np.ndarray:
        """One small array of numbers or text as stored."""
        ...

    def numbers(self, key: str, *, max_count: int | None = None) -> np.ndarray:
        """One array as float64, with at most `max_count` numbers."""
        ...


class ArrayDict:
    """Arrays of a file that was read as a whole."""

    def __init__(self, arrays: Mapping[str, np.ndarray]) -> None:
        self._arrays = dict(arrays)
        self.keys = tuple(self._arrays)

    def __contains__(self, key: str) -> bool:
        return key in self._arrays

    def missing(self, requested: str) -> FileError:
        """Error to raise if an array is missing."""
        return missing_key(requested, self.keys)

    def array(self, key: str) -> np.ndarray:
        """One array as stored."""
        if key not in self._arrays:
            raise self.missing(key)
        return self._arrays[key]

    def numbers(self, key: str, *, max_count: int | None = None) -> np.ndarray:
        """One array as float64, with at most `max_count` numbers.

        Raises:
            FileError: If the array is missing ("missing_key"), does not hold real numbers ("bad_type") or too many
                ("too_large").
        """
        array = self.array(key)
        if array.dtype.kind not in "fiu":
            raise FileError(f"{key} holds {array.dtype}, not real numbers", code=ReasonCode.BAD_TYPE)
        if max_count is not None and array.size > max_count:
            message = f"{key} has shape {array.shape}; at most {max_count} numbers are read"
            raise FileError(message, code=ReasonCode.TOO_LARGE)
        with np.errstate(all="ignore"):
            return np.array(array, dtype=np.float64)  # a copy: pickled arrays are read-only views of the file
