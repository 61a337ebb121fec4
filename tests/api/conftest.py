"""Tests of small programs that are compiled once and run a few times."""

from collections.abc import Iterator

import matplotlib
import pytest

from ..conftest import optimised

matplotlib.use("agg")  # no test opens a window


@pytest.fixture(scope="module", autouse=True)
def quick_compilation() -> Iterator[None]:
    """Compile without most optimisations."""
    with optimised(False):
        yield
