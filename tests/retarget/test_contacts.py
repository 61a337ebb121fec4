"""Who stands, how big the subject is, and where the floor lies."""

import numpy as np
import pytest

from musclemap.retarget.config import ScaleConfig
from musclemap.retarget.targets.contacts import detect_contacts, estimate_stance, runs, velocity

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
def test_standing_points_are_found_and_no_others(name: str) -> None:
    moving = builtin(name)
    stance = stance_of(moving)
    assert stance.contact[truly_standing(moving)].mean() > 0.995
    speed, height = np.linalg.norm(velocity(moving.points, FPS), axis=2), moving.points[..., 2]
    away = (speed > 1.3 * CONTACT.max_speed) | (height > 1.3 * CONTACT.max_height)
    assert not np.any(stance.contact & away)
    assert stance.scale == pytest.approx(1.0, abs=0.01)
    assert stance.floor == pytest.approx(0.0, abs=0.006)
    assert not stance.height.any()


def test_a_moment_makes_no_contact_and_breaks_none() -> None:
    """The left foot glides and pauses for 30 ms; the right one stands and shifts by 2 cm within 30 ms."""
    moving = standing_still(200)
    glide = np.full(200, 0.6 / FPS)
    glide[100:105] = 0.0
    points = moving.points.copy()
    points[:, :2, 0] += np.cumsum(glide)[:, None]
    points[:, 2:, 0] += 0.02 * eased(100, 103, 200)[:, None]
    contact, _ = detect_contacts(points, moving.pelvis[:, 2], FPS, CONTACT)
    assert not contact[:, :2].any()
    assert contact[:, 2:].all()


def test_no_contact_is_shorter_than_the_shortest(walk: Moving) -> None:
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
def test_size_is_read_from_feet_that_stand(name: str, subject: float, floor: float) -> None:
    """Fault 4. A subject of another size and a floor of any height: travel is scaled back, soles come to z = 0."""
    moving = builtin(name)
    stance = stance_of(moving, subject=subject, floor=floor)
    assert stance.scale * subject == pytest.approx(1.0, abs=0.02)
    assert stance.floor - stance.scale * floor == pytest.approx(0.0, abs=0.02)
    assert stance.contact[truly_standing(moving)].mean() > 0.98
    assert stance.scale_evidence == "feet"


@pytest.mark.parametrize("floor", [0.0, 0.4])
def test_who_goes_nowhere_has_the_size_of_height_or_skeleton(floor: float) -> None:
    """Standing says nothing about travel: pelvis height decides, or the skeleton where the floor is not at z = 0."""
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


def test_a_slow_top_of_a_leap_is_no_contact() -> None:
    """Feet hang still below a body in free fall: at the top all is slow for 50 ms, and nothing carries it."""
    moving = standing_still()
    t = (np.arange(300) - 150) / FPS
    lift = np.where(np.abs(t) < 0.25, 0.5 * 9.81 * (0.25**2 - t**2), 0.0)
    points, pelvis = moving.points.copy(), moving.pelvis.copy()
    points[..., 2] += lift[:, None]
    pelvis[:, 2] += lift
    contact, floor = detect_contacts(points, pelvis[:, 2], FPS, CONTACT)
    assert not contact[130:171].any()
    assert contact[:120].all()
    assert contact[180:].all()
    assert floor == pytest.approx(0.0, abs=1e-6)


def test_feet_that_hold_still_below_a_falling_body_carry_nothing() -> None:
    """Legs stretched towards the ground keep the feet where they are for a third of a second of the fall."""
    moving = standing_still()
    t = (np.arange(300) - 150) / FPS
    points, pelvis = moving.points.copy(), moving.pelvis.copy()
    points[..., 2] += 0.3 * (eased(110, 130, 300) - eased(170, 190, 300))[:, None]
    pelvis[:, 2] += np.where(np.abs(t) < 0.35, 0.5 * 9.81 * (0.35**2 - t**2), 0.0)
    contact, _ = detect_contacts(points, pelvis[:, 2], FPS, CONTACT)
    assert not contact[125:176].any()
    hanging, _ = detect_contacts(points, moving.pelvis[:, 2], FPS, CONTACT)
    assert hanging[135:166].all()  # the same feet under a body that does not fall stand on something


def test_a_raised_foot_is_no_contact_while_the_other_stands() -> None:
    """The right foot is held still 20 cm up for a second."""
    moving = standing_still()
    up = 0.2 * (eased(60, 100, 300) - eased(200, 240, 300))
    points = moving.points.copy()
    points[:, 2:, 2] += up[:, None]
    contact, _ = detect_contacts(points, moving.pelvis[:, 2], FPS, CONTACT)
    assert not contact[100:200, 2:].any()
    assert contact[:, :2].all()
    assert contact[:55, 2:].all()
    assert contact[245:, 2:].all()


def test_a_step_carries_whoever_stands_on_it() -> None:
    """Up onto a box of 30 cm: nothing is near the floor and nothing falls, so the lowest slow points stand."""
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


@pytest.mark.parametrize("subject", [0.88, 1.12])
def test_a_short_or_tall_subject_who_goes_nowhere_has_the_size_of_height(subject: float) -> None:
    """Twelve percent from the mean is a child of thirteen or a very tall man, and likelier than a floor off z = 0."""
    stance = stance_of(standing_still(), subject=subject, floor=0.0, prior=1.0)
    assert stance.scale == pytest.approx(1 / subject, rel=0.01)
    assert stance.scale_evidence == "height"
