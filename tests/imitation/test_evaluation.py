"""Evaluation of policies: the reference itself gets the best scores, and every metric is what its name says."""

import math
from dataclasses import replace

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import ClipEvaluation, evaluate, evaluation_config
from musclemap.imitation.eval.scores import ClipScore, score_clip, totals
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.imitation.task.step_metrics import StepMetrics
from musclemap.imitation.task.task import Task
from musclemap.imitation.task.task_config import RewardConfig, TaskConfig

from ..support.reference_playback import ReferencePlayback, play_back_reference

CONFIG = TaskConfig()


@pytest.fixture(scope="module")
def arm() -> SimulationBody:
    return load_simulation_body("SmallArm")


@pytest.fixture(scope="module")
def clips() -> list[tuple[str, Clip]]:
    """Five clips of 0.4 to 1.2 s."""
    return [(f"{k}.h5", arm_clips(k + 1, 0.4 + 0.2 * k, seed=5)[k][1]) for k in range(5)]


@pytest.fixture(scope="module")
def library(arm: SimulationBody, clips: list[tuple[str, Clip]]) -> Library:
    return make_library(clips, arm, resting=CONFIG.resting_excitation)


class Puppet:
    """An engine without physics: bodies follow their clips exactly, except for requested changes.

    The position of a world in its clip is stored in place of the solver's warm-start accelerations.
    """

    def __init__(self, body: SimulationBody, library: Library, nworld: int, **changes: float) -> None:
        self.body, self.nworld, self._library, self._changes = body, nworld, library, changes
        self._real, self.device = MujocoEngine(body, nworld), None

    def step(
        self, state: PhysicsState, ctrl: jnp.ndarray, base: jnp.ndarray | None = None
    ) -> tuple[PhysicsState, SensorData]:
        assert base is None
        reference = self._library.reference
        at_first_frame = np.asarray(state.qpos)[:, None] == np.asarray(reference.qpos[reference.start])
        first = np.asarray(reference.start)[at_first_frame.all(axis=2).argmax(axis=1)]
        stored_row = np.asarray(state.warmstart)[:, 0].astype(int)
        row = np.minimum(np.where(stored_row, stored_row, first) + 1, len(reference.qpos) - 1)
        warmstart = state.warmstart.at[:, 0].set(row)
        physics = PhysicsState(reference.qpos[row], reference.qvel[row], reference.act[row], warmstart)
        return physics, self._spoil(self._real.read(physics), row)

    def _spoil(self, sensors: SensorData, row: np.ndarray) -> SensorData:
        """From one frame of a clip on, displace all landmarks or mark the physics as bad."""
        change = self._changes
        start = int(self._library.reference.start[int(change.get("clip", 0))])
        end = int(self._library.reference.length[int(change.get("clip", 0))])
        is_changed = (row >= start + change.get("frame", end)) & (row < start + change.get("until", end))
        offset = np.array([0.0, *[change.get("relative", 0.0)] * (sensors.xpos.shape[1] - 1)]) + change.get("root", 0.0)
        bad = jnp.asarray(is_changed & ("bad" in change))
        xpos = sensors.xpos.at[:, :, 0].add(jnp.asarray(is_changed[:, None] * offset))
        return sensors._replace(xpos=xpos, bad=bad, overflow=bad)

    def read(self, state: PhysicsState) -> SensorData:
        return self._real.read(state)


def _rest(obs: np.ndarray) -> np.ndarray:
    """A policy that keeps muscles at rest."""
    return np.full((len(obs), 6), CONFIG.resting_excitation, np.float32)


def in_library_order(evaluations: list[ClipEvaluation], library: Library) -> list[ClipEvaluation]:
    return sorted(evaluations, key=lambda evaluation: library.names.index(evaluation.score.name))


def _puppets(arm: SimulationBody, library: Library, *, to_end: bool = True, **changes: float) -> list[ClipScore]:
    engine = Puppet(arm, library, 2, **changes)
    evaluations = list(evaluate(engine, CONFIG, library, _rest, to_end=to_end))
    return [evaluation.score for evaluation in in_library_order(evaluations, library)]


# The reference itself


def _check_full_reward(playback: ReferencePlayback, config: RewardConfig, tracking: tuple[str, ...]) -> None:
    np.testing.assert_allclose(playback.step_result.published, MAX_PUBLISHED_REWARD, rtol=0.01)
    assert not playback.step_result.terminated.any()
    assert playback.step_result.truncated.tolist() == [False] * (len(playback.step_result.truncated) - 1) + [True]
    tracking_weight = sum(getattr(config, name) for name in tracking)
    weights = tracking_weight + config.effort + config.action_rate
    effort_terms = config.effort * (1.0 - (playback.excitation**2).mean(axis=1))
    effort_terms += config.action_rate * (1.0 - ((playback.excitation - playback.prev_excitation) ** 2).mean(axis=1))
    np.testing.assert_allclose(playback.step_result.reward * weights - effort_terms, tracking_weight, rtol=0.01)


def test_the_reference_earns_the_full_reward(arm: SimulationBody, library: Library) -> None:
    """Three worlds at a time; the clip lengths are not multiples of three."""
    task, engine = Task(arm, evaluation_config(CONFIG)), MujocoEngine(arm, 3)
    for clip, length in enumerate(np.asarray(library.reference.length)):
        playback = play_back_reference(engine, task, library.reference, clip=clip)
        assert len(playback.step_result.reward) == length - 1
        _check_full_reward(playback, CONFIG.reward, ("landmark", "joint", "joint_velocity", "landmark_velocity"))


@pytest.mark.slow
def test_a_whole_body_walk_earns_the_full_reward(walk_clip: Clip) -> None:
    body = load_simulation_body("MyoFullBody")
    walk = make_library([("walk.h5", walk_clip)], body, resting=CONFIG.resting_excitation)
    playback = play_back_reference(MujocoEngine(body, 8), Task(body, evaluation_config(CONFIG)), walk.reference, clip=0)
    _check_full_reward(
        playback, CONFIG.reward,
        ("landmark", "joint", "joint_velocity", "landmark_velocity", "root", "root_rotation"),
    )  # fmt: skip


def test_a_body_that_follows_the_clip_exactly_gets_the_best_scores(arm: SimulationBody, library: Library) -> None:
    for score, length in zip(_puppets(arm, library), np.asarray(library.reference.length), strict=True):
        assert (score.success, score.steps, score.covered, score.simulated) == (True, *[length - 1] * 3)
        assert score.metrics["normalised_return"] == pytest.approx(1.0, abs=0.01)
        assert score.metrics["joint_angle_error"] == pytest.approx(0.0, abs=1e-5)
        assert score.metrics["absolute_landmark_error"] == pytest.approx(0.0, abs=1e-4)
        assert score.metrics["effort"] == pytest.approx(CONFIG.resting_excitation**2, rel=1e-5)
        assert "contact_agreement" not in score.metrics  # the body has no feet


def test_an_untrained_policy_is_worse_than_the_reference(arm: SimulationBody, library: Library) -> None:
    evaluations = list(evaluate(MujocoEngine(arm, 4), CONFIG, library, _rest))
    summary = totals([evaluation.score for evaluation in evaluations])
    assert summary["mean"]["normalised_return"] < 0.8
    assert summary["mean"]["joint_angle_error"] > 0.05


def test_metrics_match_the_recorded_states(
    arm: SimulationBody, clips: list[tuple[str, Clip]], library: Library
) -> None:
    """Recomputed with MuJoCo and NumPy from the recorded configurations and the clip."""
    (evaluation,) = [e for e in evaluate(MujocoEngine(arm, 5), CONFIG, library, _rest, keep=("4.h5",)) if e.recording]
    recording, clip, data = evaluation.recording, clips[4][1], mujoco.MjData(arm.model)
    assert recording is not None
    step_metrics = recording.step_metrics
    np.testing.assert_allclose(
        step_metrics.joint_angle_error, np.abs(recording.qpos - clip.qpos)[1:].mean(axis=1), atol=1e-6
    )
    np.testing.assert_allclose(step_metrics.activation, recording.act[1:].mean(axis=1), atol=1e-6)
    speed = np.abs(np.gradient(recording.qpos - clip.qpos, 0.01, axis=0))[2:-1].mean(axis=1)
    np.testing.assert_allclose(step_metrics.joint_velocity_error[1:-1], speed, atol=0.05)
    for step in range(0, len(step_metrics.effort), 7):
        data.qpos = recording.qpos[step + 1]
        mujoco.mj_kinematics(arm.model, data)
        xpos, expected = data.xpos[arm.landmark_ids], clip.landmark_pos[step + 1]
        distance = np.linalg.norm(xpos - expected, axis=1)
        relative = np.linalg.norm(xpos - xpos[0] - expected + expected[0], axis=1)[1:]
        assert step_metrics.absolute_landmark_error[step] == pytest.approx(distance.mean(), abs=1e-5)
        assert step_metrics.relative_landmark_error[step] == pytest.approx(relative.mean(), abs=1e-5)
        assert step_metrics.root_position_error[step] == pytest.approx(distance[0], abs=1e-5)


# Batches


def test_the_number_of_worlds_changes_nothing(arm: SimulationBody, library: Library) -> None:
    def act(obs: np.ndarray) -> np.ndarray:
        return 0.3 + 0.3 * np.tanh(obs[:, :6] + obs[:, 6:12])

    many, single = (list(evaluate(MujocoEngine(arm, n), CONFIG, library, act, keep=("2.h5",))) for n in (4, 1))
    for a, b in zip(in_library_order(many, library), in_library_order(single, library), strict=True):
        assert a.score.name == b.score.name
        assert a.score.metrics == pytest.approx(b.score.metrics, rel=1e-3, abs=1e-5)
    recordings = [next(e.recording for e in evaluations if e.recording) for evaluations in (many, single)]
    np.testing.assert_allclose(recordings[0].qpos, recordings[1].qpos, atol=1e-4)


def test_every_clip_is_evaluated_once_and_reported(arm: SimulationBody, library: Library) -> None:
    reports: list[tuple[int, int]] = []
    evaluations = list(evaluate(Puppet(arm, library, 3), CONFIG, library, _rest, progress=lambda *n: reports.append(n)))
    assert sorted(evaluation.score.name for evaluation in evaluations) == sorted(library.names)
    assert reports == [(k, 5) for k in range(1, 6)]


def test_a_recording_belongs_to_its_clip(arm: SimulationBody, library: Library) -> None:
    generator = evaluate(Puppet(arm, library, 2), CONFIG, library, _rest, keep={"1.h5"})
    evaluations = {evaluation.score.name: evaluation for evaluation in generator}
    assert [name for name, evaluation in evaluations.items() if evaluation.recording] == ["1.h5"]
    recording = evaluations["1.h5"].recording
    assert recording is not None
    start, length = int(library.reference.start[1]), int(library.reference.length[1])
    np.testing.assert_array_equal(recording.qpos, library.reference.qpos[start : start + length])
    assert recording.act.shape == (length, 6)
    assert len(recording.step_metrics.effort) == length - 1


# Failures


@pytest.mark.parametrize(
    ("change", "failure"),
    [
        (("root", 0.55), "root"),
        (("relative", 0.31), "landmarks"),
        (("bad", 0.0), "physics"),
        (("root", 0.45), ""),
        (("relative", 0.29), ""),
    ],
)
def test_failures_are_those_of_the_protocol(
    arm: SimulationBody, library: Library, change: tuple[str, float], failure: str
) -> None:
    scores = _puppets(arm, library, to_end=True, clip=3, frame=21, **{change[0]: change[1]})
    steps = int(library.reference.length[3]) - 1
    assert [score.failure for score in scores] == ["", "", "", failure, ""]
    assert scores[3].covered == (20 if failure else steps)
    assert scores[3].coverage == scores[3].covered / steps
    assert scores[3].simulated == (21 if failure == "physics" else steps)
    assert scores[3].metrics["bad_steps"] == scores[3].metrics["overflow_steps"] == (failure == "physics")


def test_no_reward_is_earned_after_a_failure_even_if_tracking_recovers(arm: SimulationBody, library: Library) -> None:
    """The body is back on the reference after two frames but still counts as failed."""
    score = _puppets(arm, library, clip=3, frame=21, until=23, root=2.0)[3]
    assert (score.covered, score.simulated) == (20, score.steps)
    assert score.metrics["normalised_return"] == pytest.approx(20 / score.steps, abs=0.01)
    assert score.metrics["root_position_error"] == pytest.approx(0.0, abs=1e-4)
    assert score.metrics["root_position_error_to_end"] == pytest.approx(2.0 * 2 / score.steps, rel=1e-3)


def test_simulation_stops_at_the_failure_on_request(arm: SimulationBody, library: Library) -> None:
    score = _puppets(arm, library, to_end=False, clip=3, frame=21, root=2.0)[3]
    assert (score.covered, score.simulated) == (20, 21)


def test_a_clip_that_fails_at_once_has_no_errors_but_counts(arm: SimulationBody, library: Library) -> None:
    scores = _puppets(arm, library, clip=0, frame=1, root=2.0)
    assert scores[0].covered == 0
    assert "joint_angle_error" not in scores[0].metrics
    assert scores[0].metrics["normalised_return"] == 0.0
    summary = totals(scores)
    assert summary["success_rate"] == 0.8
    assert summary["mean"]["coverage"] == 0.8
    assert summary["mean"]["joint_angle_error"] == pytest.approx(0.0, abs=1e-5)


# Figures


def _step_metrics(**changes: object) -> StepMetrics:
    zeros = dict.fromkeys(StepMetrics._fields, np.zeros(4))
    return StepMetrics(**{**zeros, **{name: np.asarray(value, float) for name, value in changes.items()}})


def test_errors_have_their_published_meanings() -> None:
    step_metrics = _step_metrics(
        root_position_error=[0.1, 0.2, 0.3, 0.2], joint_angle_error=[0.1] * 4, published=[1.21] * 4
    )
    metrics = score_clip("a", step_metrics, steps=4, root_limit=0.5).metrics
    assert metrics["root_position_error"] == pytest.approx(0.2)
    assert metrics["root_position_rms_axis"] == pytest.approx(0.2 / math.sqrt(3.0))
    assert metrics["joint_angle_error_deg"] == pytest.approx(math.degrees(0.1))
    assert metrics["normalised_return"] == pytest.approx(1.0)


def test_totals_weight_clips_and_frames() -> None:
    short = score_clip("a", _step_metrics(joint_angle_error=[0.3] * 4), steps=4, root_limit=0.5)
    failing = _step_metrics(joint_angle_error=[0.1, 0.1, 9.0, 9.0], terminated=[0, 0, 1, 1])
    long = score_clip("b", failing, steps=8, root_limit=0.5)
    summary = totals([short, long])
    assert (summary["clips"], summary["tracked"], summary["steps"]) == (2, 1, 12)
    assert summary["mean"]["joint_angle_error"] == pytest.approx(0.2)
    assert summary["by_frame"]["joint_angle_error"] == pytest.approx((4 * 0.3 + 2 * 0.1) / 6)
    assert summary["by_frame"]["joint_angle_error_to_end"] == pytest.approx((4 * 0.3 + 2 * 0.1 + 2 * 9.0) / 8)
    assert summary["mean"]["coverage"] == pytest.approx((1.0 + 0.25) / 2)
    assert summary["by_frame"]["coverage"] == pytest.approx((4 + 2) / 12)
    assert totals([]) == {"clips": 0, "tracked": 0, "success_rate": 0.0, "steps": 0, "mean": {}, "by_frame": {},
                          "bad_steps": 0, "overflow_steps": 0}  # fmt: skip


def test_contact_agreement_compares_the_foot_parts(walk_clip: Clip) -> None:
    """With the clip's own contacts all agree; with one of four inverted, three quarters agree."""
    body = load_simulation_body("MyoFullBody")
    short_clip = walk_clip.frames(slice(40))
    walk = make_library([("walk.h5", short_clip)], body, resting=CONFIG.resting_excitation)

    class Standing(Puppet):
        def _spoil(self, sensors: SensorData, row: np.ndarray) -> SensorData:
            contact = self._library.reference.contact[row]
            return sensors._replace(contact=contact.at[:, 0].set(1.0 - contact[:, 0]))

    engine = Standing(body, walk, 1)
    (evaluation,) = evaluate(engine, CONFIG, walk, lambda obs: np.full((len(obs), body.model.nu), 0.1, np.float32))
    assert evaluation.score.metrics["contact_agreement"] == 0.75
    assert evaluation.score.metrics["root_position_error"] == pytest.approx(0.0, abs=1e-3)


def test_evaluation_ignores_training_randomisation() -> None:
    config = TaskConfig(
        latency_steps=3, push_interval=1.0, max_landmark_error=2.0, max_root_error=9.0, episode_length=10
    )
    assert evaluation_config(config) == evaluation_config(replace(TaskConfig(), future_steps=config.future_steps))
    assert evaluation_config(config).max_landmark_error == 0.3
    assert evaluation_config(config).max_root_error == 0.5


def test_bad_physics_ends_only_its_own_clip(arm: SimulationBody, library: Library) -> None:
    """Real physics: NaN excitations make one world non-finite; the others continue."""

    def act(obs: np.ndarray) -> np.ndarray:
        ctrl = np.full((len(obs), 6), 0.1, np.float32)
        ctrl[0] = np.nan
        return ctrl

    results = list(evaluate(MujocoEngine(arm, 5), CONFIG, library, act))
    evaluations: list[ClipEvaluation] = in_library_order(results, library)
    (failed_score,) = [evaluation.score for evaluation in evaluations if evaluation.score.failure == "physics"]
    assert (failed_score.covered, failed_score.simulated, failed_score.metrics["bad_steps"]) == (0, 1, 1)
    others = [evaluation.score for evaluation in evaluations if evaluation.score is not failed_score]
    assert all(score.simulated == score.steps for score in others)
