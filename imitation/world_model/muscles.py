"""MuJoCo's muscles in JAX: activation dynamics, and force from length, velocity and activation; differentiable.

The curves are those in MuJoCo's documentation of muscle actuators (FLV: force-length, force-velocity, passive force).
The activation's time constants depend on the activation as in Millard et al. 2013 (J Biomech Eng 135).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.errors import TargetError

MIN_DIVISOR = 1e-15
"""Lower bound of divisors, as in MuJoCo."""


class MuscleParams(NamedTuple):
    """Parameters of a model's muscles, shapes (nu,), NumPy.

    Attributes:
        tau_act: Time constant of activation [s].
        tau_deact: Time constant of deactivation [s].
        smoothing: Width of the transition between the two, in activation; 0 switches.
        force: Peak active force at optimal length [N].
        zero_length: Length at which the operating range would be 0 [m].
        scale: Optimal length L0, the unit of the operating range [m].
        lmin: Shortest active length [L0].
        lmax: Longest active length [L0].
        vmax: Shortening velocity at which the force vanishes [L0/s].
        fvmax: Largest lengthening force, relative to `force`.
        passive: Passive force at `passive_lmax` [N]; MyoFullBody's passive curves differ from its active ones.
        passive_zero_length: As `zero_length`, for the passive force [m].
        passive_scale: As `scale`, for the passive force [m].
        passive_lmax: Length at which the passive force equals `passive` [`passive_scale`].
    """

    tau_act: np.ndarray
    tau_deact: np.ndarray
    smoothing: np.ndarray
    force: np.ndarray
    zero_length: np.ndarray
    scale: np.ndarray
    lmin: np.ndarray
    lmax: np.ndarray
    vmax: np.ndarray
    fvmax: np.ndarray
    passive: np.ndarray
    passive_zero_length: np.ndarray
    passive_scale: np.ndarray
    passive_lmax: np.ndarray


def read_muscles(model: mujoco.MjModel) -> MuscleParams:
    """Read the muscle parameters of a model.

    Raises:
        TargetError: If an actuator is not a muscle of the supported kind.
    """
    muscle_gain = int(mujoco.mjtGain.mjGAIN_MUSCLE)
    unsupported = np.flatnonzero(
        (model.actuator_gaintype != muscle_gain)
        | (model.actuator_biastype != int(mujoco.mjtBias.mjBIAS_MUSCLE))
        | (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE))
        | (np.abs(model.actuator_gear[:, 0] - 1.0) > 0)
        | (model.actuator_forcelimited != 0)
        | (model.actuator_actearly != 0)
    )
    if len(unsupported):
        name = model.actuator(int(unsupported[0])).name
        raise TargetError(f"actuator {name} is not a plain muscle, the only supported kind")
    gain, bias, dyn = model.actuator_gainprm, model.actuator_biasprm, model.actuator_dynprm
    zero_length, scale = _curve(model, gain)
    passive_zero_length, passive_scale = _curve(model, bias)
    return MuscleParams(
        tau_act=dyn[:, 0], tau_deact=dyn[:, 1], smoothing=dyn[:, 2], force=_peak(model, gain),
        zero_length=zero_length, scale=scale, lmin=gain[:, 4], lmax=gain[:, 5], vmax=gain[:, 6], fvmax=gain[:, 8],
        passive=bias[:, 7] * _peak(model, bias), passive_zero_length=passive_zero_length, passive_scale=passive_scale,
        passive_lmax=bias[:, 5],
    )  # fmt: skip


def _curve(model: mujoco.MjModel, prm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length at which a curve's operating range would be 0, and its unit of length [m]."""
    length_range = model.actuator_lengthrange
    scale = (length_range[:, 1] - length_range[:, 0]) / np.maximum(prm[:, 1] - prm[:, 0], MIN_DIVISOR)
    return length_range[:, 0] - prm[:, 0] * scale, scale


def _peak(model: mujoco.MjModel, prm: np.ndarray) -> np.ndarray:
    """Peak force [N]; if not specified, derived from the acceleration caused by a unit force."""
    return np.where(prm[:, 2] < 0, prm[:, 3] / np.maximum(model.actuator_acc0, MIN_DIVISOR), prm[:, 2])


def step_activation(muscles: MuscleParams, act: Array, excitation: Array, timestep: float) -> Array:
    """Activations after one physics step, shapes (n, nu)."""
    m = _with_dtype(muscles, act)
    clamped = 0.5 + 1.5 * jnp.clip(act, 0.0, 1.0)
    excess = jnp.clip(excitation, 0.0, 1.0) - act
    slow, fast = m.tau_deact / clamped, m.tau_act * clamped
    blend_input = jnp.clip(excess / jnp.maximum(m.smoothing, MIN_DIVISOR) + 0.5, 0.0, 1.0)
    smooth = blend_input**3 * (3.0 * blend_input * (2.0 * blend_input - 5.0) + 10.0)
    blend = jnp.where(m.smoothing < MIN_DIVISOR, (excess > 0).astype(act.dtype), smooth)
    return act + timestep * excess / (slow + (fast - slow) * blend)


def integrate_activation(
    muscles: MuscleParams, act: Array, excitation: Array, timestep: float, nsubstep: int
) -> tuple[Array, Array]:
    """Activations after a control step, and the mean of the activations at the start of its physics steps.

    Force is proportional to activation, so the mean gives the mean force at a fixed length and velocity.
    """
    act_sum = jnp.zeros_like(act)
    for _ in range(nsubstep):
        act_sum = act_sum + act
        act = step_activation(muscles, act, excitation, timestep)
    return act, act_sum / nsubstep


def muscle_force(muscles: MuscleParams, length: Array, velocity: Array, act: Array) -> Array:
    """Force along the tendon [N], negative because muscles pull; shapes (n, nu).

    Args:
        muscles: Parameters.
        length: Length of muscle and tendon [m].
        velocity: Its rate of change [m/s].
        act: Activation, 0 to 1.
    """
    m = _with_dtype(muscles, length)
    norm_length = (length - m.zero_length) / m.scale
    active = _force_length(m, norm_length) * _force_velocity(m, velocity / (m.scale * m.vmax))
    passive_norm_length = (length - m.passive_zero_length) / m.passive_scale
    return -m.force * active * act - m.passive * _passive(m, passive_norm_length)


def _force_length(m: Any, norm_length: Array) -> Array:
    """Active force-length curve: four parabolas with support [lmin, lmax] and maximum at 1."""
    low, high = 0.5 * (m.lmin + 1.0), 0.5 * (m.lmax + 1.0)
    rise_outer = (norm_length - m.lmin) / (low - m.lmin)
    fall_outer = (norm_length - m.lmax) / (high - m.lmax)
    rise_inner, fall_inner = (1.0 - norm_length) / (1.0 - low), (norm_length - 1.0) / (high - 1.0)
    inner = jnp.where(norm_length <= 1.0, 1.0 - 0.5 * rise_inner**2, 1.0 - 0.5 * fall_inner**2)
    outer = jnp.where(norm_length <= 1.0, 0.5 * rise_outer**2, 0.5 * fall_outer**2)
    inside = (norm_length >= m.lmin) & (norm_length <= m.lmax)
    return jnp.where(inside, jnp.where((norm_length > low) & (norm_length <= high), inner, outer), 0.0)


def _force_velocity(m: Any, rate: Array) -> Array:
    """Force-velocity curve: 0 at the maximum shortening velocity, 1 at rest, at most fvmax when lengthening."""
    max_rate = m.fvmax - 1.0
    shortening = jnp.where(rate <= -1.0, 0.0, (rate + 1.0) ** 2)
    rising = m.fvmax - (max_rate - rate) ** 2 / jnp.maximum(max_rate, MIN_DIVISOR)
    lengthening = jnp.where(rate <= max_rate, rising, m.fvmax)
    return jnp.where(rate <= 0.0, shortening, lengthening)


def _passive(m: Any, norm_length: Array) -> Array:
    """Passive force relative to that at lmax: a parabola above length 1, linear beyond half the way to lmax."""
    high = 0.5 * (1.0 + m.passive_lmax)
    blend = (norm_length - 1.0) / (high - 1.0)
    parabola, line = 0.5 * blend**2, blend - 0.5
    return jnp.where(norm_length <= 1.0, 0.0, jnp.where(norm_length <= high, parabola, line))


def _with_dtype(muscles: MuscleParams, like: Array) -> Any:
    """Convert the parameters to JAX arrays with the dtype of `like`."""
    return jax.tree.map(lambda value: jnp.asarray(value, like.dtype), muscles)
