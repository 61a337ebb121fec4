"""Report about a policy: its tracking of every clip, with curves, and its training. One HTML file, no network."""

import base64
from collections import Counter
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import musclemap
from musclemap.datasets.atomic_file import write_atomically
from musclemap.failures import Failure, attempt
from musclemap.files import read_bytes
from musclemap.imitation.eval.evaluation import LANDMARK_LIMIT, ROOT_LIMIT, ClipEvaluation
from musclemap.imitation.policy.file_limits import POLICY
from musclemap.pipelines.train.evaluation import GROUPS, EvaluatedClip, PolicyEvaluation, worst_first
from musclemap.pipelines.wording import counted

from .assembly import SCRIPTS, assemble
from .findings.headline import label
from .policy_curves import clip_curves, learning_curves
from .source_rows import number

MAX_CURVES = 30
"""Maximum number of clips with curves, the worst first; each takes up to 125 kB."""

COLUMNS = (
    ("coverage", "covered", 1, 100.0),
    ("untrained_coverage", "covered, untrained", 1, 100.0),
    ("normalised_return", "return", 3, 1.0),
    ("root_position_error", "root [mm]", 1, 1e3),
    ("root_position_rms_axis", "root, RMS of an axis [mm]", 1, 1e3),
    ("relative_landmark_error", "landmarks from root [mm]", 1, 1e3),
    ("absolute_landmark_error", "landmarks in world [mm]", 1, 1e3),
    ("fingertip_error", "fingertips from root [mm]", 1, 1e3),
    ("fingertip_in_hand_error", "fingertips in hand [mm]", 1, 1e3),
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

MEANINGS = {
    "coverage": "share of the clip before the failure",
    "untrained_coverage": "the same for an untrained policy, which keeps every muscle at its resting excitation",
    "normalised_return": "published reward relative to its maximum over the whole clip, zero after a failure",
    "root_position_error": "mean distance of the root",
    "root_position_rms_axis": "root mean square over three axes, as in the published code: smaller by the root of 3",
    "relative_landmark_error": "mean distance of the landmarks, both relative to the root",
    "absolute_landmark_error": "mean distance of the landmarks in the world",
    "joint_angle_error": "mean absolute error of the independent joints",
    "joint_angle_error_deg": "mean absolute error of the independent joints",
    "joint_velocity_error": "mean absolute error of the velocities of the independent joints",
    "activation": "mean activation of all muscles, 0 to 1",
    "effort": "mean square of the excitations",
    "contact_agreement": "share of heels and toes whose floor contact agrees with the clip",
    "root_position_error_to_end": "mean distance of the root over all simulated frames, also those after a failure",
    "joint_angle_error_deg_to_end": "mean error of the joints over all simulated frames, also those after a failure",
}
"""What each column means, for its tooltip."""

CAUSES = {
    "landmarks": f"landmarks over {LANDMARK_LIMIT:g} m off",
    "root": f"root over {ROOT_LIMIT:g} m off",
    "physics": "physics became unstable",
}
"""Failures in words."""

FALLEN = 0.6
"""A body has fallen if its root is below this share of the reference's height; lying is at 0.2 of standing."""

NAMED = 3
"""Number of failed clips that the headline names."""

MAX_FILM = 2**25
"""Largest film that is embedded in the page [B]; larger ones are named."""

WORDS = {"all": "all", "held_out": "held out", "training": "training", "unknown": "unknown"}

PROTOCOL = (
    "Each clip is tracked once from its first frame, without noise. It fails when the mean landmark error relative to "
    f"the root exceeds {LANDMARK_LIMIT:g} m or the root error exceeds {ROOT_LIMIT:g} m. Errors are means over the "
    "frames before the failure; errors “to the end” are means over all simulated frames. Return: published reward "
    "relative to the maximum of the whole clip, zero after a failure. Effort: mean square of the excitations."
)


def write_policy_report(
    path: Path, result: PolicyEvaluation, *, run: Path | None = None, film: Path | None = None, command: str = ""
) -> Path:
    """Write the report as one HTML file.

    Args:
        path: File to write.
        result: PolicyEvaluation of the policy; recorded clips get curves.
        run: Folder of the policy's training run, for the training curves.
        film: MP4 of the policy to embed, or None.
        command: Command line that made the evaluation, shown in the footer; "" if there is none.

    Returns:
        `path`.

    Raises:
        OSError: If the page cannot be written.
    """
    learning = attempt(lambda: None if run is None else learning_curves(run))
    data = _data(result, None if isinstance(learning, Failure) else learning)
    data |= {"film": None, "command": command, "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")}
    if film is not None:
        content = attempt(lambda: read_bytes(film, limit=MAX_FILM))
        if isinstance(content, Failure):
            data["problems"].append(f"the film is not in this page: {content.message}")
        else:
            data["film"] = base64.b64encode(content).decode()
    if isinstance(learning, Failure):
        data["problems"].append(f"training curves are not shown: {learning.message}")
    write_atomically(path, assemble("policy.html", (*SCRIPTS, "policy.js"), data))
    return path


def _data(result: PolicyEvaluation, learning: dict[str, Any] | None) -> dict[str, Any]:
    by_name = {judged.result.score.name: judged for judged in result.clips}
    ordered = [by_name[one.score.name] for one in worst_first([judged.result for judged in result.clips])]
    drawn = [judged for judged in ordered if judged.result.recording is not None][:MAX_CURVES]
    curve_index = {judged.result.score.name: index for index, judged in enumerate(drawn)}
    untrained = {name: score.coverage for name, score in result.untrained.items()}
    present = {key for judged in ordered for key in _metrics(judged, untrained)}
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
            {"title": title, "digits": digits, "percent": scale == 100.0, "meaning": MEANINGS[key]}
            for key, title, digits, scale in columns
        ],
        "headline": _headline(result, ordered),
        "groups": _groups(result, columns, untrained),
        "rows": [
            [
                *_row(judged, columns, untrained, curve_index.get(judged.result.score.name)),
                judged.result.score.covered / result.body.control_fps,
                judged.result.score.steps / result.body.control_fps,
                _ending(result, judged) if judged.result.score.failure else "",
            ]
            for judged in ordered
        ],
        "curves": [clip_curves(judged.clip, judged.result, result.body) for judged in drawn],
        "learning": learning,
        "rules": {"failure": {"infeasible": 0}},
        "metrics": [],
    }


def _headline(result: PolicyEvaluation, ordered: list[EvaluatedClip]) -> dict[str, Any]:
    """How many clips are tracked to their end, when the others fail, and how far an untrained policy gets."""
    failed = [(row, judged) for row, judged in enumerate(ordered) if judged.result.score.failure]
    fps = result.body.control_fps
    total = len(ordered)
    if total == 1:
        name = label(ordered[0].result.score.name)
        lead = f"{name} {_ending(result, ordered[0])}" if failed else f"{name} tracked to its end"
    else:
        lead = f"{total - len(failed):,} of {total:,} clips tracked to their end"
    items: list[list[Any]] = []
    if total > 1 and len(failed) <= NAMED:
        items = [[row, label(judged.result.score.name), _ending(result, judged)] for row, judged in failed]
    elif total > 1:
        causes = Counter(judged.result.score.failure for _, judged in failed)
        items = [[-1, "", f"{CAUSES.get(cause, cause)}: {count:,}"] for cause, count in causes.most_common()]
    if result.untrained:
        times = sorted(score.covered / fps for score in result.untrained.values())
        done = sum(score.success for score in result.untrained.values())
        middle = times[len(times) // 2]
        items.append([-1, "", f"untrained: {done:,} of {len(times):,} to the end, median {middle:.2f} s"])
    tone = "feasible" if not failed else "infeasible" if len(failed) == total else "warn"
    return {"lead": lead, "tone": tone, "items": items}


def _ending(result: PolicyEvaluation, judged: EvaluatedClip) -> str:
    """When and how a clip failed, such as "fell at 0.57 s of 6.0 s"."""
    score, fps = judged.result.score, result.body.control_fps
    verb = "fell" if _fell(judged.result, judged, free=result.body.free) else "lost"
    cause = CAUSES.get(score.failure, score.failure)
    return f"{verb} at {score.covered / fps:.2f} s of {score.steps / fps:.1f} s ({cause})"


def _fell(evaluation: ClipEvaluation, judged: EvaluatedClip, *, free: bool) -> bool:
    """Whether the root sank at or after the failure; False without a recording, or for a body that does not stand."""
    recording = evaluation.recording
    if recording is None or not free:
        return False
    height, start = recording.qpos[:, 2], evaluation.score.covered
    reference = judged.clip.qpos[: len(height), 2]
    return bool((height[start : len(reference)] < FALLEN * reference[start:]).any())


def _metrics(judged: EvaluatedClip, untrained: Mapping[str, float]) -> Mapping[str, float]:
    score = judged.result.score
    baseline = {"untrained_coverage": untrained[score.name]} if score.name in untrained else {}
    return {"coverage": score.coverage, **baseline, **score.metrics}


def _values(metrics: Mapping[str, float], columns: list[tuple[str, str, int, float]]) -> list[float | None]:
    return [metrics[key] * scale if key in metrics else None for key, _, _, scale in columns]


def _row(
    judged: EvaluatedClip, columns: list[tuple[str, str, int, float]], untrained: Mapping[str, float],
    curves: int | None,
) -> list[Any]:  # fmt: skip
    group = next(name for name, trained_on in GROUPS.items() if trained_on is judged.trained_on)
    word = "" if group == "unknown" else WORDS[group]
    score = judged.result.score
    values = _values(_metrics(judged, untrained), columns)
    return [score.name, word, score.failure, values, curves]


def _groups(
    result: PolicyEvaluation, columns: list[tuple[str, str, int, float]], untrained: Mapping[str, float]
) -> list[dict[str, Any]]:
    rows, totals = [], result.totals
    for name, total in totals.items():
        if name == "all" and len(totals) == 2:
            continue  # the only group equals all
        tracked = f"{total['tracked']} of {total['clips']} ({total['success_rate']:.1%})"
        members = [c.result.score.name for c in result.clips if name == "all" or c.trained_on is GROUPS[name]]
        shares = [untrained[member] for member in members if member in untrained]
        mean = {**total["mean"], **({"untrained_coverage": sum(shares) / len(shares)} if shares else {})}
        rows.append({"cells": [WORDS[name], tracked, "clips"], "values": _values(mean, columns)})
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
        ("fingertip_error", " mm", "fingertip error", 1e3),
    ):
        if key in mean and (result.body.free or "root" not in key):
            tiles.append({"text": f"{mean[key] * scale:.1f}{unit}", "name": name, "kind": ""})
    return tiles


def _facts(result: PolicyEvaluation) -> dict[str, str]:
    facts, whole = result.policy.facts, result.totals["all"]
    body, data = facts["body"], facts["dataset"]
    seconds = number(data.get("seconds"))
    nclip = number(data.get("nclip"))
    training_data = counted(int(nclip), "clip") if nclip is not None else "unknown"
    training_data += f", {seconds:,.0f} s" if seconds is not None else ""
    return {
        "body": f"{body['name']} {body.get('model_version', '')}, {len(body['muscles'])} muscles",
        **({"variant of the body": result.body.target.variant.text} if result.body.target.variant else {}),
        "trained on": training_data,
        "control steps": f"{facts['steps']:,}",
        "algorithm": facts["algorithm"],
        "physics": f"{result.engine}, {result.body.nsubstep} × {1e3 * result.body.model.opt.timestep:g} ms per step",
        "simulated": f"{whole['steps'] / result.body.control_fps:,.1f} s in {result.seconds:,.1f} s",
        "unstable physics": counted(whole["bad_steps"], "step"),
        "contact buffer overflow": counted(whole["overflow_steps"], "step"),
    }
