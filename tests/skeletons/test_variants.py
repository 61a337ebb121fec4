"""Variants of bodies: their canonical form, their limits, and what each kind of fact does to the physics."""

import json
import math
from typing import Any

import mujoco
import numpy as np
import pytest

from musclemap.errors import MusclemapError, SettingsError, TargetError
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.retarget.config import RetargetConfig
from musclemap.settings import from_dict, load_settings, to_dict, to_toml
from musclemap.skeletons.bodies import BODIES, load_body, load_body_version
from musclemap.skeletons.bodies.myofullbody import NAME
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.variants.assignments import ADDED_MASS, JOINT_RANGE, STRENGTH, option_text, parse_variant
from musclemap.skeletons.variants.strength import FORCE
from musclemap.skeletons.variants.variant import MAX_FACTS, UNALTERED, BodyVariant, facts_of, make_variant

FACTS: dict[str, Any] = {
    "strength": {"soleus_r": 0.5, "gasmed_r": 0.25, "tibant_l": 1.5},
    "joint_range": {"knee_angle_r": [0.0, 1.0]},
    "added_mass": {"tibia_r": 1.0, "talus_l": 0.5, "head": 2.0},
}
VARIANT = make_variant(**FACTS)


def test_equal_facts_are_equal_variants_in_any_order_and_notation() -> None:
    pairs = {kind: [list(pair) for pair in reversed(facts.items())] for kind, facts in FACTS.items()}
    without_effect = {**FACTS, "strength": {"soleus_l": 1, **FACTS["strength"]}, "added_mass": {
        "toes_r": 0.0, "tibia_r": 1, "head": 2, "talus_l": 0.5}}  # fmt: skip
    read = [from_dict(BodyVariant, tree) for tree in (pairs, without_effect, to_dict(VARIANT))]
    for other in read:
        assert (other, hash(other), other.canonical) == (VARIANT, hash(VARIANT), VARIANT.canonical)
        assert other.short_name == VARIANT.short_name
    assert json.loads(VARIANT.canonical) == facts_of(VARIANT) == FACTS
    assert make_variant(joint_range={"a": [-0.0, 1]}).canonical == make_variant(joint_range={"a": [0, 1.0]}).canonical
    changed = make_variant(**{**FACTS, "added_mass": {"tibia_r": 1.0}})
    assert changed != VARIANT
    assert changed.short_name != VARIANT.short_name
    assert not make_variant(strength={"soleus_r": 1})
    assert make_variant() == UNALTERED
    assert not UNALTERED.short_name


def test_text_says_what_differs() -> None:
    assert VARIANT.text == (
        "gasmed_r at 25 %, soleus_r at 50 %, tibant_l at 150 %, knee_angle_r limited, 3.5 kg on 3 bodies"
    )
    assert make_variant(strength={"soleus_r": 0.5, "soleus_l": 0.5}).text == "2 muscles at 50 %"


@pytest.mark.parametrize(
    "texts",
    [
        {"strength": ["ankle_plantarflexors=0.5"]},
        {"strength": ["ankle_plantarflexors=0.5", "soleus_r=0.25", "tibant=0"], "joint_range": ["knee_angle=0:40"]},
        {"joint_range": ["knee_angle_r=1:33.3"], "added_mass": ["tibia_r=2", "talus=0.1"]},
    ],
)
def test_options_of_a_variant_make_it(texts: dict[str, list[str]], body: TargetBody) -> None:
    """What a message tells the user to type gives the very variant, also by group and by both sides."""
    variant = parse_variant(body.model, body.muscle_groups, **texts)
    typed = option_text(variant, body.model, body.muscle_groups).split()
    kinds = {STRENGTH: "strength", JOINT_RANGE: "joint_range", ADDED_MASS: "added_mass"}
    again: dict[str, list[str]] = {}
    for option, text in zip(typed[::2], typed[1::2], strict=True):
        again.setdefault(kinds[option], []).append(text)
    made = parse_variant(body.model, body.muscle_groups, **again)
    assert (made.strength, made.added_mass) == (variant.strength, variant.added_mass)
    for (name, ends), (other, wanted) in zip(made.joint_range, variant.joint_range, strict=True):
        assert name == other
        np.testing.assert_allclose(ends, wanted, rtol=1e-9)


def test_a_whole_group_is_typed_by_its_name(body: TargetBody) -> None:
    variant = parse_variant(body.model, body.muscle_groups, strength=["ankle_plantarflexors_l=0.5"])
    assert option_text(variant, body.model, body.muscle_groups) == "--strength ankle_plantarflexors_l=0.5"


def test_variants_are_merged_by_fact() -> None:
    base, more = make_variant(strength={"a": 0.5, "b": 0.5}), make_variant(strength={"b": 0.2}, added_mass={"c": 1})
    assert base.altered_by(more) == make_variant(strength={"a": 0.5, "b": 0.2}, added_mass={"c": 1})
    assert base.altered_by(more).extends(base)
    assert base.altered_by(more).extends(more)
    assert not base.extends(more)
    assert base.extends(UNALTERED)
    assert not UNALTERED.extends(base)


WRONG = [
    {"strength": {"a": -0.1}}, {"strength": {"a": 10.1}}, {"strength": {"a": math.nan}}, {"strength": {"a": "0.5"}},
    {"strength": {"a": True}}, {"strength": {"a": [0.5]}}, {"strength": {"": 0.5}}, {"strength": {"a" * 257: 0.5}},
    {"strength": {"a\n": 0.5}}, {"strength": {"\udc80": 0.5}}, {"strength": "a=1"}, {"strength": None},
    {"strength": {f"a{k}": 0.5 for k in range(MAX_FACTS + 1)}}, {"strength": [["a", 0.5], ["a", 0.6]]},
    {"strength": [["a"]]}, {"strength": [[1, 0.5]]}, {"joint_range": {"a": [1, 1]}}, {"joint_range": {"a": [1, 0]}},
    {"joint_range": {"a": [0, 99]}}, {"joint_range": {"a": [0, math.inf]}}, {"joint_range": {"a": 1}},
    {"joint_range": {"a": [0, 1, 2]}}, {"added_mass": {"a": -1}}, {"added_mass": {"a": 501}}, {"size": {"a": {}}},
]  # fmt: skip


@pytest.mark.parametrize("facts", WRONG)
def test_values_beyond_the_limits_are_refused_in_one_sentence(facts: dict[str, Any]) -> None:
    with pytest.raises(SettingsError) as caught:
        make_variant(**facts)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300


def test_settings_name_a_variant_only_if_there_is_one() -> None:
    for cls, section in ((PhysicsConfig, to_dict), (RetargetConfig, lambda config: to_dict(config)["body"])):
        assert "variant" not in section(cls())
    config = PhysicsConfig(variant=VARIANT)
    assert to_dict(config)["variant"] == to_dict(VARIANT)
    assert from_dict(PhysicsConfig, json.loads(json.dumps(to_dict(config)))) == config


def test_a_variant_in_a_settings_file(tmp_path: Any) -> None:
    path = tmp_path / "settings.toml"
    path.write_text('[body.variant.strength]\nsoleus_r = 0.5\n[body.variant.joint_range]\nknee_angle_r = [0, 1.0]\n')
    config = load_settings(RetargetConfig, path, ["body.variant.added_mass.tibia_r=1"])
    assert facts_of(config.body.variant) == {
        "strength": {"soleus_r": 0.5}, "joint_range": {"knee_angle_r": [0.0, 1.0]}, "added_mass": {"tibia_r": 1.0}
    }  # fmt: skip
    path.write_text(to_toml(config))
    assert load_settings(RetargetConfig, path) == config


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"strength": {"solues_r": 0.5}}, r"no muscle 'solues_r'; close to it: soleus_r, soleus_l"),
        ({"joint_range": {"knee_r": [0, 1]}}, r"no joint 'knee_r'; close to it: .*knee_angle_r"),
        ({"joint_range": {"root": [0, 1]}}, "no joint 'root'"),
        ({"joint_range": {"knee_angle_r": [0, 3]}}, r"is 0 to 171\.9 degrees; .* inside the body's, 0 to 120 degrees"),
        ({"joint_range": {"L4_L5_FE": [0, 0.1]}}, "follows flex_extension, whose range limits both"),
        ({"joint_range": {"Abs_t1": [0, 0.1]}}, "does not move"),
        ({"joint_range": {"flex_extension": [0.5, 0.7]}}, "drives others out of their range"),
        ({"added_mass": {"tibia": 1}}, "no body 'tibia'; close to it: tibia_r, tibia_l"),
        ({"added_mass": {"world": 1}}, "no body 'world'"),
    ],
)  # fmt: skip
def test_what_a_body_does_not_have_is_answered_with_what_it_has(facts: dict[str, Any], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        load_body(variant=make_variant(**facts))


def _forces(model: mujoco.MjModel, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Active and passive force of every muscle in a random state [N], shape (nu,)."""
    data, rng = mujoco.MjData(model), np.random.default_rng(seed)
    data.qpos[:] = model.qpos0
    data.qpos[7:] += 0.05 * rng.standard_normal(model.nq - 7)
    data.qvel[6:] = rng.standard_normal(model.nv - 6)
    mujoco.mj_forward(model, data)
    passive = data.actuator_force.copy()
    data.act[:] = rng.uniform(0.1, 1.0, model.na)
    mujoco.mj_forward(model, data)
    return data.actuator_force - passive, passive


def test_strength_scales_the_active_force_and_nothing_else() -> None:
    weak = load_body(variant=make_variant(strength=FACTS["strength"]))
    own = load_body()
    factor = np.array([FACTS["strength"].get(own.model.actuator(i).name, 1.0) for i in range(own.model.nu)])
    (active, passive), (weak_active, weak_passive) = _forces(own.model, 1), _forces(weak.model, 1)
    assert np.all(active[factor != 1.0] < -1.0)
    assert np.mean(active < 0.0) > 0.9
    np.testing.assert_allclose(weak_active, factor * active, rtol=1e-9)
    np.testing.assert_array_equal(weak_passive, passive)


def test_zero_strength_leaves_a_passive_muscle() -> None:
    paralysed = load_body(variant=make_variant(strength={"soleus_r": 0.0}))
    active, _ = _forces(paralysed.model, 1)
    names = [paralysed.model.actuator(i).name for i in range(paralysed.model.nu)]
    assert active[names.index("soleus_r")] == 0.0
    assert active[names.index("soleus_l")] < -1.0


@pytest.mark.parametrize("name", sorted(BODIES))
def test_every_muscle_states_its_peak_force(name: str) -> None:
    """A negative one would be computed from inertia, which added mass changes."""
    assert load_body(name).model.actuator_gainprm[:, FORCE].min() > 0.0


@pytest.mark.parametrize("name", sorted(BODIES))
def test_added_mass_weighs_its_weight_at_the_centre_of_mass(name: str) -> None:
    """Gravity's generalised force changes by that of a point mass, and the mass matrix by its inertia."""
    own = load_body(name)
    place = {"MyoFullBody": "talus_r", "MyoBimanualArm": "lunate_r", "SmallArm": "hand"}[name]
    loaded = load_body(name, variant=make_variant(added_mass={place: 1.25}))
    assert loaded.mass == pytest.approx(own.mass + 1.25, abs=1e-12)
    change = np.zeros(own.model.nv)
    masses = []
    for body in (loaded, own):
        data = mujoco.MjData(body.model)
        data.qpos[:] = body.reduced.base
        mujoco.mj_forward(body.model, data)
        change += data.qfrc_bias * (1 if body is loaded else -1)
        masses.append(np.zeros((own.model.nv, own.model.nv)))
        mujoco.mj_fullM(body.model, data, masses[-1])
        jacobian = np.zeros((3, own.model.nv))
        mujoco.mj_jacBodyCom(body.model, data, jacobian, None, body.model.body(place).id)
    np.testing.assert_allclose(change, jacobian.T @ (-1.25 * own.model.opt.gravity), atol=1e-9)
    np.testing.assert_allclose(masses[0] - masses[1], 1.25 * jacobian.T @ jacobian, atol=1e-9)


def test_limited_range_is_that_of_the_reduced_coordinates() -> None:
    ranges = {"knee_angle_r": [0.2, 1.0], "flex_extension": [-1.3, 0.1]}
    stiff, own = load_body(variant=make_variant(joint_range=ranges)), load_body()
    knee, trunk = (own.reduced.index(name) for name in ("knee_angle_r", "flex_extension"))
    assert (stiff.reduced.lower[knee], stiff.reduced.upper[knee]) == (0.2, 1.0)
    assert stiff.reduced.rest[knee] == 0.2
    assert stiff.reduced.upper[trunk] == 0.1
    assert stiff.reduced.lower[trunk] == pytest.approx(own.reduced.lower[trunk], abs=1e-6)  # by what it drives
    assert stiff.reduced.coupling_residual(stiff.reduced.base[None])[0] < 1e-12
    other = np.setdiff1d(np.arange(own.reduced.njoint), [knee, trunk])
    np.testing.assert_array_equal(stiff.reduced.lower[other], own.reduced.lower[other])


def test_a_variant_changes_only_what_it_names() -> None:
    own, altered = load_body(), load_body(variant=VARIANT)
    changed = {"actuator_gainprm", "jnt_range", "body_mass"}
    for name in ("actuator_lengthrange", "actuator_biasprm", "body_inertia", "body_ipos", "body_iquat", "qpos0",
                 "geom_size", "site_pos", "tendon_range", "dof_damping", "body_pos", "eq_data", *changed):  # fmt: skip
        equal = np.array_equal(getattr(own.model, name), getattr(altered.model, name))
        assert equal == (name not in changed), name


def test_a_variant_is_another_version_of_its_body() -> None:
    own, altered, published = load_body(), load_body(variant=VARIANT), load_body(published=True, variant=VARIANT)
    assert len({own.sha256, altered.sha256, published.sha256, load_body(published=True).sha256}) == 4
    assert altered.version == f"{own.version}+{VARIANT.short_name}"
    assert altered.variant == VARIANT
    assert load_body(variant=make_variant(**FACTS)) is altered
    assert load_body_version(NAME, altered.sha256, variant=VARIANT) is altered
    assert load_body_version(NAME, published.sha256, variant=VARIANT) is published
    assert altered.make_spec().compile().body_mass.sum() == pytest.approx(altered.mass)


def test_the_simulated_body_has_the_variant() -> None:
    altered = load_simulation_body(NAME, PhysicsConfig(variant=VARIANT))
    own = load_simulation_body(NAME)
    for name, factor in FACTS["strength"].items():
        peaks = (body.model.actuator(name).gainprm[FORCE] for body in (altered, own))
        assert next(peaks) == factor * next(peaks)
    assert altered.model.body_mass.sum() == pytest.approx(own.model.body_mass.sum() + 3.5)
    np.testing.assert_array_equal(altered.model.joint("knee_angle_r").range, [0.0, 1.0])
    np.testing.assert_array_equal(altered.model.actuator_lengthrange, own.model.actuator_lengthrange)


def test_unknown_names_in_files_are_refused_not_ignored() -> None:
    with pytest.raises(MusclemapError, match="no muscle 'nothing'"):
        load_body_version(NAME, "0" * 64, variant=make_variant(strength={"nothing": 0.5}))
