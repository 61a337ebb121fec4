"""Settings of the physics that policies are trained and evaluated in: one set for every engine."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from musclemap.settings import settings
from musclemap.skeletons.variants.variant import UNALTERED, OptionalVariant

from .terrain import TerrainConfig


@settings
class PhysicsConfig:
    """How a body is simulated; training and evaluation use the same settings.

    Attributes:
        timestep: Step of the physics [s].
        nsubstep: Physics steps per control step; 5 of 2 ms make the 100 Hz of the clips.
        iterations: Most iterations of the constraint solver per physics step.
        ls_iterations: Most iterations of its line search.
        hands: "locked" (354 muscles of MyoFullBody) or "free" (all 416).
        nconmax: Contacts per world for which MuJoCo Warp reserves memory; 0 measures it on the clips.
        njmax: Constraint rows per world for which MuJoCo Warp reserves memory; 0 measures it on the clips.
        published: Whether the body is simulated as its package releases it, without our corrections (see docs/body.md).
            Clips of the published model are trained on it without this setting.
        terrain: The ground.
        variant: What differs from the body's table: weak muscles, limited joints, added mass (see docs/variants.md). A
            clip's own variant is simulated without this setting, which alters it further.
    """

    # A control step is 0.2 s at most, the slowest control of clips (5 Hz); buffers are those of a small GPU.
    timestep: Annotated[float, Field(gt=0, le=0.2)] = 0.002
    nsubstep: Annotated[int, Field(ge=1, le=1000)] = 5
    iterations: Annotated[int, Field(ge=1, le=1000)] = 20
    ls_iterations: Annotated[int, Field(ge=1, le=1000)] = 20
    hands: Literal["locked", "free"] = "locked"
    nconmax: Annotated[int, Field(ge=0, le=100_000)] = 0
    njmax: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    published: bool = False
    terrain: TerrainConfig = field(default_factory=TerrainConfig)
    variant: OptionalVariant = UNALTERED

    @property
    def control_fps(self) -> float:
        """Control steps per second."""
        return 1.0 / (self.timestep * self.nsubstep)
