"""Data sets of the small arm for tests: clips and a manifest, as a conversion writes them."""

from collections.abc import Sequence
from pathlib import Path

from musclemap.datasets.clip import Clip, write_clip
from musclemap.datasets.manifest import Manifest, ManifestEntry


def write_dataset(out: Path, clips: Sequence[tuple[str, Clip]]) -> None:
    """Write clips under their names plus .h5, and the manifest."""
    entries = [
        ManifestEntry(
            source=clip.source, clip=f"{name}.h5", clip_sha256=write_clip(out / f"{name}.h5", clip), status="ok",
            nframe=clip.nframe, seconds=clip.duration, verdict=clip.verdict, metrics=clip.metrics, reasons=clip.reasons,
        )
        for name, clip in clips
    ]  # fmt: skip
    Manifest(entries=tuple(entries)).write(out / "manifest.jsonl")
