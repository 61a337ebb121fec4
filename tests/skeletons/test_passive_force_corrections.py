"""Corrections of passive muscle forces: what they change, and what they refuse."""

import dataclasses

import mujoco
import numpy as np
import pytest

from musclemap.errors import TargetError
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.myofullbody import CORRECTIONS
from musclemap.skeletons.corrections import PassiveForceCorrection, apply_corrections

XML = """<mujoco><worldbody><body><joint name="j"/><geom size="0.1"/><site name="a"/></body><site name="b" pos="0 0 1"/>
    </worldbody><tendon><spatial name="t"><site site="a"/><site site="b"/></spatial></tendon>
    <actuator><muscle name="m" tendon="t" force="100" lengthrange="0.2 0.4" fpmax="3"/></actuator></mujoco>"""
SLACK = PassiveForceCorrection(muscles=("m",), published=3.0, corrected=0.5, source="a test")


def test_a_correction_changes_the_compiled_model() -> None:
    model = apply_corrections(mujoco.MjSpec.from_string(XML), (SLACK,)).compile()
    assert model.actuator_gainprm[0, 7] == model.actuator_biasprm[0, 7] == 0.5
    assert SLACK.text == "passive force of m: 0.5 instead of 3 peak forces; a test"


def test_another_release_is_refused() -> None:
    with pytest.raises(TargetError, match="no muscle 'x'"):
        apply_corrections(mujoco.MjSpec.from_string(XML), (dataclasses.replace(SLACK, muscles=("x",)),))
    with pytest.raises(TargetError, match=r"passive force of m is 3, not 2: .*another release"):
        apply_corrections(mujoco.MjSpec.from_string(XML), (dataclasses.replace(SLACK, published=2.0),))


def upright_passive_forces(*, published: bool) -> tuple[dict[str, float], float]:
    """Passive force of each muscle in units of its peak force, and its moment about the lumbar spine [Nm]."""
    body = load_body(published=published)
    model, data = body.model, mujoco.MjData(body.model)
    standing = np.zeros((1, 7 + body.reduced.njoint))
    standing[0, 2:4] = 1.0
    data.qpos[:] = body.reduced.expand(standing)[0]
    mujoco.mj_fwdPosition(model, data)
    mujoco.mj_fwdVelocity(model, data)
    mujoco.mj_fwdActuation(model, data)
    relative = -data.actuator_force / model.actuator_gainprm[:, 2]
    forces = {model.actuator(k).name: float(relative[k]) for k in range(model.nu)}
    slope = body.reduced.slope(data.qpos[None].copy())
    torque = body.reduced.to_independent(data.qfrc_actuator[None].copy(), slope)[0]
    return forces, float(torque[body.reduced.index("flex_extension")])


def test_no_muscle_pulls_with_its_peak_force_in_upright_standing() -> None:
    released, moment = upright_passive_forces(published=True)
    strained = {name for name, force in released.items() if force > 1.0}
    assert strained == {name for c in CORRECTIONS if isinstance(c, PassiveForceCorrection) for name in c.muscles}
    assert moment == pytest.approx(-98.0, abs=3.0)
    corrected, moment = upright_passive_forces(published=False)
    assert max(corrected.values()) < 1.0
    assert all(corrected[name] < 0.02 for name in strained)
    assert abs(moment) < 10.0


def test_only_the_muscles_of_the_table_differ() -> None:
    released, corrected = load_body(published=True).model, load_body().model
    changed = np.flatnonzero(np.any(corrected.actuator_biasprm != released.actuator_biasprm, axis=1))
    muscles = {name for c in CORRECTIONS if isinstance(c, PassiveForceCorrection) for name in c.muscles}
    assert {released.actuator(k).name for k in changed} == muscles
    np.testing.assert_array_equal(corrected.actuator_lengthrange, released.actuator_lengthrange)
