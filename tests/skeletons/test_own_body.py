"""Bodies of one's own: tables, guessed tables, and models that name files which are none of their business."""

import os
import shutil
from dataclasses import asdict
from pathlib import Path

import mujoco
import numpy as np
import pytest

from musclemap.errors import TargetError
from musclemap.skeletons.bodies import BODIES, BODY_OPTIONS, add_body, load_body, load_body_version
from musclemap.skeletons.bodies.body_template import body_template
from musclemap.skeletons.bodies.mjcf_files import check_model_files
from musclemap.skeletons.bodies.myofullbody import model_path
from musclemap.skeletons.bodies.own_bodies import ENVIRONMENT
from musclemap.skeletons.bodies.own_body import load_own_body

from ..support.own_legs import MODEL, TABLE, write_legs


@pytest.fixture(scope="module")
def legs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_legs(tmp_path_factory.mktemp("legs"))


@pytest.fixture(autouse=True)
def _no_bodies_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENVIRONMENT, "")


def with_table(legs: Path, name: str, text: str) -> Path:
    """Another table beside the first."""
    path = legs.with_name(name)
    path.write_text(text)
    return path


def test_a_table_makes_a_body_like_the_legs_of_myofullbody(legs: Path) -> None:
    body, whole = load_own_body(legs), load_body()
    assert (body.model.nu, body.reduced.njoint, body.free, body.ncontact) == (80, 14, True, 4)
    assert [landmark for landmark in whole.landmarks if landmark.name in body.landmark_names] == list(body.landmarks)
    for name in body.reduced.joint_names:
        own, ref = body.reduced.index(name), whole.reduced.index(name)
        assert body.reduced.lower[own] == pytest.approx(whole.reduced.lower[ref], abs=1e-9), name
        assert body.reduced.upper[own] == pytest.approx(whole.reduced.upper[ref], abs=1e-9), name
    assert body.reduced.coupling_residual(body.reduced.base[None]).max() < 1e-12
    floor = [g for g in range(body.model.ngeom) if body.model.geom_type[g] == mujoco.mjtGeom.mjGEOM_PLANE]
    assert len(floor) == 1
    assert body.version == "1.0.6"


def test_a_known_table_makes_the_body_known_by_name(legs: Path) -> None:
    assert "Legs" not in BODIES
    with pytest.raises(TargetError, match=f"--body TABLE.toml, or {ENVIRONMENT}"):
        load_body("Legs")
    assert add_body(legs) == add_body(legs) == "Legs"
    assert os.environ[ENVIRONMENT] == str(legs)
    body = load_body("Legs")
    assert BODY_OPTIONS["Legs"] == "Legs"
    assert list(BODY_OPTIONS) == ["full-body", "bimanual-arm", "Legs"]
    assert load_body_version("Legs", body.sha256) is body
    with pytest.raises(TargetError, match="both named 'Legs'"):
        add_body(with_table(legs, "again.toml", TABLE))
    with pytest.raises(TargetError, match="one of the package's bodies"):
        add_body(with_table(legs, "taken.toml", TABLE.replace('"Legs"', '"MyoFullBody"')))


def test_the_guessed_table_of_myofullbody_is_the_body_itself(tmp_path: Path) -> None:
    """Guessed from nothing but names, it has the same landmarks, feet, fingers and settings of the fit."""
    model = model_path("myofullbody", "MyoFullBody")
    root = tmp_path / "model"
    shutil.copytree(model.parents[1], root)
    template = body_template(root / "body" / model.name, root)
    assert template.missing == ()
    table = root / "table.toml"
    table.write_text(template.text)
    own, whole = load_own_body(table), load_body(published=True)
    assert own.sha256 == whole.sha256
    for name in ("landmarks", "contact_parts", "finger_joints"):
        assert getattr(own, name) == getattr(whole, name), name
    ours, theirs = asdict(own.fit), asdict(whole.fit)
    assert {name for name in ours if ours[name] != theirs[name]} == set()
    np.testing.assert_array_equal(own.reduced.upper, whole.reduced.upper)
    assert own.support_names == whole.support_names[:-1]  # a table has no head; it belongs to the trunk


def test_a_guessed_table_says_what_is_missing(legs: Path) -> None:
    template = body_template(legs.with_name("body") / "legs.xml", legs.parent)
    assert "no body for left_wrist (usual names: lunate_l, hand_l)" in template.missing
    assert any("no joints named flex_extension" in sentence for sentence in template.missing)
    assert not any("not usable" in sentence for sentence in template.missing)
    guessed = load_own_body(with_table(legs, "guessed.toml", template.text))
    assert guessed.landmarks == load_own_body(legs).landmarks
    assert guessed.support_names == load_own_body(legs).support_names


FAULTS = {
    "unknown landmark": (("right_knee", "right_thumb"), "landmarks has no 'right_thumb'; it takes pelvis, spine2"),
    "unknown body": (("tibia_r", "tibula_r"), "the model has no body 'tibula_r'; it has .*tibia_r"),
    "other side": (('right_knee = "tibia_r"', 'right_knee = "femur_l"'), "names that end in _r"),
    "twice": (('right_knee = "tibia_r"', 'right_knee = "femur_r"'), "two landmarks are the same body"),
    "no pelvis": (('pelvis = "pelvis"', ""), "landmarks needs pelvis"),
    "no heel": (('left_heel = "calcn_l"', ""), "feet lacks left_heel"),
    "unknown key": (('version = "1.0.6"', "weight = 3"), "unknown setting 'weight'"),
    "name is a path": (('"Legs"', '"../Legs"'), "'name' takes a string"),
    "no model": (("body/legs.xml", "body/arms.xml"), "'arms.xml', which is not in the folder"),
    "outside": (("body/legs.xml", "../legs.xml"), "outside the folder"),
    "fixed landmark": (('pelvis = "pelvis"', 'pelvis = "pelvis"\nspine2 = "trunk"'), "no joint moves trunk"),
    "not TOML": (("[landmarks]", "[landmarks"), "cannot read settings"),
}


@pytest.mark.parametrize("name", FAULTS)
def test_a_faulty_table_is_answered_with_what_would_be_right(legs: Path, name: str) -> None:
    (old, new), message = FAULTS[name]
    assert old in TABLE
    if name == "outside":
        (legs.parents[1] / "legs.xml").write_text(MODEL)
    with pytest.raises(TargetError, match=message):
        load_own_body(with_table(legs, "faulty.toml", TABLE.replace(old, new, 1)))


MODELS = {
    "not free": (('<freejoint name="root"/>', ""), "first joint of the model is not free"),
    "a motor": (
        ("</mujoco>", '<actuator><motor name="m" joint="knee_angle_r"/></actuator></mujoco>'),
        "'m' is not one",
    ),
    "a weld": (
        ("</mujoco>", '<equality><weld body1="trunk" body2="femur_r"/></equality></mujoco>'),
        "does not couple joints",
    ),
    "not MJCF": (("<worldbody>", "<wordbody>"), "is not XML"),
    "unknown element": (("</mujoco>", "<nonsense/></mujoco>"), "MuJoCo cannot read"),
}


@pytest.mark.parametrize("name", MODELS)
def test_an_unsuitable_model_is_refused(legs: Path, name: str) -> None:
    (old, new), message = MODELS[name]
    assert old in MODEL
    (legs.parent / "body" / "odd.xml").write_text(MODEL.replace(old, new, 1))
    with pytest.raises(TargetError, match=message):
        load_own_body(with_table(legs, "odd.toml", TABLE.replace("legs.xml", "odd.xml")))


def test_a_model_that_faces_another_way_is_refused(legs: Path) -> None:
    chain = '<include file="../leg/assets/myolegs_chain.xml"/>'
    turned = MODEL.replace(chain, f'<body name="turned" euler="0 0 1.5707963">{chain}</body>')
    (legs.parent / "body" / "odd.xml").write_text(turned)
    with pytest.raises(TargetError, match=r"it is not so that its left is \+x here"):
        load_own_body(with_table(legs, "odd.toml", TABLE.replace("legs.xml", "odd.xml")))


HOSTILE = {
    "absolute include": ('<include file="/etc/passwd"/>', "not relative"),
    "include above": ('<include file="../../secret.xml"/>', "outside the folder"),
    "mesh above": ('<asset><mesh name="m" file="../../secret.xml"/></asset>', "outside the folder"),
    "texture above": ('<asset><texture name="t" type="skybox" fileup="../../secret.xml"/></asset>', "outside"),
    "drive": ('<asset><mesh name="m" file="c:secret.stl"/></asset>', "not relative"),
    "absolute folder": ('<compiler meshdir="/etc"/>', "not relative"),
    "linked": ('<asset><mesh name="m" file="link.stl"/></asset>', "outside the folder"),
    "plugin": ('<extension><plugin plugin="mujoco.sdf.gear"/></extension>', "<extension>, which is not allowed"),
    "other model": ('<asset><model name="m" file="a.xml"/></asset>', "<model>, which is not allowed"),
    "many bodies": ('<worldbody><replicate count="1000000"/></worldbody>', "<replicate>, which is not allowed"),
    "deep": ("<a>" * 100 + "</a>" * 100, "more than 64 deep"),
    "missing": ('<asset><mesh name="m" file="absent.stl"/></asset>', "not in the folder"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_model_reads_no_file_outside_its_folder_and_loads_no_code(tmp_path: Path, name: str) -> None:
    text, message = HOSTILE[name]
    root = tmp_path / "root"
    (root / "body").mkdir(parents=True)
    (tmp_path / "secret.xml").write_text("<mujoco/>")
    (root / "body" / "link.stl").symlink_to(tmp_path / "secret.xml")
    path = root / "body" / "a.xml"
    path.write_text(f"<mujoco>{text}</mujoco>")
    with pytest.raises(TargetError, match=message):
        check_model_files(path, root)


def test_a_document_type_is_refused_and_included_files_are_checked_too(tmp_path: Path) -> None:
    bomb = tmp_path / "bomb.xml"
    bomb.write_text('<!DOCTYPE a [<!ENTITY b "bb">]><mujoco>&b;</mujoco>')
    with pytest.raises(TargetError, match="document type"):
        check_model_files(bomb, tmp_path)
    inner = tmp_path / "inner.xml"
    inner.write_text('<mujocoinclude><include file="../x.xml"/></mujocoinclude>')
    outer = tmp_path / "outer.xml"
    outer.write_text('<mujoco><include file="inner.xml"/></mujoco>')
    with pytest.raises(TargetError, match=r"'\.\./x\.xml'"):
        check_model_files(outer, tmp_path)
    inner.write_text('<mujocoinclude><include file="outer.xml"/></mujocoinclude>')
    check_model_files(outer, tmp_path)  # a circle ends; MuJoCo reports it
