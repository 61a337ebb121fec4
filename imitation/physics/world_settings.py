"""Settings of the ground, and of what differs between worlds. Imports nothing heavy: commands check them first."""

from typing import Annotated, Literal, get_args

from pydantic import Field

from musclemap.settings import Seed, UnitInterval, settings

Kind = Literal["flat", "rough", "slope", "steps", "obstacles"]
KINDS: tuple[Kind, ...] = get_args(Kind)


@settings
class TerrainConfig:
    """The ground.

    Attributes:
        kind: "flat"; "rough", random hills and hollows; "slope", up and down at one grade; "steps", stairs up and
            down; "obstacles", blocks on flat ground.
        height: Largest rise [m]: of a hill, a slope, a step or a block.
        length: Horizontal distance [m]: between hills, from a slope's foot to its top, of a step's tread, between
            blocks.
        extent: Half the side of the square ground [m]; episodes begin in its inner half.
        seed: Seed of the random parts.
    """

    kind: Kind = "flat"
    height: Annotated[float, Field(gt=0, le=10)] = 0.05
    length: Annotated[float, Field(ge=0.01, le=50)] = 1.0  # hills of 50 m take 4 s to smooth
    extent: Annotated[float, Field(ge=2, le=100)] = 20.0
    seed: Seed = 0


@settings
class RandomisationConfig:
    """How much worlds differ: the largest relative deviation, drawn uniformly to both sides; 0 turns it off.

    Attributes:
        mass: Mass and inertia of each body part.
        friction: Friction of all geoms of a world, including the floor.
        strength: Force of each muscle, active and passive.
        activation_time: Time constants of activation and deactivation of each muscle.
    """

    mass: UnitInterval = 0.0
    friction: UnitInterval = 0.0
    strength: UnitInterval = 0.0
    activation_time: UnitInterval = 0.0
