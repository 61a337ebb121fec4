"""The line about what was done to a motion: every part that is known, and nothing else."""

import numpy as np

from musclemap.cli.output.conversion_report import entry_line
from musclemap.datasets.manifest import ManifestEntry
from musclemap.retarget.summary_line import summary_line

FILTERED = {
    "filter_cutoff_root_hz": 6.2,
    "filter_cutoff_legs_hz": 8.0,
    "filter_cutoff_root_rotation_hz": 5.0,
    "filter_moved_joints_mm": 3.2,
}


def test_all_parts_are_named() -> None:
    metrics = FILTERED | {
        "repeated_source_fraction": 0.5, "treadmill_speed_m_s": 1.2, "treadmill_in_place": 1.0,
        "floor_height_mm": 12.4, "contact_count": 14.0, "refitted": 1.0, "refit_moved_mm": 21.0,
    }  # fmt: skip
    assert summary_line(metrics, body="1.0.6+corrected") == (
        "50 % of the source's frames are repeated and were replaced; filtered at 5 Hz (root rotation) to 8 Hz (legs), "
        "joints moved by up to 3.2 mm; treadmill at 1.20 m/s, the clip stays in place; floor +12 mm; 14 contacts; "
        "refit moved landmarks by up to 21 mm; body 1.0.6+corrected"
    )


def test_axes_and_unit_of_the_file_are_named() -> None:
    assert summary_line({"source_up": "y", "source_unit_m": 0.0254 / 0.45}) == "read with y up, 1 unit as 56.44 mm"
    assert summary_line({"source_up": "\x1b[31m", "source_unit_m": 1.0}) == ""
    assert summary_line({"source_up": "y"}) == summary_line({"source_up": ["y"], "source_unit_m": 1.0}) == ""


def test_one_cutoff_is_named_once() -> None:
    assert summary_line({"filter_cutoff_root_hz": 6.0, "filter_cutoff_arms_hz": 6.0}) == "filtered at 6 Hz"


def test_missing_and_malformed_metrics_are_left_out() -> None:
    assert summary_line({}) == ""
    assert summary_line({"floor_height_mm": "high", "contact_count": None, "foot_shift_mm": np.nan}) == ""
    assert summary_line({"treadmill_speed_m_s": 0.0, "repeated_source_fraction": 0.0, "refitted": 0.0}) == ""
    assert summary_line({"dynamics_moved_mm": 4.25}) == "moved by 4.2 mm so that ground forces explain the motion"


def test_verbose_output_has_the_line() -> None:
    entry = ManifestEntry(source="a.npz", clip="a.h5", status="ok", nframe=100, verdict="feasible", metrics=FILTERED)
    line = entry_line(entry)
    assert line.startswith("ok ")
    assert "100 frames, feasible; filtered at 5 Hz" in line
