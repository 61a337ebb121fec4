"""Make the walk that ships with the package: convert the built-in motion, track it, check the replay, film it.

    python benchmarks/walk.py                       into out/walk, with the time of each stage; a minute or two
    python benchmarks/walk.py --out DIR --ship      then replace the package's copy, datasets/builtin_walk

The stages are ordinary commands. A rerun keeps what is up to date. The exit status is 1 if the body does not
reach the end of the walk, or if the replay differs from the track.
"""

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from musclemap.datasets.clip import read_clip
from musclemap.datasets.output_folder import MANIFEST, TRACK_LIST, TRACKS
from musclemap.datasets.synthetic.synthesis import write_archive
from musclemap.datasets.track_file import StoredTrack, read_track, track_path
from musclemap.imitation.tracking.storage import replay_track
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER, first_steps
from musclemap.pipelines.track.replaying import body_of_track

MOTION = "walk_1.2"

COMPARED_STEPS = 100
"""Control steps of the shipped track that are replayed; see `first_steps`."""


def stage(title: str, module: str, *arguments: str | Path) -> None:
    """Run a command of the package; its output is that of the stage.

    Raises:
        SystemExit: If it fails.
    """
    words = [str(argument) for argument in arguments]
    print(f"\n{title}: mm-{module} {' '.join(words)}", flush=True)
    started = time.perf_counter()
    status = subprocess.run([sys.executable, "-m", f"musclemap.cli.{module}", *words], check=False).returncode
    print(f"{title}: {time.perf_counter() - started:.0f} s", flush=True)
    if status:
        sys.exit(f"{title} failed with exit status {status}")


def files(track: StoredTrack) -> Sequence[str]:
    """Paths of the shipped files below an output folder."""
    return (WALK_CLIP, track_path(Path(), track.clip).as_posix(), MANIFEST, f"{TRACKS}/{TRACK_LIST}")


def ship(out: Path, track: StoredTrack, folder: Path = WALK_FOLDER) -> None:
    """Replace the package's copy."""
    size = 0
    for name in files(track):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, folder / name)
        size += (folder / name).stat().st_size
    print(f"{folder}: {size / 1000:.0f} kB")


def compare() -> None:
    """Print how far the first second of the shipped track, replayed here, is from the stored one."""
    track = read_track(track_path(WALK_FOLDER, WALK_CLIP))
    start = first_steps(track, COMPARED_STEPS)
    difference = 1000.0 * replay_track(body_of_track(track), start).difference
    print(f"shipped walk, replayed for {start.nstep / track.fps:g} s: within {difference:.6f} mm (mrad)")


def main() -> None:
    """Run all stages."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("out/walk"), help="folder for clip, track and film")
    parser.add_argument("--ship", action="store_true", help="replace datasets/builtin_walk")
    options = parser.parse_args()
    out: Path = options.out / "clips"
    write_archive(options.out / "source", [MOTION])
    stage("convert", "retarget", "--muscles", "--no-report", options.out / "source", out)
    stage("track", "track", out, MOTION)
    stage("replay", "track", out, MOTION, "--replay")
    stage("film", "track", out, MOTION, "--video", options.out / "walk.mp4")
    clip, track = read_clip(out / WALK_CLIP), read_track(track_path(out, WALK_CLIP))
    if not track.tracked:
        sys.exit(f"the body does not reach the end: {track.failure}")
    print(f"\n{track.clip}: {clip.nframe} frames, {clip.licence}, {track.model} {track.model_sha256[:12]}")
    print("  ".join(f"{name} {value:.4g}" for name, value in track.metrics.items() if isinstance(value, int | float)))
    if options.ship:
        ship(out, track)
    compare()


if __name__ == "__main__":
    main()
