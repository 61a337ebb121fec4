"""The page itself: reads what a conversion left behind and writes OUT/report.html with one file a clip beside it."""

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

from .assembly import assemble, rounded
from .encoding import encode
from .rows import STATES, Row, broken_rules, number, plain_reasons, severity, worst_first
from .sections import clip_sections
from .strip import picture_strip

PAGE = "report.html"
FOLDER = "report"

MAX_PICTURES = 100
"""Clips that get pictures, the worst first: one takes about a second where a processor draws."""

DEFAULT_COLUMNS = (
    "landmark_error_mm", "landmark_error_p95_mm", "foot_error_mm", "floor_depth_max_mm", "stance_speed_m_s",
    "joint_step_max_deg", "residual_force_bw",
)  # fmt: skip
"""Metrics that the table shows at first, those of them that there are; the others can be added on the page."""

MAX_METRICS = 200
"""Metrics that the table can show; a conversion gives 60."""

MAX_CELL = 200
"""Characters of a metric that is a text."""

_OURS = re.compile(r"\d{4,}(-[0-9a-f]{12})?\.js")
"""Names of the files with curves: the row, and the hash of the content, so that a page never meets another's curves."""


def write_report(
    out: Path, *, pictures: bool = True, rules: Sequence[Rule] = RULES,
    progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Write a page about all sources of a conversion, for a browser, without a server or a network.

    OUT/report.html holds the totals, the distribution of every metric and a row for every source; the curves of a clip
    lie in a file of its own under OUT/report/, which the page loads when the clip is opened. Clips that cannot be read
    are listed as such. The same clips give the same bytes. An earlier page and its files stay as they are until the new
    page takes its place; then files that no clip has any more are removed.

    Args:
        out: Output folder of a conversion.
        pictures: Draw a strip of pictures for the `MAX_PICTURES` worst clips.
        rules: Limits shown beside the metrics. The verdicts are those in the clips and are not made anew.
        progress: Called after every source with the number done and the number there is.

    Returns:
        Path of the page.

    Raises:
        SettingsError: There is no manifest in `out`.
        OSError: The page cannot be written.
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
    _remove_others(out / FOLDER, keep={row.file for row in rows})
    return out / PAGE


def _read_manifest(out: Path) -> Manifest:
    """The manifest, with the lines of a run that has not ended."""
    if not has_lines(out):
        raise SettingsError(f"there is no {MANIFEST} in {out}; give the output folder of mm-retarget")
    return read_manifest(out)


def _row(out: Path, entry: ManifestEntry, *, index: int, pictures: bool, rules: Sequence[Rule]) -> Row:
    """Write the curves of one source's clip, if it has one, and give its row."""
    if entry.status != "ok":
        return Row(entry=entry, state=entry.status, reason=str(entry.reason))
    how_bad = severity(entry.metrics, rules=rules)
    result = attempt(lambda: _read(out, entry))
    if isinstance(result, Failure):
        reason = result.message.replace(f"{out}/", "")
        return Row(entry=entry, state="unreadable", reason=reason, broken=broken_rules(entry.metrics), severity=how_bad)
    clip, details = result
    if pictures:
        details["pictures"], problem = picture_strip(clip)
        details["notes"] += [problem] * bool(problem)
    text = strict_json(rounded(details, digits=7))
    name = f"{index:04d}-{hashlib.sha256(text.encode('ascii')).hexdigest()[:12]}.js"
    data = f"musclemapClip({strict_json(name)}, {text});\n"
    write_atomically(out / FOLDER / name, data.encode("ascii"))
    broken = tuple(dict.fromkeys(reason["rule"] for reason in details["reasons"]))
    drawn = bool(details.get("pictures"))
    return Row(entry=entry, state=clip.verdict, broken=broken, severity=how_bad, file=name, pictures=drawn)


def _read(out: Path, entry: ManifestEntry) -> tuple[Clip, dict[str, Any]]:
    """A source's clip, and what the page shows of it."""
    clip = read_clip(clip_path(out, entry.clip), sha256=entry.clip_sha256)
    return clip, _details(clip, entry)


def _details(clip: Clip, entry: ManifestEntry) -> dict[str, Any]:
    """What the page shows of one clip, as plain values."""
    sections, notes = clip_sections(clip)
    source_fps = "unknown" if clip.source_fps is None else f"{clip.source_fps:g} ({clip.fps_source})"
    facts = {
        "clip": entry.clip, "frames": clip.nframe, "duration [s]": clip.duration, "frames a second": clip.fps,
        "source's frames a second": source_fps, "body model": clip.body_model, "subject's scale": clip.subject_scale,
        "hands": clip.hands, "model": f"{clip.model} {clip.model_version}", "licence": clip.licence or "unknown",
    }  # fmt: skip
    return {
        "facts": list(facts.items()),
        "fps": clip.fps,
        "nframe": clip.nframe,
        "curves": encode(sections, nframe=clip.nframe, fps=clip.fps),
        "metrics": list(clip.metrics.items()),  # as pairs: in a program, "__proto__" would be no name of an object
        "reasons": plain_reasons(clip.reasons, nframe=clip.nframe),
        "notes": [*notes, *_repair(clip)],
    }


def _repair(clip: Clip) -> list[str]:
    """A sentence about a clip that was fitted again with its limbs kept apart."""
    message = clip.metrics
    if "refitted" not in message:
        return []
    if not message["refitted"]:
        return ["fitted again with limbs kept apart, which was no better: this is the first fit"]

    def figure(name: str, digits: int) -> str:
        value = number(message.get(name))
        return "?" if value is None else f"{value:.{digits}f}"

    before = message.get("refit_verdict_before")
    return [
        f"fitted again with limbs kept apart: self-penetration {figure('refit_self_penetration_before_mm', 0)} mm "
        f"before, {figure('self_penetration_mm', 0)} now; landmark error "
        f"{figure('refit_landmark_error_before_mm', 1)} mm before, {figure('landmark_error_mm', 1)} now; landmarks "
        f"moved by up to {figure('refit_moved_mm', 0)} mm; before it was "
        f"{before if before in VERDICTS else 'not told'}"
    ]


def _remove_others(folder: Path, *, keep: set[str]) -> None:
    """Remove files of curves that are not in `keep`; nothing else."""
    for path in sorted(folder.glob("*.js")):
        if _OURS.fullmatch(path.name) and path.name not in keep:
            path.unlink()


def _data(
    name: str, rows: Sequence[Row], *, problems: Sequence[str], pictures: bool, rules: Sequence[Rule]
) -> dict[str, Any]:
    """All that the page shows before a clip is opened."""
    ruled = {measure.metric: (measure, rule.source) for rule in rules for measure in rule.measures}
    there = {key for row in rows for key in row.entry.metrics}
    metrics = ([key for key in ruled if key in there] + sorted(there - set(ruled)))[:MAX_METRICS]
    left_out = [f"of {len(there)} metrics {len(metrics)} are shown"] if len(there) > len(metrics) else []
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
        "pictures": {"wanted": pictures, "most": MAX_PICTURES, "clips": sum(row.pictures for row in rows)},
        "rules": {
            metric: {"warn": measure.warn, "infeasible": measure.infeasible, "source": source}
            for metric, (measure, source) in ruled.items()
        },
        "metrics": metrics,
        "columns": [key for key in DEFAULT_COLUMNS if key in there],
        "rows": [
            [
                row.entry.source, row.state, number(row.entry.nframe), number(row.entry.seconds), row.reason,
                row.broken, row.severity, row.file, [_cell(row.entry.metrics.get(key)) for key in metrics],
            ]
            for row in rows
        ],
    }  # fmt: skip


def _cell(value: Any) -> float | str | None:
    """A metric as the table shows it: a number, a text, or nothing."""
    return number(value) if isinstance(value, int | float) else None if value is None else str(value)[:MAX_CELL]
