"""`mm-download builtin-arm` and `builtin-walk`: write data sets that need no network."""

from pathlib import Path
from typing import TYPE_CHECKING

from musclemap.cli.output.terminal_text import echo, echo_json, echo_lines

if TYPE_CHECKING:
    from musclemap.datasets.downloads.file_filter import FileFilter


def write_builtin(
    name: str, out: Path, filters: "FileFilter", *, dry_run: bool, json: bool, quiet: bool, verbose: bool
) -> int:
    """Write the clips, or only list them; returns the exit status."""
    from musclemap.cli.output.conversion_report import print_failures, print_summary
    from musclemap.cli.output.download_report import clip_listener
    from musclemap.cli.output.progress import ProgressDisplay
    from musclemap.pipelines.builtin_data import select_builtin_clips, write_builtin_clips
    from musclemap.pipelines.builtin_walk import BUILTIN_WALK

    if dry_run:
        paths = select_builtin_clips(name, filters)
        if json:
            echo_json({"clips": list(paths)})
        elif not quiet:
            echo_lines([*paths, "nothing was written"])
        return 0
    with ProgressDisplay(hidden=json or quiet) as display:
        summary = write_builtin_clips(name, out, filters, on_clip=clip_listener(display, verbose=verbose))
    print_failures(summary)
    if json:
        echo_json(summary.to_dict())
    elif not quiet:
        print_summary(summary)
        if name == BUILTIN_WALK and summary.complete:
            echo(f"The policy in it walks by its muscles: mm-eval {out} --dataset {out} --video walk.mp4")
    return 0 if summary.complete else 1
