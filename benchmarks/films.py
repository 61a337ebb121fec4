"""Time to draw a picture of a film of the built-in walk: python benchmarks/films.py [--size 640x480] [--count 10]

Prints the processor's time of a picture, of all threads, and pictures per second. Encoding is not included.
"""

import argparse
import time

import numpy as np

from musclemap.pipelines.builtin_walk import read_walk
from musclemap.pipelines.rendering.drawing import drawing_model
from musclemap.pipelines.rendering.gl import find_gl
from musclemap.pipelines.rendering.motion_film import MotionFilm, clip_side


def main() -> None:
    """Draw a film of one body, as of `mm-view`, and one of two, as of `mm-eval --video`."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", default="640x480", help="width and height of a body's picture")
    parser.add_argument("--count", type=int, default=10, help="pictures to draw after the first")
    options = parser.parse_args()
    width, height = map(int, options.size.split("x"))
    clip = read_walk()[0]
    model = drawing_model(clip.model)
    side = clip_side(model, clip)
    print(f"drawn by {find_gl() or 'matplotlib'}, {width}x{height} a body")
    for bodies in (1, 2):
        film = MotionFilm(model, [side] * bodies, size=(width, height), name="walk", camera="three-quarter")
        pictures = film.pictures(np.linspace(0.0, clip.duration, options.count + 1))
        next(pictures)  # starts OpenGL
        wall, processor = time.perf_counter(), time.process_time()
        count = sum(1 for _ in pictures)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        print(f"{bodies} bodies: {processor / count:.3f} s of the processor a picture, {count / wall:.2f} pictures/s")


if __name__ == "__main__":
    main()
