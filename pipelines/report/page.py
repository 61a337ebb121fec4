"""Report of a conversion: OUT/report.html, and one file per clip with its curves."""

import hashlib
import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import musclemap
from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry, strict_json
from musclemap.datasets.output_folder import JOURNAL, MANIFEST, clip_path, has_lines, read_manifest
from musclemap.errors import SettingsError
from musclemap.failures import Failure, attempt
from musclemap.pipelines.track.track_folder import read_track_list
from musclemap.retarget.checks.verdict import RULES, Rule

from .assembly import SCRIPTS, assemble, rounded
from .clip_details import clip_details
from .clip_pictures import clip_pictures
from .findings.badges import badge_table, badges
from .findings.headline import cause_text, headline
from .findings.metric_texts import GROUPS, METRICS
from .findings.shortfall import LACK_NM, LACK_SECONDS, find_shortfall
from .source_rows import STATES, SourceRow, broken_rules, number, severity, worst_first
from .stick_figure import figure_of, thumbnail

PAGE = "report.html"
FOLDER = "report"

MAX_PICTURES = 100
"""Maximum number of clips with pictures, the worst first; without a GPU, each takes about a second."""

DEFAULT_COLUMNS = (
    "landmark_error_p95_mm", "skate_m_s", "floor_penetration_mm", "self_penetration_mm", "residual_force_p99_bw",
    "residual_moment_p99_bw_height", "unmet_torque_nm",
)  # fmt: skip
"""Metrics that the table shows at first, if present; others can be added on the page."""

MEANING = (
    "A clip can be followed if its verdict is not infeasible and, where muscles were checked, no joint lacks more than "
    f"{LACK_NM:g} Nm for {LACK_SECONDS:g} s or longer. The verdict itself judges the mean lack of torque over the clip."
)
"""What the headline counts."""

MAX_METRICS = 200
"""Maximum number of metrics in the table; a conversion has 60."""

MAX_CELL = 200
"""Maximum length of a text metric in characters."""

_CURVE_FILE = re.compile(r"\d{4,}(-[0-9a-f]{12})?\.js")
"""Names of files with curves: row and hash of the content, so that a page never loads the curves of another page."""


def write_report(
    out: Path, *, pictures: bool = True, rules: Sequence[Rule] = RULES, command: str = "",
    progress: Callable[[int, int], None] | None = None,
) -> Path:  # fmt: skip
    """Write a report about all sources of a conversion, to be opened in a browser without a server or a network.

    OUT/report.html holds a headline, the totals, a row per source and the distribution of every metric. The curves of
    each clip are in a separate file in OUT/report/, which the page loads when the clip is opened. Clips that cannot be
    read are listed as unreadable. The same manifest, clips and command give the same bytes: the page's date is that of
    the manifest. An earlier page stays intact until the new page replaces it; then files without a clip are removed.

    Args:
        out: Output folder of a conversion.
        pictures: Whether to draw a strip of pictures of the `MAX_PICTURES` worst clips.
        rules: Limits shown beside the metrics. The verdicts come from the clips and are not recomputed.
        command: Command line that wrote the page, shown in its footer; "" if there is none.
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
    tracks = attempt(lambda: read_track_list(out))
    problems = [*manifest.problems, *([f"tracks: {tracks.message}"] if isinstance(tracks, Failure) else [])]
    rows = []
    for index, entry in enumerate(manifest.entries):
        row = _row(out, entry, index=index, pictures=entry.source in drawn, rules=rules)
        lines = [] if isinstance(tracks, Failure) else tracks.get(entry.clip or "", [])
        rows.append(replace(row, badges=tuple(badges(entry, lines[-1] if lines else None))))
        if progress is not None:
            progress(index + 1, len(manifest.entries))
    data = _data(out.resolve().name, rows, problems=problems, pictures=pictures, rules=rules)
    data |= {"date": _date(out), "command": command}
    write_atomically(out / PAGE, assemble("template.html", (*SCRIPTS, "report.js"), data))
    _remove_stale(out / FOLDER, keep={row.file for row in rows})
    return out / PAGE


def _read_manifest(out: Path) -> Manifest:
    """Read the manifest, including the lines of an unfinished run."""
    if not has_lines(out):
        raise SettingsError(f"no {MANIFEST} in {out}; give the output folder of mm-retarget")
    return read_manifest(out)


def _date(out: Path) -> str:
    """Time of the manifest in UTC, or "" if it has just gone."""
    times = [attempt(lambda name=name: (out / name).stat().st_mtime) for name in (MANIFEST, JOURNAL)]
    known = [time for time in times if isinstance(time, float)]
    return datetime.fromtimestamp(max(known), UTC).strftime("%Y-%m-%d %H:%M UTC") if known else ""


def _row(out: Path, entry: ManifestEntry, *, index: int, pictures: bool, rules: Sequence[Rule]) -> SourceRow:
    """Write the curves of a source's clip, if any, and return its row."""
    if entry.status != "ok":
        kind = str(entry.code or entry.status).replace("_", " ")
        cause = cause_text(str(entry.reason))
        return SourceRow(entry=entry, state=entry.status, reason=str(entry.reason), cause=cause, kind=kind)
    row_severity = severity(entry.metrics, rules=rules)
    result = attempt(lambda: _read_clip(out, entry))
    if isinstance(result, Failure):
        reason = result.message.replace(f"{out}/", "")
        return SourceRow(
            entry=entry, state="unreadable", reason=reason, broken=broken_rules(entry.metrics), severity=row_severity,
            cause=cause_text(reason), kind="unreadable",
        )  # fmt: skip
    clip, details = result
    if pictures:
        details["pictures"], problem = clip_pictures(clip)
        details["notes"] += [problem] * bool(problem)
    text = strict_json(rounded(details, digits=7))
    name = f"{index:04d}-{hashlib.sha256(text.encode('ascii')).hexdigest()[:12]}.js"
    data = f"musclemapClip({strict_json(name)}, {text});\n"
    write_atomically(out / FOLDER / name, data.encode("ascii"))
    cause, kind = _cause(clip, details["reasons"])
    return SourceRow(
        entry=entry, state=clip.verdict, severity=row_severity, file=name, pictures=bool(details.get("pictures")),
        broken=tuple(dict.fromkeys(reason["rule"] for reason in details["reasons"])), cause=cause, kind=kind,
        with_muscles=clip.activation is not None, landmark_names=clip.landmark_names,
        thumbnail=thumbnail(clip.landmark_pos, clip.landmark_names),
        settings=strict_json([clip.config, clip.software]),
    )  # fmt: skip


def _cause(clip: Clip, reasons: Sequence[dict[str, Any]]) -> tuple[str, str]:
    """Why a clip cannot be followed, and the kind of the cause; both "" if it can.

    Muscles that lack torque come first: that is what the motion fails by, whatever else is wrong with it.
    """
    shortfall = find_shortfall(clip)
    if shortfall is not None:
        return shortfall.text, "muscles lack torque"
    if clip.verdict != "infeasible":
        return "", ""
    worst = {measure.metric: measure.infeasible for rule in RULES for measure in rule.measures}
    decisive = [r for r in reasons if (worst.get(r["rule"]) is not None) and r["limit"] == worst[r["rule"]]]
    reason = next(iter([*decisive, *reasons]), None)
    if reason is None:
        return "its verdict is infeasible, without a reason", "no reason given"
    title = METRICS[reason["rule"]].title if reason["rule"] in METRICS else reason["rule"].replace("_", " ")
    return cause_text(reason["text"]) or title, title


def _read_clip(out: Path, entry: ManifestEntry) -> tuple[Clip, dict[str, Any]]:
    """Read the clip of a source, and prepare its details for the page."""
    clip = read_clip(clip_path(out, entry.clip), sha256=entry.clip_sha256)
    return clip, clip_details(clip, entry)


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
    kinds, row_badges = badge_table([row.badges for row in rows])
    figures: dict[tuple[str, ...], int] = {}
    for row in clips:
        figures.setdefault(tuple(row.landmark_names), len(figures))
    settings = Counter(row.settings for row in clips)
    (most, _), *_ = settings.most_common(1) or [("[{}, {}]", 0)]
    return {
        "name": name,
        "version": musclemap.__version__,
        "settings": [*json.loads(most), len(settings)],
        "folder": FOLDER,
        "meaning": MEANING,
        "headline": headline([row.outcome for row in rows]),
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
        "groups": GROUPS,
        "texts": {
            metric: [text.title, text.unit, text.digits, text.factor, text.meaning, text.group]
            for metric, text in METRICS.items()
            if metric in present or metric in ruled
        },
        "metrics": metrics,
        "columns": [key for key in DEFAULT_COLUMNS if key in present],
        "badges": kinds,
        "figures": [figure_of(names) for names in figures],
        "rows": [
            [
                row.entry.source, row.state, number(row.entry.nframe), number(row.entry.seconds), row.reason,
                row.broken, row.severity, row.file, [_cell(row.entry.metrics.get(key)) for key in metrics],
                row.cause, figures.get(tuple(row.landmark_names), -1), row.thumbnail, marks,
            ]
            for row, marks in zip(rows, row_badges, strict=True)
        ],
    }  # fmt: skip


def _cell(value: Any) -> float | str | None:
    """Convert a metric to a cell of the table: a number, text or None."""
    return number(value) if isinstance(value, int | float) else None if value is None else str(value)[:MAX_CELL]
