"""Ground that is not flat: what the task takes for its height is what MuJoCo collides with."""

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
from musclemap.imitation.physics.terrain import FLIGHT, KINDS, Kind, TerrainConfig, height_at, lay, make_ground
from musclemap.imitation.physics.warp_engine import WarpEngine
from musclemap.imitation.task.reference import Reference, make_library
from musclemap.imitation.task.task import Task
from musclemap.pipelines.train.simulation_room import room_for

UNEVEN = tuple(kind for kind in KINDS if kind != "flat")


def full(kind: str, **changes: float) -> SimulationBody:
    return load_simulation_body("MyoFullBody", PhysicsConfig(terrain=TerrainConfig(kind=kind, extent=8.0, **changes)))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def stairs() -> SimulationBody:
    return full("steps", height=0.1, length=0.8)


@pytest.fixture(scope="module")
def walk(stairs: SimulationBody, walk_clip: Clip) -> Reference:
    return make_library([("walk", walk_clip)], stairs, resting=0.1).reference


@pytest.mark.parametrize("kind", UNEVEN)
def test_heights_are_those_that_a_ray_of_mujoco_finds(kind: Kind) -> None:
    config = TerrainConfig(kind=kind, extent=4.0, height=0.2, length=0.7)
    ground = make_ground(config)
    assert ground is not None
    spec = mujoco.MjSpec.from_string(
        '<mujoco><worldbody><geom name="floor" type="plane" size="1 1 1"/></worldbody></mujoco>'
    )
    lay(spec, ground)
    model = spec.compile()
    data = mujoco.MjData(model)
    mujoco.mj_forward(model, data)
    xy = np.random.default_rng(0).uniform(-3.9, 3.9, (400, 2))
    down, result = np.array([0.0, 0.0, -1.0]), np.zeros(1, np.int32)
    hit = np.array([5.0 - mujoco.mj_ray(model, data, np.array([*at, 5.0]), down, None, True, -1, result) for at in xy])
    np.testing.assert_allclose(height_at(ground, jnp.asarray(xy, jnp.float32)), hit, atol=2e-5)
    assert hit.max() - hit.min() > 0.1  # it is not flat


@pytest.mark.parametrize(
    ("kind", "highest"), [("rough", 0.2), ("slope", 0.2), ("steps", 0.2 * FLIGHT), ("obstacles", 0.2)]
)
def test_ground_is_as_high_as_asked(kind: Kind, highest: float) -> None:
    ground = make_ground(TerrainConfig(kind=kind, height=0.2, extent=10.0))
    assert ground is not None
    assert ground.height.min() == 0.0
    assert ground.height.max() == pytest.approx(highest, rel=1e-6)
    again = make_ground(TerrainConfig(kind=kind, height=0.2, extent=10.0))
    assert again is not None
    np.testing.assert_array_equal(again.height, ground.height)


def test_flat_ground_is_the_bodys_own_floor() -> None:
    assert make_ground(TerrainConfig()) is None
    body = load_simulation_body("MyoFullBody")
    assert body.model.nhfield == 0


def test_a_reference_is_lifted_by_the_ground_below_its_root(stairs: SimulationBody, walk: Reference) -> None:
    task, n = Task(stairs), 300
    clip, frame = jnp.zeros(n, jnp.int32), jnp.full(n, 50)
    physics, state = task.begin(walk, clip, frame, jax.random.PRNGKey(0))
    later = task.advance(state)
    expected, bare = task.ref(walk, later, later.frame), walk.rows(clip, frame + 1)
    assert stairs.ground is not None
    lift = height_at(stairs.ground, expected.xpos[:, 0, :2])
    np.testing.assert_allclose(expected.qpos[:, 2] - bare.qpos[:, 2], lift, atol=1e-5)
    np.testing.assert_allclose(expected.xpos[..., 2] - bare.xpos[..., 2], jnp.repeat(lift[:, None], 17, 1), atol=1e-5)
    np.testing.assert_allclose(expected.qpos[:, 3:], bare.qpos[:, 3:], atol=1e-6)
    assert len(np.unique(np.round(lift, 1))) >= FLIGHT  # episodes begin on every step
    seen = task.first_reading(walk, state)
    np.testing.assert_allclose(seen.xpos[:, 0], physics.qpos[:, :3], atol=1e-4)  # the pelvis is the root
    np.testing.assert_allclose(MujocoEngine(stairs, n).read(physics).xpos, seen.xpos, atol=1e-4)


def test_feet_stand_on_it_and_do_not_begin_in_it(stairs: SimulationBody, walk: Reference) -> None:
    task, n = Task(stairs), 60
    clip, frame = jnp.zeros(n, jnp.int32), jnp.arange(n) * 5
    physics, _ = task.begin(walk, clip, frame, jax.random.PRNGKey(1))
    engine = MujocoEngine(stairs, n)
    data = mujoco.MjData(stairs.model)
    for qpos in np.asarray(physics.qpos[:10], np.float64):
        data.qpos[:] = qpos
        mujoco.mj_forward(stairs.model, data)
        deep = [c.dist for c in data.contact if stairs.floor_ids[0] in c.geom]
        assert min(deep, default=0.0) > -0.01
    sunk = physics._replace(qpos=physics.qpos.at[:, 2].add(-0.1))
    assert float(engine.read(sunk).contact.max(axis=1).mean()) > 0.7


@pytest.mark.slow
def test_warp_stands_on_it_as_mujoco_c_does(stairs: SimulationBody, walk: Reference) -> None:
    """On the same steps the same parts of the feet touch; later they go apart, as they place contacts differently."""
    task, n = Task(stairs), 4
    physics, _ = task.begin(walk, jnp.zeros(n, jnp.int32), jnp.arange(n) * 40, jax.random.PRNGKey(1))
    sunk = physics._replace(qpos=physics.qpos.at[:, 2].add(-0.03))
    room = room_for(stairs, walk, PhysicsConfig(), kind="warp")
    mine, theirs = MujocoEngine(stairs, n), WarpEngine(stairs, n, device="cpu", **room)
    seen, output = mine.read(sunk), theirs.read(sunk)
    assert float(seen.contact.max(axis=1).mean()) > 0.7
    np.testing.assert_array_equal(output.contact, seen.contact)
    assert not output.overflow.any()
    ctrl = jnp.full((n, stairs.model.nu), 0.1)
    ends = []
    for engine in (mine, theirs):
        state = physics
        for _ in range(10):
            state, reading = engine.step(state, ctrl)
            assert not (reading.bad | reading.overflow).any()
        ends.append(np.asarray(state.qpos))
    assert np.abs(ends[0][:, :3] - ends[1][:, :3]).max() < 0.01
    assert np.abs(ends[0] - np.asarray(physics.qpos)).max() > 0.05


def test_what_cannot_be_is_refused() -> None:
    for make in (
        lambda: TerrainConfig(kind="sea"),  # pyright: ignore[reportArgumentType]
        lambda: TerrainConfig(height=0.0), lambda: TerrainConfig(extent=500.0),
    ):  # fmt: skip
        with pytest.raises(SettingsError, match="TerrainConfig"):
            make()
    with pytest.raises(TargetError, match="has 0 that it can stand on"):
        load_simulation_body("SmallArm", PhysicsConfig(terrain=TerrainConfig(kind="rough")))
