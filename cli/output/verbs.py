"""The verbs of `musclemap VERB`, and texts that name commands as the user types them: `musclemap VERB` or `mm-VERB`."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

VERBS = {
    "download": "Download data sets, or write the built-in ones.",
    "retarget": "Convert motion capture to reference clips.",
    "validate": "Check whether the body can perform clips.",
    "view": "Show clips in the browser, or save images and videos.",
    "report": "Write the HTML report of a folder of clips.",
    "track": "Find the muscle excitations by which the body follows clips.",
    "train": "Train a policy that tracks clips.",
    "eval": "Evaluate a policy.",
    "export": "Write clips and policies for other programs.",
    "pack": "Pack clips into a bundle that can be published.",
    "reproduce": "Run a whole study and compare its numbers.",
    "info": "Print versions, devices, body models and licences.",
}
"""Verbs in the order of their use, each with its line of the help text; `cli/VERB.py` has the command."""

_SHORT = re.compile(rf"(?<![\w/.-])mm-({'|'.join(VERBS)})(?![\w/-]|\.\w)")
"""`mm-VERB` as a word: not a part of a path, a file name or another word."""

_typed_in_full = False


@contextmanager
def spelled_like(program: str) -> Iterator[None]:
    """While a command runs, name all commands as the user named this one.

    Args:
        program: What the user typed: "musclemap VERB" or "mm-VERB".
    """
    global _typed_in_full
    before = _typed_in_full
    _typed_in_full = program.startswith("musclemap ")
    try:
        yield
    finally:
        _typed_in_full = before


def as_typed(text: str) -> str:
    """Replace `mm-VERB` by `musclemap VERB` if that is what the user typed."""
    return _SHORT.sub(r"musclemap \1", text) if _typed_in_full else text
