"""What many tests share: the target body, compiled once."""

import pytest

from musclemap.skeletons.myofullbody import MyoFullBody


@pytest.fixture(scope="session")
def body() -> MyoFullBody:
    """MyoFullBody with locked fingers and effective limits."""
    return MyoFullBody()
