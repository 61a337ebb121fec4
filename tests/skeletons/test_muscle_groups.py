"""Groups of muscles: members act as the group's name says, and assignments of users name them."""

import json

import numpy as np
import pytest
from typer.testing import CliRunner

from musclemap.cli.info import app
from musclemap.errors import SettingsError, TargetError
from musclemap.pipelines.report.muscle_groups import moment_arms
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.variants.assignments import parse_variant
from musclemap.skeletons.variants.groups import grouped, stem_and_side
from musclemap.skeletons.variants.muscle_groups import MUSCLE_GROUPS
from musclemap.skeletons.variants.variant import BodyVariant, make_variant

ACTIONS = {
    "ankle_plantarflexors": ("ankle_angle", -1), "triceps_surae": ("ankle_angle", -1),
    "ankle_dorsiflexors": ("ankle_angle", 1), "ankle_evertors": ("subtalar_angle", -1),
    "ankle_invertors": ("subtalar_angle", 1), "knee_extensors": ("knee_angle", -1), "knee_flexors": ("knee_angle", 1),
    "hamstrings": ("knee_angle", 1), "hip_flexors": ("hip_flexion", 1), "hip_extensors": ("hip_flexion", -1),
    "hip_abductors": ("hip_adduction", -1), "hip_adductors": ("hip_adduction", 1),
    "elbow_extensors": ("elbow_flex", -1), "wrist_flexors": ("flexion", 1), "wrist_extensors": ("flexion", -1),
}  # fmt: skip
"""Joint that a group moves, and the sign of its rotation."""


def names_of(body: TargetBody) -> list[str]:
    return [body.model.actuator(i).name for i in range(body.model.nu)]


@pytest.fixture(scope="module")
def arms(body: TargetBody) -> np.ndarray:
    return moment_arms(body)


@pytest.mark.parametrize("group", ACTIONS)
def test_every_member_acts_as_its_group_is_called(body: TargetBody, arms: np.ndarray, group: str) -> None:
    joint, sign = ACTIONS[group]
    names, groups = names_of(body), grouped(names_of(body), body.muscle_groups)
    for side in ("r", "l"):
        members = groups[f"{group}_{side}"]
        column = arms[[names.index(name) for name in members], body.reduced.index(f"{joint}_{side}")]
        assert (sign * column > 1e-3).all(), dict(zip(members, column.round(4), strict=True))
    assert groups[group] == tuple(name for name in names if name in {*groups[f"{group}_r"], *groups[f"{group}_l"]})


def test_sides_mirror_each_other_and_every_pattern_names_a_muscle(body: TargetBody) -> None:
    names = names_of(body)
    groups = grouped(names, body.muscle_groups)
    for group, patterns in MUSCLE_GROUPS.items():
        right, left = ({stem_and_side(name)[0] for name in groups[f"{group}_{side}"]} for side in ("r", "l"))
        assert right == left
        for pattern in patterns:
            assert grouped(names, {"one": (pattern,)})["one"], pattern
    assert not set(MUSCLE_GROUPS) & set(names)
    assert [stem_and_side(name) for name in ("soleus_r", "SUP", "SUP_left")] == [
        ("soleus", "r"), ("SUP", "r"), ("SUP", "l")
    ]  # fmt: skip


def parse(body: TargetBody, **texts: list[str]) -> BodyVariant:
    return parse_variant(body.model, body.muscle_groups, **texts)


def test_a_narrower_name_goes_before_a_wider_one_in_any_order(body: TargetBody) -> None:
    texts = ["soleus_r=0.2", "triceps_surae=0.5", "soleus=0.3"]
    expected = {f"{name}_{side}": 0.5 for name in ("gasmed", "gaslat") for side in ("r", "l")}
    expected |= {"soleus_r": 0.2, "soleus_l": 0.3}
    for order in (texts, texts[::-1], [texts[1], texts[0], texts[2]]):
        assert parse(body, strength=order) == make_variant(strength=expected)
    assert parse(body, strength=["SUP=0.5"]) == make_variant(strength={"SUP": 0.5})


def test_units_of_users(body: TargetBody) -> None:
    variant = parse(body, joint_range=["knee_angle=0:60", "ankle_angle_r=-10:5"], added_mass=["tibia=1.5"])
    ranges = dict(variant.joint_range)
    assert ranges["knee_angle_r"] == ranges["knee_angle_l"] == (0.0, pytest.approx(np.pi / 3))
    assert ranges["ankle_angle_r"] == (pytest.approx(np.deg2rad(-10)), pytest.approx(np.deg2rad(5)))
    assert dict(variant.added_mass) == {"tibia_r": 1.5, "tibia_l": 1.5}


@pytest.mark.parametrize(
    ("option", "text", "message"),
    [
        ("strength", "plantar=0.5", "close to it: ankle_plantarflexors"),
        ("strength", "soleus", "--strength takes NAME=NUMBER"),
        ("strength", "=0.5", "--strength takes NAME=NUMBER"),
        ("strength", "soleus_r=nan", "--strength takes NAME=NUMBER"),
        ("strength", "soleus_r=-1", "from 0 to 10"),
        ("joint_range", "knee_angle_r=60", "--joint-range takes NAME=LOW:HIGH"),
        ("joint_range", "knee=0:60", "close to it: knee_angle_r, knee_angle_l"),
        ("joint_range", "knee_angle_r=60:0", "the lower end of a range is below its upper end"),
        ("added_mass", "tiba_r=1", "close to it: tibia_r"),
    ],
)
def test_mistakes_name_what_would_be_right(body: TargetBody, option: str, text: str, message: str) -> None:
    with pytest.raises((SettingsError, TargetError), match=message):
        parse(body, **{option: [text]})


def test_two_values_for_one_part_are_refused(body: TargetBody) -> None:
    with pytest.raises(SettingsError, match=r"gives soleus_r two values, by 'soleus_r=\.5' and 'soleus_r=\.6'"):
        parse(body, strength=["soleus_r=.5", "soleus_r=.6"])
    with pytest.raises(SettingsError, match="two values, by"):
        parse(body, strength=["trunk_extensors_r=.1", "trunk_extensors_r=.2"])


def test_the_arms_have_the_groups_of_the_arms() -> None:
    arm = load_body("MyoBimanualArm")
    groups = grouped(names_of(arm), arm.muscle_groups)
    assert groups["elbow_extensors_l"] == ("TRIlong_left", "TRIlat_left", "TRImed_left", "ANC_left")
    assert "knee_extensors" not in groups


def test_mm_info_lists_groups_and_members() -> None:
    result = CliRunner().invoke(app, ["--list-muscles"])
    assert result.exit_code == 0
    assert "triceps_surae: gaslat, gasmed, soleus" in result.stdout.splitlines()
    listed = json.loads(CliRunner().invoke(app, ["--list-muscles", "--json"]).stdout)
    assert {*listed} == {*MUSCLE_GROUPS, "in no group"}
    stems = {stem for members in listed.values() for stem in members}
    assert stems == {stem_and_side(name)[0] for name in names_of(load_body())}
