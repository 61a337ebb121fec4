"""Foot lock: anchors and weights of contacts, and the shift that moves feet to their anchors."""

import numpy as np
import pytest

from musclemap.intervals import runs
from musclemap.retarget.targets.contacts import Stance
from musclemap.retarget.targets.foot_lock import contact_weight, foot_shift, lock_contacts

from ..support.feet import FPS, Moving, builtin, eased, stance_of, standing_still


@pytest.fixture(scope="module")
def walk() -> Moving:
    return builtin("walk_1.2")


def make_stance(contact: np.ndarray, height: np.ndarray | None = None) -> Stance:
    height = np.zeros(contact.shape) if height is None else height
    return Stance(contact=contact, scale=1.0, floor=0.0, height=height, scale_evidence="feet")


def test_contact_weight_is_one_inside_with_linear_ramps(walk: Moving) -> None:
    contact = stance_of(walk).contact
    weight = contact_weight(contact, FPS)
    assert np.all((weight > 0) == contact)
    assert weight.max() == 1.0
    assert np.abs(np.diff(weight, axis=0)).max() <= 1 / 6 + 1e-12
    for k in range(4):
        for start, stop in runs(contact[:, k]):
            assert np.all(weight[start + 6 : stop - 6, k] == 1.0)
            assert start == 0 or weight[start, k] < 0.2
            assert stop == len(contact) or weight[stop - 1, k] < 0.2
            if start == 0 and stop > 6:
                assert weight[0, k] == 1.0
    np.testing.assert_array_equal(contact_weight(contact[::-1], FPS), weight[::-1])


def test_anchors_are_constant_and_on_the_ground(walk: Moving) -> None:
    stance = stance_of(walk)
    anchor = lock_contacts(walk.points, stance, fps=FPS)
    np.testing.assert_array_equal(anchor[~stance.contact], walk.points[~stance.contact])
    for k in range(4):
        for start, stop in runs(stance.contact[:, k]):
            locked = anchor[start:stop, k]
            assert np.ptp(locked, axis=0).max() == 0.0
            assert locked[0, 2] == 0.0
            assert np.linalg.norm(locked[0, :2] - np.median(walk.points[start:stop, k, :2], axis=0)) < 1e-12


def test_anchors_are_on_raised_ground() -> None:
    moving = standing_still(50)
    contact, height = np.ones((50, 4), bool), np.zeros((50, 4))
    height[:, 2:] = 0.3
    anchor = lock_contacts(moving.points + 0.01, make_stance(contact, height), fps=FPS)
    np.testing.assert_allclose(anchor[..., 2], height)
    np.testing.assert_allclose(anchor[..., :2], moving.points[..., :2] + 0.01)


def test_anchors_follow_a_slide_slowly() -> None:
    """A contact that slides by 40 cm in two seconds is not locked to one position."""
    moving = standing_still(300)
    points = moving.points.copy()
    points[:, :, 0] += 0.4 * eased(50, 250, 300)[:, None]
    points[:, :, 1] += np.random.default_rng(80).normal(0, 0.003, (300, 4))
    anchor = lock_contacts(points, make_stance(np.ones((300, 4), bool)), fps=FPS)
    assert np.linalg.norm(anchor - points, axis=2).max() < 0.05
    assert np.linalg.norm(np.diff(anchor, axis=0), axis=2).max() < np.linalg.norm(np.diff(points, axis=0), axis=2).max()


def test_feet_that_do_not_slide_need_no_shift(walk: Moving) -> None:
    moving = standing_still()
    contact = np.ones((300, 4), bool)
    assert np.abs(foot_shift(moving.points, moving.points, contact, FPS)).max() == 0.0
    stance = stance_of(walk)
    points = walk.points - [0.0, 0.0, stance.floor]
    shift = foot_shift(points, lock_contacts(points, stance, fps=FPS), stance.contact, FPS)
    assert np.linalg.norm(shift, axis=2).max() < 0.03


def test_sliding_feet_are_moved_to_their_anchors() -> None:
    """In a walk whose path is 8 % too long, each stance slides by centimetres; the shift removes most of it."""
    walk = builtin("walk_1.2")
    stance = stance_of(walk)
    points = walk.points + 0.08 * (walk.pelvis * [1.0, 1.0, 0.0])[:, None]
    anchor = lock_contacts(points, stance, fps=FPS)
    shift = foot_shift(points, anchor, stance.contact, FPS)
    inside = contact_weight(stance.contact, FPS) == 1.0
    before = np.linalg.norm((points - anchor)[inside][:, :2], axis=1)
    after = np.linalg.norm((points + shift - anchor)[inside][:, :2], axis=1)
    assert before.max() > 0.02
    assert after.mean() < 0.35 * before.mean()


def test_a_shift_is_smooth_and_common_to_both_points_of_a_foot() -> None:
    """If only the toe is in contact, the heel moves with it. Between two contacts the shift is linear."""
    moving = standing_still(300)
    contact = np.zeros((300, 4), bool)
    contact[:100, 1] = contact[200:, 1] = True
    anchor = moving.points.copy()
    anchor[:100, 1, 0] += 0.02
    anchor[200:, 1, 0] -= 0.04
    shift = foot_shift(moving.points, anchor, contact, FPS)
    np.testing.assert_allclose(shift[:, 0], shift[:, 1], atol=1e-12)
    assert not shift[:, 2:].any()
    np.testing.assert_allclose(shift[:80, 1, 0], 0.02, atol=1e-6)
    np.testing.assert_allclose(shift[220:, 1, 0], -0.04, atol=1e-6)
    between = np.interp(np.arange(300), [99, 200], [0.02, -0.04])
    np.testing.assert_allclose(shift[:, 1, 0], between, atol=1.5e-3)
    assert np.all(np.diff(shift[:, 1, 0]) < 1e-9)


def test_points_below_the_floor_are_lifted_to_it(walk: Moving) -> None:
    """Feet that swing 2 cm below the floor are lifted to it; feet above it are not changed."""
    stance = stance_of(walk)
    points = walk.points.copy()
    for k in range(4):
        for start, stop in runs(~stance.contact[:, k]):
            dip = np.sin(np.pi * np.arange(stop - start) / (stop - start)) ** 2 * (stop - start > 20)
            points[start:stop, k, 2] -= dip * (0.02 + points[start:stop, k, 2])
    shifted = points + foot_shift(points, lock_contacts(points, stance, fps=FPS), stance.contact, FPS)
    assert points[..., 2].min() < -0.019
    assert shifted[..., 2].min() > -0.001
    high = walk.points + np.array([0.0, 0.0, 0.2])
    assert not foot_shift(high, high, np.zeros(stance.contact.shape, bool), FPS).any()


def test_contacts_on_lower_ground_are_not_lifted() -> None:
    """Both feet stand in a hole of 15 cm."""
    moving = standing_still(100)
    points = moving.points - [0.0, 0.0, 0.15]
    shift = foot_shift(points, points, np.ones((100, 4), bool), FPS)
    assert np.abs(shift).max() < 1e-12
