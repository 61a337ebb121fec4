"""The regulator: its linear model, its gains against a dense solution, and motions led back by it."""

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.regulator import linear_files
from musclemap.imitation.regulator import linearisation as linearisation_module
from musclemap.imitation.regulator import regulate as regulate_module
from musclemap.imitation.regulator.gains import compute_gains
from musclemap.imitation.regulator.linearisation import Linearisation, NominalPath, deviation, linearise, nominal_path
from musclemap.imitation.regulator.regulate import regulate
from musclemap.imitation.regulator.regulator import RegulatedPath, Regulator, effects, map_regulated, save_regulated
from musclemap.imitation.regulator.regulator_config import RegulatorConfig
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.tracking.activation import ActivationDynamics
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.imitation.tracking.dofs import find_controlled_dofs
from musclemap.imitation.tracking.track import advance, set_state

SMALL = RegulatorConfig(position_step=1e-4, velocity_step=1e-3)


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    return arm_clips(1, 0.6)


@pytest.fixture(scope="module")
def body(clips: Sequence[tuple[str, Clip]]) -> SimulationBody:
    return load_simulation_body(clips[0][1].model)


@pytest.fixture(scope="module")
def path(body: SimulationBody, clips: Sequence[tuple[str, Clip]]) -> NominalPath:
    return nominal_path(body, clips[0][1], TrackingConfig())


def moved(path: NominalPath, body: SimulationBody, step: int, change: np.ndarray) -> mujoco.MjData:
    """State before a control step, with deviations of positions and velocities."""
    dofs, data = find_controlled_dofs(body), mujoco.MjData(body.model)
    qpos, tangent = path.qpos[step].copy(), dofs.tangent(path.qpos[step])
    mujoco.mj_integratePos(body.model, qpos, tangent @ change[: dofs.ndof], 1.0)
    velocity = path.qvel[step] + tangent @ change[dofs.ndof :]
    set_state(data, qpos, velocity, path.act[step], path.warmstart[step])
    return data


def test_the_path_is_what_its_excitations_cause(body: SimulationBody, path: NominalPath) -> None:
    data = mujoco.MjData(body.model)
    set_state(data, path.qpos[0], path.qvel[0], path.act[0], path.warmstart[0])
    for step, excitation in enumerate(path.excitation):
        advance(body, data, excitation)
        np.testing.assert_array_equal(data.qpos, path.qpos[step + 1])
        np.testing.assert_array_equal(data.act, path.act[step + 1])


def test_the_linear_model_predicts_small_deviations(body: SimulationBody, path: NominalPath) -> None:
    """Positions and velocities exactly; activations as well as the model of the control step does."""
    dofs, rng = find_controlled_dofs(body), np.random.default_rng(0)
    steps = np.array([2, 11, 30])
    linear = linearise(body, path, steps, SMALL)
    dynamics = ActivationDynamics(body.model, body.nsubstep)
    for row, step in enumerate(steps):
        change = rng.normal(size=2 * dofs.ndof) * np.repeat([1e-4, 1e-3], dofs.ndof)
        data = moved(path, body, step, change)
        advance(body, data, path.excitation[step])
        reached = deviation(body.model, dofs, data, path.qpos[step + 1], path.qvel[step + 1])
        np.testing.assert_allclose(linear.by_state[row] @ change, reached, rtol=1e-2, atol=1e-6)

        goal = np.clip(path.act[step + 1] + rng.uniform(0.0, 0.05, body.model.nu), 0, 1)
        data = moved(path, body, step, np.zeros(2 * dofs.ndof))
        excitation = dynamics.excitation_for(path.act[step], goal)
        advance(body, data, excitation)
        reached = deviation(body.model, dofs, data, path.qpos[step + 1], path.qvel[step + 1])
        predicted = linear.by_end[row] @ (data.act - path.act[step + 1])
        # The model takes activations to rise linearly. They rise faster at first; positions feel it most.
        for part, tolerance in ((slice(0, dofs.ndof), 0.6), (slice(dofs.ndof, None), 0.45)):
            assert np.linalg.norm(predicted[part] - reached[part]) < tolerance * np.linalg.norm(reached[part])


def test_gains_are_the_minimum_over_all_remaining_steps() -> None:
    """The programme of the first step has the same solution as one least-squares problem over the whole horizon."""
    rng, nstep, half, nu = np.random.default_rng(1), 6, 3, 5
    size = 2 * half
    linear = Linearisation(*(rng.normal(size=(nstep, size, width)) * 0.5 for width in (size, nu, nu)))
    nothing, act = np.zeros((nstep + 1, 1)), rng.uniform(0, 1, (nstep + 1, nu))
    still = np.zeros((nstep, 0, 3))
    excitation = np.zeros((nstep, nu))
    path = NominalPath(qpos=nothing, qvel=nothing, act=act, warmstart=nothing, excitation=excitation, base=still)
    config = RegulatorConfig(effort=0.2, velocity_weight=0.3, root_weight=2.0)
    gains = compute_gains(path, linear, nroot=1, config=config)
    state, act = rng.normal(size=size), rng.normal(size=nu)

    weight = np.array([2.0, 1.0, 1.0, 0.6, 0.3, 0.3])
    unknowns = nstep * nu
    constant, slope = state, np.zeros((size, unknowns))  # state before the step, affine in all unknowns
    before, before_slope = act, np.zeros((nu, unknowns))
    rows, rhs = [], []
    for step in range(nstep):
        after_slope = np.zeros((nu, unknowns))
        after_slope[:, step * nu : (step + 1) * nu] = np.eye(nu)
        a, s, b = linear.by_state[step], linear.by_start[step], linear.by_end[step]
        constant, slope = a @ constant + s @ before, a @ slope + s @ before_slope + b @ after_slope
        room = np.minimum(path.act[step + 1], 1 - path.act[step + 1]) + 0.2 * config.headroom
        effort = config.effort * (1 + config.headroom / room)
        rows += [np.sqrt(weight)[:, None] * slope, np.sqrt(effort)[:, None] * after_slope]
        rhs += [-np.sqrt(weight) * constant, np.zeros(nu)]
        before, before_slope = np.zeros(nu), after_slope
    dense = np.linalg.lstsq(np.concatenate(rows), np.concatenate(rhs), rcond=None)[0][:nu]

    z, known = gains.matrix[0], gains.by_state[0] @ state + gains.by_act[0] @ act
    ours = np.linalg.solve(z.T @ z + np.eye(nu), -z.T @ known) / gains.scale[0]
    np.testing.assert_allclose(ours, dense, rtol=1e-3, atol=1e-4)


def test_a_disturbed_arm_comes_back(body: SimulationBody, clips, path: NominalPath) -> None:
    """Within 0.4 s at most a quarter of the deviation is left that the same excitations leave without feedback."""
    (regulated,) = regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig())
    regulator, dofs = Regulator(body, regulated), find_controlled_dofs(body)
    change = np.concatenate([np.zeros(dofs.ndof), np.where(np.arange(dofs.ndof) % 2, 0.5, -0.5)])
    left = []
    for feedback in (True, False):
        data = moved(path, body, 0, change)
        for step in range(40):
            excitation = regulator.decide(data, step).excitation if feedback else path.excitation[step]
            advance(body, data, excitation)
        left.append(np.linalg.norm(deviation(body.model, dofs, data, path.qpos[40], path.qvel[40])[: dofs.ndof]))
    assert left[0] < 0.25 * left[1]


def test_without_deviation_the_regulator_repeats_the_path(body: SimulationBody, clips, path: NominalPath) -> None:
    (regulated,) = regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig())
    regulator, last = Regulator(body, regulated), len(path.excitation) - 1
    data = moved(path, body, 7, np.zeros(2 * find_controlled_dofs(body).ndof))
    decision = regulator.decide(data, 7)
    np.testing.assert_allclose(decision.activation, path.act[8], atol=1e-4)
    assert decision.residual < 1e-6
    data = moved(path, body, last, np.zeros(2 * find_controlled_dofs(body).ndof))
    np.testing.assert_array_equal(regulator.decide(data, last + 1).excitation, regulator.decide(data, last).excitation)


def test_effects_are_the_cost_of_errors(body: SimulationBody, clips, path: NominalPath) -> None:
    """With all directions and power 1; a power of 0.5 takes the root of each direction's size."""
    (regulated,) = regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig())
    error, gains = np.linspace(-0.1, 0.1, body.model.nu), regulated.gains
    rank = gains.matrix.shape[1]
    whole = effects(gains, ndirection=rank, power=1.0)[5].astype(float)
    expected = np.sum((gains.matrix[5] @ (gains.scale[5] * error)) ** 2) / np.median(gains.scale[5]) ** 2
    assert np.sum((whole @ error) ** 2) == pytest.approx(expected, rel=1e-2)
    half = effects(gains, ndirection=2, power=0.5)[5].astype(float)
    size = np.linalg.norm(gains.matrix[5, :2], axis=1)
    np.testing.assert_allclose(half * np.sqrt(size)[:, None], whole[:2], rtol=1e-2, atol=1e-4)


def test_a_saved_regulator_is_the_same(body: SimulationBody, clips, tmp_path: Path) -> None:
    (regulated,) = regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig())
    save_regulated(regulated, tmp_path / "0")
    mapped = map_regulated(tmp_path / "0")
    for part, same in zip((*regulated.path, *regulated.gains), (*mapped.path, *mapped.gains), strict=True):
        np.testing.assert_array_equal(part, same)


@pytest.mark.slow
def test_processes_compute_the_same_gains(body: SimulationBody, clips, monkeypatch: pytest.MonkeyPatch) -> None:
    local = regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig())
    monkeypatch.setattr(regulate_module, "_LOCAL_STEPS", 0)
    parallel = regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig(), workers=2)
    for ours, other in zip(local, parallel, strict=True):
        for part, same in zip((*ours.path, *ours.gains), (*other.path, *other.gains), strict=True):
            np.testing.assert_array_equal(part, same)


def test_a_clip_that_the_controller_loses_is_named(
    body: SimulationBody, clips, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("musclemap.imitation.tracking.search.LANDMARK_LIMIT", 1e-9)
    with pytest.raises(TrackingError, match=rf"{clips[0][0]}: the controller loses the clip after \d+ of \d+"):
        regulate(body, PhysicsConfig(), clips, TrackingConfig(), RegulatorConfig())


def test_runs_share_the_differences(
    body: SimulationBody, clips: Sequence[tuple[str, Clip]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []

    def regulated(config: RegulatorConfig = SMALL) -> RegulatedPath:
        (one,) = regulate(
            body, PhysicsConfig(), clips, TrackingConfig(), config, cache=tmp_path, on_message=said.append
        )
        return one

    first = regulated()
    (file,) = tmp_path.iterdir()
    whole = file.read_bytes()
    with monkeypatch.context() as patch:
        patch.setattr(linearisation_module, "_state_differences", None)
        again = regulated(replace(SMALL, effort=0.7))
    np.testing.assert_array_equal(again.path.qpos, first.path.qpos)
    plain = regulate(body, PhysicsConfig(), clips, TrackingConfig(), replace(SMALL, effort=0.7))[0]
    for one, other in zip(again.gains, plain.gains, strict=True):
        np.testing.assert_array_equal(one, other)
    assert said == []
    file.write_bytes(whole[:-100])
    regulated()
    assert file.read_bytes() == whole
    assert "is damaged" in said[0]
    regulated(replace(SMALL, velocity_step=2e-3))
    assert len(list(tmp_path.iterdir())) == 2


def test_old_differences_are_removed(tmp_path: Path) -> None:
    for k in range(linear_files.MAX_FILES + 2):
        file = tmp_path / f"differences-{k}.safetensors"
        linear_files.write_differences(file, np.full((1, 2, 2), k, np.float32))
        os.utime(file, (k, k))
    names = sorted(int(path.stem.split("-")[1]) for path in tmp_path.iterdir())
    assert names == list(range(2, linear_files.MAX_FILES + 2))
    read = linear_files.read_differences(tmp_path / "differences-5.safetensors", (1, 2, 2), print)
    np.testing.assert_array_equal(read, np.full((1, 2, 2), 5, np.float32))


def test_standing_feet_roll_less_in_the_linear_model(human: SimulationBody, walk_clip: Clip) -> None:
    """Muscles that cross the standing foot's subtalar joint have another effect, all others the same."""
    model, dofs, data = human.model, find_controlled_dofs(human), mujoco.MjData(human.model)
    qpos = walk_clip.qpos[:, human.clip_qpos].astype(float)
    qpos[:, 2] -= 0.003  # soles of a clip touch the ground without pressing on it

    def standing(frame: int) -> np.ndarray:
        data.qpos[:] = qpos[frame]
        mujoco.mj_forward(model, data)
        return np.any(human.parts_on_floor(data).reshape(-1, 2), axis=1)

    frame = next(k for k in range(walk_clip.nframe) if standing(k).sum() == 1)
    foot = int(np.argmax(standing(frame)))
    rows = slice(frame, frame + 2)
    act = np.full((2, model.nu), 0.1)
    path = NominalPath(
        qpos=qpos[rows],
        qvel=walk_clip.qvel[rows][:, human.clip_qvel].astype(float),
        act=act, warmstart=np.zeros((2, model.nv)), excitation=act[:1], base=np.zeros((1, 0, 3)),
    )  # fmt: skip
    known = np.zeros((1, 2 * dofs.ndof, 2 * dofs.ndof), np.float32)
    linear = [
        linearise(human, path, np.arange(1), RegulatorConfig(roll_authority=part), by_state=known)
        for part in (1.0, 0.0)
    ]
    moment = np.zeros((model.nu, model.nv))
    mujoco.mju_sparse2dense(moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind)
    arm = moment[:, dofs.rolls[foot][0]]
    for whole, part in zip(linear[0][1:], linear[1][1:], strict=True):
        change = np.abs(whole[0] - part[0]).max(axis=0)
        assert not change[arm == 0.0].any()
        assert (change[np.abs(arm) > 1e-3] > 0.0).all()
    assert 6 < (np.abs(arm) > 1e-3).sum() < 20
