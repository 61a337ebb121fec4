"""Checks by the worst frames: residuals, times without support, gait, tendon steps, and the sentences of reasons."""

import string

import mujoco
import numpy as np
import pytest

from musclemap.retarget.checks.ground_checks import (
    STANCE_RANGE,
    gait_checks,
    ground_checks,
    residual_checks,
    stature,
    unsupported_check,
)
from musclemap.retarget.checks.inverse_dynamics import GroundReaction
from musclemap.retarget.checks.muscle_checks import tendon_steps
from musclemap.retarget.checks.reason_text import TEXTS, reason_text
from musclemap.retarget.checks.verdict import RULES, judge
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.body import TargetBody

from ..support.sitting import SIT_END, SIT_START, sit_on_chair

NFRAME, FPS, WEIGHT = 1000, 100.0, 800.0
ALL = np.ones(NFRAME, bool)


def ground(force: np.ndarray, residual: np.ndarray, torque: np.ndarray | None = None) -> GroundReaction:
    """Ground reaction with vertical forces and residuals, shape (nframe,) [N], and torques about x [Nm]."""
    zero = np.zeros((NFRAME, 3))
    up = lambda values: zero + np.asarray(values)[:, None] * [0.0, 0.0, 1.0]  # noqa: E731
    torque_w = zero if torque is None else torque[:, None] * [1.0, 0.0, 0.0]
    both = np.stack([0.5 * up(force), 0.5 * up(force)], axis=1)
    return GroundReaction(
        force=both, centre=0.0 * both, required_force=up(force + residual), residual_force=up(residual),
        residual_torque=torque_w, torque=np.zeros((NFRAME, 1)),
    )  # fmt: skip


def test_residuals_are_judged_by_their_worst_frames() -> None:
    """Fifteen bad frames in ten seconds do not show in the mean, but in the peak and the 99th percentile."""
    residual = np.full(NFRAME, 0.01 * WEIGHT)
    residual[500:515] = 0.2 * WEIGHT
    torque = np.where(residual > 0.1 * WEIGHT, 0.03 * WEIGHT * 1.7, 0.0)
    result = residual_checks(ground(WEIGHT - residual, residual, torque), ALL, weight=WEIGHT, height=1.7)
    metrics = {name: measure.value for name, measure in result.items()}
    series = {name: measure.series for name, measure in result.items() if measure.series is not None}
    expected = {"residual_force_p99_bw": 0.2, "residual_force_peak_bw": 0.2}
    expected |= {"residual_moment_p99_bw_height": 0.03, "residual_moment_peak_bw_height": 0.03}
    assert metrics == pytest.approx(expected)
    verdict, reasons = judge(metrics, series=series)
    assert verdict == "warn"
    assert [reason["rule"] for reason in reasons] == ["residual_force_p99_bw", "residual_moment_p99_bw_height"]
    assert all(reason["frames"] == [[500, 515]] for reason in reasons)
    good = residual_checks(ground(np.full(NFRAME, WEIGHT), np.zeros(NFRAME)), ALL, weight=WEIGHT, height=1.7)
    assert judge({name: measure.value for name, measure in good.items()})[0] == "feasible"


def test_one_bad_frame_breaks_the_same_rule_by_its_peak() -> None:
    residual = np.zeros(NFRAME)
    residual[500] = 0.3 * WEIGHT
    result = residual_checks(ground(WEIGHT - residual, residual), ALL, weight=WEIGHT, height=1.7)
    _, reasons = judge({name: measure.value for name, measure in result.items()})
    assert [(reason["rule"], reason["limit"]) for reason in reasons] == [("residual_force_peak_bw", 0.1)]


def test_the_longest_time_without_support_is_found() -> None:
    """Also if the feet are loaded for a frame or two; flight needs no support."""
    missing = np.zeros(NFRAME)
    missing[160:520] = WEIGHT
    missing[300:302] = 0.0
    missing[700:709] = WEIGHT
    result = unsupported_check(ground(WEIGHT - missing, missing), ALL, weight=WEIGHT, fps=FPS)
    assert result.value == pytest.approx(3.6)
    assert result.series is not None
    verdict, reasons = judge({"unsupported_s": result.value}, series={"unsupported_s": result.series})
    assert (verdict, reasons[0]["frames"]) == ("infeasible", [[160, 520]])
    assert reason_text(reasons[0], fps=FPS).startswith("Unsupported from 1.6 to 5.2 s: for 3.6 s ")
    flight = unsupported_check(ground(np.zeros(NFRAME), np.zeros(NFRAME)), ALL, weight=WEIGHT, fps=FPS)
    assert flight.value == 0.0


def test_feet_that_bear_with_a_moment_from_nowhere_do_not_support() -> None:
    torque = np.zeros(NFRAME)
    torque[200:300] = 0.4 * WEIGHT  # the weight acts 0.4 m behind the feet
    result = unsupported_check(ground(np.full(NFRAME, WEIGHT), np.zeros(NFRAME), torque), ALL, weight=WEIGHT, fps=FPS)
    assert result.value == pytest.approx(1.0)


def test_missing_support_is_not_reported_as_residuals_again(body: TargetBody) -> None:
    missing = np.zeros(NFRAME)
    missing[160:520] = 2000.0
    bearing = np.ones((NFRAME, len(body.support_names)), bool)
    result = ground_checks(
        body, ground(2000.0 - missing, missing), bearing=bearing, root_pos=np.zeros((NFRAME, 3)), inner=ALL, fps=FPS
    )
    verdict, reasons = judge({name: measure.value for name, measure in result.items()})
    assert (verdict, [reason["rule"] for reason in reasons]) == ("infeasible", ["unsupported_s"])


def walk(stance: float, speed: float) -> dict[str, float]:
    """Gait metrics of strides of one second with a given stance, at a given speed [m/s]."""
    phase = np.arange(NFRAME) / FPS
    feet = np.stack([(phase % 1.0) < stance, ((phase + 0.5) % 1.0) < stance], axis=1)
    root = np.stack([speed * phase, 0.0 * phase, 0.0 * phase], axis=1)
    return {name: measure.value for name, measure in gait_checks(feet, root, FPS).items()}


def test_stance_and_double_support_of_walking() -> None:
    result = walk(0.62, 1.2)
    assert result["speed_m_s"] == pytest.approx(1.2)
    assert result["stance_fraction"] == pytest.approx(0.62, abs=0.011)
    assert result["double_support_fraction"] == pytest.approx(0.24, abs=0.021)
    assert result["stance_deviation"] == 0.0
    short = walk(0.45, 1.2)
    assert short["stance_deviation"] == pytest.approx(STANCE_RANGE[0] - 0.45, abs=0.011)
    assert [reason["rule"] for reason in judge(short)[1]] == ["stance_deviation"]


@pytest.mark.parametrize("speed", [0.0, 0.3, 3.5])
def test_stance_is_judged_in_walking_only(speed: float) -> None:
    assert set(walk(0.35, speed)) == {"speed_m_s"}


def test_hopping_on_one_foot_is_no_walk() -> None:
    phase = np.arange(NFRAME) / FPS
    feet = np.stack([(phase % 1.0) < 0.4, np.zeros(NFRAME, bool)], axis=1)
    root = np.stack([phase, 0.0 * phase, 0.0 * phase], axis=1)
    assert "stance_deviation" not in gait_checks(feet, root, FPS)


def test_the_height_of_the_body_is_that_of_a_person(body: TargetBody) -> None:
    assert 1.6 < stature(body) < 1.9


def test_the_largest_tendon_step_is_found_and_named(body: TargetBody) -> None:
    """One step of 39 % in 500 frames is a small share of the frames, but breaks the rule for jumps."""
    length = 0.3 + 0.01 * np.sin(np.arange(500) / 30.0)[:, None] * np.ones(body.model.nu)
    muscle = body.model.actuator("SUP").id
    length[200:, muscle] *= 0.61
    steps = tendon_steps(body.model, length, FPS)
    assert (steps.largest_muscle, steps.jump_muscle) == ("SUP", "SUP")
    assert steps.largest.max() == pytest.approx(0.39, abs=0.01)
    np.testing.assert_array_equal(np.flatnonzero(steps.jump), [200])
    metrics = {"tendon_jump_fraction": float(steps.jump.mean()), "tendon_step_max": float(steps.largest.max())}
    assert metrics["tendon_jump_fraction"] < 0.005
    _, reasons = judge(metrics, series={"tendon_step_max": steps.largest}, details={"tendon_step_max": "SUP"})
    (reason,) = reasons
    assert (reason["rule"], reason["at"], reason["frames"]) == ("tendon_step_max", "SUP", [[200, 201]])
    smooth = tendon_steps(body.model, length[:200], FPS)
    assert not smooth.jump.any()
    assert smooth.jump_muscle == ""
    assert smooth.largest.max() < 0.01


@pytest.mark.parametrize(("side", "muscle"), [("r", "SUP"), ("l", "SUP_left")])
def test_the_supinator_does_not_flip_within_the_limits_of_the_fit(body: TargetBody, side: str, muscle: str) -> None:
    """Over the joint's own range it does, at any elbow flexion."""
    model, data = body.model, mujoco.MjData(body.model)
    pronation, elbow = (model.joint(f"{name}_{side}") for name in ("pro_sup", "elbow_flex"))
    for bent in np.linspace(elbow.range[0], elbow.range[1], 4):
        data.qpos[:] = body.reduced.base
        data.qpos[elbow.qposadr[0]] = bent
        angles = np.linspace(pronation.range[0], pronation.range[1], 181)
        length = np.empty(len(angles))
        for k, angle in enumerate(angles):
            data.qpos[pronation.qposadr[0]] = angle
            mujoco.mj_fwdPosition(model, data)
            length[k] = data.actuator_length[model.actuator(muscle).id]
        step = np.abs(np.diff(length)) / length[:-1]
        inside = angles[1:] <= body.reduced.upper[body.reduced.index(f"pro_sup_{side}")]
        assert step[inside].max() < 0.02
        assert step.max() > 0.3


def test_repeated_frames_are_one_fault() -> None:
    verdict, reasons = judge({"repeated_source_fraction": 0.5, "frozen_fraction": 0.03})
    assert (verdict, [reason["rule"] for reason in reasons]) == ("warn", ["repeated_source_fraction"])
    verdict, reasons = judge({"repeated_source_fraction": 0.5, "frozen_fraction": 0.3})
    assert (verdict, [reason["rule"] for reason in reasons]) == ("infeasible", ["frozen_fraction"])
    assert judge({"repeated_source_fraction": 0.0, "frozen_fraction": 0.0})[0] == "feasible"


def test_every_rule_has_a_sentence_with_its_numbers() -> None:
    measures = [measure.metric for rule in RULES for measure in rule.measures]
    assert sorted(measures) == sorted(TEXTS)
    for metric, (fault, unit, _) in TEXTS.items():
        reason = {"rule": metric, "value": 0.123, "limit": 0.1, "frames": [[100, 200], [300, 310]], "at": "PART"}
        text = reason_text(reason, fps=50.0)
        fields = {name for _, name, _, _ in string.Formatter().parse(fault) if name}
        assert fields <= {"value", "at", "when"}
        assert ("PART" in text) == ("at" in fields)
        assert "2.0 to 4.0 s and at 1 other time" in text
        if "value" in fields:
            assert ("12.3 %" if unit == "%" else f"0.123 {unit}".rstrip()) in text
            assert f"(limit {'10 %' if unit == '%' else f'0.1 {unit}'.rstrip()})" in text
        assert not text[0].islower()
        assert text.endswith(".")
        assert reason_text({**reason, "frames": [3, 4]}, fps=50.0)
    assert reason_text({"rule": "other", "value": 1.0, "limit": 0.5}, fps=50.0) == ""
    assert reason_text({"rule": "skate_m_s", "value": None, "limit": 0.5}, fps=50.0) == ""


@pytest.mark.slow
@pytest.mark.parametrize("standing", [0.0, 60.0])
def test_sitting_on_air_is_infeasible_however_long_one_stands(retargeter: Retargeter, standing: float) -> None:
    clip = retargeter.retarget([sit_on_chair(standing=standing)])[0].clip
    assert clip is not None
    assert clip.verdict == "infeasible"
    (reason,) = (reason for reason in clip.reasons if reason["rule"] == "unsupported_s")
    ((start, stop),) = reason["frames"]
    assert start / clip.fps - standing == pytest.approx(SIT_START, abs=0.6)
    assert stop / clip.fps - standing == pytest.approx(SIT_END, abs=0.6)
    assert f"Unsupported from {start / clip.fps:.1f} to {stop / clip.fps:.1f} s" in reason_text(reason, fps=clip.fps)
