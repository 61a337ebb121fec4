"""MkDocs hook: the page of all settings, made from the dataclasses that declare them."""

import inspect
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from typing import Any

import griffe
from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

from musclemap.imitation.runs.train_config import TrainConfig
from musclemap.imitation.tracking.track_config import TrackConfig
from musclemap.retarget.config import RetargetConfig

PAGE = "settings.md"

GROUPS = {
    "Conversion and checks: mm-retarget, mm-validate": RetargetConfig,
    "Tracking: mm-track": TrackConfig,
    "Training: mm-train": TrainConfig,
}
"""Commands, and the class of their settings."""

HEAD = """# Settings

`--set solver.sweeps=6` changes one setting, `--config FILE` reads a TOML file with a table for each part of a name, and
calls in Python take nested dictionaries: `config={"solver": {"sweeps": 6}}`. An unknown name is refused with the list
of known ones; a value out of range, with its limits. Clips, tracks and runs store the settings they were made with.

This page is made from the code.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=settings_page()))
    return files


def settings_page() -> str:
    """A table of each group of settings."""
    sections = []
    for title, cls in GROUPS.items():
        rows = [f"| `{name}` | `{_shown(default)}` | {text} |" for name, default, text in leaves(cls())]
        sections.append("\n".join([f"## {title}", "", "| setting | default | meaning |", "| --- | --- | --- |", *rows]))
    return HEAD + "\n\n".join(sections) + "\n"


def leaves(settings: Any, *, prefix: str = "") -> Iterator[tuple[str, Any, str]]:
    """Name, value and meaning of every setting, sections included in the names."""
    meanings = _meanings(type(settings))
    for field in fields(settings):
        name, value = prefix + field.name, getattr(settings, field.name)
        if is_dataclass(value):
            yield from leaves(value, prefix=f"{name}.")
        else:
            yield name, value, meanings.get(field.name, "")


def _meanings(cls: type) -> dict[str, str]:
    """What the docstring of a class says of its fields, as Markdown on one line."""
    sections = griffe.Docstring(inspect.getdoc(cls) or "", parser="google").parse(warnings=False)
    attributes = [section.value for section in sections if section.kind is griffe.DocstringSectionKind.attributes]
    return {
        each.name: " ".join(each.description.split()).replace("|", "\\|").replace("*", "\\*")
        for each in (attributes[0] if attributes else ())
    }


def _shown(value: Any) -> str:
    """A default as it is written in TOML."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return f"[{', '.join(map(_shown, value))}]"
    return f'"{value}"' if isinstance(value, str) else "none" if value is None else f"{value}"
