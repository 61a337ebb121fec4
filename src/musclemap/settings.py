"""Settings: trees of frozen keyword-only dataclasses, checked by pydantic; from TOML, from `key=value`, and back.

A class is made by `@settings`. Each field declares its type and range, as one of the types below or with pydantic's
`Field`; rules between fields are ValueErrors of `__post_init__`. Types are strict: a whole number is taken for a float,
nothing else is converted. A field that is another such class is a section.
"""

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import field, fields, is_dataclass, replace
from pathlib import Path
from typing import Annotated, Any, TypeVar, dataclass_transform

from pydantic import BeforeValidator, ConfigDict, FailFast, Field, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass

from musclemap.errors import FileError, SettingsError
from musclemap.failures import Failure
from musclemap.files import read_bytes, shown
from musclemap.toml_text import parse_toml, toml_lines

SettingsT = TypeVar("SettingsT")

MAX_BYTES = 2**16
"""Longest file [B]; all settings with their names have 5 kB."""

MAX_FACTOR = 1e6
"""Largest weight, rate or scale. All are near 1; products of a few stay finite in single precision."""

MAX_SEED = 2**32 - 1
"""Largest seed; larger ones would be truncated to 32 bits."""

MAX_LAYERS, MAX_WIDTH = 5, 4096
"""Most hidden layers of a network and their largest width: four times the published network's. Networks of these limits
have policy files that `load_policy` reads."""

PositiveFloat = Annotated[float, Field(gt=0, le=MAX_FACTOR)]
NonNegativeFloat = Annotated[float, Field(ge=0, le=MAX_FACTOR)]
UnitInterval = Annotated[float, Field(ge=0, lt=1)]
"""From 0 to below 1: discounts, decays, and fractions of which something has to remain."""

Seed = Annotated[int, Field(ge=0, le=MAX_SEED)]

Sequence = (Field(strict=False), FailFast())
"""For `tuple` fields: lists are accepted, and reading ends at the first bad item."""

HiddenWidths = Annotated[
    tuple[Annotated[int, Field(ge=1, le=MAX_WIDTH)], ...], Field(max_length=MAX_LAYERS), *Sequence
]  # fmt: skip
"""Widths of the hidden layers of a network."""

NoneAsText = BeforeValidator(lambda value: None if value == "none" else value)
"""For fields that may be None: TOML has no null, so it is written "none"."""


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(field,))
def settings(cls: type[SettingsT]) -> type[SettingsT]:
    """Make a class of settings: a frozen keyword-only dataclass that raises SettingsError for what it does not take."""
    config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)
    made: Any = dataclass(frozen=True, kw_only=True, config=config)(cls)
    validate: Callable[..., None] = made.__init__

    @functools.wraps(validate)
    def init(self: SettingsT, **values: Any) -> None:
        try:
            validate(self, **values)
        except ValidationError as error:
            raise SettingsError(_sentence(made, error, prefix=f"{made.__name__}.")) from error

    made.__init__ = init
    return made


def load_settings(
    cls: type[SettingsT], path: Path | None, assignments: Iterable[str] = (), *, base: SettingsT | None = None
) -> SettingsT:
    """Read a TOML file, then override some settings; those that neither names keep their defaults.

    Args:
        cls: A class of settings whose fields all have defaults.
        path: The file; None starts from the defaults.
        assignments: As for `override`.
        base: Settings to use as defaults; None for those of the class.

    Raises:
        SettingsError: The file is unreadable, too long or not TOML; or a key is unknown or a value out of range.
    """
    base = cls() if base is None else base
    return override(base if path is None else _load_file(base, path), assignments)


def _load_file(base: SettingsT, path: Path) -> SettingsT:
    try:
        data = read_bytes(path, limit=MAX_BYTES)
        tree = parse_toml(data.decode("utf-8"))
    except (FileError, UnicodeDecodeError) as error:
        raise SettingsError(f"cannot read settings from {path}: {error}") from error
    if isinstance(tree, Failure):
        raise SettingsError(f"cannot read settings from {path}: {tree.message}")
    return _replace(base, tree, name="")


def from_dict(cls: type[SettingsT], tree: Any, *, name: str = "") -> SettingsT:
    """Make settings from nested tables of plain values; settings that they do not name keep their defaults.

    Args:
        cls: A class of settings whose fields all have defaults.
        tree: Tables, from TOML or JSON.
        name: Of the section, for messages; empty for the root.

    Raises:
        SettingsError: Unknown key, wrong type or value out of range; the message gives the dotted name, what the
            setting takes and what was given.
    """
    return _replace(cls(), tree, name=name)


def override(current: SettingsT, assignments: Iterable[str]) -> SettingsT:
    """Change some settings, each given as text such as `solver.sweeps=20`. If a key is given twice, the last one wins.

    All are applied at once, so two settings that bound each other can be changed together.

    Raises:
        SettingsError: As `from_dict`, or a text has no `=`.
    """
    tree: dict[str, Any] = {}
    for assignment in assignments:
        key, equals, text = (part.strip() for part in assignment.partition("="))
        if not equals or not key:
            raise SettingsError(f"expected KEY=VALUE such as solver.sweeps=20, got {shown(assignment)}")
        *sections, leaf = key.split(".")
        table, old = tree, current
        for section in sections:
            table, old = table.setdefault(section, {}), getattr(old, section, None)
            if not isinstance(table, dict):
                raise SettingsError(f"{shown(key)} is set, and {shown(section)} above it is set to a value too")
        table[leaf] = _parse_value(text, getattr(old, leaf, None))
    return _replace(current, tree, name="")


def to_dict(current: Any) -> dict[str, Any]:
    """Nested plain values, ready for JSON; tuples become lists."""
    return TypeAdapter(type(current)).dump_python(current, mode="json")


def to_toml(current: Any) -> str:
    """Text from which `load_settings` makes equal settings."""
    return "\n".join(toml_lines(to_dict(current))).lstrip("\n") + "\n"


def _parse_value(text: str, old: Any) -> Any:
    """Read a value from the command line: TOML, or a bare string where the setting is a string or it is no TOML."""
    table = parse_toml(f"value = {text}")
    if isinstance(table, Failure) or len(table) > 1:
        return text
    value = table["value"]
    return text if isinstance(old, str) and not isinstance(value, str) else value


def _replace(current: SettingsT, tree: Any, *, name: str) -> SettingsT:
    """The same settings with the values of a tree; `name` is that of the section."""
    known = {one.name: getattr(current, one.name) for one in fields(current)}  # pyright: ignore[reportArgumentType]
    prefix = f"{name}." if name else ""
    if not isinstance(tree, Mapping):
        names = ", ".join(prefix + key for key in known)
        raise SettingsError(f"{name!r} is a section with the settings {names}, got {shown(tree)}")
    changes = {}
    for key, value in tree.items():
        if key not in known:
            where = f"{name!r} has" if name else "there are"
            raise SettingsError(f"unknown setting {shown(prefix + key)}; {where} {', '.join(sorted(known))}")
        section = is_dataclass(known[key])
        changes[key] = _replace(known[key], value, name=prefix + key) if section else value
    try:
        return replace(current, **changes)  # pyright: ignore[reportArgumentType]
    except SettingsError as error:
        if not isinstance(error.__cause__, ValidationError):
            raise
        raise SettingsError(_sentence(type(current), error.__cause__, prefix=prefix)) from error


def _sentence(cls: type, error: ValidationError, *, prefix: str) -> str:
    """One sentence about the first fault of a class's values; `prefix` ends in a dot unless it is empty."""
    fault = error.errors(include_url=False)[0]
    rule = str(fault.get("ctx", {}).get("error", ""))  # of a ValueError of ours
    if not fault["loc"]:
        return f"settings in {prefix[:-1]!r}: {rule}" if prefix else f"settings: {rule}"
    name, known = str(fault["loc"][0]), {one.name for one in fields(cls)}
    if name not in known:
        return f"unknown setting {prefix + name!r}; {prefix[:-1]!r} has {', '.join(sorted(known))}"
    schema = TypeAdapter(cls).json_schema()["properties"][name]
    given = f"{shown(fault['input'])} in it" if len(fault["loc"]) > 1 else shown(fault["input"])
    return f"setting {prefix + name!r} takes {_describe(schema)}{rule and f', {rule}'}, got {given}"


def _describe(schema: Mapping[str, Any]) -> str:
    """What a setting takes, from its JSON schema."""
    if "anyOf" in schema:
        return " or ".join(_describe(one) for one in schema["anyOf"])
    if "enum" in schema:
        return f"one of {', '.join(schema['enum'])}"
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if schema["type"] == "array":
        least, most = schema.get("minItems", 0), schema.get("maxItems")
        return f"a list{f' of {least} to {most}' if most else ''}, each {_describe(schema['items'])}"
    kinds = {"boolean": "true or false", "integer": "a whole number", "number": "a number", "string": "a string",
             "object": "a table of names and values"}  # fmt: skip
    return " ".join([kinds.get(schema["type"], '"none"'), *_range(schema)])


def _range(schema: Mapping[str, Any]) -> list[str]:
    words = {
        "multipleOf": "that is a multiple of",
        "minimum": "from",
        "exclusiveMinimum": "above",
        "maximum": "to" if "minimum" in schema else "and at most",
        "exclusiveMaximum": "to below",
    }
    return [f"{word} {_number(schema[key])}" for key, word in words.items() if key in schema]


def _number(value: float) -> str:
    return f"{int(value):,}" if value == int(value) else f"{value:g}"
