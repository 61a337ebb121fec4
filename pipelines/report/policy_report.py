"""Report about a policy: its tracking of every clip, with curves, and its training. One HTML file, no network."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import musclemap
from musclemap.datasets.atomic_file import write_atomically
from musclemap.failures import Failure, attempt
from musclemap.imitation.eval.evaluation import LANDMARK_LIMIT, ROOT_LIMIT
from musclemap.imitation.policy.policy_file import POLICY
from musclemap.pipelines.train.evaluation import GROUPS, EvaluatedClip, PolicyEvaluation, worst_first

from .assembly import assemble
from .policy_curves import clip_curves, learning_curves
from .source_rows import number

MAX_CURVES = 30
"""Maximum number of clips with curves, the worst first; each takes up to 125 kB."""

COLUMNS = (
    ("coverage", "covered", 1, 100.0),
    ("normalised_return", "return", 3, 1.0),
    ("root_position_error", "root [mm]", 1, 1e3),
    ("root_position_rms_axis", "root, RMS of an axis [mm]", 1, 1e3),
    ("relative_landmark_error", "landmarks from root [mm]", 1, 1e3),
    ("absolute_landmark_error", "landmarks in world [mm]", 1, 1e3),
    ("joint_angle_error", "joints [rad]", 3, 1.0),
    ("joint_angle_error_deg", "joints [°]", 2, 1.0),
    ("joint_velocity_error", "joints [rad/s]", 3, 1.0),
    ("activation", "activation", 3, 1.0),
    ("effort", "effort", 4, 1.0),
    ("contact_agreement", "contacts agree", 1, 100.0),
    ("root_position_error_to_end", "root to the end [mm]", 1, 1e3),
    ("joint_angle_error_deg_to_end", "joints to the end [°]", 2, 1.0),
)
"""Metric, heading, digits after the point, and factor; a factor of 100 marks percentages."""

WORDS = {"all": "all", "held_out": "held out", "training": "training", "unknown": "unknown"}

PROTOCOL = (
    "Each clip is tracked once from its first frame, without noise. It fails when the mean landmark error relative to "
    f"the root exceeds {LANDMARK_LIMIT:g} m or the root error exceeds {ROOT_LIMIT:g} m. Errors are means over the "
    "frames before the failure; errors “to the end” are means over all simulated frames. Return: published reward "
    "relative to the maximum of the whole clip, zero after a failure. Effort: mean square of the excitations."
)


def write_policy_report(path: Path, result: PolicyEvaluation, *, run: Path | None = None) -> Path:
    """Write the report as one HTML file.

    Args:
        path: File to write.
        result: PolicyEvaluation of the policy; recorded clips get curves.
        run: Folder of the policy's training run, for the training curves.

    Returns:
        `path`.

    Raises:
        OSError: If the page cannot be written.
    """
    learning = attempt(lambda: None if run is None else learning_curves(run))
    data = _data(result, None if isinstance(learning, Failure) else learning)
    if isinstance(learning, Failure):
        data["problems"].append(f"training curves are not shown: {learning.message}")
    write_atomically(path, assemble("policy.html", ("charts.js", "details.js", "policy.js"), data))
    return path


def _data(result: PolicyEvaluation, learning: dict[str, Any] | None) -> dict[str, Any]:
    by_name = {judged.result.score.name: judged for judged in result.clips}
    ordered = [by_name[one.score.name] for one in worst_first([judged.result for judged in result.clips])]
    drawn = [judged for judged in ordered if judged.result.recording is not None][:MAX_CURVES]
    curve_index = {judged.result.score.name: index for index, judged in enumerate(drawn)}
    present = {key for judged in ordered for key in _metrics(judged)}
    columns = [column for column in COLUMNS if column[0] in present and (result.body.free or "root" not in column[0])]
    return {
        "name": result.path.resolve().parent.name if result.path.name == POLICY else result.path.stem,
        "version": musclemap.__version__,
        "protocol": PROTOCOL,
        "curves_note": f"Click a linked name to see its curves; at most the {MAX_CURVES} worst clips have them.",
        "tiles": _tiles(result),
        "facts": list(_facts(result).items()),
        "problems": [f"left out {name}: {reason}" for name, reason in result.left_out.items()],
        "columns": [
            {"title": title, "digits": digits, "percent": scale == 100.0} for _, title, digits, scale in columns
        ],
        "groups": _groups(result, columns),
        "rows": [_row(judged, columns, curve_index.get(judged.result.score.name)) for judged in ordered],
        "curves": [clip_curves(judged.clip, judged.result, result.body) for judged in drawn],
        "learning": learning,
        "rules": {"failure": {"infeasible": 0}},
        "metrics": [],
    }


def _metrics(judged: EvaluatedClip) -> Mapping[str, float]:
    return {"coverage": judged.result.score.coverage, **judged.result.score.metrics}


def _values(metrics: Mapping[str, float], columns: list[tuple[str, str, int, float]]) -> list[float | None]:
    return [metrics[key] * scale if key in metrics else None for key, _, _, scale in columns]


def _row(judged: EvaluatedClip, columns: list[tuple[str, str, int, float]], curves: int | None) -> list[Any]:
    group = next(name for name, trained_on in GROUPS.items() if trained_on is judged.trained_on)
    label = "" if group == "unknown" else WORDS[group]
    score = judged.result.score
    return [score.name, label, score.failure, _values(_metrics(judged), columns), curves]


def _groups(result: PolicyEvaluation, columns: list[tuple[str, str, int, float]]) -> list[dict[str, Any]]:
    rows, totals = [], result.totals
    for name, total in totals.items():
        if name == "all" and len(totals) == 2:
            continue  # the only group equals all
        tracked = f"{total['tracked']} of {total['clips']} ({total['success_rate']:.1%})"
        rows.append({"cells": [WORDS[name], tracked, "clips"], "values": _values(total["mean"], columns)})
        rows.append({"cells": ["", "", "frames"], "values": _values(total["by_frame"], columns)})
    return rows


def _tiles(result: PolicyEvaluation) -> list[dict[str, str]]:
    """Headline numbers: of the held-out clips if there are any, otherwise of all clips."""
    totals = result.totals
    name = "held_out" if "held_out" in totals else "all"
    total, mean = totals[name], totals[name]["mean"]
    suffix = " (held out)" if name == "held_out" and len(totals) > 2 else ""
    kind = "feasible" if total["tracked"] == total["clips"] else "warn"
    tiles = [
        {"text": f"{total['tracked']} of {total['clips']}", "name": f"clips tracked{suffix}", "kind": kind},
        {"text": f"{mean['coverage']:.1%}", "name": "covered", "kind": ""},
        {"text": f"{mean['normalised_return']:.3f}", "name": "normalised return", "kind": ""},
    ]
    for key, unit, name, scale in (
        ("joint_angle_error_deg", "°", "joint angle error", 1.0),
        ("root_position_error", " mm", "root position error", 1e3),
        ("relative_landmark_error", " mm", "landmark error", 1e3),
    ):
        if key in mean and (result.body.free or "root" not in key):
            tiles.append({"text": f"{mean[key] * scale:.1f}{unit}", "name": name, "kind": ""})
    return tiles


def _facts(result: PolicyEvaluation) -> dict[str, str]:
    facts, whole = result.policy.facts, result.totals["all"]
    body, data = facts["body"], facts["dataset"]
    seconds = number(data.get("seconds"))
    training_data = f"{data.get('nclip', 'unknown')} clips" + (f", {seconds:,.0f} s" if seconds is not None else "")
    return {
        "body": f"{body['name']} {body.get('model_version', '')}, {len(body['muscles'])} muscles",
        **({"variant of the body": result.body.target.variant.text} if result.body.target.variant else {}),
        "trained on": training_data,
        "control steps": f"{facts['steps']:,}",
        "algorithm": facts["algorithm"],
        "physics": f"{result.engine}, {result.body.nsubstep} × {1e3 * result.body.model.opt.timestep:g} ms per step",
        "simulated": f"{whole['steps'] / result.body.control_fps:,.1f} s in {result.seconds:,.1f} s",
        "unstable physics": f"{whole['bad_steps']} steps",
        "contact buffer overflow": f"{whole['overflow_steps']} steps",
    }
