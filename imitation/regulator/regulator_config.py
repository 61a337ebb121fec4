"""Settings of the regulator."""

from typing import Annotated

from pydantic import Field

from musclemap.settings import NonNegativeFloat, PositiveFloat, settings


@settings
class RegulatorConfig:
    """Cost and differences of the time-varying linear-quadratic regulator.

    The cost of a control step is the sum of squared deviations of the controlled degrees of freedom [rad², m²], of
    their velocities and of the activations, with these weights.

    Attributes:
        velocity_weight: Weight of squared deviations of velocities [s²].
        root_weight: Factor on the weights of the root's position, orientation and velocities.
        effort: Weight of squared deviations of the activations.
        headroom: A muscle whose activation is this close to 0 or 1 counts with about twice the effort: it can hardly
            act in both directions.
        position_step: Difference of positions for the linear model [rad, m]. As large as the deviations to be
            corrected, it averages over the beginning and the end of contacts.
        velocity_step: Difference of velocities [rad/s, m/s].
        roll_authority: Part of the muscles' torque about the subtalar joint of a standing foot that the linear model
            counts with. In that model the foot is held to the ground. A real one rolls over its edge once the centre of
            pressure gets there, and a regulator that trusts its ankles sets the other foot down in the wrong place.
        rank: Directions of activation that are corrected. On MyoFullBody 30 of 354 have an effect.
    """

    velocity_weight: NonNegativeFloat = 0.005
    root_weight: PositiveFloat = 4.0
    effort: PositiveFloat = 0.3
    headroom: PositiveFloat = 0.03
    position_step: PositiveFloat = 0.016
    velocity_step: PositiveFloat = 0.24
    roll_authority: Annotated[float, Field(ge=0, le=1)] = 0.4
    rank: Annotated[int, Field(ge=1, le=200)] = 36
