"""Imitation of the tracking controller: labels, loss, schedule, and runs that resume."""

import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import jax
import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError
from musclemap.imitation.dagger.dagger_config import DaggerConfig
from musclemap.imitation.dagger.label_buffer import LabelledSteps, add_labels, make_label_buffer
from musclemap.imitation.dagger.label_pool import LabelPool
from musclemap.imitation.dagger.schedule import Schedule
from musclemap.imitation.dagger.starts import StartNoise
from musclemap.imitation.dagger.student import Student
from musclemap.imitation.dagger.teacher import Labels, QueryStates, Teacher
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.policy.policy_file import load_policy
from musclemap.imitation.ppo.networks import apply_mlp, make_mlp
from musclemap.imitation.regulator.processes import starting_processes
from musclemap.imitation.regulator.regulate import regulate
from musclemap.imitation.regulator.regulator_config import RegulatorConfig
from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.task import observation
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.imitation.tracking.activation import ActivationDynamics
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.pipelines.train.dataset import ClipSelection
from musclemap.pipelines.train.evaluation import evaluate_policy
from musclemap.pipelines.train.plan import TrainingPlan, plan_training
from musclemap.pipelines.train.training import StopCondition, TrainingProgress, train
from musclemap.settings import override

from ..support.pages import explained

NWORLD = 4
CONFIG = DaggerConfig(
    shares=(1.0, 0.0), round_steps=80, num_steps=10, buffer_size=400, epochs=30, gradient_steps=5, batch_size=32,
    hidden=(32,), directions=4, evaluation_steps=20,
)  # fmt: skip


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    return arm_clips(2, 1.0)


@pytest.fixture(scope="module")
def plan(clips: list[tuple[str, Clip]]) -> TrainingPlan:
    config = TrainConfig(num_envs=NWORLD, dagger=CONFIG)
    return plan_training(clips, config, engine="mujoco", algorithm="dagger")


@pytest.fixture(scope="module")
def body(plan: TrainingPlan) -> SimulationBody:
    return plan.body


def make_teacher(body: SimulationBody, clips: Sequence[tuple[str, Clip]], power: float = 1.0) -> Teacher:
    return Teacher(body, [clip for _, clip in clips], TrackingConfig(), ndirection=4, power=power)


def query(body: SimulationBody, clips: Sequence[tuple[str, Clip]], frames: Sequence[int]) -> QueryStates:
    """Reference states of both clips in turn."""
    n, nu, nv = len(frames), body.model.nu, body.model.nv
    clip = np.arange(n) % len(clips)
    rows = [clips[int(k)][1] for k in clip]
    return QueryStates(
        qpos=np.array([c.qpos[t] for c, t in zip(rows, frames, strict=True)]),
        qvel=np.array([c.qvel[t] for c, t in zip(rows, frames, strict=True)]),
        act=np.full((n, nu), 0.1),
        warmstart=np.zeros((n, nv)),
        clip=clip,
        frame=np.array(frames),
        active=np.zeros((n, nu), np.int8),
    )


def test_a_label_is_the_controllers_decision_in_that_state_only(body: SimulationBody, clips) -> None:
    """Neither the order of the states nor the first guess changes a label."""
    teacher, asked = make_teacher(body, clips), query(body, clips, [3, 20, 47, 60])
    together = teacher.label(asked)
    assert together.valid.all()
    for k in reversed(range(4)):
        one = QueryStates(*(array[k : k + 1] for array in asked))._replace(active=together.active[k : k + 1])
        alone = teacher.label(one)
        np.testing.assert_allclose(alone.activation[0], together.activation[k], atol=1e-6)
    dynamics = ActivationDynamics(body.model, body.nsubstep)
    reached = dynamics.advance(asked.act, together.excitation.astype(float))
    np.testing.assert_allclose(reached, together.activation, atol=2e-3)  # the excitations are approximate


def test_effects_are_the_controllers_rows(body: SimulationBody, clips) -> None:
    """With power 1 and as many directions as rows the loss is the squared row error over the regulariser."""
    teacher, asked = make_teacher(body, clips), query(body, clips, [30])
    reachable = ActivationDynamics(body.model, body.nsubstep).reachable(asked.act[0])
    decision = teacher._choose(QueryStates(*(array[0] for array in asked)), reachable)
    assert decision is not None
    error = np.linspace(-0.1, 0.1, body.model.nu)
    config = TrackingConfig()
    expected = np.sum((decision.matrix @ error) ** 2) / (config.effort + config.change)
    effect = teacher.label(asked).effect[0].astype(float)
    assert np.sum((effect @ error) ** 2) == pytest.approx(expected, rel=1e-2)


def test_states_without_an_answer_have_no_label(body: SimulationBody, clips) -> None:
    asked = query(body, clips, [3, 20])
    asked.qvel[1] = np.nan
    labels = make_teacher(body, clips).label(asked)
    assert labels.valid.tolist() == [True, False]
    assert not labels.activation[1].any()


@pytest.mark.slow
@pytest.mark.parametrize("teacher", ["regulator", "controller"])
def test_processes_give_the_same_labels(teacher: str, body: SimulationBody, clips, monkeypatch: pytest.MonkeyPatch):
    asked = query(body, clips, [3, 20, 47])
    shared = body, PhysicsConfig()
    regulated = regulate(*shared, clips, TrackingConfig(), RegulatorConfig()) if teacher == "regulator" else []
    make = lambda workers: LabelPool(  # noqa: E731
        *shared, [clip for _, clip in clips], TrackingConfig(), regulated=regulated, workers=workers, ndirection=4,
        power=0.5,
    )  # fmt: skip
    local = make(1).label(asked)
    monkeypatch.setattr("musclemap.imitation.dagger.label_pool.SMALL_BODY", 0)
    pool = make(2)
    try:
        remote: Labels = pool.label(asked)
    finally:
        pool.close()
    assert local.valid.all()
    assert local.effect.shape[1] == (0 if regulated else 4)
    for name, array in local._asdict().items():
        np.testing.assert_array_equal(array, getattr(remote, name), err_msg=name)


def test_processes_leave_the_environment_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    with starting_processes():
        assert os.environ["OMP_NUM_THREADS"] == "1"
    assert os.environ["OMP_NUM_THREADS"] == "7"
    assert "JAX_PLATFORMS" not in os.environ


def test_a_script_needs_no_guard(tmp_path: Path) -> None:
    """A script without `if __name__ == "__main__"` is not run again in the processes."""
    (tmp_path / "script.py").write_text(
        "import os\n"
        "from musclemap.imitation.regulator.processes import process_pool, starting_processes\n"
        "print('script')\n"
        "pool = process_pool(2, os.path.basename, 'prepared')\n"
        "with starting_processes():\n"
        "    task = pool.submit(os.getpid)\n"
        "print(task.result() != os.getpid())\n"
        "pool.shutdown()\n"
    )
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")}
    command = [sys.executable, "script.py"]
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=300)
    assert (run.returncode, run.stdout) == (0, "script\nTrue\n"), run.stderr


def test_the_student_predicts_activations_as_mujoco_does(body: SimulationBody) -> None:
    rng, data = np.random.default_rng(0), mujoco.MjData(body.model)
    act, ctrl = rng.uniform(0, 1, (2, body.model.nu))
    data.act[:], data.ctrl[:] = act, ctrl
    mujoco.mj_step(body.model, data, body.nsubstep)
    predicted = Student(Task(body), CONFIG).reached(jnp.asarray(act, jnp.float32), jnp.asarray(ctrl, jnp.float32))
    np.testing.assert_allclose(predicted, data.act, atol=1e-5)


@pytest.mark.parametrize("warm", [False, True])
def test_the_student_ignores_the_last_excitation(body: SimulationBody, warm: bool) -> None:
    task = Task(body)
    student = Student(task, CONFIG)
    state = student.init(jax.random.PRNGKey(0))
    if warm:
        other = make_mlp(jax.random.PRNGKey(1), (task.nobs, *CONFIG.hidden, body.model.nu))
        state = student.begin_at(state, other, state.normaliser)
    layout, column = observation.layout(body), 0
    for name, width in layout.items():
        changed = student.excitation(state, jnp.zeros(task.nobs).at[column : column + width].set(0.5))
        same = bool(jnp.all(changed == student.excitation(state, jnp.zeros(task.nobs))))
        assert same == (name == "excitation"), name
        column += width


def test_fitting_lowers_the_loss(body: SimulationBody) -> None:
    task, rng, count = Task(body), np.random.default_rng(0), 64
    student = Student(task, replace(CONFIG, gradient_steps=100, learning_rate=3e-3))
    steps = LabelledSteps(
        obs=jnp.asarray(rng.uniform(0, 1, (count, task.nobs)), jnp.float32),
        activation=jnp.asarray(rng.uniform(0, 0.5, (count, body.model.nu)), jnp.float32),
        effect=jnp.asarray(rng.normal(size=(count, 4, body.model.nu)), jnp.float16),
        row=jnp.zeros(count, jnp.int32),
        valid=jnp.ones(count, bool),
    )
    buffer = add_labels(make_label_buffer(count, task.nobs, body.model.nu, 4), steps)
    state = student.observe(student.init(jax.random.PRNGKey(0)), steps.obs)
    state = student.begin_fit(state, buffer)
    inputs = student.inputs(state, buffer)
    fit, losses = jax.jit(student.fit), []
    for k in range(3):
        state, metrics = fit(state, buffer, inputs, jax.random.PRNGKey(k), k / 3, (k + 1) / 3)
        losses.append(float(metrics["imitation_loss"]))
    assert losses[2] < losses[1] < losses[0]
    none = buffer._replace(steps=steps._replace(valid=jnp.zeros(count, bool)))
    after, metrics = fit(state, none, inputs, jax.random.PRNGKey(0), 0.0, 1.0)
    assert float(metrics["imitation_loss"]) == 0.0
    assert np.isfinite(after.params["w0"]).all()


def test_the_policy_is_the_network_that_was_fitted(body: SimulationBody) -> None:
    task, rng, count = Task(body), np.random.default_rng(0), 300
    student = Student(task, replace(CONFIG, components=40, gradient_steps=50, learning_rate=1e-2))
    # Observations that 20 numbers determine: 40 components hold all of them.
    obs = rng.normal(size=(count, 20)) @ rng.normal(size=(20, task.nobs)) + rng.normal(size=task.nobs)
    steps = LabelledSteps(
        obs=jnp.asarray(obs, jnp.float32),
        activation=jnp.full((count, body.model.nu), 0.2),
        effect=jnp.zeros((count, 4, body.model.nu), jnp.float16),
        row=jnp.zeros(count, jnp.int32),
        valid=jnp.ones(count, bool),
    )
    buffer = add_labels(make_label_buffer(count, task.nobs, body.model.nu, 4), steps)
    state = student.observe(student.init(jax.random.PRNGKey(0)), steps.obs)
    before = student.excitation(state, steps.obs)
    state = student.begin_fit(state, buffer)
    inputs = student.inputs(state, buffer)
    assert inputs.shape == (count, 40)
    covariance = np.cov(np.asarray(inputs)[:, :20].T)
    spread = np.diag(covariance)
    np.testing.assert_allclose(covariance, np.diag(spread), atol=1e-4)
    assert 1.0 > spread[0] > spread[-1] > 0.0
    np.testing.assert_allclose(task.excitation(apply_mlp(state.fitted, inputs)), before, atol=1e-3)
    state, _ = student.fit(state, buffer, inputs, jax.random.PRNGKey(0), jnp.zeros(()), jnp.ones(()))
    fitted = task.excitation(apply_mlp(state.fitted, inputs))
    np.testing.assert_allclose(student.excitation(state, steps.obs), fitted, atol=1e-3)
    assert float(jnp.max(jnp.abs(fitted - before))) > 0.01


def test_new_labels_replace_the_oldest() -> None:
    buffer = make_label_buffer(4, 1, 1, 1)
    for k in range(3):
        values = jnp.full((2, 1), float(k))
        effect, row = values[:, None].astype(jnp.float16), jnp.full(2, k)
        buffer = add_labels(buffer, LabelledSteps(values, values, effect, row, values[:, 0] >= 0))
    assert buffer.steps.obs[:, 0].tolist() == [2.0, 2.0, 1.0, 1.0]
    assert (int(buffer.filled), int(buffer.position)) == (4, 2)
    assert buffer.steps.row.tolist() == [2, 2, 1, 1]


def test_each_round_collects_then_fits_then_evaluates() -> None:
    schedule = Schedule(CONFIG, NWORLD, longest=100)
    stages = [schedule.stage(k) for k in range(100)]
    first = [stage for stage in stages if stage.round == 0]
    assert [stage.kind for stage in first] == ["collect"] * 2 + ["fit"] * 15 + ["evaluate"] * 2
    second = [stage.kind for stage in stages if stage.round == 1]
    assert second.count("fit") == 30  # twice as many labels
    for stage in stages[:60]:
        assert 0 <= stage.index < stage.count
    assert schedule.steps_after(len(first) - 1) == 0
    assert schedule.steps_after(len(first)) == schedule.steps_per_round == 80
    assert [schedule.share(k) for k in range(4)] == [1.0, 0.0, 0.0, 0.0]


def test_start_noise_has_the_given_size(body: SimulationBody) -> None:
    change = StartNoise(body, root=0.05, joint=0.1)(jax.random.PRNGKey(0), jnp.zeros((500, body.model.nq)))
    assert np.std(change[:, body.dofadr], axis=0) == pytest.approx(0.1, rel=0.15)


@pytest.mark.slow
def test_an_interrupted_run_equals_an_uninterrupted_one(tmp_path: Path, plan: TrainingPlan) -> None:
    steps = 2 * CONFIG.round_steps
    whole = train(plan, tmp_path / "whole", until=StopCondition(steps=steps), tensorboard=False)
    polls = iter(range(1000))
    half = StopCondition(stop_requested=lambda: next(polls) >= 25)  # within the second round
    part = train(plan, tmp_path / "parts", until=half, tensorboard=False)
    assert part.steps == CONFIG.round_steps
    parts = train(plan, tmp_path / "parts", until=StopCondition(steps=steps), resume=True, tensorboard=False)
    assert whole.steps == parts.steps == steps
    assert whole.policy.read_bytes() == parts.policy.read_bytes()
    assert load_policy(parts.policy).facts["algorithm"] == "dagger"


def test_a_run_learns_to_follow_the_clips(tmp_path: Path, plan: TrainingPlan, clips) -> None:
    output: list[TrainingProgress] = []
    config = replace(plan.config, dagger=replace(CONFIG, round_steps=400, evaluation_steps=100))
    done = train(
        replace(plan, config=config), tmp_path, until=StopCondition(steps=400), progress=output.append,
        tensorboard=False,
    )  # fmt: skip
    assert explained("training.md") >= set(done.figures)
    assert done.figures["labels"] == 400
    assert done.figures["student_survived"] == done.figures["student_completed"] == 1.0
    result = evaluate_policy(done.policy, ClipSelection(clips=tuple(clips), left_out={}), engine="mujoco")
    assert result.tracked
    assert result.clips[0].result.score.metrics["normalised_return"] > 0.7


def test_a_run_ends_when_its_time_is_up(tmp_path: Path, plan: TrainingPlan) -> None:
    done = train(plan, tmp_path, until=StopCondition(seconds=0.0), tensorboard=False)
    assert done.stop_reason == "time"
    assert (done.steps, done.policy_steps) == (0, 0)


def test_latency_is_refused(tmp_path: Path, plan: TrainingPlan) -> None:
    plan = replace(plan, config=replace(plan.config, task=TaskConfig(latency_steps=2)))
    with pytest.raises(SettingsError, match="only flat ground and no latency"):
        train(plan, tmp_path, until=StopCondition(seconds=0.0), tensorboard=False)


@pytest.mark.parametrize(
    "assignment",
    ["shares=[]", "shares=[1.5]", "round_steps=0", "buffer_size=1000000000", "epochs=0", "direction_power=2",
     "directions=100000", "tracking.effort=0", "noise_correlation=1", "handback=0", "workers=100000"],
)  # fmt: skip
def test_settings_out_of_range_are_refused(assignment: str) -> None:
    with pytest.raises(SettingsError, match=assignment.partition("=")[0]):
        override(TrainConfig(), [f"dagger.{assignment}"])
