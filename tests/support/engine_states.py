"""States that engines are tried with, and what MuJoCo itself says of them."""

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
"""One number of worlds for all: MuJoCo Warp takes a while to set up."""


def packed(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray) -> PhysicsState:
    """Configurations and velocities with muscles nearly at rest."""
    model, n = body.model, len(qpos)
    arrays = (qpos, qvel, np.full((n, model.nu), 0.05), np.zeros((n, model.nv)))
    return PhysicsState(*(jnp.asarray(array, jnp.float32) for array in arrays))


def arm_state(arm: SimulationBody, n: int = NWORLD) -> PhysicsState:
    """Worlds of the small arm, within its limits, moving; one against a stop."""
    rng = np.random.default_rng(3)
    low, high = arm.model.jnt_range.T
    qpos = rng.uniform(low, high, (n, 2))
    qpos[0] = high + 0.02
    return packed(arm, qpos, rng.normal(size=(n, 2)))


def walking_state(human: SimulationBody, clip: Clip, n: int = NWORLD) -> PhysicsState:
    """Worlds of MyoFullBody in phases of a stride, 5 mm lower than the clip, so that feet touch the floor."""
    frames = np.linspace(100, 200, n).astype(int)
    qpos = clip.qpos[frames][:, human.clip_qpos]
    qpos[:, 2] -= 0.005
    return packed(human, qpos, clip.qvel[frames][:, human.clip_qvel])


def excitations(body: SimulationBody, nstep: int, n: int = NWORLD) -> np.ndarray:
    """Controls that vary from muscle to muscle, world to world and step to step, shape (nstep, n, nu)."""
    return (np.random.default_rng(7).random((nstep, n, body.model.nu)) ** 3).astype(np.float32)


def run(engine: Engine, state: PhysicsState, ctrl: np.ndarray) -> tuple[PhysicsState, SensorData]:
    """State and reading after all control steps."""
    reading = engine.read(state)
    for moment in ctrl:
        state, reading = engine.step(state, jnp.asarray(moment))
    return state, reading


def rows(seen: Part, worlds: Sequence[int] | np.ndarray) -> Part:
    """Some worlds, in another order perhaps."""
    return type(seen)(*(part[np.asarray(worlds)] for part in seen))  # type: ignore[arg-type]


def with_row(state: PhysicsState, world: int, **values: float) -> PhysicsState:
    """The first number of some parts of a world's state replaced."""
    return state._replace(**{name: getattr(state, name).at[world, 0].set(value) for name, value in values.items()})


def assert_same(a: Part, b: Part) -> None:
    """Bit for bit, NaN being NaN."""
    for name, x, y in zip(a._fields, a, b, strict=True):
        np.testing.assert_array_equal(x, y, err_msg=name)


class Said(NamedTuple):
    """What MuJoCo says of one state."""

    xpos: np.ndarray
    xquat: np.ndarray
    linvel: np.ndarray
    angvel: np.ndarray
    contact: np.ndarray


def mujoco_says(body: SimulationBody, state: PhysicsState, world: int) -> Said:
    """Landmarks from a full forward pass and `mj_objectVelocity`; contacts from its list of them."""
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:], data.qvel[:] = np.asarray(state.qpos[world]), np.asarray(state.qvel[world])
    mujoco.mj_forward(model, data)
    velocity = np.zeros((len(body.landmark_ids), 6))
    for row, landmark in zip(velocity, body.landmark_ids, strict=True):
        mujoco.mj_objectVelocity(model, data, mujoco.mjtObj.mjOBJ_XBODY, int(landmark), row, 0)
    contact = np.zeros(4)
    for k, geoms in enumerate(body.contact_geoms):
        for touch in data.contact:
            pair = {int(g) for g in touch.geom}
            contact[k] = contact[k] or (touch.dist <= 0 and bool(pair & {*geoms}) and bool(pair & {*body.floor_ids}))
    ids = body.landmark_ids
    return Said(data.xpos[ids].copy(), data.xquat[ids].copy(), velocity[:, 3:], velocity[:, :3], contact)
