"""Description of an HDF5 format: which datasets and attributes a file may have, for the process that reads files."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True, kw_only=True)
class FileLayout:
    """Datasets and attributes of one format.

    Attributes:
        name: Short name of the format, ASCII.
        format: Value of the attribute `format`.
        arrays: Number of dimensions of each required dataset.
        optional: Number of dimensions of each dataset that may be missing.
        attributes: Required attributes.
        optional_attributes: Attributes that may be missing.
        dtype_of: Returns the type of a dataset's numbers.
        check_shapes: Takes the shape of each dataset that is present, and by keyword `nbyte`, the size of the file or
            None; raises FileError if the datasets are inconsistent or too large.
    """

    name: str
    format: str
    arrays: Mapping[str, int]
    optional: Mapping[str, int]
    attributes: tuple[str, ...]
    optional_attributes: tuple[str, ...]
    dtype_of: Callable[[str], type[np.generic]]
    check_shapes: Callable[..., Any]
