"""Terrain: the heights that the task uses are those that MuJoCo collides with."""

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError, TargetError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.terrain import STEPS_PER_FLIGHT, add_terrain, height_at, make_ground
from musclemap.imitation.physics.warp_engine import WarpEngine
from musclemap.imitation.physics.world_settings import KINDS, Kind, TerrainConfig
from musclemap.imitation.task.reference import Reference, make_library
from musclemap.imitation.task.task import Task
from musclemap.pipelines.train.physics_setup import buffer_arguments

UNEVEN = tuple(kind for kind in KINDS if kind != "flat")


def load_on_terrain(kind: str, **changes: float) -> SimulationBody:
    return load_simulation_body("MyoFullBody", PhysicsConfig(terrain=TerrainConfig(kind=kind, extent=8.0, **changes)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stairs() -> SimulationBody:
    return load_on_terrain("steps", height=0.1, length=0.8)


@pytest.fixture(scope="module")
def walk(stairs: SimulationBody, walk_clip: Clip) -> Reference:
    return make_library([("walk", walk_clip)], stairs, resting=0.1).reference


@pytest.mark.parametrize("kind", UNEVEN)
def test_heights_match_mujocos_ray_casting(kind: Kind) -> None:
    config = TerrainConfig(kind=kind, extent=4.0, height=0.2, length=0.7)
    ground = make_ground(config)
    assert ground is not None
    spec = mujoco.MjSpec.from_string(
        '<mujoco><worldbody><geom name="floor" type="plane" size="1 1 1"/></worldbody></mujoco>'
    )
    add_terrain(spec, ground)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    xy = np.random.default_rng(0).uniform(-3.9, 3.9, (400, 2))
    direction, result = np.array([0.0, 0.0, -1.0]), np.zeros(1, np.int32)
    distances = [mujoco.mj_ray(model, data, np.array([*point, 5.0]), direction, None, True, -1, result) for point in xy]
    heights = np.array([5.0 - distance for distance in distances])
    np.testing.assert_allclose(height_at(ground, jnp.asarray(xy, jnp.float32)), heights, atol=2e-5)
    assert heights.max() - heights.min() > 0.1  # the ground is not flat


@pytest.mark.parametrize(
    ("kind", "highest"), [("rough", 0.2), ("slope", 0.2), ("steps", 0.2 * STEPS_PER_FLIGHT), ("obstacles", 0.2)]
)
def test_ground_has_the_configured_height(kind: Kind, highest: float) -> None:
    ground = make_ground(TerrainConfig(kind=kind, height=0.2, extent=10.0))
    assert ground is not None
    assert ground.height.min() == 0.0
    assert ground.height.max() == pytest.approx(highest, rel=1e-6)
    repeated = make_ground(TerrainConfig(kind=kind, height=0.2, extent=10.0))
    assert repeated is not None
    np.testing.assert_array_equal(repeated.height, ground.height)


def test_flat_ground_is_the_bodys_own_floor() -> None:
    assert make_ground(TerrainConfig()) is None
    body = load_simulation_body("MyoFullBody")
    assert body.model.nhfield == 0


def test_a_reference_is_lifted_by_the_height_below_its_root(stairs: SimulationBody, walk: Reference) -> None:
    task, n = Task(stairs), 300
    clip, frame = jnp.zeros(n, jnp.int32), jnp.full(n, 50)
    physics, state = task.reset(walk, clip, frame, jax.random.PRNGKey(0))
    next_state = task.advance(state)
    expected, original = task.ref(walk, next_state, next_state.frame), walk.rows(clip, frame + 1)
    assert stairs.ground is not None
    lift = height_at(stairs.ground, expected.xpos[:, 0, :2])
    np.testing.assert_allclose(expected.qpos[:, 2] - original.qpos[:, 2], lift, atol=1e-5)
    np.testing.assert_allclose(
        expected.xpos[..., 2] - original.xpos[..., 2], jnp.repeat(lift[:, None], 17, 1), atol=1e-5
    )
    np.testing.assert_allclose(expected.qpos[:, 3:], original.qpos[:, 3:], atol=1e-6)
    assert len(np.unique(np.round(lift, 1))) >= STEPS_PER_FLIGHT  # episodes start on every step
    sensors = task.initial_sensors(walk, state)
    np.testing.assert_allclose(sensors.xpos[:, 0], physics.qpos[:, :3], atol=1e-4)  # the pelvis is the root
    np.testing.assert_allclose(MujocoEngine(stairs, n).read(physics).xpos, sensors.xpos, atol=1e-4)


def test_feet_touch_the_ground_and_never_start_below_it(stairs: SimulationBody, walk: Reference) -> None:
    task, n = Task(stairs), 60
    clip, frame = jnp.zeros(n, jnp.int32), jnp.arange(n) * 5
    physics, _ = task.reset(walk, clip, frame, jax.random.PRNGKey(1))
    engine = MujocoEngine(stairs, n)
    data = mujoco.MjData(stairs.model)
    for qpos in np.asarray(physics.qpos[:10], np.float64):
        data.qpos[:] = qpos
        mujoco.mj_forward(stairs.model, data)
        distances = [c.dist for c in data.contact if stairs.floor_ids[0] in c.geom]
        assert min(distances, default=0.0) > -0.01
    lowered = physics._replace(qpos=physics.qpos.at[:, 2].add(-0.1))
    assert float(engine.read(lowered).contact.max(axis=1).mean()) > 0.7


@pytest.mark.slow
def test_warp_and_mujoco_have_the_same_foot_contacts(stairs: SimulationBody, walk: Reference) -> None:
    """The initial contacts are the same; later states differ, because the engines place contact points differently."""
    task, n = Task(stairs), 4
    physics, _ = task.reset(walk, jnp.zeros(n, jnp.int32), jnp.arange(n) * 40, jax.random.PRNGKey(1))
    lowered = physics._replace(qpos=physics.qpos.at[:, 2].add(-0.03))
    buffer_sizes = buffer_arguments(stairs, walk, PhysicsConfig(), kind="warp")
    mujoco_engine, warp_engine = MujocoEngine(stairs, n), WarpEngine(stairs, n, device="cpu", **buffer_sizes)
    sensors, warp_sensors = mujoco_engine.read(lowered), warp_engine.read(lowered)
    assert float(sensors.contact.max(axis=1).mean()) > 0.7
    np.testing.assert_array_equal(warp_sensors.contact, sensors.contact)
    assert not warp_sensors.overflow.any()
    ctrl = jnp.full((n, stairs.model.nu), 0.1)
    final_qpos = []
    for engine in (mujoco_engine, warp_engine):
        state = physics
        for _ in range(10):
            state, sensors = engine.step(state, ctrl)
            assert not (sensors.bad | sensors.overflow).any()
        final_qpos.append(np.asarray(state.qpos))
    assert np.abs(final_qpos[0][:, :3] - final_qpos[1][:, :3]).max() < 0.01
    assert np.abs(final_qpos[0] - np.asarray(physics.qpos)).max() > 0.05


def test_invalid_terrain_is_rejected() -> None:
    for make in (
        lambda: TerrainConfig(kind="sea"),  # pyright: ignore[reportArgumentType]
        lambda: TerrainConfig(height=0.0), lambda: TerrainConfig(extent=500.0),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match="TerrainConfig"):
            make()
    with pytest.raises(TargetError, match="the body has 0"):
        load_simulation_body("SmallArm", PhysicsConfig(terrain=TerrainConfig(kind="rough")))
