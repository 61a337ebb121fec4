"""What the page shows of one opened clip, as plain values: facts, notes, curves, gait, guidance and an animation."""

from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import VERDICTS, ManifestEntry
from musclemap.retarget.summary_line import summary_line

from .encoding import encode
from .findings.guidance import SOURCE, guidance
from .gait import gait_curves
from .sections import clip_sections, known_body
from .source_rows import number, plain_reasons
from .stick_figure import animation


def clip_details(clip: Clip, entry: ManifestEntry) -> dict[str, Any]:
    """Details of one clip for the page.

    Args:
        clip: The clip.
        entry: Its manifest entry.
    """
    sections, notes = clip_sections(clip)
    body = known_body(clip)
    tracks = [("motion", clip.landmark_pos), ("source", clip.target_pos)]
    return {
        "facts": list(_facts(clip, entry).items()),
        "fps": clip.fps,
        "nframe": clip.nframe,
        "curves": encode(sections, nframe=clip.nframe, fps=clip.fps),
        "gait": _gait(clip),
        "animation": animation(tracks, clip.landmark_names, fps=clip.fps),
        "guidance": {"rows": guidance(clip, body), "source": SOURCE},
        "metrics": list(clip.metrics.items()),  # as pairs: "__proto__" cannot be a key of a JavaScript object
        "reasons": plain_reasons(clip.reasons, nframe=clip.nframe, fps=clip.fps),
        "notes": [*_changes(clip), *_doubts(clip), *notes, *_refit_notes(clip)],
    }


def _facts(clip: Clip, entry: ManifestEntry) -> dict[str, Any]:
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
    return facts


def _scaled(clip: Clip) -> str:
    """Whether the body or the motion was scaled, in words."""
    if not clip.variant.size:
        return f"the motion, by {clip.subject_scale:.3f}"
    free = clip.metrics.get("motion_scale")
    fits = f"; its steps suggest {free:.3f}" if isinstance(free, float) else ""
    return f"the body, to the subject's size; the motion by 1{fits}"


def _gait(clip: Clip) -> dict[str, Any] | None:
    """Mean strides, if there are any."""
    body = known_body(clip)
    if body is None or not body.support_parts:
        return None
    names = [(name, int(k)) for name, k in zip(body.reduced.joint_names, body.reduced.qposadr, strict=True)]
    angles = {name: np.degrees(clip.qpos[:, k].astype(np.float64)) for name, k in names}
    return gait_curves(clip, angles, weight=float(-body.model.opt.gravity[2] * body.mass))


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
