"""The size of a person as a fact of a body."""

from collections.abc import Callable
from dataclasses import fields
from functools import lru_cache

import mujoco

from musclemap.errors import TargetError
from musclemap.skeletons.scaling.body_size import BodySize
from musclemap.skeletons.scaling.scaled_spec import apply_size
from musclemap.skeletons.scaling.segments import ScalableBody

SizeFacts = tuple[tuple[str, float | str], ...]
"""Names and values, as in a variant."""

_WORDS = ("sex", "masses", "force")
_MAX_KEPT = 8
"""Scaled specifications that are kept; scaling takes seconds."""


def size_of(facts: SizeFacts) -> BodySize:
    """The size that the facts of a variant say.

    Raises:
        TargetError: If a value is of the wrong kind or out of range.
    """
    known = {one.name for one in fields(BodySize)} - {"lengths"}
    given, lengths = {}, {}
    for name, value in facts:
        if isinstance(value, str) != (name in _WORDS):
            raise TargetError(f"{name} is {value!r}; it must be a {'word' if name in _WORDS else 'number'}")
        (given if name in known else lengths)[name] = value
    return BodySize(**given, lengths=lengths)


def facts_of_size(size: BodySize) -> dict[str, float | str]:
    """The facts of a variant for a size; values that are not given or are the default ones are left out."""
    facts = {one.name: getattr(size, one.name) for one in fields(BodySize) if one.name != "lengths"}
    default = BodySize()
    return {name: value for name, value in facts.items() if value != getattr(default, name)} | dict(size.lengths)


def sized_spec(
    make_spec: Callable[[], mujoco.MjSpec], model: mujoco.MjModel, facts: SizeFacts, scalable: ScalableBody
) -> tuple[mujoco.MjSpec, mujoco.MjModel]:
    """A new specification of the scaled body, and its compiled model.

    Args:
        make_spec: Returns a new specification of the unscaled body.
        model: The unscaled body, compiled.
        facts: The size.
        scalable: Segments of the body.

    Raises:
        TargetError: If no person has this size.
    """
    spec, scaled = _scaled(make_spec, model, facts, scalable)
    return spec.copy(), scaled


@lru_cache(maxsize=_MAX_KEPT)
def _scaled(
    make_spec: Callable[[], mujoco.MjSpec], model: mujoco.MjModel, facts: SizeFacts, scalable: ScalableBody
) -> tuple[mujoco.MjSpec, mujoco.MjModel]:
    spec = apply_size(make_spec(), size_of(facts), scalable, model=model)
    return spec, spec.copy().compile()
