"""Draws the pictures of the pages that show the program itself, from the built-in walk: `make images`.

python -m tests.support.doc_images                       docs/images/walk.png, walk_policy.webp and viewer.png
python -m tests.support.doc_images --clips out/clips     also report.png, of the clips of `make demo`
"""

import argparse
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import imageio_ffmpeg

from .devtools import Browser, browsing, until

IMAGES = Path(__file__).parents[2] / "docs" / "images"

WEBGL = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader")
"""Flags of Chromium for WebGL without a GPU."""

FRAME = 318
"""Frame of the walk in the viewer: the left foot pushes off."""

STRIDE = (0.467, 1.133)
"""Beginning and duration of a stride of the policy that walks [s]."""

PAUSE = """[...document.querySelectorAll("button")].find((one) => one.textContent.trim() === "Pause").click()"""

CLOSE_NOTICE = """document.querySelector(".mantine-Notification-closeButton")?.click()"""
"""Closes viser's notice that a GPU is missing."""

SET_FRAME = """(value) => {
  const field = [...document.querySelectorAll("input")].filter((one) => /^\\d+$/.test(one.value)).at(-1);
  Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, "value").set.call(field, String(value));
  field.dispatchEvent(new Event("input", { bubbles: true }));
  field.dispatchEvent(new Event("change", { bubbles: true }));
}"""


def command(*words: str) -> list[str]:
    """Command line of `musclemap`."""
    return [sys.executable, "-m", "musclemap.cli.main", *words]


@contextmanager
def viewing(*words: str) -> Iterator[str]:
    """Run `musclemap view`; yields the address of its page."""
    process = subprocess.Popen(
        command("view", *words, "--port", "0", "--no-open"), stdout=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # background processes ignore it
    )  # fmt: skip
    assert process.stdout is not None
    try:
        yield re.findall(r" at (http://\S+) ", process.stdout.readline())[0]
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(timeout=60)


def opened(browser: Browser, address: str) -> None:
    """Open the viewer's page, and stop the motion at `FRAME`."""
    browser.open(address)
    until(lambda: browser.evaluate("/of \\d+\\.\\d+ s/.test(document.body.innerText)"), seconds=300.0)
    browser.evaluate(PAUSE)
    browser.evaluate(CLOSE_NOTICE)
    still_drawn(browser)  # or a frame that is still on its way overwrites the field
    browser.evaluate(f"({SET_FRAME})({FRAME})")
    still_drawn(browser)


def still_drawn(browser: Browser) -> None:
    """Wait until two pictures are the same."""
    last = b""

    def still() -> bool:
        nonlocal last
        before, last = last, browser.picture()
        return before == last

    until(still, seconds=300.0)


def film_policy(walk: Path) -> None:
    """Film a stride of the policy beside its reference, small enough for the first page."""
    film, (begin, duration) = walk / "policy.mp4", STRIDE
    words = ("eval", str(walk), "--dataset", str(walk), "--video", str(film), "--video-seconds", "2", "-q")
    subprocess.run(command(*words), check=True)
    cut = ("-ss", str(begin), "-t", str(duration), "-i", str(film), "-vf", "fps=15,scale=720:-1")
    form = ("-c:v", "libwebp_anim", "-quality", "60", "-loop", "0")
    ffmpeg = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y"]
    subprocess.run([*ffmpeg, *cut, *form, str(IMAGES / "walk_policy.webp")], check=True)


def main() -> None:
    """Draw the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=Path, help="clips of `make demo`, for the picture of the report")
    clips: Path | None = parser.parse_args().clips
    with TemporaryDirectory() as name:
        walk, profile = Path(name, "walk"), Path(name, "profile")
        subprocess.run(command("download", "builtin-walk", str(walk), "-q"), check=True)
        strip = IMAGES / "walk.png"
        subprocess.run(command("view", str(walk), "--targets", "-o", str(strip)), check=True)
        film_policy(walk)
        with browsing(Browser(profile, flags=WEBGL)) as browser:
            browser.resize(1100, 760)
            with viewing(str(walk)) as address:
                opened(browser, address)
                browser.picture(IMAGES / "viewer.png")
            if clips is not None:
                browser.resize(1240, 900)
                subprocess.run(command("report", str(clips)), check=True)
                browser.open((clips / "report.html").resolve().as_uri())
                browser.picture(IMAGES / "report.png")


if __name__ == "__main__":
    main()
