"""Reduced coordinates: their number, couplings that hold exactly, and ranges that respect every limit."""

from collections import Counter

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.errors import TargetError
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.myofullbody import FINGER_JOINTS
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.couplings import DRIVEN_TOLERANCE, couplings, value_and_slope
from musclemap.skeletons.reduced import NROOT, ReducedCoordinates, reduce_model

from ..support.configurations import random_configurations

NARROWED = {"flex_extension": (-1.006, 0.454), **{f"elv_angle_{s}": (-1.658, 2.242) for s in "rl"},
            **{f"shoulder_elv_{s}": (0.0, 3.100) for s in "rl"}}  # fmt: skip
"""Published effective ranges that are narrower than the declared ones [rad]."""


def chain(*, root: str = "<freejoint/>", middle: str = "hinge", equality: str = "") -> mujoco.MjModel:
    """A free body with joints a (-2 to 2, rest 0.25), b (0 to 1, rest 0) and c (-9 to 9, rest 0.3) in a row."""
    limit = "" if middle == "ball" else 'range="-2 2" ref="0.25"'
    return mujoco.MjModel.from_xml_string(
        f"""<mujoco><compiler angle="radian" autolimits="true"/><worldbody><body>{root}<geom size=".1"/>
        <body pos="0 0 .3"><joint name="a" type="{middle}" {limit}/><geom size=".1"/>
        <body pos="0 0 .3"><joint name="b" range="0 1" axis="1 0 0"/><geom size=".1"/>
        <body pos="0 0 .3"><joint name="c" range="-9 9" ref="0.3"/><geom size=".1"/>
        </body></body></body></body></worldbody><equality>{equality}</equality></mujoco>"""
    )


def coupled(driven: str, driver: str, coef: str) -> str:
    return f'<joint joint1="{driven}" joint2="{driver}" polycoef="{coef}"/>'


def ranges_broken(reduced: ReducedCoordinates, *, tolerance: float) -> set[str]:
    """Driven joints that leave their declared range within their driver's range."""
    model, broken = reduced.model, set()
    for coupling in couplings(model):
        if coupling.driver < 0:
            continue
        k = reduced.joint_ids.tolist().index(coupling.driver)
        delta = np.linspace(reduced.lower[k], reduced.upper[k], 4001) - reduced.qpos0[k]
        value = model.qpos0[model.jnt_qposadr[coupling.driven]] + value_and_slope(coupling.coef, delta)[0]
        low, high = model.jnt_range[coupling.driven]
        if value.min() < low - tolerance or value.max() > high + tolerance:
            broken.add(model.joint(coupling.driven).name)
    return broken


def test_body_has_the_known_coordinates(body: TargetBody) -> None:
    model = body.model
    free, _, slide, hinge = np.bincount(model.jnt_type, minlength=4)
    assert (model.nq, model.nv, model.njnt, free, slide, hinge) == (129, 128, 123, 1, 10, 112)
    assert body.reduced_hands.ndof == 77
    assert body.reduced.ndof == 37
    assert set(body.reduced_hands.joint_names) - set(body.reduced.joint_names) == set(FINGER_JOINTS)
    assert len(FINGER_JOINTS) == 40


def test_couplings_are_those_of_trunk_girdle_and_knees(body: TargetBody) -> None:
    active = couplings(body.model)
    by_driver = Counter("held" if c.driver < 0 else body.model.joint(c.driver).name for c in active)
    trunk = sum(by_driver.pop(name) for name in ("flex_extension", "lat_bending", "axial_rotation", "held"))
    girdle = sum(by_driver.pop(f"{name}_{side}") for name in ("shoulder_elv", "elv_angle") for side in "rl")
    knees = sum(by_driver.pop(f"knee_angle_{side}") for side in "rl")
    assert (len(active), trunk, girdle, knees) == (51, 15, 22, 14)
    assert not by_driver
    assert {body.model.joint(c.driven).name for c in active if c.driver < 0} == {"Abs_t1", "Abs_t2"}


def test_polynomial_is_constant_first() -> None:
    coef, x = np.array([0.5, -1.0, 2.0, 0.0, 3.0]), np.linspace(-1.5, 1.5, 7)
    value, slope = value_and_slope(coef, x)
    np.testing.assert_allclose(value, 0.5 - x + 2 * x**2 + 3 * x**4, rtol=1e-14)
    np.testing.assert_allclose(slope, -1 + 4 * x + 12 * x**3, rtol=1e-13)


def test_couplings_are_the_same_in_jax(body: TargetBody) -> None:
    joints = random_configurations(body.reduced, 5, seed=6)[:, NROOT:]
    with jax.enable_x64(True):
        result = jax.jit(body.reduced.moved_joints)(jnp.asarray(joints))
    for ours, ref in zip(result, body.reduced.moved_joints(joints), strict=True):
        np.testing.assert_allclose(ours, ref, rtol=0, atol=1e-13)


def test_expanded_configurations_satisfy_the_models_own_equations(body: TargetBody) -> None:
    """MuJoCo's constraint residual, which does not depend on our polynomials, is zero in random configurations."""
    model, data = body.model, mujoco.MjData(body.model)
    for reduced in (body.reduced, body.reduced_hands):
        configurations = random_configurations(reduced, 40, seed=1)
        qpos = reduced.expand(configurations)
        assert qpos.shape == (40, model.nq)
        assert reduced.coupling_residual(qpos).max() < 1e-12
        for k in range(4):
            data.qpos[:] = qpos[k]
            mujoco.mj_kinematics(model, data)
            mujoco.mj_comPos(model, data)
            mujoco.mj_makeConstraint(model, data)
            assert data.ne == 51
            assert np.abs(data.efc_pos[: data.ne]).max() < 1e-12


def test_reduce_undoes_expand(body: TargetBody) -> None:
    for reduced in (body.reduced, body.reduced_hands):
        configurations = random_configurations(reduced, 20, seed=2)
        np.testing.assert_allclose(reduced.reduce(reduced.expand(configurations)), configurations, rtol=0, atol=1e-12)
        qpos = reduced.expand(configurations)
        np.testing.assert_allclose(reduced.expand(reduced.reduce(qpos)), qpos, rtol=0, atol=1e-12)


def test_locked_fingers_stay_at_rest(body: TargetBody) -> None:
    qpos = body.reduced.expand(random_configurations(body.reduced, 5, seed=3))
    adr = [body.model.joint(name).qposadr[0] for name in FINGER_JOINTS]
    model_range = np.array([body.model.joint(name).range for name in FINGER_JOINTS])
    np.testing.assert_array_equal(qpos[:, adr], np.tile(body.reduced.base[adr], (5, 1)))
    assert np.all(qpos[:, adr] >= model_range[:, 0])
    assert np.all(qpos[:, adr] <= model_range[:, 1])


@pytest.mark.parametrize("joint", ["knee_angle_translation2_r", "L3_L4_FE", "Abs_t1", "shoulder1_r2_l"])
def test_residual_equals_the_violation(body: TargetBody, joint: str) -> None:
    qpos = body.reduced.expand(random_configurations(body.reduced, 3, seed=4))
    qpos[1, body.model.joint(joint).qposadr[0]] += 0.0123
    np.testing.assert_allclose(body.reduced.coupling_residual(qpos), [0.0, 0.0123, 0.0], atol=1e-12)


def test_residual_detects_a_changed_driver_and_qpos0(body: TargetBody) -> None:
    qpos = body.reduced.expand(random_configurations(body.reduced, 1, seed=5, spread=0.5))
    qpos[:, body.model.joint("shoulder_elv_l").qposadr[0]] += 0.3
    assert body.reduced.coupling_residual(qpos)[0] > 0.05
    assert body.reduced.coupling_residual(body.model.qpos0[None])[0] == pytest.approx(0.052, abs=5e-4)


def test_rest_configuration_obeys_every_limit_unlike_qpos0(body: TargetBody) -> None:
    model, reduced = body.model, body.reduced_hands
    adr, limited = model.jnt_qposadr[1:], model.jnt_limited[1:].astype(bool)
    low, high = model.jnt_range[1:].T

    def outside(qpos: np.ndarray, tolerance: float) -> int:
        return int(np.sum(limited & ((qpos[adr] < low - tolerance) | (qpos[adr] > high + tolerance))))

    rest = np.concatenate([np.zeros(3), [1.0, 0.0, 0.0, 0.0], reduced.rest])
    np.testing.assert_allclose(reduced.expand(rest[None])[0][NROOT:], reduced.base[NROOT:], atol=1e-12)
    assert outside(reduced.base, DRIVEN_TOLERANCE) == 0
    assert outside(model.qpos0, 0.0) == 6
    assert outside(model.qpos0, DRIVEN_TOLERANCE) == 2  # the patellae, by 11 mm


def test_effective_ranges_keep_driven_joints_within_their_limits(body: TargetBody) -> None:
    declared = load_body(limits="declared").reduced
    for name, expected in NARROWED.items():
        k = body.reduced.index(name)
        assert (body.reduced.lower[k], body.reduced.upper[k]) == pytest.approx(expected, abs=1e-3)
    same = np.array([name not in NARROWED for name in body.reduced.joint_names])
    np.testing.assert_array_equal(body.reduced.lower[same], declared.lower[same])
    lowered = [name in body.fit.highest for name in body.reduced.joint_names]  # limits of the fit, below the joint's
    np.testing.assert_array_equal(
        body.reduced.upper[same & ~np.array(lowered)], declared.upper[same & ~np.array(lowered)]
    )
    assert body.reduced.upper[lowered] == pytest.approx([body.fit.highest["pro_sup_r"]] * 2)
    np.testing.assert_array_equal(declared.lower, body.model.jnt_range[declared.joint_ids, 0])
    np.testing.assert_array_equal(declared.upper, body.model.jnt_range[declared.joint_ids, 1])
    assert len(ranges_broken(declared, tolerance=1e-9)) == 35
    assert len(ranges_broken(declared, tolerance=DRIVEN_TOLERANCE)) == 27
    # the knees keep their full range; at its ends their own polynomials overshoot by less than the tolerance
    assert {name.split("_")[0] for name in ranges_broken(body.reduced, tolerance=2e-9)} == {"knee"}
    assert not ranges_broken(body.reduced, tolerance=2.5e-4)


def test_effective_range_is_maximal() -> None:
    """Relative to a's rest, b = a^2 reaches its limit at 1 and c = -4 a much later: a may move by 1 both ways."""
    model = chain(equality=coupled("b", "a", "0 0 1 0 0") + coupled("c", "a", "0 -4 0 0 0"))
    reduced = reduce_model(model)
    assert reduced.joint_names == ("a",)
    assert (reduced.lower[0], reduced.upper[0]) == pytest.approx((-0.75, 1.25), abs=1e-8)
    assert reduced.expand(np.array([[0, 0, 0, 1, 0, 0, 0, 0.5]]))[0, NROOT:].tolist() == [0.5, 0.0625, 0.3 - 1.0]


def test_inactive_equality_couples_nothing() -> None:
    off = coupled("b", "a", "0 0 1 0 0").replace("<joint", '<joint active="false"')
    assert reduce_model(chain(equality=off)).joint_names == ("a", "b", "c")


def test_locked_driver_locks_its_driven_joints() -> None:
    reduced = reduce_model(chain(equality=coupled("c", "a", "0.5 2 0 0 0")), locked=frozenset({"a"}))
    assert reduced.joint_names == ("b",)
    assert reduced.expand(np.array([[0, 0, 0, 1, 0, 0, 0, 0.7]]))[0, NROOT:].tolist() == [0.25, 0.7, 0.8]


def test_unsupported_models_are_refused() -> None:
    with pytest.raises(TargetError, match="first joint of the model is not free"):
        reduce_model(chain(root=""))
    with pytest.raises(TargetError, match="ball"):
        reduce_model(chain(middle="ball"))
    with pytest.raises(TargetError, match=r"themselves driven: b;"):
        reduce_model(chain(equality=coupled("b", "a", "0 1 0 0 0") + coupled("c", "b", "0 1 0 0 0")))
    with pytest.raises(TargetError, match="joint a drives others out of their range even at its rest value"):
        reduce_model(chain(equality=coupled("b", "a", "1.5 0.1 0 0 0")))


def test_errors_list_the_valid_names(body: TargetBody) -> None:
    with pytest.raises(TargetError, match=r"no independent joint 'knee_r'; the joints are: flex_.*, .*knee_angle_r"):
        body.reduced.index("knee_r")
    with pytest.raises(TargetError, match=r"lacks the locked joints: thumb_x"):
        reduce_model(body.model, locked=frozenset({"thumb_x", "knee_angle_r"}))
    with pytest.raises(TargetError, match=r"'loose'; it must be 'effective' or 'declared'"):
        load_body(limits="loose")
    assert body.reduced.index("knee_angle_r") == body.reduced.joint_names.index("knee_angle_r")
