"""Engines against MuJoCo, against each other, and world against world."""

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
from musclemap.imitation.physics.engine import FASTEST, Engine, PhysicsState, SensorData
from musclemap.imitation.physics.engines import has_cuda, make_engine
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.physics.warp_engine import WarpEngine
from musclemap.retarget.checks.warp_physics import WarpPhysics
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import Landmark, TargetBody

from ..support.engine_states import (
    NWORLD,
    arm_state,
    assert_same,
    excitations,
    mujoco_says,
    packed,
    rows,
    run,
    walking_state,
    with_row,
)

OTHERS = [0, 2, 3]
"""Worlds beside the one that something is done to."""


@dataclass(frozen=True)
class Case:
    """An engine, and a state to try it with."""

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
    who, kind = request.param.split("-")
    body = request.getfixturevalue(who)
    engine = MujocoEngine(body, NWORLD) if kind == "mujoco" else request.getfixturevalue(f"{who}_warp")
    state = arm_state(body) if who == "arm" else walking_state(body, request.getfixturevalue("walk_clip"))
    return Case(body, engine, state)


def test_a_reading_is_what_mujoco_says(case: Case) -> None:
    seen = case.engine.read(case.state)
    for world in range(NWORLD):
        said = mujoco_says(case.body, case.state, world)
        np.testing.assert_allclose(seen.xpos[world], said.xpos, atol=2e-6)
        np.testing.assert_allclose(seen.xquat[world], said.xquat, atol=2e-6)
        np.testing.assert_allclose(seen.linvel[world], said.linvel, atol=2e-5)
        np.testing.assert_allclose(seen.angvel[world], said.angvel, atol=2e-5)
        np.testing.assert_array_equal(seen.contact[world], said.contact)
    assert not np.asarray(seen.bad).any()
    assert not np.asarray(seen.overflow).any()
    if case.body.contact_geoms:
        assert 0 < np.asarray(seen.contact).sum() < 4 * NWORLD


def test_the_reading_of_a_step_is_that_of_the_state_after_it(case: Case) -> None:
    after, seen = case.run(case.state, 1)
    assert_same(case.engine.read(after), seen)


def test_velocities_of_landmarks_are_changes_of_their_poses(case: Case) -> None:
    """Central differences over 1 ms to either side; what remains is curvature and float32."""
    step, ends = 1e-3, []
    for sign in (-1.0, 1.0):
        qpos = np.asarray(case.state.qpos, float)
        for row, velocity in zip(qpos, np.asarray(case.state.qvel, float), strict=True):
            mujoco.mj_integratePos(case.body.model, row, velocity, sign * step)
        ends.append(case.engine.read(packed(case.body, qpos, np.asarray(case.state.qvel))))
    seen = case.engine.read(case.state)
    change = (np.asarray(ends[1].xpos, float) - np.asarray(ends[0].xpos)) / (2 * step)
    np.testing.assert_allclose(seen.linvel, change, atol=2e-3)
    a, b = (Rotation.from_quat(np.asarray(end.xquat).reshape(-1, 4), scalar_first=True) for end in ends)
    turn = (b * a.inv()).as_rotvec().reshape(seen.angvel.shape) / (2 * step)
    np.testing.assert_allclose(seen.angvel, turn, atol=2e-3)


def test_a_run_happens_again_bit_for_bit(case: Case) -> None:
    """Whatever the engine did in between."""
    first = case.run(case.state)
    case.engine.read(first[0])
    case.run(first[0], 1)
    again = case.run(case.state)
    assert_same(first[0], again[0])
    assert_same(first[1], again[1])


def test_what_was_handed_out_stays_as_it_is(case: Case) -> None:
    after, seen = case.run(case.state, 1)
    kept = [np.array(part) for part in (*after, *seen)]
    case.run(after)
    for part, copy in zip((*after, *seen), kept, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_a_world_does_not_depend_on_its_neighbours(case: Case) -> None:
    """Nor on its own number."""
    order = [2, 0, 3, 1]
    ctrl = excitations(case.body, 2)
    there, seen = run(case.engine, case.state, ctrl)
    moved, result = run(case.engine, rows(case.state, order), ctrl[:, order])
    assert_same(rows(there, order), moved)
    assert_same(rows(seen, order), result)


def test_a_reset_touches_its_world_only(case: Case) -> None:
    """Rows replaced in the middle of a run: these start anew, the others go on."""
    ctrl = excitations(case.body, 3)
    middle, _ = run(case.engine, case.state, ctrl[:1])
    whole, _ = run(case.engine, middle, ctrl[1:])
    reset = PhysicsState(*(a.at[1].set(b[3]) for a, b in zip(middle, case.state, strict=True)))
    partly, _ = run(case.engine, reset, ctrl[1:])
    assert_same(rows(whole, OTHERS), rows(partly, OTHERS))
    fresh, _ = run(case.engine, rows(case.state, [0, 3, 2, 1]), ctrl[1:])
    assert_same(rows(fresh, [1]), rows(partly, [1]))


@pytest.mark.parametrize("part", ["qpos", "qvel", "act", "warmstart", "ctrl"])
def test_a_world_that_went_bad_is_told_and_hurts_no_other(case: Case, part: str) -> None:
    ctrl = excitations(case.body, 1)
    good, seen = run(case.engine, case.state, ctrl)
    state = case.state
    if part == "ctrl":
        ctrl[0, 1, 0] = np.nan
    else:
        state = with_row(state, 1, **{part: np.nan})
    hurt, output = run(case.engine, state, ctrl)
    np.testing.assert_array_equal(output.bad, [False, True, False, False])
    assert_same(rows(hurt, OTHERS), rows(good, OTHERS))
    assert_same(rows(output, OTHERS), rows(seen, OTHERS))
    for before, after in zip(state, hurt, strict=True):
        np.testing.assert_array_equal(before[1], after[1])
    assert not np.asarray(output.contact[1]).any()


def test_a_world_that_explodes_is_told_and_hurts_no_other(case: Case) -> None:
    """Finite when it starts."""
    ctrl = excitations(case.body, 1)
    good, seen = run(case.engine, case.state, ctrl)
    for speed in (2 * FASTEST, 1e9, 1e30):
        hurt, output = run(case.engine, with_row(case.state, 1, qvel=speed), ctrl)
        np.testing.assert_array_equal(output.bad, [False, True, False, False])
        assert_same(rows(hurt, OTHERS), rows(good, OTHERS))
        assert_same(rows(output, OTHERS), rows(seen, OTHERS))


def test_what_is_of_another_body_or_number_of_worlds_is_refused(case: Case) -> None:
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
def test_control_steps_of_mujoco_are_one_unbroken_run(walk_clip: Clip, iterations: int) -> None:
    """Bit for bit, if MuJoCo's own run is rounded to float32 where the state is; and wherever the run is split.

    A solver that may make two iterations only gets where its start lets it.
    """
    body = load_simulation_body("MyoFullBody", PhysicsConfig(iterations=iterations))
    state = walking_state(body, walk_clip)
    ctrl = excitations(body, 8)
    model, data = body.model, mujoco.MjData(body.model)
    data.qpos[:], data.qvel[:], data.act[:] = (np.asarray(part[0]) for part in state[:3])
    engine, split = MujocoEngine(body, NWORLD), []
    for moment in ctrl:
        split.append(state)
        state, _ = engine.step(state, jnp.asarray(moment))
        data.ctrl[:] = moment[0]
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


def test_mujoco_does_not_print_or_log_of_bad_worlds(
    human: SimulationBody,
    walk_clip: Clip,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    """Its linesearch has much to say of worlds that explode; whoever listens otherwise hears it again afterwards."""
    monkeypatch.chdir(tmp_path)
    heard: list[str] = []
    state = walking_state(human, walk_clip)
    kicks = np.random.default_rng(0).normal(scale=300.0, size=(NWORLD - 1, human.model.nv))
    state = state._replace(qvel=state.qvel.at[1:].add(kicks))
    mujoco.set_mju_user_warning(heard.append)
    try:
        _, seen = run(MujocoEngine(human, NWORLD), state, excitations(human, 2))
        assert mujoco.get_mju_user_warning() == heard.append
    finally:
        mujoco.set_mju_user_warning(None)
    assert np.asarray(seen.bad).any()
    assert not heard
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


APART = {
    "arm": {"qpos": 1e-5, "qvel": 2e-4, "act": 1e-6, "warmstart": 0.05},
    "human": {"qpos": 1e-4, "qvel": 5e-3, "act": 1e-6, "warmstart": 2.0},
}
"""How far engines may be apart after fifty substeps in float32 and in float64, feet on the ground.

Some ten times what was found: of MyoFullBody 1.5e-5 rad where joints move by a fifth of a radian, 5e-4 rad/s of 20, and
0.2 rad/s² of 1500 in the accelerations that the solver starts from.
"""


@pytest.mark.slow
@pytest.mark.parametrize("who", APART)
@pytest.mark.parametrize("device", ["cpu", "cuda:0"])
def test_ten_control_steps_agree(who: str, device: str, request: pytest.FixtureRequest, walk_clip: Clip) -> None:
    if device != "cpu" and not has_cuda():
        pytest.skip("JAX finds no NVIDIA GPU")
    body: SimulationBody = request.getfixturevalue(who)
    engine = request.getfixturevalue(f"{who}_warp") if device == "cpu" else WarpEngine(body, NWORLD, device=device)
    state = arm_state(body) if who == "arm" else walking_state(body, walk_clip)
    ctrl = excitations(body, 10)
    mine, seen = run(MujocoEngine(body, NWORLD), state, ctrl)
    theirs, output = run(engine, state, ctrl)
    for name, most in APART[who].items():
        np.testing.assert_allclose(getattr(theirs, name), getattr(mine, name), rtol=0, atol=most, err_msg=name)
    assert np.abs(np.asarray(mine.qpos) - np.asarray(state.qpos)).max() > 0.02  # something happened
    np.testing.assert_allclose(output.xpos, seen.xpos, atol=2e-5)
    np.testing.assert_allclose(output.linvel, seen.linvel, atol=1e-3)
    np.testing.assert_array_equal(output.contact, seen.contact)
    kept = [np.array(part) for part in (*theirs, *output)]
    engine.step(state, jnp.asarray(ctrl[0]))
    for part, copy in zip((*theirs, *output), kept, strict=True):
        np.testing.assert_array_equal(part, copy)


def test_too_little_memory_is_told_by_mujoco() -> None:
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
    _, seen = MujocoEngine(body, 3, threads=2).step(state, jnp.zeros((3, 0)))
    np.testing.assert_array_equal(seen.overflow, [True, False, True])
    assert not np.asarray(seen.bad).any()


@pytest.mark.slow
def test_too_little_room_is_told(human: SimulationBody, human_warp: WarpEngine, walk_clip: Clip) -> None:
    state, ctrl = walking_state(human, walk_clip), excitations(human, 1)
    assert not np.asarray(run(human_warp, state, ctrl)[1].overflow).any()
    few_rows = WarpEngine(human, NWORLD, device="cpu", nconmax=human_warp.buffers.nconmax, njmax=60)
    assert np.asarray(run(few_rows, state, ctrl)[1].overflow).all()
    in_air = state._replace(qpos=state.qpos.at[:3, 2].add(1.0))
    np.testing.assert_array_equal(few_rows.step(in_air, jnp.asarray(ctrl[0]))[1].overflow, [False, False, False, True])
    few_contacts = WarpEngine(human, NWORLD, device="cpu", nconmax=2, njmax=human_warp.buffers.njmax)
    assert np.asarray(few_contacts.read(state).overflow).all()
    assert np.asarray(run(few_contacts, state, ctrl)[1].overflow).all()


def test_room_is_made_for_what_was_seen(human: SimulationBody, walk_clip: Clip) -> None:
    qpos, qvel = walk_clip.qpos[:, human.clip_qpos].astype(float), walk_clip.qvel[:, human.clip_qvel].astype(float)
    room = buffers_for(human, qpos, qvel)
    data, pairs = mujoco.MjData(human.model), CandidatePairs(human.model)
    for q in qpos[::10]:
        for sink in (0.0, 0.1):
            data.qpos[:] = q
            data.qpos[2] -= sink
            mujoco.mj_fwdPosition(human.model, data)
            assert max(data.ncon, pairs.count(data)) <= room.nconmax
            assert data.nefc <= room.njmax
    assert room == buffers_for(human, qpos, qvel)
    assert 16 <= room.nconmax <= 64
    assert 96 <= room.njmax <= 256


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
        count = 0
        for q in qpos:
            data.qpos[:] = q
            mujoco.mj_kinematics(human.model, data)
            count += pairs.count(data)
        assert count == int(human_warp._data.ncollision.numpy()[0])


def test_what_there_is_not_is_refused_by_name(arm: SimulationBody) -> None:
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


def test_warp_is_not_touched_before_it_is_asked_for() -> None:
    modules = "musclemap.imitation.physics.engines, musclemap.imitation.physics.warp_engine"
    code = f"import sys, {modules}; print('warp' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("False\n", "")


@pytest.mark.skipif(has_cuda(), reason="Warp can use this machine's GPU")
def test_a_gpu_that_jax_can_use_and_warp_cannot_is_told(arm: SimulationBody, monkeypatch: pytest.MonkeyPatch) -> None:
    """Worlds for a GPU are not simulated on the CPU without a word."""
    monkeypatch.setattr("musclemap.imitation.physics.engines.has_cuda", lambda: True)
    monkeypatch.setattr(jax, "local_devices", lambda backend: ["a GPU"])
    with pytest.raises(SettingsError, match="no device 'cuda:0'; there are: cpu; does the GPU's driver suit"):
        make_engine(arm, 8)
    with pytest.raises(SettingsError, match="no device 'cuda:0'; there are: cpu; does the GPU's driver suit"):
        WarpPhysics(load_body(), device="cuda:0")
