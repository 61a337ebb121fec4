"""MuJoCo's warnings are reported once each and leave no file behind."""

from collections.abc import Iterator
from pathlib import Path

import mujoco
import pytest

from musclemap.pipelines.train.physics_setup import report_mujoco_warnings

BALL = '<mujoco><worldbody><body><freejoint/><geom size="1"/></body></worldbody></mujoco>'


@pytest.fixture
def handler() -> Iterator[None]:
    before = mujoco.get_mju_user_warning()
    yield
    mujoco.set_mju_user_warning(before)


def test_each_warning_is_reported_once(handler: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    messages: list[str] = []
    report_mujoco_warnings(messages.append)
    model = mujoco.MjModel.from_xml_string(BALL)
    for _ in range(3):  # MuJoCo warns once per MjData
        data = mujoco.MjData(model)
        data.qpos[0] = float("nan")
        mujoco.mj_step(model, data)
    assert len(messages) == 1
    assert messages[0].startswith("MuJoCo warns: Nan, Inf or huge value in QPOS")
    assert not list(tmp_path.iterdir())
