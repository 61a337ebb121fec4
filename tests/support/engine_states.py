"""States to test engines with, and MuJoCo's own sensor data for them."""

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

import jax.numpy as jnp
import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import Engine, PhysicsState, SensorData

Part = TypeVar("Part", PhysicsState, SensorData)

NWORLD = 4
"""The number of worlds in all tests, because MuJoCo Warp takes a while to set up."""

TOLERANCE = {
    "arm": {"qpos": 1e-5, "qvel": 2e-4, "act": 1e-6, "warmstart": 0.05},
    "human": {"qpos": 1e-4, "qvel": 5e-3, "act": 1e-6, "warmstart": 2.0},
}
"""Largest differences between the engines after fifty substeps in float32 and in float64, with feet on the ground.

About ten times the measured ones: for MyoFullBody 1.5e-5 rad where joints move by a fifth of a radian, 5e-4 rad/s of
20, and 0.2 rad/s² of 1500 in the solver's warm-start accelerations."""

RELATIVE_TOLERANCE = {"warmstart": 0.05}
"""Relative differences allowed as well: how far the constraint solver's accelerations have converged in float32 depends
on the processor's instructions (up to 3 of 180 rad/s²)."""


def packed(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray) -> PhysicsState:
    """Configurations and velocities with nearly resting muscles."""
    model, n = body.model, len(qpos)
    arrays = (qpos, qvel, np.full((n, model.nu), 0.05), np.zeros((n, model.nv)))
    return PhysicsState(*(jnp.asarray(array, jnp.float32) for array in arrays))


def arm_state(arm: SimulationBody, n: int = NWORLD) -> PhysicsState:
    """Worlds of the small arm, within its limits and moving; one beyond a joint limit."""
    rng = np.random.default_rng(3)
    low, high = arm.model.jnt_range.T
    qpos = rng.uniform(low, high, (n, 2))
    qpos[0] = high + 0.02
    return packed(arm, qpos, rng.normal(size=(n, 2)))


def walking_state(human: SimulationBody, clip: Clip, n: int = NWORLD) -> PhysicsState:
    """Worlds of MyoFullBody at phases of a stride, 5 mm below the clip, so that the feet touch the floor."""
    frames = np.linspace(100, 200, n).astype(int)
    qpos = clip.qpos[frames][:, human.clip_qpos]
    qpos[:, 2] -= 0.005
    return packed(human, qpos, clip.qvel[frames][:, human.clip_qvel])


def excitations(body: SimulationBody, nstep: int, n: int = NWORLD) -> np.ndarray:
    """Controls that differ between muscles, worlds and steps, shape (nstep, n, nu)."""
    return (np.random.default_rng(7).random((nstep, n, body.model.nu)) ** 3).astype(np.float32)


def run(engine: Engine, state: PhysicsState, ctrl: np.ndarray) -> tuple[PhysicsState, SensorData]:
    """State and sensor data after all control steps."""
    sensors = engine.read(state)
    for step_ctrl in ctrl:
        state, sensors = engine.step(state, jnp.asarray(step_ctrl))
    return state, sensors


def rows(arrays: Part, worlds: Sequence[int] | np.ndarray) -> Part:
    """Select or reorder worlds."""
    return type(arrays)(*(part[np.asarray(worlds)] for part in arrays))  # type: ignore[arg-type]


def with_row(state: PhysicsState, world: int, **values: float) -> PhysicsState:
    """Replace the first number of some arrays in one world's state."""
    return state._replace(**{name: getattr(state, name).at[world, 0].set(value) for name, value in values.items()})


def assert_same(a: Part, b: Part) -> None:
    """Compare bit for bit; NaN equals NaN."""
    for name, x, y in zip(a._fields, a, b, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


class ReferenceSensors(NamedTuple):
    """MuJoCo's sensor data of one state."""

    xpos: np.ndarray
    xquat: np.ndarray
    linvel: np.ndarray
    angvel: np.ndarray
    contact: np.ndarray


def mujoco_reference(body: SimulationBody, state: PhysicsState, world: int) -> ReferenceSensors:
    """Landmarks from a full forward pass and `mj_objectVelocity`; contacts from MuJoCo's list."""
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:], data.qvel[:] = np.asarray(state.qpos[world]), np.asarray(state.qvel[world])
    mujoco.mj_forward(model, data)
    velocity = np.zeros((len(body.landmark_ids), 6))
    for row, landmark in zip(velocity, body.landmark_ids, strict=True):
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, int(landmark), row, 0)
    contact = np.zeros(4)
    for k, geoms in enumerate(body.contact_geoms):
        for mj_contact in data.contact:
            pair = {int(g) for g in mj_contact.geom}
            contact[k] = contact[k] or (
                mj_contact.dist <= 0 and bool(pair & {*geoms}) and bool(pair & {*body.floor_ids})
            )
    ids = body.landmark_ids
    return ReferenceSensors(data.xpos[ids].copy(), data.xquat[ids].copy(), velocity[:, 3:], velocity[:, :3], contact)
