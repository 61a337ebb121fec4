"""Validator: injected faults are found and located; walking is feasible, and its forces are those of people."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip
from musclemap.errors import SettingsError
from musclemap.intervals import runs
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.checks.inverse_dynamics import GRAVITY
from musclemap.retarget.checks.metrics import orientation_error
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.checks.verdict import RULES, frames_over, judge, rules_with
from musclemap.retarget.config import ValidationConfig
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.body import TargetBody

RESIDUALS = {m.metric for rule in RULES for m in rule.measures if m.metric.startswith("residual_")}


@pytest.fixture(scope="module")
def validator(body: TargetBody) -> Validator:
    return Validator(body, ValidationConfig())


def with_configurations(body: TargetBody, clip: Clip, qpos: np.ndarray, **changes: object) -> Clip:
    """The clip with other configurations, and with the velocities and landmarks of these."""
    qpos = qpos.astype(np.float32)
    qvel = velocities(qpos.astype(np.float64), clip.fps).astype(np.float32)
    landmarks = evaluate_clip(body, qpos).landmark_pos
    return replace(clip, qpos=qpos, qvel=qvel, landmark_pos=landmarks, **changes)  # type: ignore[arg-type]


def reasons(clip: Clip) -> dict[str, dict]:
    return {reason["rule"]: dict(reason) for reason in clip.reasons}


def set_joints(body: TargetBody, clip: Clip, frames: slice, **angles: float) -> np.ndarray:
    """Configurations with joints set in some frames, blended over 0.2 s at either end; couplings hold."""
    q = body.reduced.reduce(clip.qpos.astype(np.float64))
    blend = np.zeros(len(q))
    blend[frames] = 1.0
    blend = np.convolve(np.pad(blend, 10, mode="edge"), np.hanning(21) / np.hanning(21).sum(), mode="valid")
    for name, angle in angles.items():
        k = 7 + body.reduced.index(name)
        q[:, k] += blend * (angle - q[:, k])
    return body.reduced.expand(q)


def test_walking_is_feasible(validator: Validator, walk_clip: Clip) -> None:
    checked = validator.validate(walk_clip)
    assert set(reasons(checked)) <= RESIDUALS, checked.reasons
    assert checked.metrics["residual_force_bw"] < 0.02
    assert checked.metrics["residual_force_p99_bw"] < 0.05
    assert checked.metrics["residual_moment_p99_bw_height"] < 0.01
    assert checked.metrics["unsupported_s"] == 0.0
    assert 0.58 < checked.metrics["stance_fraction"] < 0.70
    assert 0.15 < checked.metrics["double_support_fraction"] < 0.40
    assert checked.metrics["speed_m_s"] == pytest.approx(1.2, abs=0.1)
    assert checked.metrics["landmark_error_max_mm"] == pytest.approx(
        walk_clip.metrics["landmark_error_max_mm"], rel=0.01
    )
    assert checked.metrics["tendon_jump_fraction"] == 0.0
    assert checked.metrics["self_penetration_mm"] < 10.0


def test_orientation_errors_name_the_worst_body(validator: Validator, walk_clip: Clip) -> None:
    target = Rotation.from_euler("zyx", [[40, 20, 10], [0, 0, 0]], degrees=True)
    rotated = target * Rotation.from_rotvec([[0, 0.3, 0], [0, 0, 0.1]])
    reached = rotated.as_quat(scalar_first=True)
    result = orientation_error(target.as_matrix()[None], reached[None])
    np.testing.assert_allclose(result, [[0.3, 0.1]], atol=1e-9)
    assert 1.0 < walk_clip.metrics["orientation_error_deg"] < 12.0
    assert walk_clip.metrics["worst_orientation"] in walk_clip.landmark_names
    worse = replace(walk_clip, metrics={**walk_clip.metrics, "orientation_error_p95_deg": 40.0})
    reason = reasons(validator.validate(worse))["orientation_error_p95_deg"]
    assert (reason["limit"], reason["at"]) == (25.0, walk_clip.metrics["worst_orientation"])


def test_ground_reaction_of_walking_is_that_of_people(validator: Validator, walk_clip: Clip) -> None:
    """One foot carries two peaks of 0.9 to 1.4 body weights around a trough; stance is 58 to 67 % of the stride."""
    ground = validator.check(walk_clip).ground
    weight = validator.body.model.body_mass.sum() * GRAVITY
    left = walk_clip.contact[:, :2].any(axis=1).astype(int)
    strikes = np.flatnonzero(np.diff(left) == 1) + 1
    start, stop = strikes[-2], strikes[-1]
    stance = float(left[start:stop].mean())
    assert 0.58 < stance < 0.67  # a frame of 0.01 s is 1 % of the stride
    vertical_force = ground.force[start : start + round(stance * (stop - start)), 0, 2] / weight
    third = len(vertical_force) // 3
    first, last = vertical_force[:third].max(), vertical_force[2 * third :].max()
    trough = vertical_force[third : 2 * third].min()
    assert 0.9 < first < 1.4
    assert 0.9 < last < 1.4
    assert trough < min(first, last) - 0.1


def test_in_double_support_the_front_foot_brakes_and_the_rear_one_pushes(validator: Validator, walk_clip: Clip) -> None:
    """The motion does not determine it; the model transfers the load smoothly, with both forces towards the body."""
    ground = validator.check(walk_clip).ground
    assert ground is not None
    weight = validator.body.model.body_mass.sum() * GRAVITY
    assert walk_clip.bearing is not None
    left, right = (walk_clip.bearing[:, foot] > 0 for foot in (0, 1))
    (start, stop), *_ = [run for run in runs(left & right) if run[0] > 60]
    forward_force, load = ground.force[start:stop, :, 0] / weight, ground.force[start:stop, :, 2] / weight
    front = 0 if not left[start - 1] else 1
    assert forward_force[:, front].mean() < -0.03 < 0.03 < forward_force[:, 1 - front].mean()
    assert load[0, front] < 0.4 < 0.8 < load[-1, front]
    assert np.abs(np.diff(load, axis=0)).max() < 0.25


def test_muscles_of_walking_are_active_when_those_of_people_are(validator: Validator, walk_clip: Clip) -> None:
    """Intervals of largest activity; benchmarks/emg_literature.py has the sources."""
    body, optimization = validator.body, validator.check(walk_clip, muscles=True).optimization
    assert optimization is not None
    names = [body.model.actuator(k).name for k in range(body.model.nu)]
    strikes = [start for start, _ in runs(walk_clip.contact[:, :2].max(axis=1) > 0) if start > 20]
    phase = np.linspace(0.0, 1.0, 101)

    def activation_over_stride(*muscles: str) -> np.ndarray:
        mean = optimization.activation[:, [names.index(f"{muscle}_l") for muscle in muscles]].mean(axis=1)
        return np.interp(phase, np.linspace(0.0, 1.0, strikes[1] - strikes[0] + 1), mean[strikes[0] : strikes[1] + 1])

    soleus, gastrocnemius = activation_over_stride("soleus"), activation_over_stride("gasmed", "gaslat")
    assert 30 <= soleus.argmax() <= 60
    assert 30 <= gastrocnemius.argmax() <= 60
    assert soleus[65:].max() < 0.05  # silent in swing
    assert activation_over_stride("vaslat", "vasmed", "vasint").argmax() <= 25
    tibialis = activation_over_stride("tibant")
    assert tibialis[60:85].mean() > 0.05 < tibialis[:5].mean()
    assert tibialis[45:57].max() < 0.1  # silent at push-off, until pre-swing (57 % in Perry & Burnfield 2010)


def test_a_limb_below_the_floor_is_found(validator: Validator, walk_clip: Clip) -> None:
    body = validator.body
    qpos = set_joints(body, walk_clip, slice(150, 200), ankle_angle_r=-0.8, knee_angle_r=0.0, hip_flexion_r=0.0)
    result = reasons(validator.validate(with_configurations(body, walk_clip, qpos)))
    assert result["floor_penetration_mm"]["at"] in ("toes_r", "calcn_r")
    (start, stop), *_ = result["floor_penetration_mm"]["frames"]
    assert 130 < start < stop < 220


def test_a_hand_in_the_trunk_is_found(validator: Validator, walk_clip: Clip) -> None:
    body = validator.body
    qpos = set_joints(
        body, walk_clip, slice(150, 200), shoulder_elv_r=0.5, elv_angle_r=-0.5, shoulder_rot_r=1.0, elbow_flex_r=2.2
    )
    result = reasons(validator.validate(with_configurations(body, walk_clip, qpos)))
    assert "thorax" in result["self_penetration_mm"]["at"] or "torso" in result["self_penetration_mm"]["at"]
    assert result["self_penetration_mm"]["frames"]


def test_a_swapped_knee_coupling_is_found(validator: Validator, walk_clip: Clip) -> None:
    body, qpos = validator.body, walk_clip.qpos.copy()
    right, left = (body.model.joint(f"knee_angle_translation1_{side}").qposadr[0] for side in "rl")
    qpos[:, [right, left]] = qpos[:, [left, right]]
    result = reasons(validator.validate(with_configurations(body, walk_clip, qpos)))
    assert result["coupling_residual_rad"]["value"] > 1e-3


def test_a_frozen_frame_is_found(validator: Validator, walk_clip: Clip) -> None:
    qpos = walk_clip.qpos.copy()
    qpos[200] = qpos[199]
    result = reasons(validator.validate(with_configurations(validator.body, walk_clip, qpos)))
    assert result["frozen_fraction"]["frames"] == [[200, 201]]


def test_a_jump_of_the_root_is_found(validator: Validator, walk_clip: Clip) -> None:
    qpos = walk_clip.qpos.copy()
    qpos[200:, 0] += 0.2
    checked = validator.validate(with_configurations(validator.body, walk_clip, qpos))
    assert checked.verdict == "infeasible"
    assert reasons(checked)["root_speed_max_m_s"]["frames"] == [[200, 201]]


def test_a_wrong_frame_rate_is_found(validator: Validator, walk_clip: Clip) -> None:
    """By velocities that contradict it or, if they are consistent with it, by forces that the ground cannot supply."""
    label = validator.validate(replace(walk_clip, fps=200.0))
    assert label.verdict == "infeasible"
    assert "velocity_mismatch" in reasons(label)
    consistent = validator.validate(replace(walk_clip, fps=200.0, qvel=walk_clip.qvel * 2.0))
    assert consistent.verdict != "feasible"
    assert RESIDUALS & set(reasons(consistent))


def test_a_tendon_that_flips_around_its_bone_is_found(validator: Validator, walk_clip: Clip) -> None:
    """A shoulder rotated for single frames puts a tendon on the other side of its bone: its length jumps twice."""
    body, qpos = validator.body, walk_clip.qpos.astype(np.float64).copy()
    q = body.reduced.reduce(qpos)
    q[[150, 200, 264], 7 + body.reduced.index("shoulder_rot_l")] += 0.9
    result = reasons(validator.validate(with_configurations(body, walk_clip, body.reduced.expand(q))))
    assert result["tendon_jump_fraction"]["frames"] == [[150, 152], [200, 202], [264, 266]]
    assert result["tendon_jump_fraction"]["at"].endswith("_left")
    assert "tendon_step_max" not in result  # one fault, one reason


def test_a_joint_at_its_limit_is_found(validator: Validator, walk_clip: Clip) -> None:
    """An elbow that is fully bent most of the time; the wrists are counted apart."""
    body = validator.body
    upper = float(body.model.joint("elbow_flex_r").range[1])
    qpos = set_joints(body, walk_clip, slice(0, 390), elbow_flex_r=upper, shoulder_elv_r=0.6)
    checked = validator.validate(with_configurations(body, walk_clip, qpos))
    reason = reasons(checked)["limit_time_fraction"]
    assert (reason["at"], reason["value"]) == ("elbow_flex_r", pytest.approx(0.95, abs=0.04))
    assert len(reason["frames"]) == 1
    assert checked.metrics["wrist_limit_time_fraction"] < 0.5


def test_landmarks_of_other_configurations_are_found(validator: Validator, walk_clip: Clip) -> None:
    checked = validator.validate(replace(walk_clip, landmark_pos=np.roll(walk_clip.landmark_pos, 10, axis=0)))
    assert "stored_landmark_error_mm" in reasons(checked)


def test_chunks_do_not_change_the_metrics(body: TargetBody, walk_clip: Clip) -> None:
    expected = Validator(body, ValidationConfig()).check(walk_clip).metrics
    result = Validator(body, ValidationConfig(chunk_size=50)).check(walk_clip).metrics
    assert result == pytest.approx(expected, rel=1e-4, abs=1e-4)


def test_activations_are_stored_with_the_clip(validator: Validator, walk_clip: Clip) -> None:
    """The calf is active in late stance and the vasti in early stance, as plotted in docs/validation.md."""
    body, model = validator.body, validator.body.model
    checked = validator.validate(walk_clip, muscles=True)
    assert checked.activation is not None
    assert checked.activation_residual is not None
    assert checked.activation.shape == (walk_clip.nframe, model.nu)
    assert checked.activation_residual.shape == (walk_clip.nframe, body.reduced.njoint)
    right = walk_clip.contact[:, 2:].any(axis=1).astype(int)
    strikes = np.flatnonzero(np.diff(right) == 1) + 1
    start, stop = strikes[-2], strikes[-1]
    activation = checked.activation

    def mean_activation(name: str, a: float, b: float) -> float:
        frames = slice(round(start + a * (stop - start)), round(start + b * (stop - start)))
        return float(activation[frames, model.actuator(name).id].mean())

    assert mean_activation("soleus_r", 0.35, 0.55) > 2 * mean_activation("soleus_r", 0.7, 0.95)
    assert mean_activation("vasint_r", 0.05, 0.25) > mean_activation("vasint_r", 0.3, 0.5)


def test_thresholds_can_be_changed_and_malformed_ones_are_rejected() -> None:
    rules = rules_with(["skate_m_s=0.2:none", "residual_force_p99_bw=0.5:2"])
    changed = {rule.metric: (rule.warn, rule.infeasible) for rule in rules}
    assert changed["skate_m_s"] == (0.2, None)
    assert changed["residual_force_p99_bw"] == (0.5, 2.0)
    assert len(rules) == len(RULES) == len({rule.metric for rule in RULES})
    assert judge({"skate_m_s": 0.15}, rules=rules)[0] == "feasible"
    assert judge({"skate_m_s": 0.15})[0] == "warn"
    for change in ("joint_velocity_ratio=2:4", "joint_step_max_deg=40:80"):
        (rule,) = (rule for rule in rules_with([change]) if rule.metric == "joint_velocity_ratio")
        assert [(m.warn, m.infeasible) for m in rule.measures] == [(2.0, 4.0), (40.0, 80.0)]
    with pytest.raises(SettingsError, match="there are: limit_excess_rad"):
        rules_with(["speed=1:2"])
    with pytest.raises(SettingsError, match="METRIC=WARN:INFEASIBLE"):
        rules_with(["skate_m_s=1"])


FAULTS = {
    "landmark_error_p95_mm": ("landmark_error_max_mm", 5.0),
    "floor_penetration_mm": ("floor_depth_max_mm", 1.0),
    "skate_m_s": ("stance_speed_m_s", 1.0),
    "joint_velocity_ratio": ("joint_step_max_deg", 20.0),
    "tendon_jump_fraction": ("tendon_step_max", 40.0),
    "residual_force_p99_bw": ("residual_force_peak_bw", 2.0),
}
"""By metric: another metric of the same fault, and its value where the first is 1. Others never reject a clip."""


def test_every_metric_is_in_one_rule() -> None:
    metrics = [measure.metric for rule in RULES for measure in rule.measures]
    assert len(metrics) == len(set(metrics))
    paired = {rule.metric: rule.also[0] for rule in RULES if rule.also and rule.infeasible and rule.warn > 0.0}
    assert paired == FAULTS


@pytest.mark.parametrize("metric", FAULTS)
def test_a_fault_with_two_measures_is_one_reason_and_the_worse_verdict(metric: str) -> None:
    """For any two values, the verdict is that of two separate rules."""
    (rule,) = (rule for rule in RULES if rule.metric == metric)
    second_metric, unit = FAULTS[metric]
    assert rule.infeasible is not None
    values = {"feasible": 0.5 * rule.warn, "warn": 1.1 * rule.warn, "infeasible": 1.1 * rule.infeasible}
    for a, first in values.items():
        for b, second in values.items():
            verdict, reasons = judge({metric: first, second_metric: second * unit})
            assert verdict == max(a, b, key=list(values).index)
            named = metric if a == verdict else second_metric
            assert [reason["rule"] for reason in reasons] == ([] if verdict == "feasible" else [named])
            for reason in reasons:
                limit = rule.warn if verdict == "warn" else rule.infeasible
                assert reason["limit"] == limit * (1.0 if a == verdict else unit)
    unchecked = {second_metric: values["warn"] * unit}  # a clip that was not checked lacks the first metric
    assert judge(unchecked)[0] == "warn"


def test_the_longest_intervals_over_a_limit_are_reported() -> None:
    series = np.zeros(100)
    series[[10, 12, 40, 41, 42, 90]] = 1.0
    assert frames_over(series, 0.5) == [[10, 13], [40, 43], [90, 91]]
    assert frames_over(series, 0.5, max_intervals=2) == [[10, 13], [40, 43]]
    assert frames_over(series, 2.0) == []


def test_the_documentation_lists_all_rules() -> None:
    text = (Path(__file__).parents[2] / "docs" / "validation.md").read_text("utf-8")
    for rule in RULES:
        infeasible = "none" if rule.infeasible is None else f"{rule.infeasible:g}"
        assert f"| `{rule.metric}` | {rule.warn:g} | {infeasible} | {rule.source} |" in text


def test_segments_of_a_long_clip_do_not_change_the_results(
    validator: Validator, walk_clip: Clip, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fault at the border of two segments is found once, and the metrics are those of the clip in one segment."""
    qpos = walk_clip.qpos.copy()
    qpos[150:, 0] += 0.2
    clip = with_configurations(validator.body, walk_clip, qpos)
    expected = validator.check(clip)
    monkeypatch.setattr("musclemap.retarget.checks.validator.FRAMES_PER_SEGMENT", 150)
    monkeypatch.setattr("musclemap.retarget.checks.validator.SEGMENT_OVERLAP", 100)
    result = validator.check(clip)
    assert result.details.keys() == expected.details.keys()
    assert result.details["joint_velocity_ratio"] == expected.details["joint_velocity_ratio"]
    assert result.metrics.keys() == expected.metrics.keys()
    for name, value in expected.metrics.items():
        assert result.metrics[name] == pytest.approx(value, rel=0.01, abs=1e-4), name
    for name, series in expected.series.items():
        assert result.series[name].shape == series.shape
    assert validator.validate(clip).verdict == "infeasible"
    assert reasons(validator.validate(clip))["root_speed_max_m_s"]["frames"] == [[150, 151]]
