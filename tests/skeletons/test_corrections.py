"""Corrections of the released model: what they change, what they refuse, and how a version is found again."""

import dataclasses

import mujoco
import numpy as np
import pytest

from musclemap.errors import TargetError
from musclemap.skeletons.bodies import load_body, load_body_version
from musclemap.skeletons.bodies.myofullbody import CORRECTIONS, _path, make_spec
from musclemap.skeletons.bodies.small_arm import ARM_NAME
from musclemap.skeletons.corrections import InertiaCorrection, apply_corrections
from musclemap.skeletons.model_hash import model_hash

XML = """<mujoco><worldbody>
    <body name="a"><joint/><inertial pos="0 0 0" mass="1" diaginertia="1 1 1"/>
      <body name="b"><joint/><inertial pos="1 0 0" mass="1" diaginertia="0.5 0.5 0.5"/></body>
    </body></worldbody></mujoco>"""
LIGHTER = InertiaCorrection(bodies=("a",), published=(1.0, 1.0, 1.0), corrected=(0.1, 0.2, 0.25), source="a test")


@pytest.fixture(scope="module")
def published() -> mujoco.MjModel:
    return load_body(published=True).model


def inertia_about(model: mujoco.MjModel, joint: str) -> float:
    """Kinetic energy at unit velocity of one joint, times two [kg m^2]."""
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    unit, momentum = np.zeros(model.nv), np.zeros(model.nv)
    unit[model.jnt_dofadr[model.joint(joint).id]] = 1.0
    mujoco.mj_mulM(model, data, momentum, unit)
    return float(unit @ momentum)


@pytest.mark.parametrize(
    ("joint", "before", "after"),
    [("axial_rotation", 8.59, 0.59), ("elv_angle_r", 2.01, 0.013), ("elv_angle_l", 2.01, 0.013)],
)
def test_trunk_and_shoulder_lose_the_inertia_that_no_body_has(
    published: mujoco.MjModel, joint: str, before: float, after: float
) -> None:
    assert inertia_about(published, joint) == pytest.approx(before, rel=0.01)
    assert inertia_about(load_body().model, joint) == pytest.approx(after, rel=0.01)


def test_only_the_inertias_of_the_table_differ(published: mujoco.MjModel) -> None:
    corrected = load_body().model
    changed = np.flatnonzero(np.any(corrected.body_inertia != published.body_inertia, axis=1))
    assert {published.body(k).name for k in changed} == {name for c in CORRECTIONS for name in c.bodies}
    np.testing.assert_array_equal(corrected.body_mass, published.body_mass)
    np.testing.assert_array_equal(corrected.body_ipos, published.body_ipos)


def test_published_is_the_file_of_the_package(published: mujoco.MjModel) -> None:
    assert model_hash(published) == model_hash(mujoco.MjModel.from_xml_path(str(_path())))
    assert model_hash(make_spec(published=True).compile()) == model_hash(published)


def test_versions_differ_in_hash_and_name() -> None:
    corrected, released = load_body(), load_body(published=True)
    assert corrected.sha256 != released.sha256
    assert corrected.version == f"{released.version}+corrected"
    assert corrected.corrections == CORRECTIONS
    assert released.corrections == ()


def test_a_version_is_chosen_by_its_hash() -> None:
    corrected, released = load_body(), load_body(published=True)
    for body in (corrected, released):
        assert load_body_version(body.name, body.sha256).version == body.version
    assert load_body_version(corrected.name, "another hash").sha256 == corrected.sha256
    with pytest.raises(TargetError, match="the bodies are"):
        load_body_version("Nobody", corrected.sha256)


def test_the_small_arm_is_not_corrected() -> None:
    assert load_body(ARM_NAME).corrections == ()
    assert load_body(ARM_NAME).sha256 == load_body(ARM_NAME, published=True).sha256


def test_a_correction_changes_the_compiled_model() -> None:
    model = apply_corrections(mujoco.MjSpec.from_string(XML), (LIGHTER,)).compile()
    np.testing.assert_allclose(sorted(model.body("a").inertia), (0.1, 0.2, 0.25))
    np.testing.assert_allclose(model.body("b").inertia, 0.5)


def test_another_release_is_refused() -> None:
    """A fault that was corrected upstream must not be corrected again, and a body that is gone must be noticed."""
    with pytest.raises(TargetError, match="no body 'c'"):
        apply_corrections(mujoco.MjSpec.from_string(XML), (dataclasses.replace(LIGHTER, bodies=("a", "c")),))
    with pytest.raises(TargetError, match=r"inertia of b is \[0\.5, 0\.5, 0\.5\].*another release"):
        apply_corrections(mujoco.MjSpec.from_string(XML), (dataclasses.replace(LIGHTER, bodies=("b",)),))
