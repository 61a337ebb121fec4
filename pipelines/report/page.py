"""Report of a conversion: OUT/report.html, and one file per clip with its curves."""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import musclemap
from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.manifest import VERDICTS, Manifest, ManifestEntry, strict_json
from musclemap.datasets.output_folder import MANIFEST, clip_path, has_lines, read_manifest
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt
from musclemap.retarget.checks.verdict import RULES, Rule
from musclemap.retarget.summary_line import summary_line

from .assembly import assemble, rounded
from .clip_pictures import clip_pictures
from .encoding import encode
from .sections import clip_sections
from .source_rows import STATES, SourceRow, broken_rules, number, plain_reasons, severity, worst_first

PAGE = "report.html"
FOLDER = "report"

MAX_PICTURES = 100
"""Maximum number of clips with pictures, the worst first; without a GPU, each takes about a second."""

DEFAULT_COLUMNS = (
    "landmark_error_mm", "landmark_error_p95_mm", "foot_error_mm", "floor_depth_max_mm", "stance_speed_m_s",
    "joint_step_max_deg", "residual_force_bw",
)  # fmt: skip
"""Metrics that the table shows at first, if present; others can be added on the page."""

MAX_METRICS = 200
"""Maximum number of metrics in the table; a conversion has 60."""

MAX_CELL = 200
"""Maximum length of a text metric in characters."""

_CURVE_FILE = re.compile(r"\d{4,}(-[0-9a-f]{12})?\.js")
"""Names of files with curves: row and hash of the content, so that a page never loads the curves of another page."""


def write_report(
    out: Path, *, pictures: bool = True, rules: Sequence[Rule] = RULES,
    progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Write a report about all sources of a conversion, to be opened in a browser without a server or a network.

    OUT/report.html holds the totals, the distribution of every metric and a row per source. The curves of each clip are
    in a separate file in OUT/report/, which the page loads when the clip is opened. Clips that cannot be read are
    listed as unreadable. The same clips give the same bytes. An earlier page stays intact until the new page replaces
    it; then files without a clip are removed.

    Args:
        out: Output folder of a conversion.
        pictures: Whether to draw a strip of pictures of the `MAX_PICTURES` worst clips.
        rules: Limits shown beside the metrics. The verdicts come from the clips and are not recomputed.
        progress: Called after every source with the number done and the total.

    Returns:
        Path of the page.

    Raises:
        SettingsError: If `out` has no manifest.
        OSError: If the page cannot be written.
    """
    manifest = _read_manifest(out)
    for folder in (out, out / FOLDER):
        remove_leftovers(folder, deep=False)
    drawn = {entry.source for entry in worst_first(manifest.entries, rules=rules)[:MAX_PICTURES]} if pictures else set()
    rows = []
    for index, entry in enumerate(manifest.entries):
        rows.append(_row(out, entry, index=index, pictures=entry.source in drawn, rules=rules))
        if progress is not None:
            progress(index + 1, len(manifest.entries))
    data = _data(out.resolve().name, rows, problems=manifest.problems, pictures=pictures, rules=rules)
    write_atomically(out / PAGE, assemble("template.html", ("charts.js", "details.js", "report.js"), data))
    _remove_stale(out / FOLDER, keep={row.file for row in rows})
    return out / PAGE


def _read_manifest(out: Path) -> Manifest:
    """Read the manifest, including the lines of an unfinished run."""
    if not has_lines(out):
        raise SettingsError(f"no {MANIFEST} in {out}; give the output folder of mm-retarget")
    return read_manifest(out)


def _row(out: Path, entry: ManifestEntry, *, index: int, pictures: bool, rules: Sequence[Rule]) -> SourceRow:
    """Write the curves of a source's clip, if any, and return its row."""
    if entry.status != "ok":
        return SourceRow(entry=entry, state=entry.status, reason=str(entry.reason))
    row_severity = severity(entry.metrics, rules=rules)
    result = attempt(lambda: _read_clip(out, entry))
    if isinstance(result, Failure):
        reason = result.message.replace(f"{out}/", "")
        return SourceRow(
            entry=entry, state="unreadable", reason=reason, broken=broken_rules(entry.metrics), severity=row_severity
        )
    clip, details = result
    if pictures:
        details["pictures"], problem = clip_pictures(clip)
        details["notes"] += [problem] * bool(problem)
    text = strict_json(rounded(details, digits=7))
    name = f"{index:04d}-{hashlib.sha256(text.encode('ascii')).hexdigest()[:12]}.js"
    data = f"musclemapClip({strict_json(name)}, {text});\n"
    write_atomically(out / FOLDER / name, data.encode("ascii"))
    broken = tuple(dict.fromkeys(reason["rule"] for reason in details["reasons"]))
    drawn = bool(details.get("pictures"))
    return SourceRow(entry=entry, state=clip.verdict, broken=broken, severity=row_severity, file=name, pictures=drawn)


def _read_clip(out: Path, entry: ManifestEntry) -> tuple[Clip, dict[str, Any]]:
    """Read the clip of a source, and prepare its details for the page."""
    clip = read_clip(clip_path(out, entry.clip), sha256=entry.clip_sha256)
    return clip, _details(clip, entry)


def _details(clip: Clip, entry: ManifestEntry) -> dict[str, Any]:
    """Details of one clip for the page, as plain values."""
    sections, notes = clip_sections(clip)
    source_fps = "unknown" if clip.source_fps is None else f"{clip.source_fps:g} ({clip.fps_source})"
    facts = {
        "clip": entry.clip, "frames": clip.nframe, "duration [s]": clip.duration, "frames per second": clip.fps,
        "source frames per second": source_fps, "body model": clip.body_model, "subject scale": clip.subject_scale,
        "hands": clip.hands, "model": f"{clip.model} {clip.model_version}", "licence": clip.licence or "unknown",
    }  # fmt: skip
    facts["scaled"] = _scaled(clip)
    if clip.variant:
        facts["variant of the body"] = clip.variant.text
    if clip.force_source:
        used = "used" if clip.measured is not None else "compared with the estimate"
        facts["measured ground forces"] = f"{clip.force_source.rpartition(' ')[0]}, {used}"
    return {
        "facts": list(facts.items()),
        "fps": clip.fps,
        "nframe": clip.nframe,
        "curves": encode(sections, nframe=clip.nframe, fps=clip.fps),
        "metrics": list(clip.metrics.items()),  # as pairs: "__proto__" cannot be a key of a JavaScript object
        "reasons": plain_reasons(clip.reasons, nframe=clip.nframe, fps=clip.fps),
        "notes": [*_changes(clip), *_doubts(clip), *notes, *_refit_notes(clip)],
    }


def _scaled(clip: Clip) -> str:
    """Whether the body or the motion was scaled, in words."""
    if not clip.variant.size:
        return f"the motion, by {clip.subject_scale:.3f}"
    free = clip.metrics.get("motion_scale")
    fits = f"; its steps suggest {free:.3f}" if isinstance(free, float) else ""
    return f"the body, to the subject's size; the motion by 1{fits}"


def _changes(clip: Clip) -> list[str]:
    """What the conversion did to the motion, in one line, if the clip says so."""
    return [summary_line(clip.metrics, body=clip.model_version)] if summary_line(clip.metrics) else []


def _doubts(clip: Clip) -> list[str]:
    """Doubts about the source, and what was done to its axes and units."""
    return [f"source: {warning['text']}" for warning in clip.warnings]


def _refit_notes(clip: Clip) -> list[str]:
    """Describe the second fit of a clip that was refitted against self-collision."""
    metrics = clip.metrics
    if "refitted" not in metrics:
        return []
    if not metrics["refitted"]:
        why = "its refit was refused" if "refit_rejected_moved_mm" in metrics else "without improvement"
        return [f"refitted against self-collision; {why}, this is the first fit"]

    def figure(name: str, digits: int) -> str:
        value = number(metrics.get(name))
        return "?" if value is None else f"{value:.{digits}f}"

    before = metrics.get("refit_verdict_before")
    return [
        f"refitted against self-collision: self-penetration {figure('refit_self_penetration_before_mm', 0)} mm "
        f"before, {figure('self_penetration_mm', 0)} mm now; landmark error "
        f"{figure('refit_landmark_error_before_mm', 1)} mm before, {figure('landmark_error_mm', 1)} mm now; landmarks "
        f"moved by up to {figure('refit_moved_mm', 0)} mm; verdict before: "
        f"{before if before in VERDICTS else 'unknown'}"
    ]


def _remove_stale(folder: Path, *, keep: set[str]) -> None:
    """Remove the files with curves that are not in `keep`, and no other files."""
    for path in sorted(folder.glob("*.js")):
        if _CURVE_FILE.fullmatch(path.name) and path.name not in keep:
            path.unlink()


def _data(
    name: str, rows: Sequence[SourceRow], *, problems: Sequence[str], pictures: bool, rules: Sequence[Rule]
) -> dict[str, Any]:
    """Data that the page shows before a clip is opened."""
    ruled = {measure.metric: (measure, rule.source) for rule in rules for measure in rule.measures}
    present = {key for row in rows for key in row.entry.metrics}
    metrics = ([key for key in ruled if key in present] + sorted(present - set(ruled)))[:MAX_METRICS]
    left_out = [f"{len(metrics)} of {len(present)} metrics are shown"] if len(present) > len(metrics) else []
    clips = [row for row in rows if row.file]
    return {
        "name": name,
        "version": musclemap.__version__,
        "folder": FOLDER,
        "states": STATES,
        "counts": dict(Counter(row.state for row in rows)),
        "frames": sum(number(row.entry.nframe) or 0 for row in clips),
        "seconds": sum(number(row.entry.seconds) or 0 for row in clips),
        "problems": [*problems, *left_out],
        "pictures": {"enabled": pictures, "limit": MAX_PICTURES, "clips": sum(row.pictures for row in rows)},
        "rules": {
            metric: {"warn": measure.warn, "infeasible": measure.infeasible, "source": source}
            for metric, (measure, source) in ruled.items()
        },
        "metrics": metrics,
        "columns": [key for key in DEFAULT_COLUMNS if key in present],
        "rows": [
            [
                row.entry.source, row.state, number(row.entry.nframe), number(row.entry.seconds), row.reason,
                row.broken, row.severity, row.file, [_cell(row.entry.metrics.get(key)) for key in metrics],
            ]
            for row in rows
        ],
    }  # fmt: skip


def _cell(value: Any) -> float | str | None:
    """Convert a metric to a cell of the table: a number, text or None."""
    return number(value) if isinstance(value, int | float) else None if value is None else str(value)[:MAX_CELL]
