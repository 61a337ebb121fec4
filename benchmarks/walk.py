"""Make the walk that ships with the package: convert the built-in motion, track it, check the replay, film it.

    python benchmarks/walk.py                       into out/walk, with the time of each stage; a minute or two
    python benchmarks/walk.py --out DIR --ship      then replace datasets/builtin_walk and the README's picture

The stages are ordinary commands. A rerun keeps what is up to date. The exit status is 1 if the body does not
reach the end of the walk, or if the replay differs from the track.
"""

import argparse
import shutil
import subprocess
import sys
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
from PIL import Image

from musclemap.datasets.clip import read_clip
from musclemap.datasets.synthetic.synthesis import write_archive
from musclemap.datasets.track_file import read_track, track_path
from musclemap.imitation.tracking.storage import replay_track
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER, first_steps
from musclemap.pipelines.track.replaying import body_of_track

MOTION = "walk_1.2"

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "tracked_walk.png"

SHEET_SECONDS = (1.0, 1.3)
"""Times of the film that the picture shows [s]."""

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


def ship(out: Path, film: Path, folder: Path = WALK_FOLDER) -> None:
    """Replace the package's copy, and the picture in the README."""
    size = 0
    for name in (WALK_CLIP, track_path(Path(), WALK_CLIP).as_posix()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, folder / name)
        size += (folder / name).stat().st_size
    print(f"{folder}: {size / 1000:.0f} kB")
    save_sheet(film, PICTURE)
    print(PICTURE)


def save_sheet(film: Path, picture: Path) -> None:
    """Save pictures of a film side by side, at `SHEET_SECONDS` and half its size."""
    reader = imageio_ffmpeg.read_frames(str(film))
    meta = next(reader)
    (width, height), indices = meta["size"], {round(second * meta["fps"]) for second in SHEET_SECONDS}
    frames = [
        np.frombuffer(frame, np.uint8).reshape(height, width, 3) for k, frame in enumerate(reader) if k in indices
    ]
    image = Image.fromarray(np.concatenate(frames, axis=1)).reduce(2)
    image.save(picture, optimize=True)


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
    parser.add_argument("--ship", action="store_true", help="replace the package's copy")
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
        ship(out, options.out / "walk.mp4")
    compare()


if __name__ == "__main__":
    main()
