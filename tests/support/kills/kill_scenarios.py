"""What each writing command is given in trials of being killed, and what must hold after it.

`prepare` makes what is there before, `command` is the command itself, and `faults` says what is wrong after a kill; all
of them work below the working directory.
"""

from collections.abc import Callable
from dataclasses import dataclass

from .kill_clips import (
    bring_in,
    check,
    clip_faults,
    conversion_faults,
    convert,
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


@dataclass(frozen=True)
class Scenario:
    """One command.

    Attributes:
        prepare: Makes what is there before.
        command: Runs it; gives its exit status.
        faults: What is wrong after a kill.
        status: Exit status of a run that is left alone.
        same: Whether a run that was killed and run again ends with the bytes of one that was left alone.
        serves: Whether `server` must run meanwhile.
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
    "mm-download": Scenario(prepare=lambda: fetch("old"), command=fetch, faults=fetch_faults, serves=True),
    "mm-download (clips)": Scenario(prepare=prepare_import, command=bring_in, faults=conversion_faults),
}
