"""Simulation on a moving base: forces, engines, references, tracks, and the methods that refuse it."""

from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import read_track, write_track
from musclemap.errors import SettingsError, TargetError
from musclemap.imitation.dagger.dagger_config import DaggerConfig
from musclemap.imitation.dagger.dagger_trainer import DaggerTrainer
from musclemap.imitation.dagger.label_pool import LabelPool
from musclemap.imitation.dagger.teacher import QueryStates, Teacher
from musclemap.imitation.eval.evaluation import evaluate
from musclemap.imitation.physics.base_forces import step_motion
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.warp_engine import WarpEngine
from musclemap.imitation.ppo.ppo import PPO
from musclemap.imitation.ppo.ppo_config import PPOConfig
from musclemap.imitation.ppo.trainer import Trainer
from musclemap.imitation.regulator.gains import compute_gains
from musclemap.imitation.regulator.linearisation import deviation, linearise, nominal_path
from musclemap.imitation.regulator.regulator import RegulatedPath, Regulator
from musclemap.imitation.regulator.regulator_config import RegulatorConfig
from musclemap.imitation.task import observation
from musclemap.imitation.task.reference import make_library, refuse_moving_base
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.dofs import find_controlled_dofs
from musclemap.imitation.tracking.storage import replay_track, stored_track
from musclemap.imitation.tracking.track import advance, set_state
from musclemap.imitation.tracking.tracker import track_clip
from musclemap.skeletons.base_motion import GRAVITY, STILL, base_motion
from musclemap.skeletons.bodies import load_body

from ..support.base_paths import arms_of, lively_motion
from ..support.data.base_clip import base_clip

FPS = 100.0
MOTION = np.array([[1.0, -3.0, -9.0], [2.0, 1.0, -4.0], [1.5, -0.7, 2.0], [-5.0, 8.0, 3.0]])


@pytest.fixture(scope="module")
def arms() -> SimulationBody:
    return load_simulation_body("MyoBimanualArm")


@pytest.fixture(scope="module")
def clip() -> Clip:
    """A second of lively motion of the whole body, as a clip of its arms."""
    whole, part = load_body(), load_body("MyoBimanualArm")
    qpos, path = arms_of(part, whole, lively_motion(whole, nframe=100, fps=FPS))
    return base_clip(part, qpos, base_motion(path, FPS), fps=FPS)


def floating_acceleration(body: SimulationBody, qpos: np.ndarray, qvel: np.ndarray, motion: np.ndarray) -> np.ndarray:
    """Accelerations of the joints if the root of a free copy of the body is moved as the base, without muscles."""
    spec = body.target.make_spec()
    root = spec.bodies[1]
    root.add_freejoint(name="base")
    model = spec.compile()
    model.dof_damping[:], model.dof_armature[:] = 0.0, 0.0
    data = mujoco.MjData(model)
    gravity, acceleration, omega, alpha = motion
    data.qpos[:3], data.qpos[3:7] = model.body_pos[1], (1.0, 0.0, 0.0, 0.0)
    data.qpos[7:], data.qvel[6:], data.qvel[3:6] = qpos, qvel, omega
    mujoco.mj_fwdPosition(model, data)
    mujoco.mj_fwdVelocity(model, data)
    mass = np.zeros((model.nv, model.nv))
    mujoco.mj_fullM(model, data, mass)
    moved = np.concatenate([acceleration - (gravity - GRAVITY), alpha])
    return np.linalg.solve(mass[6:, 6:], -data.qfrc_bias[6:] - mass[6:, :6] @ moved)


def test_joints_accelerate_as_on_a_root_that_is_moved() -> None:
    """External forces on the fixed model against an independent computation on a free one; unequal without them."""
    body = load_simulation_body("MyoBimanualArm")
    target, rng = body.target, np.random.default_rng(1)
    whole = load_body()
    qpos = arms_of(target, whole, lively_motion(whole, nframe=3, fps=FPS, seed=2))[0][1]
    qvel = rng.normal(0, 2.0, target.model.nv)
    model = target.make_spec().compile()
    model.dof_damping[:], model.dof_armature[:] = 0.0, 0.0
    data = mujoco.MjData(model)
    data.qpos[:], data.qvel[:] = qpos, qvel
    forces = load_simulation_body("MyoBimanualArm").base_forces
    assert forces is not None

    def acceleration(motion: np.ndarray) -> np.ndarray:
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        type(forces)(model).apply(model, data, motion)
        applied, mass = np.zeros(model.nv), np.zeros((model.nv, model.nv))
        for k in range(1, model.nbody):
            force, torque = data.xfrc_applied[k, :3].copy(), data.xfrc_applied[k, 3:].copy()
            mujoco.mj_applyFT(model, data, force, torque, data.xipos[k], k, applied)
        mujoco.mj_fullM(model, data, mass)
        return np.linalg.solve(mass, applied - data.qfrc_bias)

    ref = floating_acceleration(body, qpos, qvel, MOTION)
    size = np.abs(ref).max()
    np.testing.assert_allclose(acceleration(MOTION), ref, atol=1e-8 * size)
    assert np.abs(acceleration(STILL) - ref).max() > 0.1 * size


def test_engine_steps_every_world_on_its_own_base(arms: SimulationBody) -> None:
    """A still base changes nothing; a falling one takes the weight away, so the arms hang in the air."""
    n, model = 3, arms.model
    engine, qpos = MujocoEngine(arms, n), arms.target.reduced.base[arms.clip_qpos]
    state = PhysicsState(
        jnp.asarray(np.tile(qpos, (n, 1)), jnp.float32), jnp.zeros((n, model.nv)), jnp.zeros((n, model.nu)),
        jnp.zeros((n, model.nv)),
    )  # fmt: skip
    ctrl, falling = jnp.zeros((n, model.nu)), STILL.copy()
    falling[1] = GRAVITY
    base = jnp.asarray(np.stack([STILL, falling, MOTION]), jnp.float32)
    without, _ = engine.step(state, ctrl)
    moved, _ = engine.step(state, ctrl, base)
    np.testing.assert_allclose(moved.qvel[0], without.qvel[0], atol=1e-4)
    difference = np.abs(np.asarray(moved.qvel) - np.asarray(without.qvel)).max(axis=1)
    assert difference[1] > 0.01
    assert difference[2] > 0.01
    again, _ = engine.step(state, ctrl)  # no force stays behind
    np.testing.assert_array_equal(again.qvel, without.qvel)
    with pytest.raises(TargetError, match=r"\(nworld, 4, 3\)"):
        engine.step(state, ctrl, base[:2])
    small = load_simulation_body("SmallArm")
    nothing = PhysicsState(*(jnp.zeros((1, k)) for k in (2, 2, 6, 2)))
    with pytest.raises(TargetError, match="no base"):
        MujocoEngine(small, 1).step(nothing, jnp.zeros((1, 6)), base[:1])


def test_both_engines_agree_on_a_moving_base(arms: SimulationBody, clip: Clip) -> None:
    """From three frames of a clip, each world on a base that moves in its own way."""
    n, model, rows = 3, arms.model, np.array([10, 40, 70])
    state = PhysicsState(
        jnp.asarray(clip.qpos[rows][:, arms.clip_qpos]), jnp.asarray(clip.qvel[rows][:, arms.clip_qvel]),
        jnp.full((n, model.nu), 0.1), jnp.zeros((n, model.nv)),
    )  # fmt: skip
    ctrl, base = jnp.full((n, model.nu), 0.2), jnp.asarray(np.stack([MOTION, STILL, -0.5 * MOTION]), jnp.float32)
    warp = WarpEngine(arms, n, device="cpu")
    ref, ours = MujocoEngine(arms, n).step(state, ctrl, base)[0], warp.step(state, ctrl, base)[0]
    still = warp.step(state, ctrl)[0]
    error, effect = (np.abs(np.asarray(result.qvel - ref.qvel)).max(axis=1) for result in (ours, still))
    assert effect[0] > 0.1
    assert error.max() < 0.05 * effect[0]


def test_policies_observe_the_base_and_steps_use_the_mean_of_two_frames(arms: SimulationBody, clip: Clip) -> None:
    task = Task(arms, TaskConfig(future_steps=(1, 2)))
    library = make_library([("a", clip)], arms, resting=0.1, look_ahead=2)
    assert library.moving_base
    physics, state = task.reset(library.reference, jnp.array([0]), jnp.array([5]), jnp.zeros(2, jnp.uint32))
    obs = np.asarray(task.observe(library.reference, physics, task.initial_sensors(library.reference, state), state))[0]
    layout, start = observation.layout(arms, (1, 2)), 0
    assert clip.base_motion is not None
    seen = {}
    for name, width in layout.items():
        seen[name], start = obs[start : start + width], start + width
    assert start == len(obs)
    for name, frame in (("base", 5), ("goal_base_1", 6), ("goal_base_2", 7)):
        np.testing.assert_allclose(seen[name], clip.base_motion[frame].ravel(), rtol=1e-5)
    base = task.base(library.reference, state)
    assert base is not None
    np.testing.assert_allclose(base[0], step_motion(clip.base_motion)[5], rtol=1e-5)


class RecordingEngine(MujocoEngine):
    """An engine that keeps the motion of the base of every step."""

    def step(
        self, state: PhysicsState, ctrl: jax.Array, base: jax.Array | None = None
    ) -> tuple[PhysicsState, SensorData]:  # fmt: skip
        assert base is not None
        self.bases.append(np.asarray(base))
        return super().step(state, ctrl, base)

    bases: list[np.ndarray] = []  # noqa: RUF012 - one engine at a time


def test_training_and_evaluation_move_the_base_as_the_clip_does(arms: SimulationBody, clip: Clip) -> None:
    config = TaskConfig(future_steps=(1,))
    library, task = make_library([("a", clip)], arms, resting=0.1, look_ahead=1), Task(arms, config)
    assert clip.base_motion is not None
    steps, engine = step_motion(clip.base_motion), RecordingEngine(arms, 2)
    engine.bases.clear()
    ppo = PPO(task.nobs, arms.model.nu, PPOConfig(hidden=(8,), num_steps=2, minibatch_size=4))
    trainer = Trainer(engine, task, library.reference, ppo)
    state = trainer.init(0)
    before = np.asarray(state.worlds.task.frame)
    trainer.iterate(state)
    np.testing.assert_allclose(engine.bases[0], steps[before], rtol=1e-5, atol=1e-5)
    engine.bases.clear()
    rest = lambda obs: jnp.full((len(obs), arms.model.nu), 0.1)  # noqa: E731
    (result,) = evaluate(engine, config, library, rest, to_end=False)
    assert result.score.simulated >= 1
    for frame in range(min(len(engine.bases), 3)):
        np.testing.assert_allclose(engine.bases[frame][0], steps[frame], rtol=1e-5, atol=1e-5)


def test_methods_without_the_forces_of_a_base_refuse_it(arms: SimulationBody, clip: Clip) -> None:
    moving = make_library([("a", clip)], arms, resting=0.1, look_ahead=2)
    with pytest.raises(SettingsError, match="--chest fixed"):
        refuse_moving_base(moving, "a world model")
    still = make_library([("a", replace(clip, base_motion=None))], arms, resting=0.1, look_ahead=2)
    refuse_moving_base(still, "a world model")
    np.testing.assert_array_equal(still.reference.base[0], STILL.astype(np.float32))


def test_the_teacher_of_dagger_knows_the_base(arms: SimulationBody, clip: Clip) -> None:
    """On the path of the tracking controller its label is what the controller did there; with a still base it is not.

    The same holds for the regulator, which leads back to that path only if the base moves.
    """
    part, config = clip.frames(slice(0, 9)), TrackingConfig()
    path = nominal_path(arms, part, config)
    assert path.base.shape == (8, 4, 3)
    step, nu = 6, arms.model.nu

    def query() -> QueryStates:
        arrays = (path.qpos[step], path.qvel[step], path.act[step], path.warmstart[step])
        numbers = (np.array([0]), np.array([step]), np.zeros((1, nu), np.int8))
        qpos, qvel, act, warmstart = (array[None] for array in arrays)
        return QueryStates(qpos, qvel, act, warmstart, *numbers)

    moving = Teacher(arms, [part], config, ndirection=2, power=0.5).label(query()).excitation[0]
    still = Teacher(arms, [replace(part, base_motion=None)], config, ndirection=2, power=0.5).label(query())
    np.testing.assert_allclose(moving, path.excitation[step], atol=1e-4)
    assert np.abs(still.excitation[0] - path.excitation[step]).max() > 0.01

    regulator_config, dofs = RegulatorConfig(), find_controlled_dofs(arms)
    linear = linearise(arms, path, np.arange(8), regulator_config)
    gains = compute_gains(path, linear, nroot=0, config=regulator_config)
    regulator, data, errors = Regulator(arms, RegulatedPath(path, gains)), mujoco.MjData(arms.model), []
    for known in (True, False):
        set_state(data, path.qpos[0], path.qvel[0], path.act[0], path.warmstart[0])
        for k in range(8):
            decision = regulator.decide(data, k)
            advance(arms, data, decision.excitation, base=path.base_at(k) if known else None)
        errors.append(np.abs(deviation(arms.model, dofs, data, path.qpos[8], path.qvel[8])).max())
    assert errors[0] < 0.05 * errors[1]


def test_dagger_collects_and_evaluates_on_the_base(arms: SimulationBody, clip: Clip) -> None:
    """Every engine step of a round gets the motion that belongs to each world's frame."""
    part = clip.frames(slice(0, 8))
    assert part.base_motion is not None
    steps, task_config = step_motion(part.base_motion), TaskConfig(future_steps=(1,))
    library, task = make_library([("a", part)], arms, resting=0.1, look_ahead=1), Task(arms, task_config)
    config = DaggerConfig(
        teacher="controller", round_steps=2, num_steps=1, epochs=1, gradient_steps=1, batch_size=2, hidden=(8,),
        directions=2, evaluation_steps=1,
    )  # fmt: skip
    pool = LabelPool(arms, PhysicsConfig(), [part], config.tracking, workers=1, ndirection=2, power=0.5)
    engine = RecordingEngine(arms, 2)
    trainer = DaggerTrainer(engine, task, library, pool, config)
    state = trainer.init(0)
    for kind in ("collect", "fit", "evaluate"):
        assert trainer.schedule.stage(int(state.iterations)).kind == kind
        frames = state.worlds.task.frame if kind == "collect" else None
        engine.bases.clear()
        state, metrics = trainer.iterate(state)
        if kind == "fit":
            assert not engine.bases
            continue
        if frames is None:
            frames = state.assessment.task.frame - 1
        np.testing.assert_allclose(engine.bases[0], steps[np.asarray(frames)], rtol=1e-5, atol=1e-5, err_msg=kind)
        if kind == "collect":
            assert metrics["labels_missing"] == 0.0
    assert np.isfinite(np.asarray(state.assessment.results)).all()


def test_the_linear_model_includes_the_base(arms: SimulationBody, clip: Clip) -> None:
    """Deviations after a step on the base, simulated, against those that the linear model predicts."""
    path = nominal_path(arms, clip.frames(slice(0, 6)), TrackingConfig())
    linear, dofs = linearise(arms, path, np.arange(5), RegulatorConfig()), find_controlled_dofs(arms)
    rng, data, step = np.random.default_rng(3), mujoco.MjData(arms.model), 3
    change = np.concatenate([1e-3 * rng.normal(size=dofs.ndof), 2e-2 * rng.normal(size=dofs.ndof)])
    tangent = dofs.tangent(path.qpos[step])
    qpos = path.qpos[step].copy()
    mujoco.mj_integratePos(arms.model, qpos, tangent @ change[: dofs.ndof], 1.0)
    qvel = path.qvel[step] + tangent @ change[dofs.ndof :]
    set_state(data, qpos, qvel, path.act[step], path.warmstart[step])
    advance(arms, data, path.excitation[step], base=path.base_at(step))
    reached = deviation(arms.model, dofs, data, path.qpos[step + 1], path.qvel[step + 1])
    predicted = linear.by_state[step] @ change
    assert np.linalg.norm(reached - predicted) < 0.1 * np.linalg.norm(reached)
    set_state(data, qpos, qvel, path.act[step], path.warmstart[step])
    advance(arms, data, path.excitation[step])
    without = deviation(arms.model, dofs, data, path.qpos[step + 1], path.qvel[step + 1])
    assert np.linalg.norm(without - predicted) > 0.5 * np.linalg.norm(reached)


def test_a_track_on_a_moving_base_is_replayed_bit_for_bit(arms: SimulationBody, clip: Clip, tmp_path: Path) -> None:
    """Without the stored motion of the base the replay goes elsewhere."""
    part = clip.frames(slice(0, 12))
    track = track_clip(arms, part, TrackingConfig(samples=0, kept=1, variants=0))
    assert track.base is not None
    write_track(tmp_path / "t.h5", stored_track(arms, part, track, name="a.h5", config={}))
    stored = read_track(tmp_path / "t.h5")
    assert replay_track(arms, stored).identical
    still = replay_track(arms, replace(stored, base_motion=None))
    assert not still.identical
    assert still.difference > 1e-4
