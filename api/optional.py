"""Packages that only some functions need: imported by their first use."""

import importlib
from typing import Any

from musclemap.errors import MusclemapError

EXTRAS = {"pandas": "data", "pyarrow": "data", "xarray": "data"}
"""Extra of musclemap that installs each package; others are installed by their own name."""


class MissingPackageError(MusclemapError, ImportError):
    """A function needs a package that is not installed; the message says how to install it."""


def require(name: str, *, what: str) -> Any:
    """Import a package.

    Args:
        name: Name of the module, such as "pandas".
        what: What needs it, such as "Clip.to_dataframe()".

    Raises:
        MissingPackageError: If it is not installed.
    """
    package = name.partition(".")[0]
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] != package:
            raise  # the package is there and lacks another one
        install = f"'musclemap[{EXTRAS[package]}]'" if package in EXTRAS else package
        raise MissingPackageError(f"{what} needs {package}: pip install {install}", name=name) from None
