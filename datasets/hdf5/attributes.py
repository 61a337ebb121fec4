"""Attributes of clip and track files as they are read."""

from collections.abc import Collection
from typing import Any

from musclemap.datasets.clip_schema import MAX_JSON_TEXT, VARIANT
from musclemap.errors import FileError, SettingsError
from musclemap.files import parse_json, shown
from musclemap.settings import from_dict
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .protocol import FileContents


def check_identity(contents: FileContents, *, format_: str, version: int, noun: str) -> None:
    """Refuse a file of another format or version.

    Raises:
        FileError: If it is refused.
    """
    identity = {key: contents.identity.get(key, {}).get("value") for key in ("format", "version")}
    if identity["format"] != format_:
        raise FileError(f"it is not a {noun}: its format is {shown(identity['format'])}, not {format_!r}")
    if contents.identity.get("version") != {"kind": "number", "value": repr(float(version))}:
        text = shown(str(identity["version"]).removesuffix(".0"))
        raise FileError(f"it has version {text[1:-1]}; this release reads version {version}")


def attribute_value(
    contents: FileContents, key: str, *, names: Collection[str], numbers: Collection[str], json: Collection[str]
) -> Any:
    """Value of an attribute: a tuple of text, a number, a decoded JSON object, or text.

    Args:
        contents: File.
        key: Attribute.
        names: Attributes that are lists of text.
        numbers: Attributes that are numbers.
        json: Attributes that are JSON text.

    Raises:
        FileError: If the attribute is missing or of another type.
    """
    if key not in contents.attributes:
        raise FileError(f"no attribute {key}; it has: {', '.join(contents.names)}")
    kind, value = (contents.attributes[key].get(part) for part in ("kind", "value"))
    type_name = {"text": "str", "number": "float", "names": "ndarray"}.get(str(kind), str(value))
    if key in names:
        if kind != "names":
            raise FileError(f"{key} is of type {type_name}, not a list of text")
        return tuple(value)
    if key in numbers:
        if kind != "number":
            description = f"of type {type_name}" if kind == "other" else shown(value)
            raise FileError(f"{key} is {description}, not a number")
        return float(value)
    if kind != "text":
        raise FileError(f"{key} is of type {type_name}, not text")
    return from_json(value, key) if key in json else value


def variant_attribute(contents: FileContents) -> BodyVariant:
    """The variant of the body that a file is about; the unaltered body if it has none.

    Raises:
        FileError: If the attribute is not a variant within limits.
    """
    if VARIANT not in contents.attributes:
        return UNALTERED
    tree = attribute_value(contents, VARIANT, names=(), numbers=(), json=(VARIANT,))
    try:
        return from_dict(BodyVariant, tree, name=VARIANT)
    except SettingsError as error:
        raise FileError(str(error)) from error


def from_json(text: str, key: str) -> Any:
    """Object encoded by a JSON attribute.

    Raises:
        FileError: If the text is not JSON within limits.
    """
    try:
        return parse_json(text, limit=MAX_JSON_TEXT)
    except FileError as error:
        raise FileError(f"{key} is not valid JSON: {error}") from error
