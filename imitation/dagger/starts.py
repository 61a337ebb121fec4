"""Noise in the velocities at the start of episodes."""

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.task.reference import Reference
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.worlds import Worlds, select_worlds
from musclemap.skeletons.couplings import couplings, value_and_slope


class StartNoise:
    """Changes velocities as a push would: the root, the independent joints, and the joints that follow them.

    Args:
        body: Simulated body.
        root: Standard deviation of the root's velocity [m/s].
        joint: Standard deviation of the root's angular velocity and of the joints' velocities [rad/s].
    """

    def __init__(self, body: SimulationBody, *, root: float, joint: float) -> None:
        model = body.model
        spread = np.zeros(model.nv, np.float32)
        spread[body.dofadr] = joint
        if body.free:
            spread[:3], spread[3:6] = root, joint
        self._spread = jnp.asarray(spread)
        followers = [c for c in couplings(model) if c.driver >= 0]
        self._driven = np.array([model.jnt_dofadr[c.driven] for c in followers], int)
        self._driver = np.array([model.jnt_dofadr[c.driver] for c in followers], int)
        self._address = np.array([model.jnt_qposadr[c.driver] for c in followers], int)
        self._zero = jnp.asarray(model.qpos0[self._address], jnp.float32)
        self._coef = jnp.asarray(np.array([c.coef for c in followers]).reshape(len(followers), 5), jnp.float32)

    def __call__(self, key: Array, qpos: Array) -> Array:
        """Changes of the velocities, shape (nworld, nv), at configurations of shape (nworld, nq)."""
        change = self._spread * jax.random.normal(key, (len(qpos), len(self._spread)))
        if not len(self._driven):
            return change
        slope = value_and_slope(self._coef, qpos[:, self._address] - self._zero)[1]
        return change.at[:, self._driven].set(slope * change[:, self._driver])


def pushed(noise: StartNoise, physics: PhysicsState, started: Array, key: Array) -> PhysicsState:
    """Change the velocities of worlds whose episodes have just started.

    Args:
        noise: The noise.
        physics: State of all worlds.
        started: Worlds to change, shape (nworld,) bool.
        key: Random key.
    """
    changed = physics._replace(qvel=physics.qvel + noise(key, physics.qpos))
    return select_worlds(started, changed, physics)


def with_physics(
    task: Task, reference: Reference, worlds: Worlds, started: Array, physics: PhysicsState, sensors: SensorData
) -> Worlds:
    """Replace the state of worlds whose episodes have just started.

    Args:
        task: The task.
        reference: Frames.
        worlds: All worlds.
        started: Worlds to replace, shape (nworld,) bool.
        physics: State of all worlds, from `pushed`.
        sensors: Sensor data of that state.
    """
    sensors = select_worlds(started, sensors, worlds.sensors)
    obs = jnp.nan_to_num(task.observe(reference, physics, sensors, worlds.task))
    return worlds._replace(physics=physics, sensors=sensors, obs=select_worlds(started, obs, worlds.obs))
