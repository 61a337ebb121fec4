"""Bodies of a person's size: geometry, masses, muscles, and what is refused."""

import math
from pathlib import Path

import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import read_clip, write_clip
from musclemap.errors import SettingsError, TargetError
from musclemap.skeletons.bodies import _altered, load_body, load_body_version
from musclemap.skeletons.bodies.human_segments import HUMAN
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.scaling.body_size import BodySize, scaling_of
from musclemap.skeletons.scaling.masses import segment_masses
from musclemap.skeletons.scaling.muscles import fit_fibres, force_ratio, joint_samples, path_lengths
from musclemap.skeletons.scaling.segments import segment_of_bodies
from musclemap.skeletons.variants.size import _scaled, facts_of_size, size_of
from musclemap.skeletons.variants.variant import BodyVariant, make_variant

from ..support.data.small_clip import small_clip

LENGTHS = {segment.name: segment.length for segment in HUMAN.scaled}


@pytest.fixture
def checks(monkeypatch: pytest.MonkeyPatch):
    """The benchmark's checks; `benchmarks/` is not a package."""
    monkeypatch.syspath_prepend(str(Path(__file__).parents[2] / "benchmarks"))
    return pytest.importorskip("body_size_checks")


def bones(every: float = 1.0, **factors: float) -> BodyVariant:
    return make_variant(
        size={"mass": 70.0, **{name: factors.get(name, every) * length for name, length in LENGTHS.items()}}
    )


@pytest.fixture(scope="module")
def small() -> TargetBody:
    return load_body(variant=bones(0.9))


@pytest.fixture(scope="module")
def uneven() -> TargetBody:
    return load_body(variant=bones(thigh=1.1, shank=0.95))


def standing(body: TargetBody) -> mujoco.MjData:
    """Upright, every joint at zero or as close to it as its range permits."""
    reduced, data = body.reduced, mujoco.MjData(body.model)
    joints = np.clip(np.zeros(reduced.njoint), reduced.lower, reduced.upper)
    data.qpos[:] = reduced.expand(np.concatenate([[0.0, 0.0, 1.0], body.model.qpos0[3:7], joints])[None])[0]
    mujoco.mj_forward(body.model, data)
    return data


def height_of(body: TargetBody) -> float:
    """Distance from the soles to the top of the skull [m]."""
    model, data = body.model, standing(body)
    skull = model.geom("hat_skull").id
    mesh = int(model.geom_dataid[skull])
    first, count = model.mesh_vertadr[mesh], model.mesh_vertnum[mesh]
    top = data.geom_xpos[skull, 2] + (model.mesh_vert[first : first + count] @ data.geom_xmat[skull].reshape(3, 3)[2])
    soles = [data.xpos[p.body] + data.xmat[p.body].reshape(3, 3) @ p.offset for p in body.sole.contact]
    return float(top.max() - min(point[2] for point in soles))


def measured_lengths(body: TargetBody) -> dict[str, float]:
    data = standing(body)
    at = lambda name: data.xpos[body.model.body(name).id]  # noqa: E731
    ends = {
        "pelvis": ("femur_r", "femur_l"), "thigh": ("femur_r", "tibia_r"), "shank": ("tibia_r", "talus_r"),
        "upper_arm": ("humerus_r", "ulna_r"), "forearm": ("ulna_r", "lunate_r"), "hand": ("lunate_r", "3distph_r"),
    }  # fmt: skip
    return {name: float(np.linalg.norm(at(a) - at(b))) for name, (a, b) in ends.items()}


def test_the_table_is_that_of_the_model(body: TargetBody) -> None:
    index = segment_of_bodies(body.model, HUMAN.segments)
    link = body.model.body_mass <= 0.0011
    for k, segment in enumerate(HUMAN.segments):
        assert body.model.body_mass[(index == k) & ~link].sum() == pytest.approx(segment.released, abs=1e-4)
    assert body.mass == pytest.approx(HUMAN.mass, abs=1e-4)
    assert height_of(body) == pytest.approx(HUMAN.height, abs=1e-3)
    for name, length in measured_lengths(body).items():
        assert length == pytest.approx(LENGTHS[name], abs=1e-4)
    for column in (0, 1):
        assert sum(segment.mass[column] for segment in HUMAN.segments) == pytest.approx(1.0, abs=2e-3)


def test_a_person_has_the_height_mass_and_lengths_that_were_given() -> None:
    lengths = {"thigh": 0.40, "forearm": 0.22}
    person = load_body(variant=make_variant(size={"height": 1.62, "mass": 58.0, "sex": "female", **lengths}))
    assert height_of(person) == pytest.approx(1.62, abs=2e-3)
    assert person.mass == pytest.approx(58.0, abs=1e-4)
    for name, length in lengths.items():
        assert measured_lengths(person)[name] == pytest.approx(length, abs=1e-4)


def test_a_body_of_one_factor_is_similar_to_the_unscaled_one(body: TargetBody, small: TargetBody) -> None:
    """Every point is 0.9 times as far from the root, at the same angles: knees, patellae and all."""
    q = joint_samples(body.reduced, count=16, first=1024)
    ours, ref = mujoco.MjData(small.model), mujoco.MjData(body.model)
    for a, b in zip(small.reduced.expand(q), body.reduced.expand(q), strict=True):
        ours.qpos[:], ref.qpos[:] = a, b
        mujoco.mj_kinematics(small.model, ours)
        mujoco.mj_kinematics(body.model, ref)
        for name in ("xpos", "site_xpos", "geom_xpos"):
            moved = np.arange(len(getattr(ref, name))) > 0  # not the world and its floor
            np.testing.assert_allclose(getattr(ours, name)[moved], 0.9 * getattr(ref, name)[moved], atol=1e-6)


def test_inertia_of_a_similar_body_grows_with_mass_and_the_square_of_length() -> None:
    same = {"masses": "proportional", **{name: 1.1 * length for name, length in LENGTHS.items()}}
    ref, large = load_body().model, load_body(variant=make_variant(size={"mass": 100.0, **same})).model
    thigh = ref.body("femur_r").id
    grown = (100.0 - HUMAN.links) / (HUMAN.mass - HUMAN.links)
    assert large.body_mass[thigh] == pytest.approx(grown * ref.body_mass[thigh], rel=1e-6)
    np.testing.assert_allclose(large.body_inertia[thigh], 1.1**2 * grown * ref.body_inertia[thigh], rtol=1e-6)
    np.testing.assert_allclose(large.body_ipos[thigh], 1.1 * ref.body_ipos[thigh], rtol=1e-6)


@pytest.mark.parametrize(("sex", "thigh", "head"), [("female", 14.78, 6.68), ("male", 14.16, 6.94)])
def test_segments_have_the_masses_of_de_leva(sex: str, thigh: float, head: float) -> None:
    person = load_body(variant=make_variant(size={"height": 1.7, "mass": 65.0, "sex": sex})).model
    index = segment_of_bodies(person, HUMAN.segments)
    names = [segment.name for segment in HUMAN.segments]
    mass = lambda name: person.body_mass[index == names.index(name)].sum()  # noqa: E731
    assert mass("thigh") == pytest.approx(65.0 * 2.0 * thigh / 100.0, rel=2e-3)
    assert mass("head") == pytest.approx(65.0 * head / 100.0, rel=2e-3)


def limb(body: TargetBody, name: str, side: str) -> tuple[float, np.ndarray, np.ndarray]:
    """Length of a segment, and its bones' centre of mass and radii of gyration (across, across, along) in lengths."""
    data = standing(body)
    shape = next(segment.shape for segment in HUMAN.segments if segment.name == name)
    assert shape is not None
    bones = [body.model.body(bone).id for bone in shape.bones if bone.endswith(side)]
    start, end = (data.xpos[body.model.body(next(n for n in names if n.endswith(side))).id]
                  for names in (shape.bones, shape.end))  # fmt: skip
    length, line = float(np.linalg.norm(end - start)), (end - start) / np.linalg.norm(end - start)
    mass = body.model.body_mass[bones]
    centre = mass @ data.xipos[bones] / mass.sum()
    inertia = np.zeros((3, 3))
    for m, bone in zip(mass, bones, strict=True):
        turn, away = data.ximat[bone].reshape(3, 3), data.xipos[bone] - centre
        inertia += turn @ np.diag(body.model.body_inertia[bone]) @ turn.T + m * (
            away @ away * np.eye(3) - np.outer(away, away)
        )
    across = np.linalg.svd(line[None])[2][1:]
    moments = [axis @ inertia @ axis for axis in (*across, line)]
    return length, np.array([(centre - start) @ line / length]), np.sqrt(np.array(moments) / mass.sum()) / length


@pytest.mark.parametrize(
    ("name", "centre", "across", "along"),
    [("thigh", 0.4095, 0.329, 0.149), ("shank", 0.4395, 0.2485, 0.102), ("upper_arm", 0.5772, 0.277, 0.158),
     ("forearm", 0.4574, 0.2705, 0.121)],
)  # fmt: skip
def test_limbs_have_the_centres_and_radii_of_gyration_of_de_leva(
    name: str, centre: float, across: float, along: float
) -> None:
    """Also where thigh and shank differ in size, and on the left as on the right."""
    man = load_body(variant=make_variant(size={"height": 1.8, "mass": 85.0, "sex": "male", "thigh": 0.39}))
    for side in ("_r", "_l"):
        _, place, radii = limb(man, name, side)
        assert place[0] == pytest.approx(centre, abs=1e-3)
        np.testing.assert_allclose(radii[:2], across, rtol=0.01)
        assert radii[2] == pytest.approx(along, rel=0.15)  # ulna and radius lie side by side


def test_proportional_masses_keep_the_places_of_the_released_body(body: TargetBody) -> None:
    same = load_body(variant=make_variant(size={"height": 1.8, "mass": 85.0, "masses": "proportional"}))
    for name in ("thigh", "forearm"):
        for ours, ref in zip(limb(same, name, "_r")[1:], limb(body, name, "_r")[1:], strict=True):
            np.testing.assert_allclose(ours, ref, rtol=1e-5)


def test_masses_add_up_for_any_method() -> None:
    factors = {name: 1.0 + 0.02 * k for k, name in enumerate(LENGTHS)}
    for method in ("regression", "proportional"):
        masses = segment_masses(HUMAN, factors, mass=70.0, sex=None, method=method)
        assert masses.sum() == pytest.approx(70.0 - HUMAN.links)
        assert (masses > 0.0).all()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["small", "uneven"])
def test_a_scaled_body_keeps_what_its_muscles_do(name: str, body: TargetBody, checks, request) -> None:
    kept = checks.compare_bodies(body, request.getfixturevalue(name), count=64)
    assert kept.coupling < 2e-5
    median, high, _ = kept.fibre
    assert median < 0.02
    assert high < 0.1
    assert not kept.flips
    assert not kept.jumps
    assert kept.stale[2] > 0.2  # what lengths would be with the unscaled length ranges


def test_the_load_at_rest_is_the_weight(small: TargetBody, checks) -> None:
    assert checks.static_load(small) == pytest.approx(small.mass * 9.81, rel=1e-9)


def test_fibres_of_a_similar_body_scale_exactly(body: TargetBody, small: TargetBody) -> None:
    np.testing.assert_allclose(small.model.actuator_lengthrange, 0.9 * body.model.actuator_lengthrange, atol=1e-7)


def test_the_fit_of_fibres_finds_a_line_despite_slips() -> None:
    rng = np.random.default_rng(0)
    unscaled = rng.uniform(0.2, 0.4, size=(200, 2))
    scaled = unscaled * [1.05, 0.95] + [0.01, -0.02]
    scaled[:5, 0] += 0.03  # the path slips off its bone
    fit = fit_fibres(unscaled, scaled, lowest=0.9, highest=1.1)
    np.testing.assert_allclose(fit.slope, [1.05, 0.95], atol=1e-9)
    np.testing.assert_allclose(fit.offset, [0.01, -0.02], atol=1e-9)


def test_a_body_is_the_same_on_any_processor(body: TargetBody) -> None:
    """Paths that differ in the last bits give the same muscles, so a clip finds its body by the hash."""
    rng = np.random.default_rng(1)
    unscaled = path_lengths(body.model, body.reduced.expand(joint_samples(body.reduced, count=32)))
    scaled = unscaled * rng.uniform(0.9, 1.1, size=unscaled.shape[1]) + 0.01
    one = fit_fibres(unscaled, scaled, lowest=0.8, highest=1.2)
    noise = 1.0 + 1e-14 * rng.normal(size=unscaled.shape)
    other = fit_fibres(unscaled * noise, scaled * noise[::-1], lowest=0.8, highest=1.2)
    np.testing.assert_array_equal(one.slope, other.slope)
    np.testing.assert_array_equal(one.offset, other.offset)


def test_a_clip_finds_its_body_again(small: TargetBody, tmp_path: Path) -> None:
    path = tmp_path / "clip.h5"
    write_clip(path, small_clip(model=small.name, model_sha256=small.sha256, variant=small.variant))
    clip = read_clip(path)
    _scaled.cache_clear()
    _altered.cache_clear()
    again = load_body_version(clip.model, clip.model_sha256, variant=clip.variant)
    assert again is not small
    assert again.sha256 == clip.model_sha256


def test_peak_force_by_handsfield_and_by_area(body: TargetBody) -> None:
    released = (HUMAN.mass, HUMAN.height)
    fibre = np.array([0.9, 1.0])
    ratio = force_ratio(fibre, method="mass-height", mass=58.0, height=1.62, released=released)
    volume = (47.05 * 58.0 * 1.62 + 1289.6) / (47.05 * HUMAN.mass * HUMAN.height + 1289.6)
    np.testing.assert_allclose(ratio * fibre, volume)  # force times length is proportional to volume
    area = force_ratio(fibre, method="mass", mass=HUMAN.mass * 8.0, height=1.0, released=released)
    np.testing.assert_allclose(area, 4.0)
    person = load_body(variant=make_variant(size={"height": 1.62, "mass": 58.0, "force": "mass"})).model
    np.testing.assert_allclose(
        person.actuator_gainprm[:, 2] / body.model.actuator_gainprm[:, 2], (58.0 / HUMAN.mass) ** (2 / 3)
    )


@pytest.mark.parametrize(("age", "force", "deactivation"), [(25.0, 1.0, 1.0), (50.0, 0.85, 1.1), (80.0, 0.7, 1.2)])
def test_old_muscles_are_weaker_and_slower_to_relax(age: float, force: float, deactivation: float) -> None:
    young = load_body(variant=make_variant(size={"height": 1.7, "mass": 65.0})).model
    person = load_body(variant=make_variant(size={"height": 1.7, "mass": 65.0, "age": age})).model
    np.testing.assert_allclose(person.actuator_gainprm[:, 2], force * young.actuator_gainprm[:, 2])
    np.testing.assert_allclose(person.actuator_dynprm[:, 1], deactivation * young.actuator_dynprm[:, 1])


def test_arms_of_the_same_person_are_those_of_the_whole_body() -> None:
    variant = make_variant(size={"height": 1.62, "mass": 58.0, "sex": "female"})
    whole, arms = load_body(variant=variant).model, load_body("MyoBimanualArm", variant=variant).model
    for name in ("humerus_r", "ulna_l", "lunate_r", "3distph_r"):
        np.testing.assert_allclose(arms.body(name).pos, whole.body(name).pos, atol=1e-6)
        assert arms.body(name).mass[0] == pytest.approx(whole.body(name).mass[0], rel=1e-4)
        np.testing.assert_allclose(arms.body(name).ipos, whole.body(name).ipos, atol=2e-6)
        np.testing.assert_allclose(arms.body(name).inertia, whole.body(name).inertia, rtol=1e-3)


def test_other_facts_alter_the_scaled_body() -> None:
    size = {"height": 1.62, "mass": 58.0}
    scaled = load_body(variant=make_variant(size=size))
    both = load_body(variant=make_variant(size=size, added_mass={"tibia_r": 1.0}, strength={"soleus_r": 0.5}))
    assert both.mass == pytest.approx(59.0, abs=1e-4)
    soleus = scaled.model.actuator("soleus_r").id
    assert both.model.actuator_gainprm[soleus, 2] == pytest.approx(0.5 * scaled.model.actuator_gainprm[soleus, 2])
    np.testing.assert_array_equal(both.model.actuator_lengthrange, scaled.model.actuator_lengthrange)


def test_what_is_not_given_follows() -> None:
    scaling = scaling_of(BodySize(height=1.7, sex="female"), HUMAN)
    assert scaling.mass == pytest.approx(21.5 * 1.7**2)
    assert len(set(scaling.factors.values())) == 1
    assert scaling_of(BodySize(mass=70.0), HUMAN).height == pytest.approx(HUMAN.height)
    longer = scaling_of(BodySize(height=1.7, mass=65.0, lengths={"thigh": 0.45}), HUMAN)
    assert longer.height == pytest.approx(1.7)
    assert longer.factors["thigh"] == pytest.approx(0.45 / LENGTHS["thigh"])
    assert longer.factors["shank"] < 1.7 / HUMAN.height


@pytest.mark.parametrize(
    ("size", "message"),
    [
        ({"height": 162.0}, r"centimetres \(1\.62 m\); give 1\.2 to 2\.05 m"),
        ({"height": 1.1}, "the height is 1.1 m; give 1.2 to 2.05 m"),
        ({"mass": 20.0}, "the mass is 20 kg; give 25 to 140 kg"),
        ({"height": 2.0, "mass": 35.0}, r"nobody is 2\.00 m tall with 35 kg \(BMI 8\.8\).*from 44 to 140 kg"),
        ({"height": 1.3, "mass": 120.0}, "at this height give a mass from 25 to 101 kg"),
        ({"height": 1.7, "thigh": 0.6}, "thigh .hip to knee joint.; at a height of 1.70 m it is between"),
        ({"height": 1.7, "calf": 0.4}, "there is no segment 'calf'; the segments are: pelvis, trunk"),
        ({"height": 1.7, "sex": "m"}, "sex is 'm'; it must be one of: female, male"),
        ({"height": "tall"}, "height is 'tall'; it must be a number"),
        ({"age": 3.0}, "the age is 3 years; give 5 to 100 years"),
    ],
)
def test_a_body_that_nobody_has_is_refused(size: dict[str, float | str], message: str) -> None:
    with pytest.raises(TargetError, match=message):
        load_body(variant=make_variant(size=size))


@pytest.mark.parametrize("value", [math.nan, math.inf, -1.0, 1e6, True, "x" * 40, [1.0]])
def test_facts_of_size_are_bounded_when_a_file_is_read(value: object) -> None:
    with pytest.raises(SettingsError):
        make_variant(size={"height": value})


def test_a_size_is_the_same_after_a_round_trip() -> None:
    size = BodySize(height=1.62, mass=58.0, sex="female", age=70.0, lengths={"thigh": 0.41}, force="mass")
    variant = make_variant(size=facts_of_size(size))
    assert size_of(variant.size) == size
    assert variant == make_variant(size=dict(reversed(variant.size)))
    assert "1.62 m tall" in variant.text


def test_an_unscaled_size_changes_no_length(body: TargetBody) -> None:
    same = load_body(variant=bones(1.0))
    q = body.reduced.expand(joint_samples(body.reduced, count=4))
    np.testing.assert_allclose(path_lengths(same.model, q), path_lengths(body.model, q), atol=1e-9)
    np.testing.assert_allclose(same.model.actuator_lengthrange, body.model.actuator_lengthrange, atol=1e-9)
