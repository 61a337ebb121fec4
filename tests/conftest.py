"""What many tests share: the target body, compiled once."""

import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthesis import synthesise
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.myofullbody import MyoFullBody


@pytest.fixture(scope="session")
def body() -> MyoFullBody:
    """MyoFullBody with locked fingers and effective limits."""
    return MyoFullBody()


@pytest.fixture(scope="session")
def retargeter() -> Retargeter:
    """With the settings that users get; compiled once."""
    return Retargeter()


@pytest.fixture(scope="session")
def walk_clip(retargeter: Retargeter) -> Clip:
    """Four seconds of walking at 1.2 m/s on MyoFullBody; not to be changed."""
    clip = retargeter.retarget([synthesise("walk_1.2", seconds=4.0)])[0].clip
    assert clip is not None
    return clip
