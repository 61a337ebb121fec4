"""Feet that are held where they stand, and how the rest of their path is bent to get there."""

import numpy as np
import pytest

from musclemap.retarget.targets.contacts import Stance, runs
from musclemap.retarget.targets.foot_lock import contact_weight, foot_shift, lock_contacts

from ..support.feet import FPS, Moving, builtin, eased, stance_of, standing_still


@pytest.fixture(scope="module")
def walk() -> Moving:
    return builtin("walk_1.2")


def some_stance(contact: np.ndarray, height: np.ndarray | None = None) -> Stance:
    height = np.zeros(contact.shape) if height is None else height
    return Stance(contact=contact, scale=1.0, floor=0.0, height=height, scale_evidence="feet")


def test_ramp_is_full_inside_and_rises_evenly(walk: Moving) -> None:
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


def test_held_points_stay_in_one_place_on_their_ground(walk: Moving) -> None:
    stance = stance_of(walk)
    anchor = lock_contacts(walk.points, stance, fps=FPS)
    np.testing.assert_array_equal(anchor[~stance.contact], walk.points[~stance.contact])
    for k in range(4):
        for start, stop in runs(stance.contact[:, k]):
            held = anchor[start:stop, k]
            assert np.ptp(held, axis=0).max() == 0.0
            assert held[0, 2] == 0.0
            assert np.linalg.norm(held[0, :2] - np.median(walk.points[start:stop, k, :2], axis=0)) < 1e-12


def test_held_points_lie_on_the_ground_that_is_theirs() -> None:
    moving = standing_still(50)
    contact, height = np.ones((50, 4), bool), np.zeros((50, 4))
    height[:, 2:] = 0.3
    anchor = lock_contacts(moving.points + 0.01, some_stance(contact, height), fps=FPS)
    np.testing.assert_allclose(anchor[..., 2], height)
    np.testing.assert_allclose(anchor[..., :2], moving.points[..., :2] + 0.01)


def test_a_slide_is_followed_slowly() -> None:
    """A foot that glides 40 cm in two seconds while it stands is not pulled to one place."""
    moving = standing_still(300)
    points = moving.points.copy()
    points[:, :, 0] += 0.4 * eased(50, 250, 300)[:, None]
    points[:, :, 1] += np.random.default_rng(80).normal(0, 0.003, (300, 4))
    anchor = lock_contacts(points, some_stance(np.ones((300, 4), bool)), fps=FPS)
    assert np.linalg.norm(anchor - points, axis=2).max() < 0.05
    assert np.linalg.norm(np.diff(anchor, axis=0), axis=2).max() < np.linalg.norm(np.diff(points, axis=0), axis=2).max()


def test_feet_that_stand_still_need_no_shift(walk: Moving) -> None:
    moving = standing_still()
    contact = np.ones((300, 4), bool)
    assert np.abs(foot_shift(moving.points, moving.points, contact, FPS)).max() == 0.0
    stance = stance_of(walk)
    points = walk.points - [0.0, 0.0, stance.floor]
    shift = foot_shift(points, lock_contacts(points, stance, fps=FPS), stance.contact, FPS)
    assert np.linalg.norm(shift, axis=2).max() < 0.03


def test_sliding_feet_are_put_where_they_are_held() -> None:
    """A walk whose travel is 8 % too long: each stance slides by centimetres; shifted, it stays within millimetres."""
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


def test_a_shift_is_smooth_and_both_points_of_a_foot_share_it() -> None:
    """Only the toe stands: the heel goes along. Between two contacts the shift runs evenly from one to the other."""
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


def test_nothing_is_left_under_the_floor(walk: Moving) -> None:
    """A walk whose feet swing through the floor, 2 cm deep, is lifted to it; one that is above stays as it is."""
    stance = stance_of(walk)
    points = walk.points.copy()
    for k in range(4):
        for start, stop in runs(~stance.contact[:, k]):
            dip = np.sin(np.pi * np.arange(stop - start) / (stop - start)) ** 2 * (stop - start > 20)
            points[start:stop, k, 2] -= dip * (0.02 + points[start:stop, k, 2])
    lifted = points + foot_shift(points, lock_contacts(points, stance, fps=FPS), stance.contact, FPS)
    assert points[..., 2].min() < -0.019
    assert lifted[..., 2].min() > -0.001
    high = walk.points + np.array([0.0, 0.0, 0.2])
    assert not foot_shift(high, high, np.zeros(stance.contact.shape, bool), FPS).any()


def test_lower_ground_is_no_floor_to_be_lifted_to() -> None:
    """Standing in a hole 15 cm deep."""
    moving = standing_still(100)
    points = moving.points - [0.0, 0.0, 0.15]
    shift = foot_shift(points, points, np.ones((100, 4), bool), FPS)
    assert np.abs(shift).max() < 1e-12
