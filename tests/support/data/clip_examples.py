"""Manifest entries as a conversion writes them, for tests that damage them."""

from musclemap.datasets.manifest import ManifestEntry


def manifest_entries() -> list[ManifestEntry]:
    """A clip with a warning, a rejected source and a failed one."""
    metrics = {"landmark_error_mm": 8.25, "refitted": False, "worst_landmark": "left_toes", "nan": None}
    reasons = ({"rule": "knee_limit", "value": 2.2, "limit": 2.0, "frames": [[3, 9]], "at": "knee_angle_l"},)
    return [
        ManifestEntry(
            source="cmu/a.npz", clip="cmu/a.h5", source_sha256="0" * 64, clip_sha256="f" * 64, status="ok", nframe=31,
            seconds=0.3, verdict="warn", metrics=metrics, reasons=reasons,
        ),
        ManifestEntry(source="cmu/b.npz", status="rejected", reason="no_frames: the file holds no frames"),
        ManifestEntry(source="cmu/c.npz", status="failed", reason="disk_full: no room", source_sha256="1" * 64),
    ]  # fmt: skip
