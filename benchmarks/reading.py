"""Time that reading motion files takes, and its share of their conversion.

    python benchmarks/reading.py FILE...

Every file is converted twice: cold, in a new process, which imports, and compiles or reads JAX's cache; and warm, again
in the same process. Warm is what counts in an archive. Times are those of the processor, of all threads, so that other
programs on the machine do not count.
"""

import argparse
import json
import multiprocessing
import tempfile
import time
from pathlib import Path

from tables import table, verdict

SHARE_BAR = 0.10
"""Target: largest share of reading in a conversion."""


def measure(path: Path) -> list[tuple[int, float, float]]:
    """Frames of the source, and seconds of reading and of the whole conversion: cold, then warm."""
    from musclemap.datasets.formats.readers.table import read_motions
    from musclemap.pipelines.archive import convert_archive
    from musclemap.pipelines.device import enable_compilation_cache
    from musclemap.retarget.config import RetargetConfig
    from musclemap.retarget.retargeter import Retargeter

    enable_compilation_cache()
    result, config = [], RetargetConfig()
    retargeter = Retargeter(config)
    for _ in range(2):
        with tempfile.TemporaryDirectory() as out:
            started = time.process_time()
            motions = read_motions(path, name=path.name)
            read = time.process_time() - started
            summary = convert_archive(path, Path(out), config=config, retargeter=retargeter)
            # the conversion reads the file again
            result.append((sum(motion.nframe for motion in motions), read, time.process_time() - started - read))
            if not summary.complete:
                raise SystemExit(f"{path}: {summary.entries[0].reason}")
    return result


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("files", nargs="+", type=Path)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    arguments = parser.parse_args()
    rows, figures, worst = [], {}, 0.0
    for path in arguments.files:
        with multiprocessing.get_context("spawn").Pool(1) as pool:
            runs = pool.apply(measure, (path,))
        figures[path.name] = dict(zip(("cold", "warm"), runs, strict=True))
        for name, (nframe, read, whole) in figures[path.name].items():
            rows.append([path.name, name, f"{nframe}", f"{read:.2f}", f"{whole:.2f}", f"{100 * read / whole:.0f} %"])
        worst = max(worst, runs[1][1] / runs[1][2])
    print(table(["file", "", "frames", "reading [s]", "conversion [s]", "share"], rows))
    result = f"{100 * worst:.0f} %"
    print(verdict("reading, warm", target=f"at most {100 * SHARE_BAR:.0f} %", result=result, met=worst <= SHARE_BAR))
    if arguments.json is not None:
        arguments.json.write_text(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
