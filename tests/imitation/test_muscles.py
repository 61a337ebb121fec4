"""Muscles in JAX match MuJoCo's: activation, force, and torque at the joints."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.errors import TargetError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.world_model.muscles import integrate_activation, muscle_force, read_muscles, step_activation
from musclemap.skeletons.bodies.small_arm import small_arm_spec


@pytest.mark.parametrize("name", ["arm", "human"])
def test_activation_matches_mujoco(name: str, request: pytest.FixtureRequest) -> None:
    body: SimulationBody = request.getfixturevalue(name)
    model, muscles = body.model, read_muscles(body.model)
    rng = np.random.default_rng(0)
    act, ctrl = rng.uniform(0, 1, (5, model.nu)), rng.uniform(-0.2, 1.2, (5, model.nu))
    rate = [[mujoco.mju_muscleDynamics(c, a, p) for c, a, p in zip(*row, model.actuator_dynprm[:, :3], strict=True)]
            for row in zip(ctrl, act, strict=True)]  # fmt: skip
    result = step_activation(muscles, jnp.asarray(act, jnp.float32), jnp.asarray(ctrl, jnp.float32), 0.002)
    np.testing.assert_allclose(result, act + 0.002 * np.array(rate), atol=2e-6)


def test_activation_with_smoothed_time_constants_matches_mujoco(arm: SimulationBody) -> None:
    muscles = read_muscles(arm.model)._replace(smoothing=np.full(6, 0.4))
    act, ctrl = np.full((9, 6), 0.5), np.linspace(0.2, 0.8, 9)[:, None] * np.ones(6)
    result = step_activation(muscles, jnp.asarray(act), jnp.asarray(ctrl), 0.002)
    prm = np.array([*arm.model.actuator_dynprm[0, :2], 0.4])
    expected = [0.5 + 0.002 * mujoco.mju_muscleDynamics(c, 0.5, prm) for c in ctrl[:, 0]]
    np.testing.assert_allclose(result[:, 0], expected, atol=1e-6)


def test_force_matches_mujoco(human: SimulationBody) -> None:
    """Over the whole curves: too short, operating range, too long; shortening and lengthening; passive and active."""
    model, muscles = human.model, read_muscles(human.model)
    rng = np.random.default_rng(1)
    for fraction in np.linspace(-0.4, 1.6, 15):
        extent = model.actuator_lengthrange
        length = extent[:, 0] + fraction * (extent[:, 1] - extent[:, 0])
        velocity, act = rng.normal(0, 3, model.nu) * (extent[:, 1] - extent[:, 0]), rng.uniform(0, 1, model.nu)
        expected = [
            mujoco.mju_muscleGain(x, v, e, a, g[:9]) * k + mujoco.mju_muscleBias(x, e, a, b[:9])
            for x, v, e, a, g, b, k in zip(
                length, velocity, extent, model.actuator_acc0, model.actuator_gainprm, model.actuator_biasprm, act,
                strict=True,
            )
        ]  # fmt: skip
        result = muscle_force(muscles, *(jnp.asarray(x[None], jnp.float32) for x in (length, velocity, act)))
        np.testing.assert_allclose(result[0], expected, rtol=1e-3, atol=0.05)


def test_a_control_step_returns_the_mean_activation(arm: SimulationBody) -> None:
    """Five physics steps, each with its initial activation."""
    muscles = read_muscles(arm.model)
    act, ctrl = jnp.full((1, 6), 0.2), jnp.full((1, 6), 0.9)
    steps = [act]
    for _ in range(5):
        steps.append(step_activation(muscles, steps[-1], ctrl, 0.002))
    after, mean = integrate_activation(muscles, act, ctrl, 0.002, 5)
    np.testing.assert_allclose(after, steps[-1])
    np.testing.assert_allclose(mean, np.mean(np.array(steps[:5]), axis=0), rtol=1e-6)


def test_forces_have_finite_gradients(human: SimulationBody) -> None:
    muscles = read_muscles(human.model)
    extent = human.model.actuator_lengthrange
    for fraction in (-1.0, 0.0, 0.5, 1.0, 3.0):
        length = jnp.asarray((extent[:, 0] + fraction * (extent[:, 1] - extent[:, 0]))[None], jnp.float32)
        pull = lambda x, v, a: jnp.sum(muscle_force(muscles, x, v, a))  # noqa: E731
        for velocity in (-10.0, 0.0, 10.0):
            slopes = jax.grad(pull, argnums=(0, 1, 2))(length, jnp.full_like(length, velocity), jnp.ones_like(length))
            assert all(np.isfinite(slope).all() for slope in slopes)


def test_an_actuator_that_is_not_a_plain_muscle_is_rejected() -> None:
    spec = small_arm_spec()
    spec.actuators[2].forcelimited = True
    spec.actuators[2].forcerange = [-10.0, 0.0]
    with pytest.raises(TargetError, match="elbow_flexor is not a plain muscle"):
        read_muscles(spec.compile())
