"""`mm-track` with constant excitations in place of the search, for kill trials below the working directory."""

from pathlib import Path
from unittest.mock import patch

from musclemap.cli import track
from musclemap.datasets.track_file import StoredTrack
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines.track import jobs
from musclemap.pipelines.track.track_folder import find_track, read_track_list
from musclemap.pipelines.train.dataset import list_clips

from ...support.arm_tracks import constant_track
from ...support.data.arm_dataset import write_dataset
from .kill_clips import run

OUT = Path("out")


def track_arm(seed: int = 1) -> int:
    """Run mm-track with a seed, which makes all tracks of another seed again."""
    with patch.object(jobs, "track_clip", constant_track):
        return run(track.app, OUT, "--seed", seed, "--workers", "1", "-q")


def prepare_tracks() -> int:
    """Write eight clips and track two of them with another seed."""
    clips = arm_clips(8, 0.05)
    write_dataset(OUT, clips[:2])
    status = track_arm(seed=0)
    write_dataset(OUT, clips)
    return status


def track_faults() -> list[str]:
    """Tracks that cannot be read, match no hash of the list, or are lost."""
    lines, faults = read_track_list(OUT), []
    for number, item in enumerate(list_clips(OUT)):
        found = find_track(OUT, item.path, lines)
        if found is None:
            faults += [f"lost: {item.path}"] * (number < 2)
        elif not isinstance(found, StoredTrack):
            faults.append(f"unreadable: {found.message}")
        elif item.path not in lines:
            faults.append(f"not listed: {item.path}")
    return faults
