"""Tests of small programs that are compiled once and run a few times."""

from collections.abc import Iterator

import pytest

from ..conftest import optimised

LONG_RUNS = ("test_learning", "test_coordinates")
"""Modules whose programs run for longer than they compile."""


@pytest.fixture(scope="module", autouse=True)
def quick_compilation(request: pytest.FixtureRequest) -> Iterator[None]:
    """Compile without most optimisations."""
    with optimised(request.module.__name__.rpartition(".")[2] in LONG_RUNS):
        yield
