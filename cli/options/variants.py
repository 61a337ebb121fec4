"""Options that alter a body, which several commands share, and the variant that they make."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from musclemap.errors import SettingsError

if TYPE_CHECKING:
    from musclemap.pipelines.train.dataset import ListedClip
    from musclemap.skeletons.variants.variant import BodyVariant

_BODY = "Body"


def _repeatable(metavar: str, text: str) -> Any:
    return typer.Option(metavar=metavar, help=f"{text}; repeatable.", rich_help_panel=_BODY)


Strength = Annotated[
    list[str] | None,
    _repeatable("MUSCLE=F", "Scale the active force of a muscle or group (mm-info --list-muscles)"),
]
JointRange = Annotated[
    list[str] | None, _repeatable("JOINT=LOW:HIGH", "Limit a joint, in degrees, such as knee_angle_r=0:60")
]
AddedMass = Annotated[list[str] | None, _repeatable("BODY=KG", "Add mass to a body, in kg, such as tibia_r=1")]
_SIZE = "Size of the subject"


class Sex(StrEnum):
    """Sexes for which masses of segments were measured."""

    female = "female"
    male = "male"


class ScaleBody(StrEnum):
    """What the body's size may follow from."""

    fitted = "fitted"


Height = Annotated[
    float | None,
    typer.Option(metavar="M", help="Give the body this height, instead of scaling the motion.", rich_help_panel=_SIZE),
]
SexOption = Annotated[
    Sex | None, typer.Option("--sex", help="Masses of the body's segments.", show_default="mean", rich_help_panel=_SIZE)
]
Age = Annotated[
    float | None,
    typer.Option(metavar="YEARS", help="Muscles weaken from 30 to 70 years.", rich_help_panel=_SIZE),
]
Subjects = Annotated[
    Path | None,
    typer.Option(
        metavar="CSV", exists=True, dir_okay=False, rich_help_panel=_SIZE,
        help="Table: subject, height_m, mass_kg, sex, age and lengths.",
    ),
]  # fmt: skip
ScaleBodyOption = Annotated[
    ScaleBody | None,
    typer.Option("--scale-body", help="Give the body the lengths of the motion's bones.", rich_help_panel=_SIZE),
]


@dataclass(frozen=True, kw_only=True)
class Size:
    """What the options say about the size of the subjects."""

    height: float | None
    mass: float | None
    sex: Sex | None
    age: float | None
    subjects: Path | None
    scale_body: ScaleBody | None

    def __bool__(self) -> bool:
        """Whether the body gets a size; a mass alone is only that of measured forces."""
        return any(one is not None for one in (self.height, self.sex, self.age, self.subjects, self.scale_body))

    @property
    def variant(self) -> "BodyVariant":
        """The size that all files share.

        Raises:
            SettingsError: If a number is out of any range.
            TargetError: If no person has this size.
        """
        from musclemap.skeletons.bodies.human_segments import HUMAN
        from musclemap.skeletons.scaling.body_size import BodySize, scaling_of
        from musclemap.skeletons.variants.size import facts_of_size
        from musclemap.skeletons.variants.variant import make_variant

        size = BodySize(height=self.height, mass=self.mass, sex=self.sex and self.sex.value, age=self.age)
        if self.subjects is None and self.scale_body is None:
            scaling_of(size, HUMAN)
        return make_variant(size=facts_of_size(size))

    @property
    def subjects_text(self) -> str:
        """The table of subjects as the text of a setting; "" without one.

        Raises:
            SettingsError: If the file is no table of subjects.
        """
        from musclemap.datasets.subjects import read_subjects, subjects_text

        return "" if self.subjects is None else subjects_text(read_subjects(self.subjects))


@dataclass(frozen=True, kw_only=True)
class Alterations:
    """What the options say, by their names."""

    strength: Sequence[str]
    joint_range: Sequence[str]
    added_mass: Sequence[str]

    def __bool__(self) -> bool:
        return bool(self.strength or self.joint_range or self.added_mass)

    def refuse_without(self, *, tracked: bool) -> None:
        """Refuse the options where no track is chosen by them.

        Raises:
            SettingsError: If there are some, and the command does not show tracks.
        """
        given = {"--strength": self.strength, "--joint-range": self.joint_range, "--added-mass": self.added_mass}
        if self and not tracked:
            options = " and ".join(name for name, texts in given.items() if texts)
            raise SettingsError(f"{options} chooses the track of an altered body: add --tracked")

    def check(self, model: str) -> None:
        """Refuse misspelt names and wrong forms, before MuJoCo is imported. Bodies of one's own are not checked here.

        Args:
            model: Name of the body, as in a clip's `model` or as in settings.

        Raises:
            SettingsError: If a text is no assignment, or a value is out of range.
            TargetError: If the body lacks a named part.
        """
        if not self:
            return
        from musclemap.skeletons.variants.assignments import check_assignments
        from musclemap.skeletons.variants.muscle_groups import MUSCLE_GROUPS
        from musclemap.skeletons.variants.part_names import part_names

        names = part_names(model)
        if names is not None:
            check_assignments(
                names, MUSCLE_GROUPS, strength=self.strength, joint_range=self.joint_range, added_mass=self.added_mass
            )

    def variant(self, model: str) -> "BodyVariant":
        """The variant of a body; without any option that of the unaltered body, which is then not loaded.

        Args:
            model: Name of the body, as in a clip's `model`.

        Raises:
            SettingsError: If a text is no assignment, or a value is out of range.
            TargetError: If the body lacks a named part, or does not take a value.
        """
        from musclemap.skeletons.variants.variant import UNALTERED

        if not self:
            return UNALTERED
        self.check(model)
        from musclemap.skeletons.bodies import load_body
        from musclemap.skeletons.variants.assignments import parse_variant

        body = load_body(model)
        variant = parse_variant(
            body.model, body.muscle_groups, strength=self.strength, joint_range=self.joint_range,
            added_mass=self.added_mass,
        )  # fmt: skip
        return load_body(model, variant=variant).variant  # refuses ranges that the body does not take

    def check_for(self, root: Path, listed: "Sequence[ListedClip]") -> None:
        """As `check`, for the body of the first of some clips; a clip that cannot be read is reported later."""
        from musclemap.failures import Failure, attempt
        from musclemap.pipelines.train.dataset import read_listed

        if self and listed:
            clip = attempt(lambda: read_listed(root, listed[0]))
            if not isinstance(clip, Failure):
                self.check(clip.model)

    def variant_for(self, root: Path, listed: "Sequence[ListedClip]") -> "BodyVariant":
        """As `variant`, for the body of the first of some clips.

        Raises:
            ClipError: If that clip cannot be read.
        """
        from musclemap.pipelines.train.dataset import read_listed
        from musclemap.skeletons.variants.variant import UNALTERED

        return self.variant(read_listed(root, listed[0]).model) if self and listed else UNALTERED


def alterations(
    strength: list[str] | None, joint_range: list[str] | None, added_mass: list[str] | None
) -> Alterations:  # fmt: skip
    """What the options of a command say."""
    return Alterations(strength=strength or (), joint_range=joint_range or (), added_mass=added_mass or ())
