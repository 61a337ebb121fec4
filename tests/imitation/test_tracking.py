"""The tracking controller: its programme, its model of a control step, and the motion that it leads to."""

from dataclasses import replace

import mujoco
import numpy as np
import pytest
from scipy.optimize import lsq_linear

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.tracking import tracker
from musclemap.imitation.tracking.activation import ActivationDynamics
from musclemap.imitation.tracking.config import MAX_COUNT, MAX_SAMPLES, TrackingConfig
from musclemap.imitation.tracking.controller import FeedbackController
from musclemap.imitation.tracking.dofs import find_controlled_dofs
from musclemap.imitation.tracking.metrics import track_metrics
from musclemap.imitation.tracking.programme import MAX_RESIDUAL, solve_programme
from musclemap.imitation.tracking.reference import make_reference
from musclemap.imitation.tracking.search import Simulator, State, twice_as_wide, vary_gains, vary_lean
from musclemap.imitation.tracking.step_model import StepModel
from musclemap.imitation.tracking.track import Track, TrackingProgress, replay
from musclemap.imitation.tracking.tracker import track_clip

ALONE = TrackingConfig(samples=0, kept=1)


def badly_scaled_programme(seed: int) -> dict:
    """Rows and columns as in a muscle-driven body: strong and weak muscles, light and heavy joints."""
    rng = np.random.default_rng(seed)
    nrow, n = 50, 354
    scale = 10.0 ** rng.uniform(-1, 2, (nrow, 1)) * 10.0 ** rng.uniform(-2, 1, n)
    lower = rng.uniform(0.0, 0.3, n)
    return {
        "matrix": scale * rng.standard_normal((nrow, n)) * (rng.random((nrow, n)) < 0.2),
        "rhs": 100.0 * rng.standard_normal(nrow),
        "regulariser": 50.0,
        "centre": rng.uniform(0.0, 0.5, n),
        "lower": lower,
        "upper": lower + rng.uniform(0.0, 0.5, n),
    }


@pytest.mark.parametrize("seed", range(6))
def test_the_programme_is_solved_exactly(seed: int) -> None:
    problem = badly_scaled_programme(seed)
    solution = solve_programme(**problem)
    assert solution.residual < MAX_RESIDUAL
    assert (problem["lower"] <= solution.x).all()
    assert (solution.x <= problem["upper"]).all()
    root = np.sqrt(problem["regulariser"])
    rows = np.concatenate([problem["matrix"], root * np.eye(354)])
    wanted = np.concatenate([problem["rhs"], root * problem["centre"]])
    expected = lsq_linear(rows, wanted, (problem["lower"], problem["upper"] + 1e-12), method="bvls", tol=1e-14).x
    np.testing.assert_allclose(solution.x, expected, atol=1e-6)
    assert {-1, 0, 1} == set(solution.active.tolist())
    repeated = solve_programme(**problem, start=solution.active)
    assert repeated.iterations <= 2
    np.testing.assert_allclose(repeated.x, solution.x, atol=1e-9)


def test_equal_bounds_fix_an_unknown() -> None:
    problem = badly_scaled_programme(1)
    problem["upper"] = problem["lower"].copy()
    np.testing.assert_array_equal(solve_programme(**problem).x, problem["lower"])


def test_activation_dynamics_are_those_of_mujoco(arm: SimulationBody) -> None:
    dynamics = ActivationDynamics(arm.model, arm.nsubstep)
    rng = np.random.default_rng(0)
    data = mujoco.MjData(arm.model)
    for _ in range(20):
        act, excitation = rng.random(arm.model.nu), rng.random(arm.model.nu)
        data.act[:], data.ctrl[:] = act, excitation
        mujoco.mj_step(arm.model, data, arm.nsubstep)
        np.testing.assert_allclose(dynamics.advance(act, excitation), data.act, atol=1e-12)
        goal = dynamics.advance(act, rng.random(arm.model.nu))
        found = dynamics.excitation_for(act, goal)
        assert ((found >= 0) & (found <= 1)).all()
        np.testing.assert_allclose(dynamics.advance(act, found), goal, atol=1e-3)
    half = np.full(arm.model.nu, 0.5)
    np.testing.assert_array_equal(dynamics.excitation_for(half, half - 2.0), 0.0)
    np.testing.assert_array_equal(dynamics.excitation_for(half, half + 2.0), 1.0)


@pytest.mark.parametrize("body_name", ["arm", "human"])
def test_the_step_model_predicts_the_simulation(body_name: str, request: pytest.FixtureRequest) -> None:
    """Also with joint limits and, for the whole body, couplings; the data stay as they were."""
    body: SimulationBody = request.getfixturevalue(body_name)
    model, data = body.model, mujoco.MjData(body.model)
    dofs = find_controlled_dofs(body)
    steps = StepModel(model, body.nsubstep, dofs.index, horizon=body.nsubstep)
    dynamics = ActivationDynamics(model, body.nsubstep)
    rng = np.random.default_rng(3)
    errors, changes = [], []
    for _ in range(8):
        mujoco.mj_resetData(model, data)
        if body.free:
            data.qpos[2] += 1.0  # in the air: contacts that open within the step are not in the model
        data.qvel[:] = dofs.tangent(data.qpos) @ (0.3 * rng.standard_normal(dofs.ndof))
        data.act[:] = rng.uniform(0.0, 0.1, model.nu)
        mujoco.mj_forward(model, data)
        before = [data.act.copy(), data.actuator_force.copy(), data.qfrc_actuator.copy(), data.qacc.copy()]
        response = steps.response(data)
        for kept, now in zip(before, (data.act, data.actuator_force, data.qfrc_actuator, data.qacc), strict=True):
            np.testing.assert_array_equal(now, kept)
        act, velocity = before[0], data.qvel.copy()
        excitation = rng.uniform(0.0, 0.2, model.nu)
        after = dynamics.advance(act, excitation)
        predicted = response.velocity + response.start @ act + response.end @ after
        data.ctrl[:] = excitation
        mujoco.mj_step(model, data, body.nsubstep)
        errors.append(np.sqrt(response.inertia) * (predicted - data.qvel[dofs.index]))
        changes.append(np.sqrt(response.inertia) * (data.qvel - velocity)[dofs.index])
    assert np.linalg.norm(errors) < 0.15 * np.linalg.norm(changes)


def test_legs_trunk_and_soft_joints_are_found(human: SimulationBody, arm: SimulationBody) -> None:
    dofs = find_controlled_dofs(human)
    name = [human.model.joint(int(human.model.dof_jntid[dof])).name for dof in dofs.index]
    assert [name[k] for k in dofs.trunk] == ["flex_extension", "lat_bending", "axial_rotation"]
    expected = ["hip_flexion", "hip_adduction", "hip_rotation", "knee_angle", "ankle_angle", "subtalar_angle"]
    assert [[name[k] for k in leg] for leg in dofs.legs] == [[f"{n}_{side}" for n in expected] for side in "lr"]
    assert [[name[k] for k in toe] for toe in dofs.toe_joints] == [["mtp_angle_l"], ["mtp_angle_r"]]
    rolls = [[human.model.joint(int(human.model.dof_jntid[dof])).name for dof in roll] for roll in dofs.rolls]
    assert rolls == [["subtalar_angle_l"], ["subtalar_angle_r"]]
    assert dofs.nsoft == 12
    assert all(n.startswith("L") for n in name[-dofs.nsoft :])
    none = find_controlled_dofs(arm)
    assert (none.nroot, none.nsoft, none.feet, none.legs, none.rolls) == (0, 0, (), (), ())


def test_the_tangent_follows_the_couplings(human: SimulationBody, walk_clip: Clip) -> None:
    """No velocity of a coupled joint violates its coupling; soft joints are free of theirs."""
    model, data, dofs = human.model, mujoco.MjData(human.model), find_controlled_dofs(human)
    for t in (0, 77, 200):
        data.qpos[:] = walk_clip.qpos[t, human.clip_qpos]
        mujoco.mj_forward(model, data)
        jacobian = np.zeros((data.nefc, model.nv))
        mujoco.mju_sparse2dense(jacobian, data.efc_J, data.efc_J_rownnz, data.efc_J_rowadr, data.efc_J_colind)
        equality = jacobian[data.efc_type == mujoco.mjtConstraint.mjCNSTR_EQUALITY]
        soft = (equality[:, dofs.index[-dofs.nsoft :]] != 0).any(axis=1)
        assert soft.sum() == dofs.nsoft
        np.testing.assert_allclose(equality[~soft] @ dofs.tangent(data.qpos), 0.0, atol=1e-9)


@pytest.fixture(scope="module")
def arm_clip() -> Clip:
    return arm_clips(1, 1.0, seed=3)[0][1]


def test_the_arm_follows_its_clip_and_replays_bit_for_bit(arm: SimulationBody, arm_clip: Clip) -> None:
    calls: list[TrackingProgress] = []
    track = track_clip(arm, arm_clip, ALONE, progress=calls.append)
    assert track.complete
    assert track.nstep == arm_clip.nframe - 1
    assert track.relative_error.mean() < 0.01
    assert track.excitation.dtype == np.float32
    assert ((track.excitation >= 0) & (track.excitation <= 1)).all()
    np.testing.assert_array_equal(replay(arm, track), track.qpos)
    assert calls[-1].reached == calls[-1].total == arm_clip.nframe - 1
    again = track_clip(arm, arm_clip, ALONE)
    np.testing.assert_array_equal(again.excitation, track.excitation)


def test_a_search_replaces_feedback_where_that_is_too_far_off(arm: SimulationBody, arm_clip: Clip) -> None:
    """Weak feedback leaves the clip by more than 90 mm; offsets of its targets bring the arm closer."""
    weak = replace(ALONE, joint_gain=1.0, effort=2000.0, feedforward=0.0)
    alone = track_clip(arm, arm_clip, weak)
    assert alone.relative_error.max() > 0.09
    assert alone.control_steps == alone.nstep
    searched = track_clip(arm, arm_clip, replace(weak, samples=12, kept=3, spread=0.4, seconds=20.0))
    assert searched.nstep >= alone.nstep
    assert searched.control_steps > alone.control_steps
    assert searched.relative_error.mean() < alone.relative_error.mean()
    np.testing.assert_array_equal(replay(arm, searched), searched.qpos)


def test_other_gains_are_tried_where_the_given_ones_lose_the_body(
    arm: SimulationBody, arm_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Gains that leave the limits before the end; some of their variations do not."""
    monkeypatch.setattr("musclemap.imitation.tracking.search.LANDMARK_LIMIT", 0.08)
    weak = replace(ALONE, joint_gain=1.0, effort=2000.0, feedforward=0.0, variants=0)
    lost = track_clip(arm, arm_clip, weak)
    assert lost.failure == "landmarks"
    tried = track_clip(arm, arm_clip, replace(weak, variants=12))
    assert tried.nstep > lost.nstep
    assert tried.control_steps > tried.nstep
    np.testing.assert_array_equal(replay(arm, tried), tried.qpos)
    again = track_clip(arm, arm_clip, replace(weak, variants=12))
    np.testing.assert_array_equal(again.excitation, tried.excitation)


def test_a_lost_clip_is_searched_again_with_twice_as_many_samples(
    arm: SimulationBody, arm_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first search loses the clip, a later one reaches its end; what the first one tracks is not searched again."""
    monkeypatch.setattr("musclemap.imitation.tracking.search.LANDMARK_LIMIT", 0.02)
    weak = replace(ALONE, joint_gain=1.0, effort=5000.0, feedforward=0.0, variants=1, samples=2)
    widths: list[int] = []

    def widen(config: TrackingConfig) -> TrackingConfig:
        widths.append(2 * config.samples)
        return twice_as_wide(config)

    monkeypatch.setattr(tracker, "twice_as_wide", widen)
    repeated = track_clip(arm, arm_clip, weak)
    assert repeated.complete
    assert widths
    assert widths == [4, 8, 16][: len(widths)]
    monkeypatch.setattr(tracker, "_ATTEMPTS", 1)
    once = track_clip(arm, arm_clip, weak)
    assert once.failure == "landmarks"
    assert once.nstep < repeated.nstep
    assert once.control_steps < repeated.control_steps
    np.testing.assert_array_equal(replay(arm, repeated), repeated.qpos)
    monkeypatch.undo()
    widths.clear()
    assert track_clip(arm, arm_clip, replace(weak, joint_gain=110.0, effort=50.0)).complete
    assert widths == []


def test_a_wider_search_stays_within_the_limits_of_its_settings() -> None:
    wide = TrackingConfig(samples=MAX_SAMPLES, kept=MAX_COUNT, variants=3)
    assert twice_as_wide(wide) == replace(wide, variants=6)


def test_toes_of_a_bearing_foot_can_be_free(human: SimulationBody, walk_clip: Clip) -> None:
    """The weight leaves alone what does not bear; without weight the toes' row is empty."""
    controller = FeedbackController.for_clip(human, walk_clip, TrackingConfig(toe_weight=0.0))
    reference, dofs = controller.reference, controller.dofs
    feet = reference.feet
    assert feet is not None
    frame = int(np.flatnonzero(feet.swing.sum(axis=1) == 1)[0])
    data = mujoco.MjData(human.model)
    data.qpos[:], data.qvel[:] = reference.qpos[frame], reference.qvel[frame]
    mujoco.mj_forward(human.model, data)
    matrix = controller.decide(data, frame).matrix
    for k in (0, 1):
        assert matrix[dofs.toe_joints[k]].any() == bool(feet.swing[frame, k])


def test_varied_gains_stay_near_the_given_ones() -> None:
    rng = np.random.default_rng(0)
    config = TrackingConfig()
    varied = [vary_gains(config, rng) for _ in range(50)]
    for name in ("joint_gain", "effort", "pressure_gain"):
        values = np.array([getattr(v, name) for v in varied]) / getattr(config, name)
        assert values.min() < 0.9
        assert values.max() > 1.2
        assert ((values > 0.05) & (values < 10.0)).all()
    assert all(v.samples == config.samples and v.seconds == config.seconds for v in varied)
    lean = vary_lean(40, 6, rng)
    assert lean[:2].any()
    assert not lean[2:].any()
    assert not vary_lean(2, 0, rng).any()


def test_what_was_reached_is_kept_when_the_time_is_up(arm: SimulationBody, arm_clip: Clip) -> None:
    track = track_clip(arm, arm_clip, replace(ALONE, seconds=1e-9))
    assert (track.failure, track.nstep) == ("time", 1)


def test_a_state_that_is_not_finite_ends_a_run(arm: SimulationBody, arm_clip: Clip) -> None:
    dofs = find_controlled_dofs(arm)
    simulator = Simulator(arm, FeedbackController(arm, dofs, make_reference(arm, dofs, arm_clip), ALONE))
    start = simulator.start(0)
    fast = State(start.qpos, np.full_like(start.qvel, 1e7), start.act, start.warmstart)
    assert simulator.run(fast, 0, 20).failure in ("physics", "landmarks")


def test_clips_that_cannot_be_tracked_are_refused(arm: SimulationBody, arm_clip: Clip) -> None:
    for changes, message in (
        ({"model_sha256": "0" * 64}, "convert its source again"),
        ({"fps": 50.0}, "--fps 100"),
        ({"model": "Cat"}, "a clip of Cat"),
    ):
        with pytest.raises(TrackingError, match=message):
            track_clip(arm, replace(arm_clip, **changes), ALONE)
    with pytest.raises(TrackingError, match="2 frames"):
        track_clip(arm, arm_clip.frames(slice(2)), ALONE)


@pytest.mark.parametrize(
    "changes", [{"effort": 0.0}, {"horizon": 0}, {"joint_gain": -1.0}, {"kept": 50}, {"seconds": float("nan")}]
)
def test_settings_out_of_range_are_refused(changes: dict) -> None:
    with pytest.raises(SettingsError, match=next(iter(changes))):
        TrackingConfig(**changes)


def test_swing_phases_of_a_walk(human: SimulationBody, walk_clip: Clip) -> None:
    dofs = find_controlled_dofs(human)
    feet = make_reference(human, dofs, walk_clip).feet
    assert feet is not None
    assert 0.3 < feet.swing.mean() < 0.45  # of a gait cycle
    assert not feet.swing.all(axis=1).any()  # walking has no flight
    np.testing.assert_allclose(feet.load.sum(axis=1), 1.0)
    assert (feet.load[feet.swing] == 0).all()
    assert (feet.phase[feet.swing] > 0).all()
    assert feet.time_to_landing.max() < 0.6
    left_to_right = (feet.position[:, 0, :2] - feet.position[:, 1, :2]) * feet.outwards[:, 0]
    assert left_to_right.sum(axis=1).mean() > 0.05
    lowered = make_reference(human, dofs, walk_clip, contact_depth=0.01)
    np.testing.assert_allclose(lowered.qpos[:, 2], make_reference(human, dofs, walk_clip).qpos[:, 2] - 0.01)
    np.testing.assert_allclose(lowered.landmarks, make_reference(human, dofs, walk_clip).landmarks, atol=1e-9)


@pytest.mark.slow
def test_the_muscles_carry_the_body_through_a_walk(human: SimulationBody, walk_clip: Clip) -> None:
    """Four seconds of walking by feedback alone, and from a pushed start."""
    track = track_clip(human, walk_clip, ALONE)
    assert track.complete
    assert track.relative_error.mean() < 0.05
    assert track.root_error.mean() < 0.2
    assert track.act.mean() < 0.2
    np.testing.assert_array_equal(replay(human, track), track.qpos)


def test_metrics_of_effort_and_of_contacts_that_the_clip_does_not_have(human: SimulationBody, walk_clip: Clip) -> None:
    """The clip itself as its track; a raised body touches nothing, a lowered one has both feet in the floor."""
    steps, nu = 40, human.model.nu
    qpos = walk_clip.qpos[: steps + 1, human.clip_qpos].astype(float)
    alternating = np.tile(np.array([[0.25], [0.75]], np.float32), (steps // 2, nu))
    track = Track(
        start=0, qpos=qpos, qvel=np.zeros((steps + 1, human.model.nv)), act=np.full((steps + 1, nu), 0.5),
        excitation=alternating, warmstart=np.zeros(human.model.nv), failure="",
        relative_error=np.full(steps, 0.01), root_error=np.full(steps, 0.02), seconds=2.0, control_steps=100,
    )  # fmt: skip
    clip = walk_clip.frames(slice(steps + 1))
    metrics = track_metrics(human, clip, track)
    assert metrics["excitation_change"] == pytest.approx(0.5)
    assert metrics["control_steps_per_second"] == 50.0
    assert metrics["joint_angle_error_deg"] == 0.0
    swing = {}
    for height in (-0.1, 0.0, 1.0):
        moved = qpos + height * (np.arange(qpos.shape[1]) == 2)
        swing[height] = track_metrics(human, clip, replace(track, qpos=moved))["swing_contact"]
    assert swing[-0.1] == 1.0
    assert swing[1.0] == 0.0
    assert swing[0.0] < 0.5
    folded = qpos.copy()
    folded[:, human.qposadr[[human.joint_names.index(f"hip_adduction_{side}") for side in "lr"]]] = 0.5
    assert track_metrics(human, clip, replace(track, qpos=folded))["self_contact"] == 1.0
    assert metrics["self_contact"] < 0.5


def test_the_clips_own_activations_cost_nothing(arm: SimulationBody, arm_clip: Clip) -> None:
    """Feedback that is too weak to hold the arm follows the clip if the clip's activations do."""
    weak = replace(ALONE, joint_gain=1.0, effort=2000.0)
    errors = [track_clip(arm, arm_clip, replace(weak, feedforward=part)).relative_error.mean() for part in (0, 0.5, 1)]
    assert errors[2] < 0.5 * errors[1] < 0.5 * errors[0]
    bare = replace(arm_clip, activation=None)
    assert track_clip(arm, bare, weak).relative_error.mean() == pytest.approx(errors[0])


def test_load_goes_to_the_foot_that_the_body_falls_towards(human: SimulationBody, walk_clip: Clip) -> None:
    """In double support, where the clip's moments share the load; a body over its feet as the clip is keeps them."""
    controller = FeedbackController.for_clip(human, walk_clip, TrackingConfig())
    reference, dofs, model = controller.reference, controller.dofs, human.model
    feet = reference.feet
    assert feet is not None
    assert feet.pressure.any()
    frame = int(np.argmax(feet.load.min(axis=1) * feet.stepping))
    assert feet.load[frame].min() > 0.2
    data = mujoco.MjData(model)

    def moment(push: np.ndarray) -> np.ndarray:
        data.qpos[:], data.qvel[:] = reference.qpos[frame], reference.qvel[frame]
        data.qvel[:2] += push
        mujoco.mj_forward(model, data)
        mujoco.mj_subtreeVel(model, data)
        return controller._pressure_moment(data, frame, dofs.tangent(data.qpos), np.zeros(2))

    np.testing.assert_allclose(moment(np.zeros(2)), 0.0, atol=1.0)
    apart = (feet.position[frame, 1] - feet.position[frame, 0])[:2]
    change = moment(0.2 * apart / np.linalg.norm(apart))  # towards the right foot
    jacobian = np.zeros((3, model.nv))
    pressing = []
    for leg, foot in zip(dofs.legs, dofs.feet, strict=True):
        mujoco.mj_jacBody(model, data, jacobian, None, foot)
        downwards = -(jacobian[2] @ dofs.tangent(data.qpos))[leg]
        pressing.append(float(downwards @ change[leg]))
    left, right = pressing
    assert left < 0 < right
