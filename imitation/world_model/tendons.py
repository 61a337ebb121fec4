"""Lengths and moment arms of muscles as smooth functions of the few joints that each one crosses: small networks.

MuJoCo computes them by wrapping tendons around bones, which has no derivative and is slow in batches. The networks are
fitted to MuJoCo's lengths and moment arms together. A moment arm is the gradient of the length, so both are always
consistent. Driven joints are included through their drivers.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import optax
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.skeletons.precision import precise

from .coordinates import WorldModelCoordinates
from .muscles import MuscleParams, muscle_force, read_muscles
from .world_config import TendonConfig

MIN_MOMENT_ARM = 1e-5
"""A muscle crosses a joint if its moment arm exceeds this [m]."""

RANGE_MARGIN = 0.05
"""Samples exceed both ends of a joint's range by this fraction, because simulated joint limits are soft."""

ARM_ERROR = 1e-3
"""Scale of moment-arm errors in the loss [m]."""

LENGTH_ERROR = 1e-3
"""Scale of length errors in the loss [m]."""


class TendonWeights(NamedTuple):
    """Weights of all networks, muscles first; see `Tendons.length`."""

    w0: Array
    b0: Array
    w1: Array
    b1: Array
    w2: Array
    b2: Array


class TendonError(NamedTuple):
    """Errors on held-out configurations, shapes (nu,).

    Attributes:
        length: Root mean square error of the length [m].
        arm: Root mean square error of the moment arms, over the crossed joints [m].
        arm_size: Root mean square of the moment arms themselves [m].
    """

    length: np.ndarray
    arm: np.ndarray
    arm_size: np.ndarray

    def by_muscle(self, names: Sequence[str]) -> dict[str, dict[str, float]]:
        """Plain values by muscle name, in millimetres."""
        rows = 1000.0 * np.stack([self.length, self.arm, self.arm_size], axis=1)
        keys = ("length_mm", "arm_mm", "arm_size_mm")
        return {
            name: {k: round(float(v), 4) for k, v in zip(keys, row, strict=True)}
            for name, row in zip(names, rows, strict=True)
        }


@dataclass(frozen=True, kw_only=True, eq=False)
class Tendons:
    """Fitted lengths of all muscles of a body.

    Attributes:
        joints: Independent joints that each muscle crosses, padded with 0, shape (nu, ncross).
        mask: 1 for crossed joints, 0 for padding, shape (nu, ncross).
        middle: Joint values that map to network input 0, shape (njoint,).
        half: Changes of the joint values that map to network input 1, shape (njoint,).
        mean: Length added to the network's output, shape (nu,) [m].
        scale: Length per unit of network output, shape (nu,) [m].
        weights: Weights of the networks.
        error: Errors on held-out configurations.
        torque_error: Relative error of the total muscle torque at half activation: ratio of root mean squares over
            configurations and joints.
    """

    joints: np.ndarray
    mask: np.ndarray
    middle: np.ndarray
    half: np.ndarray
    mean: np.ndarray
    scale: np.ndarray
    weights: TendonWeights
    error: TendonError
    torque_error: float

    def length(self, joint: Array) -> tuple[Array, Array]:
        """Lengths and moment arms.

        Args:
            joint: Independent joints, shape (n, njoint).

        Returns:
            Lengths [m], shape (nu, n), and their derivatives by the joints in `joints` [m/rad], shape (nu, ncross, n).
        """
        cast = lambda value: jnp.asarray(value, joint.dtype)  # noqa: E731
        z = ((joint - cast(self.middle)) / cast(self.half)).T
        value, slope = _value_and_slope(
            TendonWeights(*map(cast, self.weights)), z[self.joints] * cast(self.mask)[..., None]
        )
        scale = cast(self.scale)[:, None]
        per_joint = scale * cast(self.mask / self.half[self.joints])
        return cast(self.mean)[:, None] + scale * value, slope * per_joint[..., None]

    @precise
    def torque(self, muscles: MuscleParams, joint: Array, joint_velocity: Array, act: Array) -> Array:
        """Torques of the muscles at the independent joints [Nm], shape (n, njoint).

        Args:
            muscles: Parameters of the muscles.
            joint: Joint values, shape (n, njoint).
            joint_velocity: Joint velocities, shape (n, njoint).
            act: Activations, shape (n, nu).
        """
        length, arm = self.length(joint)
        velocity = jnp.sum(arm * joint_velocity.T[self.joints], axis=1)
        force = muscle_force(muscles, length.T, velocity.T, act)
        pull = (arm * force.T[:, None]).reshape(-1, len(joint))
        return (jnp.asarray(self._joint_sums(joint.shape[1]).T, joint.dtype) @ pull).T

    def _joint_sums(self, njoint: int) -> np.ndarray:
        """Matrix that sums the muscles' contributions to each joint, shape (nu * ncross, njoint)."""
        return np.eye(njoint)[self.joints.ravel()] * self.mask.reshape(-1, 1)


@precise
def _value_and_slope(weights: TendonWeights, z: Array) -> tuple[Array, Array]:
    """Networks of all muscles and their derivatives by each input.

    On a CPU the muscles are evaluated one after another, each in cache, which takes a quarter of the time of a joint
    evaluation. The backward pass recomputes intermediate values instead of loading them.

    Args:
        weights: Weights of all networks.
        z: Inputs, shape (nu, ncross, n).

    Returns:
        Shapes (nu, n) and (nu, ncross, n).
    """
    one_muscle = jax.checkpoint(_one_muscle)
    return jax.lax.platform_dependent(
        weights, z, cpu=lambda w, z: jax.lax.map(lambda pair: one_muscle(*pair), (w, z)), default=jax.vmap(one_muscle)
    )  # fmt: skip


def _one_muscle(weights: TendonWeights, z: Array) -> tuple[Array, Array]:
    """One network and its derivatives, (ncross, n) -> (n,) and (ncross, n)."""
    first = jnp.tanh(weights.w0 @ z + weights.b0[:, None])
    second = jnp.tanh(weights.w1 @ first + weights.b1[:, None])
    value = weights.w2 @ second + weights.b2
    backward = weights.w1.T @ (weights.w2[:, None] * (1.0 - second**2)) * (1.0 - first**2)
    return value, weights.w0.T @ backward


class _TendonSamples(NamedTuple):
    joint: np.ndarray
    length: np.ndarray
    arm: np.ndarray


def measure_tendons(body: SimulationBody, joint: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute lengths and moment arms with MuJoCo.

    Args:
        body: The body.
        joint: Independent joints, shape (n, njoint).

    Returns:
        Lengths [m], shape (n, nu), and their derivatives by the independent joints, shape (n, nu, njoint).
    """
    model, coordinates = body.model, WorldModelCoordinates(body)
    root = np.tile(np.eye(1, 7, 3), (len(joint), 1)) if body.free else np.zeros((len(joint), 0))
    q = jnp.asarray(np.concatenate([root, joint], axis=1), jnp.float32)
    zero_velocity = jnp.zeros((len(joint), coordinates.nvelocity))
    qpos = np.asarray(jax.jit(coordinates.expand)(q, zero_velocity)[0], np.float64)
    velocity_slope = lambda x: jax.jacfwd(lambda v: coordinates.expand(x[None], v[None])[1][0])  # noqa: E731
    slope = jax.jit(jax.vmap(lambda x: velocity_slope(x)(zero_velocity[0])))
    joint_slopes = np.asarray(slope(q))[:, :, coordinates.nvelocity - coordinates.njoint :]
    data, moment = mujoco.MjData(model), np.zeros((model.nu, model.nv))
    length, arm = np.empty((len(joint), model.nu)), np.empty((len(joint), model.nu, joint.shape[1]))
    for k, row in enumerate(qpos):
        data.qpos = row
        mujoco.mj_kinematics(model, data)
        mujoco.mj_comPos(model, data)
        mujoco.mj_tendon(model, data)
        mujoco.mj_transmission(model, data)
        mujoco.mju_sparse2dense(
            moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind
        )
        length[k], arm[k] = data.actuator_length, moment @ joint_slopes[k]
    return length, arm


def sample_configurations(body: SimulationBody, count: int, seed: int) -> np.ndarray:
    """Sample joint values for the fit, shape (count, njoint): half uniform in the ranges, half closer to the centre."""
    coordinates, rng = WorldModelCoordinates(body), np.random.default_rng(seed)
    low, high = coordinates.lower, coordinates.upper
    width = high - low
    uniform = rng.uniform(low - RANGE_MARGIN * width, high + RANGE_MARGIN * width, (count, len(low)))
    central = low + width * rng.beta(2.0, 2.0, uniform.shape)
    return np.where(rng.uniform(size=(count, 1)) < 0.5, uniform, central)


def fit_tendons(
    body: SimulationBody, config: TendonConfig, *, on_message: Callable[[str], None] = lambda text: None
) -> Tendons:  # fmt: skip
    """Fit all muscles of a body; takes seconds for a small body and minutes for MyoFullBody on a CPU.

    Args:
        body: The body.
        config: Settings.
        on_message: Called with messages for the user.
    """
    on_message(f"fitting lengths of the {body.model.nu} muscles of {body.name}, once for this version of the body")
    nheldout = max(config.num_samples // 10, 100)
    joint = sample_configurations(body, config.num_samples + nheldout, config.seed)
    length, arm = measure_tendons(body, joint)
    crossed_joints = [np.flatnonzero(np.abs(arm[:, m]).max(axis=0) > MIN_MOMENT_ARM) for m in range(body.model.nu)]
    max_crossed = max(map(len, crossed_joints))
    joints, mask = np.zeros((len(crossed_joints), max_crossed), np.int32), np.zeros((len(crossed_joints), max_crossed))
    for m, crossed in enumerate(crossed_joints):
        joints[m, : len(crossed)], mask[m, : len(crossed)] = crossed, 1.0
    arm = np.take_along_axis(arm, joints[None], axis=2) * mask
    coordinates = WorldModelCoordinates(body)
    half = np.maximum(0.5 * (coordinates.upper - coordinates.lower), 1e-3)
    untrained = Tendons(
        joints=joints, mask=mask, middle=0.5 * (coordinates.upper + coordinates.lower), half=half,
        mean=length.mean(axis=0), scale=np.maximum(length.std(axis=0), 1e-4),
        weights=_initial_weights(len(crossed_joints), max_crossed, config),
        error=TendonError(*np.zeros((3, len(crossed_joints)))), torque_error=0.0,
    )  # fmt: skip
    weights = _optimise(untrained, _TendonSamples(*(a[nheldout:] for a in (joint, length, arm))), config)
    tendons = Tendons(**{**vars(untrained), "weights": weights})
    error, torque = _errors(tendons, body, _TendonSamples(*(a[:nheldout] for a in (joint, length, arm))))
    return Tendons(**{**vars(tendons), "error": error, "torque_error": torque})


def _initial_weights(nu: int, ncross: int, config: TendonConfig) -> TendonWeights:
    rng, h = np.random.default_rng([config.seed, 1]), config.hidden
    sample = lambda *shape: rng.standard_normal(shape) / np.sqrt(shape[-1])  # noqa: E731
    arrays = (sample(nu, h, ncross), 0.5 * rng.standard_normal((nu, h)), sample(nu, h, h), np.zeros((nu, h)),
              sample(nu, h), np.zeros(nu))  # fmt: skip
    return TendonWeights(*(jnp.asarray(array, jnp.float32) for array in arrays))


def _optimise(tendons: Tendons, sample: _TendonSamples, config: TendonConfig) -> TendonWeights:
    """Minimise the scaled squared errors of lengths and moment arms with Adam, each muscle independently."""
    per_z = tendons.half[tendons.joints] * tendons.mask  # converts moment arms to slopes in the network's units
    z = ((sample.joint - tendons.middle) / tendons.half)[:, tendons.joints] * tendons.mask
    value = (sample.length - tendons.mean) / tendons.scale
    slope = sample.arm * per_z / tendons.scale[:, None]
    to_length = jnp.asarray(tendons.scale / LENGTH_ERROR, jnp.float32)[:, None]
    to_arm = np.divide(tendons.scale[:, None], per_z, out=np.zeros_like(per_z), where=per_z > 0) / ARM_ERROR
    to_arm = jnp.asarray(to_arm, jnp.float32)[..., None]
    device = [jnp.asarray(array, jnp.float32) for array in (z, value, slope)]
    count = jnp.asarray(np.maximum(tendons.mask.sum(axis=1), 1.0), jnp.float32)

    def loss(weights: TendonWeights, rows: Array) -> Array:
        inputs, value, slope = (jnp.moveaxis(array[rows], 0, -1) for array in device)
        predicted_value, predicted_slope = _value_and_slope(weights, inputs)
        length = jnp.mean(((predicted_value - value) * to_length) ** 2, axis=1)
        arm = jnp.sum(jnp.mean(((predicted_slope - slope) * to_arm) ** 2, axis=-1), axis=1) / count
        return jnp.sum(jnp.log1p(length + arm))  # limits the influence of muscles with large errors

    optimizer = optax.adam(optax.cosine_decay_schedule(config.learning_rate, config.gradient_steps))

    def step(carry: tuple[Any, Any], key: Array) -> tuple[tuple[Any, Any], None]:
        weights, state = carry
        rows = jax.random.randint(key, (config.batch_size,), 0, len(sample.joint))
        change, state = optimizer.update(jax.grad(loss)(weights, rows), state)
        return (optax.apply_updates(weights, change), state), None

    run = jax.jit(lambda carry, keys: jax.lax.scan(step, carry, keys)[0])
    keys = jax.random.split(jax.random.PRNGKey(config.seed), config.gradient_steps)
    return run((tendons.weights, optimizer.init(tendons.weights)), keys)[0]


def _errors(tendons: Tendons, body: SimulationBody, sample: _TendonSamples) -> tuple[TendonError, float]:
    joint = jnp.asarray(sample.joint, jnp.float32)
    length, arm = jax.jit(tendons.length)(joint)
    length, arm = np.asarray(length).T, np.moveaxis(np.asarray(arm), 2, 0)
    arm_error = arm - sample.arm
    count = np.maximum(tendons.mask.sum(axis=1), 1.0)
    rms = lambda array: np.sqrt(np.mean(np.sum(array**2, axis=-1), axis=0) / count)  # noqa: E731
    error = TendonError(
        length=np.sqrt(np.mean((length - sample.length) ** 2, axis=0)),
        arm=rms(arm_error),
        arm_size=rms(sample.arm),
    )
    muscles, act = read_muscles(body.model), jnp.full(length.shape, 0.5)
    torque = np.asarray(jax.jit(tendons.torque)(muscles, joint, jnp.zeros_like(joint), act))
    force = np.asarray(muscle_force(muscles, jnp.asarray(sample.length, jnp.float32), jnp.zeros(length.shape), act))
    expected = (sample.arm * force[:, :, None]).reshape(len(joint), -1) @ tendons._joint_sums(joint.shape[1])
    return error, float(np.sqrt(np.mean((torque - expected) ** 2)) / np.sqrt(np.mean(expected**2)))
