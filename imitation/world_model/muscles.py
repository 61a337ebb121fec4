"""MuJoCo's muscles in JAX: activation dynamics, and force from length, velocity and activation; differentiable.

The curves are those of MuJoCo's documentation of muscle actuators (FLV: force-length, force-velocity, passive force);
the activation's time constants depend on the activation as in Millard et al. 2013 (J Biomech Eng 135).
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
from jax import Array

from musclemap.errors import TargetError

LEAST = 1e-15
"""What divisors are kept above, as in MuJoCo."""


class Muscles(NamedTuple):
    """Parameters of a model's muscles, shapes (nu,), NumPy.

    Attributes:
        tau_act: Time constant of activation [s].
        tau_deact: Of deactivation [s].
        smoothing: Width of the change between the two, in activation; 0 is a switch.
        force: Peak active force at rest length [N].
        rest: Length at which the operating range would be 0 [m].
        scale: Length of the operating range's unit, L0 [m].
        lmin: Shortest active length over L0.
        lmax: Longest.
        vmax: Shortening velocity at which force is gone [L0/s].
        fvmax: Force when lengthening fast, over `force`.
        passive: Passive force at `passive_lmax` [N]; MyoFullBody has other curves for it than for the active force.
        passive_rest: As `rest`, of the passive force [m].
        passive_scale: As `scale` [m].
        passive_lmax: Length at which the passive force is `passive`, over `passive_scale`.
    """

    tau_act: np.ndarray
    tau_deact: np.ndarray
    smoothing: np.ndarray
    force: np.ndarray
    rest: np.ndarray
    scale: np.ndarray
    lmin: np.ndarray
    lmax: np.ndarray
    vmax: np.ndarray
    fvmax: np.ndarray
    passive: np.ndarray
    passive_rest: np.ndarray
    passive_scale: np.ndarray
    passive_lmax: np.ndarray


def muscles_of(model: mujoco.MjModel) -> Muscles:
    """Read the muscles of a model.

    Raises:
        TargetError: An actuator is no muscle, or is of a kind that is not computed here.
    """
    muscle = int(mujoco.mjtGain.mjGAIN_MUSCLE)
    other = np.flatnonzero(
        (model.actuator_gaintype != muscle)
        | (model.actuator_biastype != int(mujoco.mjtBias.mjBIAS_MUSCLE))
        | (model.actuator_dyntype != int(mujoco.mjtDyn.mjDYN_MUSCLE))
        | (np.abs(model.actuator_gear[:, 0] - 1.0) > 0)
        | (model.actuator_forcelimited != 0)
        | (model.actuator_actearly != 0)
    )
    if len(other):
        raise TargetError(f"actuator {model.actuator(int(other[0])).name} is no plain muscle; only those are known")
    gain, bias, dyn = model.actuator_gainprm, model.actuator_biasprm, model.actuator_dynprm
    rest, scale = _curve(model, gain)
    passive_rest, passive_scale = _curve(model, bias)
    return Muscles(
        tau_act=dyn[:, 0], tau_deact=dyn[:, 1], smoothing=dyn[:, 2], force=_peak(model, gain), rest=rest, scale=scale,
        lmin=gain[:, 4], lmax=gain[:, 5], vmax=gain[:, 6], fvmax=gain[:, 8], passive=bias[:, 7] * _peak(model, bias),
        passive_rest=passive_rest, passive_scale=passive_scale, passive_lmax=bias[:, 5],
    )  # fmt: skip


def _curve(model: mujoco.MjModel, prm: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Length at which a curve's operating range would be 0, and the length of its unit [m]."""
    extent = model.actuator_lengthrange
    unit = (extent[:, 1] - extent[:, 0]) / np.maximum(prm[:, 1] - prm[:, 0], LEAST)
    return extent[:, 0] - prm[:, 0] * unit, unit


def _peak(model: mujoco.MjModel, prm: np.ndarray) -> np.ndarray:
    """Peak force [N]; where it is not given, from the acceleration that a unit force makes."""
    return np.where(prm[:, 2] < 0, prm[:, 3] / np.maximum(model.actuator_acc0, LEAST), prm[:, 2])


def activate(muscles: Muscles, act: Array, excitation: Array, timestep: float) -> Array:
    """Activations after one physics step, shapes (n, nu)."""
    m = _typed(muscles, act)
    clamped = 0.5 + 1.5 * jnp.clip(act, 0.0, 1.0)
    more = jnp.clip(excitation, 0.0, 1.0) - act
    slow, quick = m.tau_deact / clamped, m.tau_act * clamped
    step = jnp.clip(more / jnp.maximum(m.smoothing, LEAST) + 0.5, 0.0, 1.0)
    smooth = step**3 * (3.0 * step * (2.0 * step - 5.0) + 10.0)
    share = jnp.where(m.smoothing < LEAST, (more > 0).astype(act.dtype), smooth)
    return act + timestep * more / (slow + (quick - slow) * share)


def activate_through(
    muscles: Muscles, act: Array, excitation: Array, timestep: float, nsubstep: int
) -> tuple[Array, Array]:
    """Activations after a control step, and their mean over its physics steps, each with the one that it begins with.

    Force is proportional to activation, so that the mean is what a force at a fixed length and velocity has to use.
    """
    total = jnp.zeros_like(act)
    for _ in range(nsubstep):
        total = total + act
        act = activate(muscles, act, excitation, timestep)
    return act, total / nsubstep


def muscle_force(muscles: Muscles, length: Array, velocity: Array, act: Array) -> Array:
    """Force along the tendon [N], negative as muscles pull; shapes (n, nu).

    Args:
        muscles: Parameters.
        length: Of muscle and tendon [m].
        velocity: Its change [m/s].
        act: Activation, 0 to 1.
    """
    m = _typed(muscles, length)
    norm = (length - m.rest) / m.scale
    active = _force_length(m, norm) * _force_velocity(m, velocity / (m.scale * m.vmax))
    return -m.force * active * act - m.passive * _passive(m, (length - m.passive_rest) / m.passive_scale)


def _force_length(m: Any, norm: Array) -> Array:
    """A bump of four parabolas from lmin over 1 to lmax."""
    low, high = 0.5 * (m.lmin + 1.0), 0.5 * (m.lmax + 1.0)
    rise, fall = (norm - m.lmin) / (low - m.lmin), (norm - m.lmax) / (high - m.lmax)
    up, down = (1.0 - norm) / (1.0 - low), (norm - 1.0) / (high - 1.0)
    inner = jnp.where(norm <= 1.0, 1.0 - 0.5 * up**2, 1.0 - 0.5 * down**2)
    outer = jnp.where(norm <= 1.0, 0.5 * rise**2, 0.5 * fall**2)
    inside = (norm >= m.lmin) & (norm <= m.lmax)
    return jnp.where(inside, jnp.where((norm > low) & (norm <= high), inner, outer), 0.0)


def _force_velocity(m: Any, rate: Array) -> Array:
    """0 at the fastest shortening, 1 at none, fvmax when lengthening."""
    most = m.fvmax - 1.0
    shortening = jnp.where(rate <= -1.0, 0.0, (rate + 1.0) ** 2)
    lengthening = jnp.where(rate <= most, m.fvmax - (most - rate) ** 2 / jnp.maximum(most, LEAST), m.fvmax)
    return jnp.where(rate <= 0.0, shortening, lengthening)


def _passive(m: Any, norm: Array) -> Array:
    """A parabola above length 1, straight after half the way to lmax, over the force there."""
    high = 0.5 * (1.0 + m.passive_lmax)
    share = (norm - 1.0) / (high - 1.0)
    bent, straight = 0.5 * share**2, share - 0.5
    return jnp.where(norm <= 1.0, 0.0, jnp.where(norm <= high, bent, straight))


def _typed(muscles: Muscles, like: Array) -> Any:
    """The same, as JAX arrays of the type of another."""
    return jax.tree.map(lambda value: jnp.asarray(value, like.dtype), muscles)
