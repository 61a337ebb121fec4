"""Folders of clips for tests of the report page."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from musclemap.datasets.clip import Clip, write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry
from musclemap.retarget.checks.verdict import RULES


def listed(out: Path, source: str, clip: Clip) -> ManifestEntry:
    """Write a clip and return its manifest entry."""
    name = f"{source}.h5"
    return ManifestEntry(
        source=source, clip=name, clip_sha256=write_clip(out / name, clip), status="ok", nframe=clip.nframe,
        seconds=clip.duration, verdict=clip.verdict, metrics=clip.metrics, warnings=clip.warnings,
    )  # fmt: skip


def lacking(clip: Clip, joint: str, *, torque: float, frames: slice) -> Clip:
    """The clip with muscles that lack a torque [Nm] at one joint in some frames, and nothing at the others."""
    assert clip.activation_residual is not None
    lack = np.zeros_like(clip.activation_residual)
    lack[frames, clip.moment_names.index(joint)] = -torque
    return replace(clip, activation_residual=lack)


def write_folder(out: Path, clips: Sequence[tuple[str, Clip]]) -> Path:
    """Write clips and their manifest."""
    Manifest(entries=tuple(listed(out, source, clip) for source, clip in clips)).write(out / "manifest.jsonl")
    return out


def many_sources(out: Path, clip: Clip, *, count: int = 5000, readable: int = 20) -> Path:
    """A folder of many sources with long names and all metrics, of which only some have a readable clip."""
    rng = np.random.default_rng(0)
    first = listed(out, "one", clip)
    names = [measure.metric for rule in RULES for measure in rule.measures]
    names += [f"some_other_metric_{k}_mm" for k in range(20)]
    entries = []
    for k in range(count):
        metrics = dict(zip(names, rng.lognormal(0, 2, len(names)).tolist(), strict=True)) | {"worst": "ulna_r"}
        source = f"ACCAD/Female1General_c3d/a rather long name of a motion {k} - stageii_poses.npz"
        path = first.clip if k % (count // readable) == 0 else f"{source}.h5"
        entries.append(replace(first, source=source, clip=path, metrics=metrics))
    Manifest(entries=tuple(entries)).write(out / "manifest.jsonl")
    return out
