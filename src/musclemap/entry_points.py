"""Entry points of all commands. They answer Ctrl-C from the first moment: Typer and a command take 0.2 s to import."""

import importlib
import os
import signal
import sys
from functools import partial
from types import FrameType
from typing import Any

INTERRUPTED = 130
"""Exit status after Ctrl-C, as in shells: 128 + the signal's number."""


def end_at_once(number: int, frame: FrameType | None) -> None:
    """Handler of SIGINT while a command is imported: nothing has been done, so nothing has to be undone."""
    os.write(2, f"{os.path.basename(sys.argv[0])}: interrupted; nothing was written\n".encode())
    os._exit(INTERRUPTED)


def _run(module: str, name: str = "app") -> Any:
    """Import a command and run it. `two_step_interrupts` takes the handler over."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a background job of a shell ignores Ctrl-C
        signal.signal(signal.SIGINT, end_at_once)
    return getattr(importlib.import_module(f"musclemap.cli.{module}"), name)()


download = partial(_run, "download")
evaluate = partial(_run, "eval")
export = partial(_run, "export")
info = partial(_run, "info")
musclemap = partial(_run, "main", "main")
pack = partial(_run, "pack")
report = partial(_run, "report")
reproduce = partial(_run, "reproduce")
retarget = partial(_run, "retarget")
track = partial(_run, "track")
train = partial(_run, "train")
validate = partial(_run, "validate")
view = partial(_run, "view")
