"""The reasons of a verdict as sentences: what is wrong, by how much, where and when, and what to do about it."""

import re
from collections.abc import Mapping
from typing import Any

_FIT = "Check the source there, or leave these frames out"
_PROGRAM = "Convert the source again, or correct the program that made the clip"
_SPEED = "Check the frame rate and the markers of the source there, or leave these frames out"
_FLOOR = "Check the floor of the source: its height, and whether it is level"
_CONTACT = "Check the contacts of the clip, and the source there"
_FORCE = "Check contacts and frame rate there; leave out frames in which something outside the file bears the body"
_MUSCLE = "Do not interpret the muscles of this joint in these frames"
_REPEATED = "Check the frame rate of the source, and whether its recording dropped frames"

TEXTS: dict[str, tuple[str, str, str]] = {
    "limit_excess_rad": ("{at} is {value} beyond its limit", "rad", _PROGRAM),
    "driven_limit_excess_rad": ("{at} is {value} beyond its limit", "rad", _PROGRAM),
    "coupling_residual_rad": ("a coupled joint is off by {value}", "rad", _PROGRAM),
    "quaternion_error": ("the norm of the root's quaternion is off by {value}", "", _PROGRAM),
    "landmark_error_p95_mm": ("landmarks miss the source by {value} (95th percentile), {at} the most", "mm", _FIT),
    "landmark_error_max_mm": ("{at} misses the source by up to {value}", "mm", _FIT),
    "orientation_error_p95_deg": ("orientations are off by {value} (95th percentile), {at} the most", "degrees", _FIT),
    "stored_landmark_error_mm": ("stored landmarks are {value} from those of qpos", "mm", _PROGRAM),
    "floor_penetration_mm": ("{at} is up to {value} below the floor", "mm", _FLOOR),
    "floor_depth_max_mm": ("a foot is up to {value} below the floor", "mm", _FLOOR),
    "floor_deep_fraction": ("feet are over 5 mm below the floor in {value} of the frames", "%", _FLOOR),
    "floating_p95_mm": ("feet in contact are {value} above the floor (95th percentile)", "mm", _FLOOR),
    "skate_m_s": ("standing feet slide at {value}", "m/s", _CONTACT),
    "stance_speed_m_s": ("standing feet move at {value}", "m/s", _CONTACT),
    "foot_shift_mm": ("holding the feet still moves one by {value}", "mm", _CONTACT),
    "self_penetration_mm": ("{at} overlap by up to {value}", "mm", "Check whether these parts cross in the source"),
    "refit_rejected_moved_mm": ("separating overlapping parts would move {at} by {value}: not done", "mm", _FIT),
    "refit_rejected_step_deg": (
        "separating overlapping parts would turn {at} by {value} more within 10 ms: not done", "degrees", _FIT),
    "joint_velocity_ratio": ("{at} turns {value} as fast as in people", "times", _SPEED),
    "joint_step_max_deg": ("a joint turns by {value} within 10 ms", "degrees", _SPEED),
    "joint_acceleration_ratio": ("{at} accelerates {value} as much as in people", "times", _SPEED),
    "root_speed_max_m_s": ("the pelvis moves at {value}", "m/s", _SPEED),
    "root_jitter_mm": ("the pelvis jitters by {value}", "mm", "Low-pass filter the source, or leave these frames out"),
    "filter_moved_joints_mm": ("filtering the source moves a joint by {value}: a glitch", "mm", _FIT),
    "repeated_source_fraction": ("{value} of the source's frames repeat the last one in movement", "%", _REPEATED),
    "frozen_fraction": ("{value} of the frames repeat the last one in movement", "%", _REPEATED),
    "velocity_mismatch": ("qvel differs from the derivative of qpos by {value}", "%", _PROGRAM),
    "tendon_jump_fraction": ("tendons jump in {value} of the frames, among them that of {at}", "%", _MUSCLE),
    "tendon_step_max": ("{at} changes its length by {value} within 10 ms: its tendon jumps over a bone", "%", _MUSCLE),
    "muscle_range_excess": ("{at} is outside its operating range by {value} that range", "times", _MUSCLE),
    "residual_force_p99_bw": ("{value} of the body weight is unexplained (99th percentile)", "%", _FORCE),
    "residual_force_peak_bw": ("up to {value} of the body weight is unexplained", "%", _FORCE),
    "residual_moment_p99_bw_height": (
        "a moment of {value} of body weight times height is unexplained (99th percentile)", "%", _FORCE),
    "residual_moment_peak_bw_height": (
        "a moment of up to {value} of body weight times height is unexplained", "%", _FORCE),
    "unsupported_s": (
        "unsupported {when}: for {value} the body needs over half its weight, and nothing in the file bears it", "s",
        "Leave these frames out if the body sits on, lies on or holds something that the file does not have"),
    "stance_deviation": (
        "the stance of this walk is {value} of the stride outside the 55 to 70 % of people", "%", _CONTACT),
    "limit_time_fraction": (
        "{at} is at its limit in {value} of the frames", "%", "Do not interpret this joint: the source asks for more"),
    "unmet_torque_nm": ("muscles lack {value} on average, most at {at}", "Nm", _MUSCLE),
    "activation_saturated_fraction": (
        "{value} of the activations are at the maximum[, for the longest in {at}]", "%", _MUSCLE),
    "overflow_fraction": ("{value} of the frames have more contacts than were checked", "%", "Check with --device cpu"),
    "frame_rate_doubt": ("free fall or strides contradict the file's frame rate", "", "State the right one: --fps"),
}  # fmt: skip
"""By metric: the fault, the unit of its value, and what to do. Values with the unit % are stored as fractions.
What is in brackets is left out where no part is named."""


def reason_text(reason: Mapping[str, Any], *, fps: float) -> str:
    """Describe a reason of a clip in two sentences; an empty string for an unknown rule or a malformed reason.

    Args:
        reason: Rule, value, limit, frames and, optionally, at.
        fps: Frame rate of the clip [Hz].
    """
    value, limit = reason.get("value"), reason.get("limit")
    text = TEXTS.get(str(reason.get("rule")))
    if text is None or not isinstance(value, int | float) or not isinstance(limit, int | float):
        return ""
    fault, unit, advice = text
    fault = re.sub(r"\[(.*?)\]", r"\1" if reason.get("at") else "", fault)
    factor = 100.0 if unit == "%" else 1.0
    shown, highest = (f"{factor * x:.3g} {unit}".rstrip() for x in (value, limit))
    when = _when(reason.get("frames"), fps)
    sentence = fault.format(value=shown, at=reason.get("at") or "a part", when=when or "for a time")
    if when and "{when}" not in fault:
        sentence += f", {when}"
    if "{value}" in fault:
        sentence += f" (limit {highest})"
    return f"{sentence[0].upper()}{sentence[1:]}. {advice}."


def _when(frames: Any, fps: float) -> str:
    """The longest interval in seconds and the number of others, or an empty string without frames."""
    valid = isinstance(frames, list | tuple) and all(isinstance(f, list | tuple) and len(f) == 2 for f in frames)
    if not valid or not frames:
        return ""
    start, stop = max(frames, key=lambda run: run[1] - run[0])
    others = len(frames) - 1
    time = f"from {start / fps:.1f} to {stop / fps:.1f} s" if stop - start > 0.1 * fps else f"at {start / fps:.2f} s"
    return time + (f" and at {others} other time{'s' * (others > 1)}" if others else "")
