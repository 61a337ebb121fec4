"""What makes a body differ from its table: weak muscles, limited joints, added mass. Plain values for settings, files.

A new kind of fact is a field here, with its limits, and a module beside this one that applies it (`apply.py`). MuJoCo
is not imported, because clips and their readers hold variants.
"""

import hashlib
import json
import math
import operator
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, WithJsonSchema

from musclemap.settings import from_dict, settings, to_dict

MAX_FACTS, MAX_NAME = 1024, 256
"""Largest number of facts of one kind, and of characters of a name. MyoFullBody has 416 muscles."""

MAX_STRENGTH = 10.0
"""Largest factor of a muscle's force; 0 is a paralysed muscle."""

MAX_ANGLE = 4.0 * math.pi
"""Largest absolute end of a joint's range [rad or m]."""

MAX_SIZE = 500.0
"""Largest number among the facts of size: a height, a mass, an age or a length."""

MAX_MASS = 500.0
"""Largest mass that is added to one body [kg]."""

Range = tuple[float, float]


def _number(value: object, low: float, high: float, what: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
        raise ValueError(f"{what} is a number from {low:g} to {high:g}")
    return float(value) + 0.0  # no negative zero, which would be another text


def _strength(value: object) -> float:
    return _number(value, 0.0, MAX_STRENGTH, "a strength")


def _mass(value: object) -> float:
    return _number(value, 0.0, MAX_MASS, "an added mass [kg]")


def _size(value: object) -> float | str:
    if isinstance(value, str):
        if not (0 < len(value) <= 32 and value.isascii() and value.isprintable()):
            raise ValueError("a word about size has 1 to 32 characters")
        return value
    return _number(value, 0.0, MAX_SIZE, "a number about size")


def _range(value: object) -> Range:
    if not isinstance(value, list | tuple) or len(value) != 2:
        raise ValueError("a range is a list of its lower and upper end [rad or m]")
    low, high = (_number(end, -MAX_ANGLE, MAX_ANGLE, "an end of a range [rad or m]") for end in value)
    if not low < high:
        raise ValueError("the lower end of a range is below its upper end")
    return low, high


def _facts(checked: Callable[[object], Any], *, neutral: float | None) -> Any:
    """Annotations of a field that maps names to values, held as sorted pairs.

    Args:
        checked: Checks a value and returns it in its only form.
        neutral: Value without effect, which is dropped.
    """

    def canonical(given: object) -> tuple[tuple[str, Any], ...]:
        pairs = list(given.items()) if isinstance(given, Mapping) else given
        if not isinstance(pairs, list | tuple) or len(pairs) > MAX_FACTS:
            raise ValueError(f"at most {MAX_FACTS} names")
        facts: dict[str, Any] = {}
        for pair in pairs:
            if not isinstance(pair, list | tuple) or len(pair) != 2:
                raise ValueError("each with a value")
            name, value = pair
            if not isinstance(name, str) or not 0 < len(name) <= MAX_NAME or not name.isprintable():
                raise ValueError(f"a name has 1 to {MAX_NAME} printable characters")
            if name in facts:
                raise ValueError(f"{name!r} has two values")
            facts[name] = checked(value)
        return tuple(sorted((name, value) for name, value in facts.items() if value != neutral))

    def plain(pairs: tuple[tuple[str, Any], ...]) -> dict[str, Any]:
        return {name: list(value) if isinstance(value, tuple) else value for name, value in pairs}

    schema = WithJsonSchema({"type": "object"}, mode="validation")
    return BeforeValidator(canonical), AfterValidator(tuple), PlainSerializer(plain), schema


Strengths = Annotated[tuple[tuple[str, float], ...], *_facts(_strength, neutral=1.0)]
Ranges = Annotated[tuple[tuple[str, Range], ...], *_facts(_range, neutral=None)]
Sizes = Annotated[tuple[tuple[str, float | str], ...], *_facts(_size, neutral=None)]
Masses = Annotated[tuple[tuple[str, float], ...], *_facts(_mass, neutral=0.0)]


@settings
class BodyVariant:
    """Facts of a body that differ from its table. Equal facts are equal variants, whatever their order and notation.

    Fields accept tables of names and values, and hold sorted pairs; facts without effect, such as strength 1, are
    dropped. Names are checked when the variant is applied to a body.

    Attributes:
        strength: Factor of the active force of single muscles, 0 to 10.
        joint_range: Lower and upper end of the range of independent joints [rad or m].
        added_mass: Mass added at the centre of mass of bodies [kg].
        size: Size of the person whose body it is: `height` [m], `mass` [kg], `sex`, `age` [years], lengths of segments
            [m], `masses` and `force`, see `BodySize`. The other facts are about the scaled body.
    """

    strength: Strengths = ()
    joint_range: Ranges = ()
    added_mass: Masses = ()
    size: Sizes = ()

    def __bool__(self) -> bool:
        return any(getattr(self, one.name) for one in fields(self))

    @property
    def canonical(self) -> str:
        """The variant as JSON text; equal variants have the same. Kinds of facts that it lacks are left out."""
        return json.dumps(facts_of(self), sort_keys=True, separators=(",", ":"))

    @property
    def short_name(self) -> str:
        """A name from the facts alone, such as "variant-0f3c92ab"; "" without any."""
        return f"variant-{hashlib.sha256(self.canonical.encode()).hexdigest()[:8]}" if self else ""

    @property
    def text(self) -> str:
        """The facts in a few words, such as "2 muscles at 50 %, knee_angle_r limited"; "" without any."""
        parts = [_size_text(name, value) for name, value in self.size]
        for value in sorted({value for _, value in self.strength}):
            names = [name for name, factor in self.strength if factor == value]
            parts.append(f"{_named('muscle', names)} at {100.0 * value:g} %")
        if self.joint_range:
            parts.append(f"{_named('joint', [name for name, _ in self.joint_range])} limited")
        if self.added_mass:
            total, names = sum(mass for _, mass in self.added_mass), [name for name, _ in self.added_mass]
            parts.append(f"{total:g} kg on {_named('body', names, 'bodies')}")
        return ", ".join(parts)

    def altered_by(self, other: "BodyVariant") -> "BodyVariant":
        """The variant with the facts of both; where both have one, that of `other`."""
        both = {one.name: dict(getattr(self, one.name)) | dict(getattr(other, one.name)) for one in fields(self)}
        return make_variant(**both)

    def extends(self, other: "BodyVariant") -> bool:
        """Whether the variant has a fact about everything that `other` has one about, if with another value."""
        return all(
            {name for name, _ in getattr(other, one.name)} <= {name for name, _ in getattr(self, one.name)}
            for one in fields(self)
        )


UNALTERED = BodyVariant()
"""The body as its table has it."""


OptionalVariant = Annotated[BodyVariant, Field(exclude_if=operator.not_)]
"""Type of a setting that is written only if it alters a body, so that other settings are written as ever."""


def make_variant(**facts: Mapping[str, Any]) -> BodyVariant:
    """Make a variant of tables of names and values, by the fields of `BodyVariant`.

    Raises:
        SettingsError: If there is no such kind of fact, or a value is out of range.
    """
    return from_dict(BodyVariant, facts, name="variant")


def size_of_variant(variant: BodyVariant) -> BodyVariant:
    """The variant with the facts of size alone."""
    return make_variant(size=dict(variant.size))


def facts_of(variant: BodyVariant) -> dict[str, Any]:
    """The kinds of facts that a variant has, as plain values; empty for the unaltered body."""
    return {kind: facts for kind, facts in to_dict(variant).items() if facts}


def _named(noun: str, names: list[str], plural: str = "") -> str:
    return names[0] if len(names) == 1 else f"{len(names)} {plural or f'{noun}s'}"


_SIZE_TEXTS = {"height": "{} m tall", "mass": "{} kg", "age": "{} years", "sex": "{}"}


def _size_text(name: str, value: float | str) -> str:
    shown = value if isinstance(value, str) else f"{value:.4g}"
    return _SIZE_TEXTS.get(name, f"{name} {{}}").format(shown)
