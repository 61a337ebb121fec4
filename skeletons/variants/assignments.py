"""Variants as users write them: `soleus_r=0.5`, `knee_angle_r=0:60`, `tibia_r=1`."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from musclemap.errors import SettingsError
from musclemap.files import shown

from .groups import grouped, members, stem_and_side
from .part_names import PartNames
from .variant import BodyVariant, make_variant

if TYPE_CHECKING:
    import mujoco

STRENGTH, JOINT_RANGE, ADDED_MASS = "--strength", "--joint-range", "--added-mass"
"""Options of the commands, for messages."""

_FORMS = {
    STRENGTH: "NAME=NUMBER such as soleus_r=0.5", JOINT_RANGE: "NAME=LOW:HIGH such as knee_angle_r=0:60",
    ADDED_MASS: "NAME=KG such as tibia_r=1",
}  # fmt: skip


def parse_variant(
    model: "mujoco.MjModel", groups: Mapping[str, Sequence[str]], *, strength: Iterable[str] = (),
    joint_range: Iterable[str] = (), added_mass: Iterable[str] = (),
) -> BodyVariant:  # fmt: skip
    """Make a variant of a body from assignments.

    Names may omit the suffix of the side, for both sides; muscles may be named by group. What names fewer parts goes
    before what names more, so `ankle_plantarflexors=0.5` and `soleus_r=0.3` may stand together in any order.

    Args:
        model: The body, compiled.
        groups: Its `muscle_groups`.
        strength: Muscles or groups and their factor of strength.
        joint_range: Joints and the ends of their range, with a colon between: degrees of hinges, metres of slides.
        added_mass: Bodies and the mass to add [kg].

    Raises:
        SettingsError: If a text is no assignment of numbers, a value is out of range, or a part gets two values.
        TargetError: If there is no such part; the message names similar ones.
    """
    names, hinges = _parts(model)

    def ends(joint: str, low: float, high: float) -> list[float]:
        return [math.radians(low), math.radians(high)] if joint in hinges else [low, high]

    given = _read(names, groups, strength=strength, joint_range=joint_range, added_mass=added_mass)
    return make_variant(
        strength=_single(given.strength),
        joint_range={joint: ends(joint, *numbers) for joint, numbers in given.joint_range.items()},
        added_mass=_single(given.added_mass),
    )


def check_assignments(
    names: PartNames, groups: Mapping[str, Sequence[str]], *, strength: Iterable[str] = (),
    joint_range: Iterable[str] = (), added_mass: Iterable[str] = (),
) -> None:  # fmt: skip
    """Refuse what `parse_variant` would refuse, except for ranges of joints, which need the model.

    Args:
        names: Parts of the body.
        groups: Its `muscle_groups`.
        strength: As for `parse_variant`.
        joint_range: As for `parse_variant`.
        added_mass: As for `parse_variant`.

    Raises:
        SettingsError: As `parse_variant`.
        TargetError: As `parse_variant`.
    """
    given = _read(names, groups, strength=strength, joint_range=joint_range, added_mass=added_mass)
    make_variant(strength=_single(given.strength), added_mass=_single(given.added_mass))


def _parts(model: "mujoco.MjModel") -> tuple[PartNames, set[str]]:
    """Names of a model's parts, joints that follow others last, and of its hinges."""
    import mujoco  # here, because names are checked before MuJoCo is imported

    from musclemap.skeletons.couplings import couplings

    driven = {c.driven for c in couplings(model)}
    names = PartNames(
        muscles=tuple(model.actuator(i).name for i in range(model.nu)),
        joints=tuple(model.joint(j).name for j in sorted(range(model.njnt), key=lambda j: j in driven)),
        bodies=tuple(model.body(b).name for b in range(1, model.nbody)),
    )
    return names, {name for name in names.joints if int(model.joint(name).type[0]) == mujoco.mjtJoint.mjJNT_HINGE}


class _Given(NamedTuple):
    """Numbers of each part that assignments name."""

    strength: dict[str, list[float]]
    joint_range: dict[str, list[float]]
    added_mass: dict[str, list[float]]


def _read(
    names: PartNames, groups: Mapping[str, Sequence[str]], *, strength: Iterable[str], joint_range: Iterable[str],
    added_mass: Iterable[str],
) -> _Given:  # fmt: skip
    named = grouped(names.muscles, groups)
    return _Given(
        strength=_assigned(strength, lambda name: members(name, names.muscles, named, noun="muscle"), STRENGTH),
        joint_range=_assigned(
            joint_range, lambda name: members(name, names.joints, {}, noun="joint"), JOINT_RANGE, count=2
        ),
        added_mass=_assigned(added_mass, lambda name: members(name, names.bodies, {}, noun="body"), ADDED_MASS),
    )


def option_text(variant: BodyVariant, model: "mujoco.MjModel", groups: Mapping[str, Sequence[str]]) -> str:
    """The options that make a variant of a body, as one types them; the inverse of `parse_variant`.

    Muscles, joints and bodies are named by the largest group, or by both sides, whose members all have the same value.

    Args:
        variant: Facts of strength, ranges and added mass; those of size have no such option and are left out.
        model: The body, compiled.
        groups: Its `muscle_groups`.
    """
    names, hinges = _parts(model)
    number = lambda value: f"{value:.10g}"  # noqa: E731

    def ends(joint: str, ends: tuple[float, float]) -> str:
        return ":".join(number(math.degrees(end) if joint in hinges else end) for end in ends)

    strength = {name: number(value) for name, value in variant.strength}
    ranges = {name: ends(name, value) for name, value in variant.joint_range}
    masses = {name: number(value) for name, value in variant.added_mass}
    parts = (
        (STRENGTH, _collected(strength, names.muscles, grouped(names.muscles, groups))),
        (JOINT_RANGE, _collected(ranges, names.joints, {})),
        (ADDED_MASS, _collected(masses, names.bodies, {})),
    )
    return " ".join(f"{option} {name}={value}" for option, values in parts for name, value in values.items())


def _collected(values: Mapping[str, str], names: Sequence[str], groups: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Values by the fewest names: groups and pairs of both sides whose members have the same value, largest first."""
    pairs: dict[str, list[str]] = {}
    for name in names:
        pairs.setdefault(stem_and_side(name)[0], []).append(name)
    sets = {**groups, **{stem: both for stem, both in pairs.items() if len(both) > 1 and stem not in names}}
    left, collected = dict(values), {}
    for name, parts in sorted(sets.items(), key=lambda item: -len(item[1])):
        if len(parts) > 1 and all(part in left for part in parts) and len({left[part] for part in parts}) == 1:
            collected[name] = left[parts[0]]
            left = {part: value for part, value in left.items() if part not in parts}
    return collected | left


def _single(facts: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: numbers[0] for name, numbers in facts.items()}


def _assigned(
    texts: Iterable[str], find: Callable[[str], tuple[str, ...]], option: str, *, count: int = 1
) -> dict[str, list[float]]:
    """Numbers of each part that the assignments name, directly or as a member."""
    found: dict[str, tuple[int, str, list[float]]] = {}
    for text in texts:
        name, _, value = (part.strip() for part in text.rpartition("="))
        numbers = [_number(part) for part in value.split(":")]
        if not name or len(numbers) != count or None in numbers:
            raise SettingsError(f"{option} takes {_FORMS[option]}, got {shown(text)}")
        parts = find(name)
        for part in parts:
            earlier: Any = found.get(part, (math.inf, "", numbers))
            if len(parts) == earlier[0] and numbers != earlier[2]:
                raise SettingsError(f"{option} gives {part} two values, by {shown(earlier[1])} and {shown(text)}")
            if len(parts) <= earlier[0]:
                found[part] = (len(parts), text, [float(n) for n in numbers if n is not None])
    return {part: numbers for part, (_, _, numbers) in found.items()}


def _number(text: str) -> float | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return number if math.isfinite(number) else None
