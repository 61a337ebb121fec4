"""Human motion capture to reference clips for muscle-driven bodies, and policies that track them.

    import musclemap as mm

    clip = mm.load("builtin-walk")      # a clip: arrays, tables, plots
    data = mm.open("out/clips")         # a data set: its table, clips, windows for training
    clip = mm.retarget(motion)          # motion capture to a clip; with an output folder, a whole archive

`mm.validate`, `mm.track`, `mm.train`, `mm.evaluate` and `mm.load_policy` do what the commands do. Each name is imported
by its first use, so `import musclemap` takes milliseconds. It changes nothing but this: once Gymnasium is imported, it
knows the environment "musclemap/Tracking-v0".
"""

import importlib
from typing import TYPE_CHECKING, Any

from .gymnasium_hook import register_when_imported

if TYPE_CHECKING:
    from musclemap.api.bodies import add_body as add_body
    from musclemap.api.checking import track as track
    from musclemap.api.checking import validate as validate
    from musclemap.api.clip import Clip as Clip
    from musclemap.api.conversion import retarget as retarget
    from musclemap.api.dataset import Dataset as Dataset
    from musclemap.api.learning import evaluate as evaluate
    from musclemap.api.learning import load_policy as load_policy
    from musclemap.api.learning import train as train
    from musclemap.api.loading import load as load
    from musclemap.api.loading import open as open
    from musclemap.errors import MusclemapError as MusclemapError

__version__ = "0.2.0"

_MODULES = {
    "Clip": "musclemap.api.clip",
    "Dataset": "musclemap.api.dataset",
    "MusclemapError": "musclemap.errors",
    "add_body": "musclemap.api.bodies",
    "evaluate": "musclemap.api.learning",
    "load": "musclemap.api.loading",
    "load_policy": "musclemap.api.learning",
    "open": "musclemap.api.loading",
    "track": "musclemap.api.checking",
    "train": "musclemap.api.learning",
    "validate": "musclemap.api.checking",
}
"""Module of each public name, except for `retarget`, which is a package that can be called."""

__all__ = [
    "Clip", "Dataset", "MusclemapError", "add_body", "evaluate", "load", "load_policy", "open", "retarget", "track",
    "train", "validate",
]  # fmt: skip


def __getattr__(name: str) -> Any:
    if name == "retarget":
        return importlib.import_module("musclemap.retarget")
    if name not in _MODULES:
        raise AttributeError(f"module 'musclemap' has no attribute {name!r}; it has {', '.join(__all__)}")
    value = globals()[name] = getattr(importlib.import_module(_MODULES[name]), name)
    return value


def __dir__() -> list[str]:
    modules = {name for name, value in globals().items() if isinstance(value, type(importlib))} - {"importlib"}
    return sorted({*__all__, *modules, *(name for name in globals() if name.startswith("__"))})


register_when_imported()
