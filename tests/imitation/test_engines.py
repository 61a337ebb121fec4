"""Engines compared with MuJoCo and with each other, and worlds compared with worlds."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError, TargetError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.buffers import CandidatePairs, buffers_for
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import MAX_SPEED, Engine, PhysicsState, SensorData
from musclemap.imitation.physics.engines import has_cuda, make_engine
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.warp_engine import WarpEngine
from musclemap.retarget.checks.warp_physics import WarpPhysics
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import Landmark, TargetBody

from ..support.engine_states import (
    NWORLD,
    RELATIVE_TOLERANCE,
    TOLERANCE,
    arm_state,
    assert_same,
    excitations,
    mujoco_reference,
    packed,
    rows,
    run,
    walking_state,
    with_row,
)

OTHERS = [0, 2, 3]
"""All worlds except the one that a test changes."""


@dataclass(frozen=True)
class Case:
    """An engine, and a state to test it with."""

    body: SimulationBody
    engine: Engine
    state: PhysicsState

    def run(self, state: PhysicsState, nstep: int = 2) -> tuple[PhysicsState, SensorData]:
        return run(self.engine, state, excitations(self.body, nstep))


@pytest.fixture(
    params=[
        "arm-mujoco",
        "human-mujoco",
        pytest.param("arm-warp", marks=pytest.mark.slow),
        pytest.param("human-warp", marks=pytest.mark.slow),
    ]
)
def case(request: pytest.FixtureRequest) -> Case:
    body_name, kind = request.param.split("-")
    body = request.getfixturevalue(body_name)
    engine = MujocoEngine(body, NWORLD) if kind == "mujoco" else request.getfixturevalue(f"{body_name}_warp")
    state = arm_state(body) if body_name == "arm" else walking_state(body, request.getfixturevalue("walk_clip"))
    return Case(body, engine, state)


def test_sensor_data_match_mujoco(case: Case) -> None:
    sensors = case.engine.read(case.state)
    for world in range(NWORLD):
        expected = mujoco_reference(case.body, case.state, world)
        np.testing.assert_allclose(sensors.xpos[world], expected.xpos, atol=2e-6)
        np.testing.assert_allclose(sensors.xquat[world], expected.xquat, atol=2e-6)
        np.testing.assert_allclose(sensors.linvel[world], expected.linvel, atol=2e-5)
        np.testing.assert_allclose(sensors.angvel[world], expected.angvel, atol=2e-5)
        np.testing.assert_array_equal(sensors.contact[world], expected.contact)
    assert not np.asarray(sensors.bad).any()
    assert not np.asarray(sensors.overflow).any()
    if case.body.contact_geoms:
        assert 0 < np.asarray(sensors.contact).sum() < 4 * NWORLD


def test_sensor_data_of_a_step_describe_the_state_after_it(case: Case) -> None:
    after, sensors = case.run(case.state, 1)
    assert_same(case.engine.read(after), sensors)


def test_landmark_velocities_are_derivatives_of_their_poses(case: Case) -> None:
    """Central differences of 1 ms; the tolerance covers curvature and float32 rounding."""
    step, ends = 1e-3, []
    for sign in (-1.0, 1.0):
        qpos = np.asarray(case.state.qpos, float)
        for row, velocity in zip(qpos, np.asarray(case.state.qvel, float), strict=True):
            mujoco.mj_integratePos(case.body.model, row, velocity, sign * step)
        ends.append(case.engine.read(packed(case.body, qpos, np.asarray(case.state.qvel))))
    sensors = case.engine.read(case.state)
    change = (np.asarray(ends[1].xpos, float) - np.asarray(ends[0].xpos)) / (2 * step)
    np.testing.assert_allclose(sensors.linvel, change, atol=2e-3)
    a, b = (Rotation.from_quat(np.asarray(end.xquat).reshape(-1, 4), scalar_first=True) for end in ends)
    turn = (b * a.inv()).as_rotvec().reshape(sensors.angvel.shape) / (2 * step)
    np.testing.assert_allclose(sensors.angvel, turn, atol=2e-3)


def test_a_run_is_reproducible_bit_for_bit(case: Case) -> None:
    """Regardless of other calls in between."""
    first = case.run(case.state)
    case.engine.read(first[0])
    case.run(first[0], 1)
    again = case.run(case.state)
    assert_same(first[0], again[0])
    assert_same(first[1], again[1])


def test_returned_arrays_are_never_overwritten(case: Case) -> None:
    after, sensors = case.run(case.state, 1)
    copies = [np.array(part) for part in (*after, *sensors)]
    case.run(after)
    for part, copy in zip((*after, *sensors), copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_a_world_does_not_depend_on_its_neighbours(case: Case) -> None:
    """Nor on its own index."""
    order = [2, 0, 3, 1]
    ctrl = excitations(case.body, 2)
    states, sensors = run(case.engine, case.state, ctrl)
    permuted, result = run(case.engine, rows(case.state, order), ctrl[:, order])
    assert_same(rows(states, order), permuted)
    assert_same(rows(sensors, order), result)


def test_a_reset_affects_only_its_world(case: Case) -> None:
    """Replaces rows in the middle of a run: these restart, and the others continue."""
    ctrl = excitations(case.body, 3)
    middle, _ = run(case.engine, case.state, ctrl[:1])
    uninterrupted, _ = run(case.engine, middle, ctrl[1:])
    reset = PhysicsState(*(a.at[1].set(b[3]) for a, b in zip(middle, case.state, strict=True)))
    with_reset, _ = run(case.engine, reset, ctrl[1:])
    assert_same(rows(uninterrupted, OTHERS), rows(with_reset, OTHERS))
    restarted, _ = run(case.engine, rows(case.state, [0, 3, 2, 1]), ctrl[1:])
    assert_same(rows(restarted, [1]), rows(with_reset, [1]))


@pytest.mark.parametrize("part", ["qpos", "qvel", "act", "warmstart", "ctrl"])
def test_a_non_finite_world_is_flagged_and_affects_no_other(case: Case, part: str) -> None:
    ctrl = excitations(case.body, 1)
    unchanged, sensors = run(case.engine, case.state, ctrl)
    state = case.state
    if part == "ctrl":
        ctrl[0, 1, 0] = np.nan
    else:
        state = with_row(state, 1, **{part: np.nan})
    after, sensors_after = run(case.engine, state, ctrl)
    np.testing.assert_array_equal(sensors_after.bad, [False, True, False, False])
    assert_same(rows(after, OTHERS), rows(unchanged, OTHERS))
    assert_same(rows(sensors_after, OTHERS), rows(sensors, OTHERS))
    for old, new in zip(state, after, strict=True):
        np.testing.assert_array_equal(old[1], new[1])
    assert not np.asarray(sensors_after.contact[1]).any()


def test_a_diverging_world_is_flagged_and_affects_no_other(case: Case) -> None:
    """The state is finite at the start."""
    ctrl = excitations(case.body, 1)
    unchanged, sensors = run(case.engine, case.state, ctrl)
    for speed in (2 * MAX_SPEED, 1e9, 1e30):
        after, sensors_after = run(case.engine, with_row(case.state, 1, qvel=speed), ctrl)
        np.testing.assert_array_equal(sensors_after.bad, [False, True, False, False])
        assert_same(rows(after, OTHERS), rows(unchanged, OTHERS))
        assert_same(rows(sensors_after, OTHERS), rows(sensors, OTHERS))


def test_states_of_another_body_or_number_of_worlds_are_rejected(case: Case) -> None:
    ctrl = jnp.zeros((NWORLD, case.body.model.nu))
    short = PhysicsState(*(part[:-1] for part in case.state))
    with pytest.raises(TargetError, match=rf"qpos has shape .*; {NWORLD} worlds"):
        case.engine.step(short, ctrl)
    with pytest.raises(TargetError, match="qpos has shape"):
        case.engine.read(short)
    with pytest.raises(TargetError, match="ctrl has shape"):
        case.engine.step(case.state, ctrl[:, 1:])
    with pytest.raises(TargetError, match="act has shape"):
        case.engine.step(case.state._replace(act=case.state.act[:, 1:]), ctrl)


@pytest.mark.parametrize("iterations", [2, 20])
def test_control_steps_of_mujoco_equal_one_uninterrupted_run(walk_clip: Clip, iterations: int) -> None:
    """Bit for bit, if MuJoCo's own run rounds its state to float32 in the same places, and for any split of the run.

    A solver limited to two iterations depends on its starting point.
    """
    body = load_simulation_body("MyoFullBody", PhysicsConfig(iterations=iterations))
    state = walking_state(body, walk_clip)
    ctrl = excitations(body, 8)
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:], data.qvel[:], data.act[:] = (np.asarray(part[0]) for part in state[:3])
    engine, split = MujocoEngine(body, NWORLD), []
    for step_ctrl in ctrl:
        split.append(state)
        state, _ = engine.step(state, jnp.asarray(step_ctrl))
        data.ctrl[:] = step_ctrl[0]
        for _ in range(body.nsubstep):
            mujoco.mj_step(model, data)
        for part, name in zip(state, ("qpos", "qvel", "act", "qacc_warmstart"), strict=True):
            getattr(data, name)[:] = getattr(data, name).astype(np.float32)
            np.testing.assert_array_equal(part[0], getattr(data, name), err_msg=name)
    for k in (1, 5):
        assert_same(run(MujocoEngine(body, NWORLD), split[k], ctrl[k:])[0], state)


@pytest.mark.parametrize("threads", [1, 3, 8])
def test_threads_change_nothing(arm: SimulationBody, threads: int) -> None:
    n = 17
    ctrl = excitations(arm, 3, n)
    one = run(MujocoEngine(arm, n, threads=2), arm_state(arm, n), ctrl)
    other = run(MujocoEngine(arm, n, threads=threads), arm_state(arm, n), ctrl)
    assert_same(one[0], other[0])
    assert_same(one[1], other[1])


def test_a_world_does_not_depend_on_how_many_there_are(arm: SimulationBody) -> None:
    ctrl = excitations(arm, 3, 9)
    many = run(MujocoEngine(arm, 9), arm_state(arm, 9), ctrl)[0]
    alone = run(MujocoEngine(arm, 1), rows(arm_state(arm, 9), [4]), ctrl[:, [4]])[0]
    assert_same(rows(many, [4]), alone)


def test_mujoco_prints_and_logs_nothing_about_bad_worlds(
    human: SimulationBody,
    walk_clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its line search would report diverging worlds. A warning handler installed before is restored afterwards."""
    monkeypatch.chdir(tmp_path)
    warnings: list[str] = []
    state = walking_state(human, walk_clip)
    kicks = np.random.default_rng(0).normal(scale=300.0, size=(NWORLD - 1, human.model.nv))
    state = state._replace(qvel=state.qvel.at[1:].add(kicks))
    mujoco.set_mju_user_warning(warnings.append)
    try:
        _, sensors = run(MujocoEngine(human, NWORLD), state, excitations(human, 2))
        assert mujoco.get_mju_user_warning() == warnings.append
    finally:
        mujoco.set_mju_user_warning(None)
    assert np.asarray(sensors.bad).any()
    assert not warnings
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
@pytest.mark.parametrize("body_name", TOLERANCE)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_ten_control_steps_agree(body_name: str, device: str, request: pytest.FixtureRequest, walk_clip: Clip) -> None:
    if device != "cpu" and not has_cuda():
        pytest.skip("JAX finds no NVIDIA GPU")
    body: SimulationBody = request.getfixturevalue(body_name)
    engine = (
        request.getfixturevalue(f"{body_name}_warp") if device == "cpu" else WarpEngine(body, NWORLD, device=device)
    )
    state = arm_state(body) if body_name == "arm" else walking_state(body, walk_clip)
    ctrl = excitations(body, 10)
    mujoco_state, sensors = run(MujocoEngine(body, NWORLD), state, ctrl)
    warp_state, sensors_after = run(engine, state, ctrl)
    for name, tolerance in TOLERANCE[body_name].items():
        np.testing.assert_allclose(
            getattr(warp_state, name),
            getattr(mujoco_state, name),
            rtol=RELATIVE_TOLERANCE.get(name, 0),
            atol=tolerance,
            err_msg=name,
        )
    assert np.abs(np.asarray(mujoco_state.qpos) - np.asarray(state.qpos)).max() > 0.02  # the bodies moved
    np.testing.assert_allclose(sensors_after.xpos, sensors.xpos, atol=2e-5)
    np.testing.assert_allclose(sensors_after.linvel, sensors.linvel, atol=1e-3)
    np.testing.assert_array_equal(sensors_after.contact, sensors.contact)
    copies = [np.array(part) for part in (*warp_state, *sensors_after)]
    engine.step(state, jnp.asarray(ctrl[0]))
    for part, copy in zip((*warp_state, *sensors_after), copies, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_mujoco_flags_a_lack_of_memory() -> None:
    """Boxes side by side, on the floor and high above it."""
    boxes = "".join(
        f'<body name="b{i}" pos="{i} 0 0.05"><freejoint/><geom type="box" size="0.06 0.06 0.06"/></body>'
        for i in range(30)
    )
    floor = '<geom type="plane" size="50 5 0.1"/>'
    model = mujoco.MjModel.from_xml_string(
        f'<mujoco><size memory="60000"/><worldbody>{floor}{boxes}</worldbody></mujoco>'
    )
    target = TargetBody(
        name="boxes", model=model, make_spec=mujoco.MjSpec, package=None, landmarks=(Landmark(name="b0"),)
    )
    body = SimulationBody(
        target=target, model=model, nsubstep=1, joint_ids=np.array([], int),
        clip_qpos=np.array([], int), clip_qvel=np.array([], int), clip_act=np.array([], int), contact_geoms=(),
    )  # fmt: skip
    qpos = np.tile(model.qpos0, (3, 1))
    qpos[1, 2::7] += 1.0
    state = packed(body, qpos, np.zeros((3, model.nv)))
    _, sensors = MujocoEngine(body, 3, threads=2).step(state, jnp.zeros((3, 0)))
    np.testing.assert_array_equal(sensors.overflow, [True, False, True])
    assert not np.asarray(sensors.bad).any()


@pytest.mark.slow
def test_buffer_overflow_is_flagged(human: SimulationBody, human_warp: WarpEngine, walk_clip: Clip) -> None:
    state, ctrl = walking_state(human, walk_clip), excitations(human, 1)
    assert not np.asarray(run(human_warp, state, ctrl)[1].overflow).any()
    few_rows = WarpEngine(human, NWORLD, device="cpu", nconmax=human_warp.buffers.nconmax, njmax=60)
    assert np.asarray(run(few_rows, state, ctrl)[1].overflow).all()
    in_air = state._replace(qpos=state.qpos.at[:3, 2].add(1.0))
    np.testing.assert_array_equal(few_rows.step(in_air, jnp.asarray(ctrl[0]))[1].overflow, [False, False, False, True])
    few_contacts = WarpEngine(human, NWORLD, device="cpu", nconmax=2, njmax=human_warp.buffers.njmax)
    assert np.asarray(few_contacts.read(state).overflow).all()
    assert np.asarray(run(few_contacts, state, ctrl)[1].overflow).all()


def test_buffers_fit_the_reference_motion(human: SimulationBody, walk_clip: Clip) -> None:
    qpos, qvel = walk_clip.qpos[:, human.clip_qpos].astype(float), walk_clip.qvel[:, human.clip_qvel].astype(float)
    buffers = buffers_for(human, qpos, qvel)
    data, pairs = mujoco.MjData(human.model), CandidatePairs(human.model)
    for q in qpos[::10]:
        for sink in (0.0, 0.1):
            data.qpos[:] = q
            data.qpos[2] -= sink
            mujoco.mj_fwdPosition(human.model, data)
            assert max(data.ncon, pairs.count(data)) <= buffers.nconmax
            assert data.nefc <= buffers.njmax
    assert buffers == buffers_for(human, qpos, qvel)
    assert 16 <= buffers.nconmax <= 64
    assert 96 <= buffers.njmax <= 256


FLOAT32_POSITION = 1e-6
"""Rounding error of a geom's position in float32 [m]: pairs this close to the limit may count or not."""


@pytest.mark.slow
def test_candidate_pairs_are_those_of_warp(human: SimulationBody, human_warp: WarpEngine, walk_clip: Clip) -> None:
    rng = np.random.default_rng(0)
    data, pairs = mujoco.MjData(human.model), CandidatePairs(human.model)
    np.testing.assert_array_equal(pairs.geoms, human_warp._model.nxn_geom_pair_filtered.numpy())
    for spread in (0.0, 0.3):
        state = walking_state(human, walk_clip)
        qpos = np.asarray(state.qpos).copy()
        qpos[:, 7:] += spread * rng.standard_normal((NWORLD, human.model.nq - 7))
        qpos[1, 2] -= 0.3
        human_warp.read(state._replace(qpos=jnp.asarray(qpos)))
        fewest, most = 0, 0
        for q in qpos:
            data.qpos[:] = q
            mujoco.mj_kinematics(human.model, data)
            fewest += pairs.count(data, margin=-FLOAT32_POSITION)
            most += pairs.count(data, margin=FLOAT32_POSITION)
        assert fewest <= int(human_warp._data.ncollision.numpy()[0]) <= most
        assert most - fewest <= 2


def test_unavailable_engines_and_devices_are_rejected_by_name(arm: SimulationBody) -> None:
    with pytest.raises(SettingsError, match="'bullet'; there are: auto, warp, mujoco"):
        make_engine(arm, 1, kind="bullet")
    with pytest.raises(SettingsError, match="no device 'tpu'; there are: cpu"):
        make_engine(arm, 1, kind="warp", device="tpu")
    for kind in ("mujoco", "warp"):
        with pytest.raises(SettingsError, match="0 worlds"):
            make_engine(arm, 0, kind=kind)
    with pytest.raises(SettingsError, match="0 threads"):
        make_engine(arm, 1, kind="mujoco", threads=0)
    assert isinstance(make_engine(arm, 1), WarpEngine if has_cuda() else MujocoEngine)


def test_warp_is_not_imported_before_it_is_needed() -> None:
    modules = "musclemap.imitation.physics.engines, musclemap.imitation.physics.warp_engine"
    code = f"import sys, {modules}; print('warp' in sys.modules)"
    process = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (process.stdout, process.stderr) == ("False\n", "")


@pytest.mark.skipif(has_cuda(), reason="Warp can use this machine's GPU")
def test_a_gpu_that_jax_can_use_and_warp_cannot_is_reported(
    arm: SimulationBody, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Worlds for a GPU must not be simulated on the CPU silently."""
    monkeypatch.setattr("musclemap.imitation.physics.engines.has_cuda", lambda: True)
    monkeypatch.setattr(jax, "local_devices", lambda backend: ["a GPU"])
    with pytest.raises(SettingsError, match="no device 'cuda:0'; there are: cpu; does the GPU's driver suit"):
        make_engine(arm, 8)
    with pytest.raises(SettingsError, match="no device 'cuda:0'; there are: cpu; does the GPU's driver suit"):
        WarpPhysics(load_body(), device="cuda:0")
