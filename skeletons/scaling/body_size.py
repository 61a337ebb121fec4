"""The size of a person: what is known of it, its limits, and the scale factors that follow."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from musclemap.errors import TargetError

from .masses import MASS_METHODS
from .muscles import FORCE_METHODS
from .segments import SEXES, ScalableBody

HEIGHT_RANGE = (1.20, 2.05)
"""Heights for which a body is scaled [m]."""

MASS_RANGE = (25.0, 140.0)
"""Masses for which a body is scaled [kg]."""

AGE_RANGE = (5.0, 100.0)
"""Ages that are accepted [years]."""

BMI_RANGE = (11.0, 60.0)
"""Body mass indices for which a body is scaled [kg/m^2]. Near 11 for women and 13 for men starvation is usually fatal
(Henry 1990, Eur J Clin Nutr 44:329-335); with care, some have survived less (Collins 1995, Nat Med 1:810-814). The
upper limit is our choice: a body of scaled bones says nothing of people beyond."""

USUAL_BMI = {"female": 21.5, "male": 24.5, None: 23.0}
"""Body mass index where the mass is not known [kg/m^2]: medians of healthy women and men (Flegal 2006, Int J Obes
30:374-379), and the middle of both."""

PROPORTION_RANGE = (0.75, 1.33)
"""Factor of a segment relative to that of the whole body. The limits are our choice: wide enough for any adult that we
know of, and narrow enough to catch a length in the wrong unit or column."""


@dataclass(frozen=True, kw_only=True)
class BodySize:
    """What is known of a person's size. What is not given follows from the rest, see `scaling_of`.

    Attributes:
        height: Height [m], or None.
        mass: Mass [kg], or None.
        sex: "female", "male", or None.
        age: Age [years], or None: muscles of a young adult.
        lengths: Measured lengths of segments by name [m]; which distance each is, the body's table says.
        masses: How mass is shared, one of `MASS_METHODS`.
        force: How peak forces follow, one of `FORCE_METHODS`.

    Raises:
        TargetError: If a value is out of range; the message says what is possible.
    """

    height: float | None = None
    mass: float | None = None
    sex: str | None = None
    age: float | None = None
    lengths: Mapping[str, float] = field(default_factory=dict)
    masses: str = "regression"
    force: str = "mass-height"

    def __post_init__(self) -> None:
        _check("height", self.height, HEIGHT_RANGE, "m", hint=_wrong_unit(self.height))
        _check("mass", self.mass, MASS_RANGE, "kg")
        _check("age", self.age, AGE_RANGE, "years")
        _choice("sex", self.sex, (*SEXES, None))
        _choice("masses", self.masses, MASS_METHODS)
        _choice("force", self.force, FORCE_METHODS)
        for name, length in self.lengths.items():
            if not (math.isfinite(length) and length > 0.0):
                raise TargetError(f"the length of {name} is {length:g} m; it must be positive")


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """Scale of a body, complete.

    Attributes:
        factors: Factor by name of each segment that has its own.
        height: Height of the scaled whole body [m].
        mass: Mass of the scaled whole body [kg].
    """

    factors: dict[str, float]
    height: float
    mass: float


def scaling_of(size: BodySize, body: ScalableBody) -> Scaling:
    """Scale factors and mass of a person.

    Segments with a measured length have the factor that gives it. All others share one factor, by which the body has
    its height; without a height, the factor is the mean of those that are measured. A mass that is not given follows
    from the height by `USUAL_BMI`; without a height, a mass scales nothing but masses and muscles.

    Raises:
        TargetError: If no person has this size, or a segment is unknown.
    """
    measured = {name: length / body.segment(name).length for name, length in size.lengths.items()}
    rest = [segment.name for segment in body.scaled if segment.name not in measured]
    tall = {segment.name: segment.height for segment in body.segments}
    fixed = sum(tall[name] * factor for name, factor in measured.items())
    free = sum(tall[name] for name in rest)
    if size.height is None:
        weight = sum(body.segment(name).length for name in measured)
        common = sum(measured[name] * body.segment(name).length for name in measured) / weight if measured else 1.0
    elif free > 0.0:
        common = (size.height - fixed) / free
    else:
        common = size.height / body.height
    factors = {segment.name: measured.get(segment.name, common) for segment in body.scaled}
    height = sum(tall[name] * factor for name, factor in factors.items())
    _check("height", height, HEIGHT_RANGE, "m", hint="; it follows from the lengths of the segments")
    if size.height is not None and abs(height - size.height) > 0.005:
        raise TargetError(
            f"the lengths of the segments add up to a height of {height:.3f} m, not {size.height:g} m: leave out the "
            "height, or a length"
        )
    overall = height / body.height
    for name, factor in factors.items():
        low, high = (bound * overall for bound in PROPORTION_RANGE)
        if not low <= factor <= high:
            length, given = body.segment(name).length, "given" if name in measured else "left for"
            raise TargetError(
                f"{factor * length:.3f} m is {given} {name} ({body.segment(name).measured}); at a height of "
                f"{height:.2f} m it is between {low * length:.3f} and {high * length:.3f} m"
            )
    mass = USUAL_BMI[size.sex] * height**2 if size.mass is None else size.mass
    low, high = (max(b * height**2, m) if b == BMI_RANGE[0] else min(b * height**2, m)
                 for b, m in zip(BMI_RANGE, MASS_RANGE, strict=True))  # fmt: skip
    if not low <= mass <= high:
        raise TargetError(
            f"nobody is {height:.2f} m tall with {mass:g} kg (BMI {mass / height**2:.1f}): at this height give a mass "
            f"from {math.ceil(low)} to {math.floor(high)} kg"
        )
    return Scaling(factors=factors, height=height, mass=mass)


def _check(name: str, value: float | None, limits: tuple[float, float], unit: str, *, hint: str = "") -> None:
    if value is not None and not limits[0] <= value <= limits[1]:
        low, high = (f"{limit:g}" for limit in limits)
        raise TargetError(f"the {name} is {value:.4g} {unit}{hint}; give {low} to {high} {unit}")


def _wrong_unit(height: float | None) -> str:
    """Hint for a height in another unit."""
    if height is not None and 100.0 <= height <= 230.0:
        return f", which reads like centimetres ({height / 100:g} m)"
    return ""


def _choice(name: str, value: str | None, known: tuple[str | None, ...]) -> None:
    if value not in known:
        choices = ", ".join(choice for choice in known if choice is not None)
        raise TargetError(f"{name} is {value!r}; it must be one of: {choices}")
