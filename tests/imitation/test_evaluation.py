"""Evaluation of policies: the reference itself scores full marks, and every figure is what its name says."""

import math
from dataclasses import replace

import jax.numpy as jnp
import mujoco
import numpy as np
import pytest

from musclemap.datasets.clip import Clip
from musclemap.imitation.eval.evaluation import Evaluated, evaluate, judged_by
from musclemap.imitation.eval.scores import ClipScore, score_clip, totals
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.measures import Measures
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.reward import PUBLISHED_MOST, RewardConfig
from musclemap.imitation.task.task import Task, TaskConfig

from ..support.reference_playback import Played, play_back

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
    """An engine whose bodies are wherever the clip has them, but for what is asked: physics does nothing here.

    Where a world is in its clip it keeps in place of the accelerations that a solver would start from.
    """

    def __init__(self, body: SimulationBody, library: Library, nworld: int, **changes: float) -> None:
        self.body, self.nworld, self._library, self._changes = body, nworld, library, changes
        self._real, self.device = MujocoEngine(body, nworld), None

    def step(self, state: PhysicsState, ctrl: jnp.ndarray) -> tuple[PhysicsState, SensorData]:
        reference = self._library.reference
        begun = np.asarray(state.qpos)[:, None] == np.asarray(reference.qpos[reference.start])
        first = np.asarray(reference.start)[begun.all(axis=2).argmax(axis=1)]
        kept = np.asarray(state.warmstart)[:, 0].astype(int)
        row = np.minimum(np.where(kept, kept, first) + 1, len(reference.qpos) - 1)
        place = state.warmstart.at[:, 0].set(row)
        physics = PhysicsState(reference.qpos[row], reference.qvel[row], reference.act[row], place)
        return physics, self._spoil(self._real.read(physics), row)

    def _spoil(self, reading: SensorData, row: np.ndarray) -> SensorData:
        """Move all landmarks of one clip from one frame on, or call it bad."""
        change = self._changes
        start = int(self._library.reference.start[int(change.get("clip", 0))])
        end = int(self._library.reference.length[int(change.get("clip", 0))])
        late = (row >= start + change.get("frame", end)) & (row < start + change.get("until", end))
        marks = np.array([0.0, *[change.get("relative", 0.0)] * (reading.xpos.shape[1] - 1)]) + change.get("root", 0.0)
        bad = jnp.asarray(late & ("bad" in change))
        xpos = reading.xpos.at[:, :, 0].add(jnp.asarray(late[:, None] * marks))
        return reading._replace(xpos=xpos, bad=bad, overflow=bad)

    def read(self, state: PhysicsState) -> SensorData:
        return self._real.read(state)


def _rest(obs: np.ndarray) -> np.ndarray:
    """A policy that leaves muscles at rest."""
    return np.full((len(obs), 6), CONFIG.resting_excitation, np.float32)


def in_order(result: list[Evaluated], library: Library) -> list[Evaluated]:
    return sorted(result, key=lambda one: library.names.index(one.score.name))


def _puppets(arm: SimulationBody, library: Library, *, to_end: bool = True, **changes: float) -> list[ClipScore]:
    engine = Puppet(arm, library, 2, **changes)
    result = list(evaluate(engine, CONFIG, library, _rest, to_end=to_end))
    return [one.score for one in in_order(result, library)]


# The reference itself


def _whole_marks(played: Played, config: RewardConfig, tracking: tuple[str, ...]) -> None:
    np.testing.assert_allclose(played.outcome.published, PUBLISHED_MOST, rtol=0.01)
    assert not played.outcome.failed.any()
    assert played.outcome.cut.tolist() == [False] * (len(played.outcome.cut) - 1) + [True]
    share = sum(getattr(config, name) for name in tracking)
    weights = share + config.effort + config.action_rate
    calm = config.effort * (1.0 - (played.excitation**2).mean(axis=1))
    calm += config.action_rate * (1.0 - ((played.excitation - played.before) ** 2).mean(axis=1))
    np.testing.assert_allclose(played.outcome.reward * weights - calm, share, rtol=0.01)


def test_the_reference_earns_all_that_can_be_earned(arm: SimulationBody, library: Library) -> None:
    """Three worlds at a time, and the clips' lengths are no multiples of three."""
    task, engine = Task(arm, judged_by(CONFIG)), MujocoEngine(arm, 3)
    for clip, length in enumerate(np.asarray(library.reference.length)):
        played = play_back(engine, task, library.reference, clip=clip)
        assert len(played.outcome.reward) == length - 1
        _whole_marks(played, CONFIG.reward, ("landmark", "joint", "joint_velocity", "landmark_velocity"))


@pytest.mark.slow
def test_a_walk_of_the_whole_body_earns_all_that_can_be_earned(walk_clip: Clip) -> None:
    body = load_simulation_body("MyoFullBody")
    walk = make_library([("walk.h5", walk_clip)], body, resting=CONFIG.resting_excitation)
    played = play_back(MujocoEngine(body, 8), Task(body, judged_by(CONFIG)), walk.reference, clip=0)
    _whole_marks(
        played, CONFIG.reward,
        ("landmark", "joint", "joint_velocity", "landmark_velocity", "root", "root_rotation"),
    )  # fmt: skip


def test_a_body_that_is_where_the_clip_is_scores_full_marks(arm: SimulationBody, library: Library) -> None:
    for score, length in zip(_puppets(arm, library), np.asarray(library.reference.length), strict=True):
        assert (score.success, score.steps, score.covered, score.simulated) == (True, *[length - 1] * 3)
        assert score.metrics["normalised_return"] == pytest.approx(1.0, abs=0.01)
        assert score.metrics["joint_angle_error"] == pytest.approx(0.0, abs=1e-5)
        assert score.metrics["absolute_landmark_error"] == pytest.approx(0.0, abs=1e-4)
        assert score.metrics["effort"] == pytest.approx(CONFIG.resting_excitation**2, rel=1e-5)
        assert "contact_agreement" not in score.metrics  # it has no feet


def test_a_policy_without_skill_is_worse_than_the_reference(arm: SimulationBody, library: Library) -> None:
    result = list(evaluate(MujocoEngine(arm, 4), CONFIG, library, _rest))
    output = totals([one.score for one in result])
    assert output["mean"]["normalised_return"] < 0.8
    assert output["mean"]["joint_angle_error"] > 0.05


def test_figures_are_those_of_the_states(arm: SimulationBody, clips: list[tuple[str, Clip]], library: Library) -> None:
    """Worked out again with MuJoCo and NumPy, from the recorded configurations and the clip alone."""
    (result,) = [e for e in evaluate(MujocoEngine(arm, 5), CONFIG, library, _rest, keep=("4.h5",)) if e.recording]
    recording, clip, data = result.recording, clips[4][1], mujoco.MjData(arm.model)
    assert recording is not None
    curves = recording.curves
    np.testing.assert_allclose(curves.joint_angle_error, np.abs(recording.qpos - clip.qpos)[1:].mean(axis=1), atol=1e-6)
    np.testing.assert_allclose(curves.activation, recording.act[1:].mean(axis=1), atol=1e-6)
    speed = np.abs(np.gradient(recording.qpos - clip.qpos, 0.01, axis=0))[2:-1].mean(axis=1)
    np.testing.assert_allclose(curves.joint_velocity_error[1:-1], speed, atol=0.05)
    for step in range(0, len(curves.effort), 7):
        data.qpos = recording.qpos[step + 1]
        mujoco.mj_kinematics(arm.model, data)
        marks, expected = data.xpos[arm.landmark_ids], clip.landmark_pos[step + 1]
        apart = np.linalg.norm(marks - expected, axis=1)
        relative = np.linalg.norm(marks - marks[0] - expected + expected[0], axis=1)[1:]
        assert curves.absolute_landmark_error[step] == pytest.approx(apart.mean(), abs=1e-5)
        assert curves.relative_landmark_error[step] == pytest.approx(relative.mean(), abs=1e-5)
        assert curves.root_position_error[step] == pytest.approx(apart[0], abs=1e-5)


# Batches


def test_the_number_of_worlds_changes_nothing(arm: SimulationBody, library: Library) -> None:
    def act(obs: np.ndarray) -> np.ndarray:
        return 0.3 + 0.3 * np.tanh(obs[:, :6] + obs[:, 6:12])

    many, one = (list(evaluate(MujocoEngine(arm, n), CONFIG, library, act, keep=("2.h5",))) for n in (4, 1))
    for a, b in zip(in_order(many, library), in_order(one, library), strict=True):
        assert a.score.name == b.score.name
        assert a.score.metrics == pytest.approx(b.score.metrics, rel=1e-3, abs=1e-5)
    kept = [next(e.recording for e in result if e.recording) for result in (many, one)]
    np.testing.assert_allclose(kept[0].qpos, kept[1].qpos, atol=1e-4)


def test_every_clip_is_done_once_and_told(arm: SimulationBody, library: Library) -> None:
    heard: list[tuple[int, int]] = []
    result = list(evaluate(Puppet(arm, library, 3), CONFIG, library, _rest, progress=lambda *n: heard.append(n)))
    assert sorted(one.score.name for one in result) == sorted(library.names)
    assert heard == [(k, 5) for k in range(1, 6)]


def test_a_recording_is_of_the_clip_it_is_named_after(arm: SimulationBody, library: Library) -> None:
    result = {one.score.name: one for one in evaluate(Puppet(arm, library, 2), CONFIG, library, _rest, keep={"1.h5"})}
    assert [name for name, one in result.items() if one.recording] == ["1.h5"]
    recording = result["1.h5"].recording
    assert recording is not None
    start, length = int(library.reference.start[1]), int(library.reference.length[1])
    np.testing.assert_array_equal(recording.qpos, library.reference.qpos[start : start + length])
    assert recording.act.shape == (length, 6)
    assert len(recording.curves.effort) == length - 1


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


def test_nothing_is_earned_after_a_failure_that_was_overcome(arm: SimulationBody, library: Library) -> None:
    """The body is back on the reference after two frames, and is still counted as lost."""
    score = _puppets(arm, library, clip=3, frame=21, until=23, root=2.0)[3]
    assert (score.covered, score.simulated) == (20, score.steps)
    assert score.metrics["normalised_return"] == pytest.approx(20 / score.steps, abs=0.01)
    assert score.metrics["root_position_error"] == pytest.approx(0.0, abs=1e-4)
    assert score.metrics["root_position_error_to_end"] == pytest.approx(2.0 * 2 / score.steps, rel=1e-3)


def test_simulation_ends_at_the_failure_when_asked(arm: SimulationBody, library: Library) -> None:
    score = _puppets(arm, library, to_end=False, clip=3, frame=21, root=2.0)[3]
    assert (score.covered, score.simulated) == (20, 21)


def test_a_clip_that_fails_at_once_has_no_errors_but_counts(arm: SimulationBody, library: Library) -> None:
    scores = _puppets(arm, library, clip=0, frame=1, root=2.0)
    assert scores[0].covered == 0
    assert "joint_angle_error" not in scores[0].metrics
    assert scores[0].metrics["normalised_return"] == 0.0
    output = totals(scores)
    assert output["success_rate"] == 0.8
    assert output["mean"]["coverage"] == 0.8
    assert output["mean"]["joint_angle_error"] == pytest.approx(0.0, abs=1e-5)


# Figures


def _curves(**changes: object) -> Measures:
    one = dict.fromkeys(Measures._fields, np.zeros(4))
    return Measures(**{**one, **{name: np.asarray(value, float) for name, value in changes.items()}})


def test_errors_have_their_published_meanings() -> None:
    curves = _curves(root_position_error=[0.1, 0.2, 0.3, 0.2], joint_angle_error=[0.1] * 4, published=[1.21] * 4)
    metrics = score_clip("a", curves, steps=4, root_limit=0.5).metrics
    assert metrics["root_position_error"] == pytest.approx(0.2)
    assert metrics["root_position_rms_axis"] == pytest.approx(0.2 / math.sqrt(3.0))
    assert metrics["joint_angle_error_deg"] == pytest.approx(math.degrees(0.1))
    assert metrics["normalised_return"] == pytest.approx(1.0)


def test_totals_weigh_clips_and_frames() -> None:
    short = score_clip("a", _curves(joint_angle_error=[0.3] * 4), steps=4, root_limit=0.5)
    fell = _curves(joint_angle_error=[0.1, 0.1, 9.0, 9.0], failed=[0, 0, 1, 1])
    long = score_clip("b", fell, steps=8, root_limit=0.5)
    output = totals([short, long])
    assert (output["clips"], output["tracked"], output["steps"]) == (2, 1, 12)
    assert output["mean"]["joint_angle_error"] == pytest.approx(0.2)
    assert output["by_frame"]["joint_angle_error"] == pytest.approx((4 * 0.3 + 2 * 0.1) / 6)
    assert output["by_frame"]["joint_angle_error_to_end"] == pytest.approx((4 * 0.3 + 2 * 0.1 + 2 * 9.0) / 8)
    assert output["mean"]["coverage"] == pytest.approx((1.0 + 0.25) / 2)
    assert output["by_frame"]["coverage"] == pytest.approx((4 + 2) / 12)
    assert totals([]) == {"clips": 0, "tracked": 0, "success_rate": 0.0, "steps": 0, "mean": {}, "by_frame": {},
                          "bad_steps": 0, "overflow_steps": 0}  # fmt: skip


def test_contacts_agree_where_the_same_parts_stand(walk_clip: Clip) -> None:
    """With the clip's own contacts all agree, and with one part of four turned three quarters do."""
    body = load_simulation_body("MyoFullBody")
    few = replace(walk_clip, qpos=walk_clip.qpos[:40], qvel=walk_clip.qvel[:40], contact=walk_clip.contact[:40],
                  landmark_pos=walk_clip.landmark_pos[:40], target_pos=walk_clip.target_pos[:40])  # fmt: skip
    walk = make_library([("walk.h5", few)], body, resting=CONFIG.resting_excitation)

    class Standing(Puppet):
        def _spoil(self, reading: SensorData, row: np.ndarray) -> SensorData:
            contact = self._library.reference.contact[row]
            return reading._replace(contact=contact.at[:, 0].set(1.0 - contact[:, 0]))

    engine = Standing(body, walk, 1)
    (result,) = evaluate(engine, CONFIG, walk, lambda obs: np.full((len(obs), body.model.nu), 0.1, np.float32))
    assert result.score.metrics["contact_agreement"] == 0.75
    assert result.score.metrics["root_position_error"] == pytest.approx(0.0, abs=1e-3)


def test_training_randomness_is_left_out_of_the_judgement() -> None:
    asked = TaskConfig(
        latency_steps=3, push_interval=1.0, max_landmark_error=2.0, max_root_error=9.0, episode_length=10
    )
    assert judged_by(asked) == judged_by(replace(TaskConfig(), future_steps=asked.future_steps))
    assert judged_by(asked).max_landmark_error == 0.3
    assert judged_by(asked).max_root_error == 0.5


def test_physics_that_goes_bad_ends_its_clip_alone(arm: SimulationBody, library: Library) -> None:
    """Real physics: muscles that are told nonsense make a world not finite; the others go on."""

    def act(obs: np.ndarray) -> np.ndarray:
        ctrl = np.full((len(obs), 6), 0.1, np.float32)
        ctrl[0] = np.nan
        return ctrl

    result: list[Evaluated] = in_order(list(evaluate(MujocoEngine(arm, 5), CONFIG, library, act)), library)
    (bad,) = [one.score for one in result if one.score.failure == "physics"]
    assert (bad.covered, bad.simulated, bad.metrics["bad_steps"]) == (0, 1, 1)
    assert all(one.score.simulated == one.score.steps for one in result if one.score is not bad)
