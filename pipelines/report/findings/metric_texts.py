"""What the metrics of a clip mean: title, unit, decimals, one sentence, and which of the page's groups they are in."""

from dataclasses import dataclass

GROUPS = (
    ("force", "Can muscles and ground supply the forces?"),
    ("ground", "Do feet and body respect the floor and each other?"),
    ("source", "Is it the recorded motion?"),
    ("speed", "Is it as fast as people are?"),
    ("recording", "Is the recording sound?"),
    ("numerical", "Numerical residuals: faults of a program, not of a motion"),
)
"""Groups in order of consequence. The last is folded away on the page."""


@dataclass(frozen=True, kw_only=True)
class MetricText:
    """How a page shows a metric.

    Attributes:
        title: A few words.
        unit: Unit as shown, or "".
        digits: Decimals.
        factor: Factor from the stored value to the unit: 100 for fractions shown as percentages.
        meaning: What it measures.
        group: Key in `GROUPS`.
    """

    title: str
    unit: str
    digits: int
    factor: float
    meaning: str
    group: str


def _table(group: str, *rows: tuple[str, str, str, int, str]) -> dict[str, MetricText]:
    return {
        name: MetricText(
            title=title, unit=unit, digits=digits, factor=100.0 if unit == "%" or unit.startswith("% ") else 1.0,
            meaning=meaning, group=group,
        )
        for name, title, unit, digits, meaning in rows
    }  # fmt: skip


METRICS = {
    **_table(
        "force",
        ("unsupported_s", "unsupported", "s", 2, "longest time in which the body needs support and nothing bears it"),
        ("residual_force_p99_bw", "residual force", "% BW", 1,
         "force that the ground cannot supply, 99th percentile over frames, in body weights"),
        ("residual_force_peak_bw", "residual force, peak", "% BW", 1,
         "force that the ground cannot supply in the worst frame, in body weights"),
        ("residual_moment_p99_bw_height", "residual moment", "% BW·height", 2,
         "moment that the ground cannot supply, 99th percentile, in body weights times height"),
        ("residual_moment_peak_bw_height", "residual moment, peak", "% BW·height", 2,
         "moment that the ground cannot supply in the worst frame, in body weights times height"),
        ("unmet_torque_nm", "torque muscles lack", "Nm", 1,
         "torque that muscles cannot supply at the worst joint of each frame, mean over frames"),
        ("activation_saturated_fraction", "saturated muscles", "%", 2, "share of activations above 0.99"),
        ("tendon_jump_fraction", "tendon jumps", "% of frames", 2, "frames in which a tendon slips over a bone"),
        ("tendon_step_max", "largest tendon step", "%", 1, "largest change of a tendon's length within 10 ms"),
        ("muscle_range_excess", "muscle beyond its range", "× range", 2,
         "length of a muscle outside its operating range, in units of that range"),
        ("activation_mean", "mean activation", "%", 1, "mean of all activations of all frames"),
        ("muscle_saturated_time_fraction", "longest saturation", "% of frames", 1,
         "frames in which the most used muscle is above 0.99"),
        ("ground_force_peak_bw", "peak ground force", "BW", 2, "largest vertical force of the ground"),
        ("residual_force_bw", "residual force, mean", "% BW", 1, "mean force that the ground cannot supply"),
        ("residual_torque_nm", "residual moment, mean", "Nm", 1, "mean moment that the ground cannot supply"),
    ),
    **_table(
        "ground",
        ("floor_penetration_mm", "below the floor", "mm", 1, "depth of the deepest part of the body"),
        ("floor_depth_max_mm", "feet below the floor", "mm", 1, "depth of the deepest part of a foot"),
        ("floor_deep_fraction", "feet deep in the floor", "% of frames", 1, "frames with a foot over 5 mm deep"),
        ("floating_p95_mm", "feet above the floor", "mm", 1,
         "height of feet in contact above the floor, 95th percentile"),
        ("skate_m_s", "foot slide", "m/s", 3, "horizontal speed of feet that stand, mean over their contacts"),
        ("stance_speed_m_s", "foot speed in stance", "m/s", 3, "speed of feet that stand, with its vertical part"),
        ("foot_shift_mm", "feet moved", "mm", 1, "largest displacement that holds a standing foot still"),
        ("self_penetration_mm", "self-collision", "mm", 1, "depth to which parts of the body overlap"),
        ("refit_rejected_moved_mm", "refused refit, move", "mm", 1,
         "displacement by a refit against self-collision that was refused"),
        ("refit_rejected_step_deg", "refused refit, step", "°", 1,
         "increase of the largest joint step by a refit that was refused"),
        ("stance_deviation", "stance outside the usual", "% of stride", 1,
         "stance of a walk beyond the 55 to 70 % of people"),
        ("stance_fraction", "stance", "% of stride", 1, "time of a foot on the ground in walking"),
        ("double_support_fraction", "double support", "% of stride", 1, "time with both feet on the ground in walking"),
    ),
    **_table(
        "source",
        ("landmark_error_p95_mm", "landmark error, p95", "mm", 1,
         "distance of landmarks from the source's, 95th percentile over frames"),
        ("landmark_error_max_mm", "landmark error, largest", "mm", 1,
         "largest distance of a landmark from the source's"),
        ("landmark_error_mm", "landmark error", "mm", 1, "mean distance of landmarks from the source's"),
        ("foot_error_mm", "foot error", "mm", 1, "mean distance of ankles and toes from the source's"),
        ("orientation_error_p95_deg", "orientation error, p95", "°", 1,
         "angle of segments to the source's, 95th percentile"),
        ("orientation_error_deg", "orientation error", "°", 1, "mean angle of segments to the source's"),
        ("filter_moved_joints_mm", "moved by the filter", "mm", 1,
         "largest displacement of a joint by low-pass filtering"),
        ("dynamics_moved_mm", "moved by dynamics", "mm", 1,
         "mean displacement of landmarks until ground forces explain the motion"),
        ("limit_time_fraction", "time at a joint limit", "% of frames", 1,
         "frames in which the most limited joint is at its limit"),
    ),
    **_table(
        "speed",
        ("joint_velocity_ratio", "joint velocity", "× people", 2, "largest rate of a joint over that of people"),
        ("joint_step_max_deg", "largest joint step", "°", 1, "largest turn of a joint within 10 ms"),
        ("joint_acceleration_ratio", "joint acceleration", "× people", 2,
         "largest acceleration of a joint over that of people"),
        ("root_speed_max_m_s", "pelvis speed", "m/s", 2, "largest speed of the pelvis"),
        ("root_jitter_mm", "pelvis jitter", "mm", 2, "movement of the pelvis above 12 Hz"),
        ("speed_m_s", "mean speed", "m/s", 2, "mean horizontal speed of the pelvis"),
    ),
    **_table(
        "recording",
        ("frame_rate_doubt", "frame rate in doubt", "", 0, "1 if free fall or strides contradict the frame rate"),
        ("repeated_source_fraction", "repeated frames", "% of frames", 1,
         "frames of the source that repeat the last one"),
        ("frozen_fraction", "repeated frames in the clip", "% of frames", 1, "frames that repeat the last in movement"),
        ("treadmill_speed_m_s", "treadmill", "m/s", 2, "speed of the treadmill that the motion was recorded on"),
        ("scale", "subject scale", "", 3, "size of the subject relative to the mean body"),
    ),
    **_table(
        "numerical",
        ("limit_excess_rad", "beyond a joint limit", "rad", 5, "largest excess of an independent joint"),
        ("driven_limit_excess_rad", "driven joint beyond its limit", "rad", 5, "largest excess of a coupled joint"),
        ("coupling_residual_rad", "coupling error", "rad", 6, "largest error of a coupled joint"),
        ("quaternion_error", "quaternion error", "", 7, "largest error of the root quaternion's norm"),
        ("stored_landmark_error_mm", "stored landmarks", "mm", 2, "distance of stored landmarks from those of qpos"),
        ("velocity_mismatch", "qvel against qpos", "%", 3, "difference of qvel from the derivative of qpos"),
        ("overflow_fraction", "contact overflow", "% of frames", 2, "frames with more contacts than were checked"),
    ),
}
"""By name of the metric. The page makes the titles of other metrics from their names."""
