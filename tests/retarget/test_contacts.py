"""Contacts of heels and toes, scale of the subject and height of the floor."""

import numpy as np
import pytest

from musclemap.intervals import runs
from musclemap.retarget.config import ScaleConfig
from musclemap.retarget.targets.contacts import detect_contacts, estimate_stance, velocity

from ..support.feet import CONTACT, FPS, Moving, builtin, eased, stance_of, standing_still, truly_standing


@pytest.fixture(scope="module")
def walk() -> Moving:
    return builtin("walk_1.2")


def test_runs_are_the_intervals_of_a_mask() -> None:
    mask = np.array([1, 1, 0, 0, 1, 0, 1], bool)
    assert runs(mask) == [(0, 2), (4, 5), (6, 7)]
    assert runs(np.zeros(3, bool)) == []
    assert runs(np.ones(3, bool)) == [(0, 3)]


@pytest.mark.parametrize("name", ["walk_0.8", "walk_1.2", "walk_1.6", "squat", "turn"])
def test_only_standing_points_are_in_contact(name: str) -> None:
    moving = builtin(name)
    stance = stance_of(moving)
    assert stance.contact[truly_standing(moving)].mean() > 0.995
    speed, height = np.linalg.norm(velocity(moving.points, FPS), axis=2), moving.points[..., 2]
    no_contact = (speed > 1.3 * CONTACT.max_speed) | (height > 1.3 * CONTACT.max_height)
    assert not np.any(stance.contact & no_contact)
    assert stance.scale == pytest.approx(1.0, abs=0.01)
    assert stance.floor == pytest.approx(0.0, abs=0.006)
    assert not stance.height.any()


def test_moments_neither_make_nor_break_a_contact() -> None:
    """The left foot slides with a pause of 50 ms; the right foot stands, and shifts by 2 cm within 30 ms."""
    moving = standing_still(200)
    slide = np.full(200, 0.6 / FPS)
    slide[100:105] = 0.0
    points = moving.points.copy()
    points[:, :2, 0] += np.cumsum(slide)[:, None]
    points[:, 2:, 0] += 0.02 * eased(100, 103, 200)[:, None]
    contact, _ = detect_contacts(points, moving.pelvis[:, 2], FPS, CONTACT)
    assert not contact[:, :2].any()
    assert contact[:, 2:].all()


def test_contacts_and_gaps_have_a_minimum_duration(walk: Moving) -> None:
    length = round(CONTACT.min_duration * FPS)
    contact = stance_of(walk).contact
    for k in range(4):
        inner = [(start, stop) for start, stop in runs(contact[:, k]) if start > 0 and stop < len(contact)]
        assert inner
        assert min(stop - start for start, stop in inner) >= length
        gaps = [(start, stop) for start, stop in runs(~contact[:, k]) if start > 0 and stop < len(contact)]
        assert min(stop - start for start, stop in gaps) >= length


@pytest.mark.parametrize("floor", [0.0, 0.3, -0.3])
@pytest.mark.parametrize("subject", [0.8, 0.9, 1.1, 1.25])
@pytest.mark.parametrize("name", ["walk_0.8", "walk_1.2", "walk_1.6"])
def test_scale_follows_from_standing_feet(name: str, subject: float, floor: float) -> None:
    """Fault 4: for subjects of any size and floors of any height, the scale and the floor are recovered."""
    moving = builtin(name)
    stance = stance_of(moving, subject=subject, floor=floor)
    assert stance.scale * subject == pytest.approx(1.0, abs=0.02)
    assert stance.floor - stance.scale * floor == pytest.approx(0.0, abs=0.02)
    assert stance.contact[truly_standing(moving)].mean() > 0.98
    assert stance.scale_evidence == "feet"


@pytest.mark.parametrize("floor", [0.0, 0.4])
def test_without_travel_the_scale_is_that_of_height_or_skeleton(floor: float) -> None:
    """Standing gives no scale: pelvis height determines it, or the skeleton if the floor is not at z = 0."""
    stance = stance_of(standing_still(), subject=0.95, floor=floor, prior=1.02)
    expected, evidence = (1 / 0.95, "height") if floor == 0.0 else (1.02, "skeleton")
    assert stance.scale == pytest.approx(expected, abs=2e-3)
    assert stance.scale_evidence == evidence
    assert stance.contact.all()


def test_free_flight_has_no_contact() -> None:
    jump = builtin("jump")
    contact = stance_of(jump).contact
    flight = jump.points[..., 2].min(axis=1) > 0.05
    assert flight.sum() > 20
    assert not contact[flight].any()
    assert contact[truly_standing(jump)].mean() > 0.98


def test_the_slow_apex_of_a_jump_is_no_contact() -> None:
    """At the apex of a jump all points are slow for 50 ms, but the body is in free fall."""
    moving = standing_still()
    time = (np.arange(300) - 150) / FPS
    rise = np.where(np.abs(time) < 0.25, 0.5 * 9.81 * (0.25**2 - time**2), 0.0)
    points, pelvis = moving.points.copy(), moving.pelvis.copy()
    points[..., 2] += rise[:, None]
    pelvis[:, 2] += rise
    contact, floor = detect_contacts(points, pelvis[:, 2], FPS, CONTACT)
    assert not contact[130:171].any()
    assert contact[:120].all()
    assert contact[180:].all()
    assert floor == pytest.approx(0.0, abs=1e-6)


def test_still_feet_below_a_falling_body_are_no_contact() -> None:
    """Legs that extend during the fall keep the feet still for a third of a second."""
    moving = standing_still()
    time = (np.arange(300) - 150) / FPS
    points, pelvis = moving.points.copy(), moving.pelvis.copy()
    points[..., 2] += 0.3 * (eased(110, 130, 300) - eased(170, 190, 300))[:, None]
    pelvis[:, 2] += np.where(np.abs(time) < 0.35, 0.5 * 9.81 * (0.35**2 - time**2), 0.0)
    contact, _ = detect_contacts(points, pelvis[:, 2], FPS, CONTACT)
    assert not contact[125:176].any()
    supported, _ = detect_contacts(points, moving.pelvis[:, 2], FPS, CONTACT)
    assert supported[135:166].all()  # under a body that does not fall, the same feet are in contact


def test_a_raised_foot_is_no_contact_while_the_other_stands() -> None:
    """The right foot is still for one second, 20 cm above the floor."""
    moving = standing_still()
    rise = 0.2 * (eased(60, 100, 300) - eased(200, 240, 300))
    points = moving.points.copy()
    points[:, 2:, 2] += rise[:, None]
    contact, _ = detect_contacts(points, moving.pelvis[:, 2], FPS, CONTACT)
    assert not contact[100:200, 2:].any()
    assert contact[:, :2].all()
    assert contact[:55, 2:].all()
    assert contact[245:, 2:].all()


def test_standing_on_a_step_is_a_contact() -> None:
    """On a box of 30 cm no point is near the floor and nothing falls, so the lowest slow points are in contact."""
    moving = standing_still(400)
    points, pelvis = moving.points.copy(), moving.pelvis.copy()
    points[:, :2, 2] += 0.3 * eased(120, 160, 400)[:, None]
    points[:, 2:, 2] += 0.3 * eased(170, 210, 400)[:, None]
    pelvis[:, 2] += 0.3 * eased(120, 210, 400)
    stance = estimate_stance(
        pelvis, points - pelvis[:, None], fps=FPS, prior=1.0, scale_config=ScaleConfig(), contact_config=CONTACT
    )
    assert stance.contact[:110].all()
    assert stance.contact[225:].all()
    assert stance.scale == pytest.approx(1.0, abs=0.02)
    assert stance.floor == pytest.approx(0.0, abs=0.01)
    np.testing.assert_allclose(stance.height[225:], 0.3, atol=0.02)
    assert not stance.height[:110].any()


def test_on_a_body_of_the_subjects_size_the_motion_keeps_its_own() -> None:
    """The scale that the steps suggest is only stored: body or motion is scaled, never both."""
    walk = builtin("walk_1.2")
    feet, pelvis = walk.points - walk.pelvis[:, None], 0.96 * walk.pelvis
    stance = estimate_stance(
        pelvis, feet, fps=FPS, prior=1.0, scale_config=ScaleConfig(), contact_config=CONTACT, body_is_scaled=True
    )
    assert stance.scale == 1.0
    assert stance.scale_evidence == "body"
    assert stance.free_scale == pytest.approx(1 / 0.96, rel=0.02)
    assert stance_of(walk).free_scale is None


def test_the_floor_can_be_stated_to_be_at_zero() -> None:
    """A body on a platform of 40 cm: the floor is under its feet, or, if so stated, at z = 0 and the feet on a step."""
    standing = standing_still()
    feet, pelvis = standing.points - standing.pelvis[:, None], standing.pelvis + np.array([0.0, 0.0, 0.4])
    stances = [
        estimate_stance(
            pelvis, feet, fps=FPS, prior=1.0, scale_config=ScaleConfig(), contact_config=CONTACT, floor_is_zero=stated
        )
        for stated in (False, True)
    ]
    assert stances[0].floor == pytest.approx(0.4, abs=0.02)
    assert not stances[0].height.any()
    assert stances[1].floor == 0.0
    np.testing.assert_allclose(stances[1].height, stances[0].floor, atol=0.01)
    np.testing.assert_array_equal(stances[1].contact, stances[0].contact)


@pytest.mark.parametrize("subject", [0.88, 1.12])
def test_without_travel_the_height_of_short_and_tall_subjects_is_trusted(subject: float) -> None:
    """A subject 12 % from the mean, a child of thirteen or a very tall man, is likelier than a floor off z = 0."""
    stance = stance_of(standing_still(), subject=subject, floor=0.0, prior=1.0)
    assert stance.scale == pytest.approx(1 / subject, rel=0.01)
    assert stance.scale_evidence == "height"
