"""Make the walk that ships with the package: convert the built-in motion, track it, check the replay, film it.

    python benchmarks/walk.py                       into out/walk, with the time of each stage; a minute or two
    python benchmarks/walk.py --out DIR --ship      then replace datasets/builtin_walk and the README's picture
    python benchmarks/walk.py --picture             only draw the README's picture of the walk in the package

The stages are ordinary commands. A rerun keeps what is up to date. The exit status is 1 if the body does not
reach the end of the walk, or if the replay differs from the track.
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from musclemap.datasets.clip import read_clip
from musclemap.datasets.synthetic.synthesis import write_archive
from musclemap.datasets.track_file import read_track, track_path
from musclemap.imitation.tracking.storage import replay_track
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER, first_steps
from musclemap.pipelines.rendering.drawing import drawing_model
from musclemap.pipelines.rendering.film import save_strip
from musclemap.pipelines.rendering.motion_film import MotionFilm, clip_side
from musclemap.pipelines.rendering.policy_film import SIZE
from musclemap.pipelines.track.replaying import body_of_track
from musclemap.pipelines.track.tracked_motions import read_tracked

MOTION = "walk_1.2"

PICTURE = Path(__file__).parents[1] / "docs" / "images" / "tracked_walk.png"

SHEET_SECONDS = (1.0, 1.3)
"""Times that the picture shows [s]."""

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


def ship(out: Path, folder: Path = WALK_FOLDER) -> None:
    """Replace the package's copy, and the picture in the README."""
    size = 0
    for name in (WALK_CLIP, track_path(Path(), WALK_CLIP).as_posix()):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(out / name, folder / name)
        size += (folder / name).stat().st_size
    print(f"{folder}: {size / 1000:.0f} kB")
    save_sheet(folder, PICTURE)


def save_sheet(folder: Path, picture: Path) -> None:
    """Draw the clip and its track side by side at `SHEET_SECONDS`, at half size."""
    model = drawing_model()
    motions = {"reference": read_clip(folder / WALK_CLIP), "tracked": read_tracked(folder, WALK_CLIP)}
    sides = [clip_side(model, clip, title=title) for title, clip in motions.items()]
    film = MotionFilm(
        model, sides, size=SIZE, name=f"{MOTION}, by muscles alone", camera="three-quarter", tiles=len(SHEET_SECONDS)
    )
    with tempfile.TemporaryDirectory() as temporary:
        strip = Path(temporary) / picture.name
        save_strip(strip, film.tiles(np.array(SHEET_SECONDS)), captions=film.captions)
        with Image.open(strip) as image:
            image.reduce(2).save(picture, optimize=True)
    print(picture)


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
    parser.add_argument("--picture", action="store_true", help="only replace the README's picture")
    options = parser.parse_args()
    if options.picture:
        save_sheet(WALK_FOLDER, PICTURE)
        return
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
        ship(out)
    compare()


if __name__ == "__main__":
    main()
