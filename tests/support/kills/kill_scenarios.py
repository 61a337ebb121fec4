"""Kill trials for each writing command: what it starts from, and what must hold after a kill.

`prepare` creates the initial state, `command` runs the command, and `faults` checks the state after a kill; all work
below the working directory.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .kill_clips import (
    check,
    clip_faults,
    conversion_faults,
    convert,
    import_clips,
    prepare_clips,
    prepare_conversion,
    prepare_import,
)
from .kill_products import (
    bundle,
    bundle_faults,
    export_clips,
    export_faults,
    fetch,
    fetch_faults,
    prepare_bundle,
    prepare_export,
    prepare_report,
    report,
    report_faults,
)
from .kill_tracks import prepare_tracks, track_arm, track_faults


@dataclass(frozen=True)
class Scenario:
    """Kill trials of one command.

    Attributes:
        prepare: Creates the initial state.
        command: Runs the command; returns its exit status.
        faults: Lists the faults after a kill.
        status: Exit status of an uninterrupted run.
        same: Whether a killed and repeated run ends with the same bytes as an uninterrupted one.
        serves: Whether `server` must run at the same time.
    """

    prepare: Callable[[], int]
    command: Callable[[], int]
    faults: Callable[[], list[str]]
    status: int = 0
    same: bool = True
    serves: bool = False


SCENARIOS = {
    "mm-retarget": Scenario(
        prepare=prepare_conversion, command=lambda: convert("2"), faults=conversion_faults, status=1
    ),
    "mm-validate": Scenario(prepare=prepare_clips, command=check, faults=clip_faults),
    "mm-report": Scenario(prepare=prepare_report, command=report, faults=report_faults),
    "mm-pack": Scenario(prepare=prepare_bundle, command=bundle, faults=bundle_faults),
    "mm-export": Scenario(prepare=prepare_export, command=export_clips, faults=export_faults),
    "mm-track": Scenario(prepare=prepare_tracks, command=track_arm, faults=track_faults),
    "mm-download": Scenario(prepare=lambda: fetch("old"), command=fetch, faults=fetch_faults, serves=True),
    "mm-download (clips)": Scenario(prepare=prepare_import, command=import_clips, faults=conversion_faults),
}
