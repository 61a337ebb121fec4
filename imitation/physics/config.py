"""Settings of the physics that policies are trained in and judged by: one set for every engine."""

from dataclasses import dataclass, field

from musclemap.setting_checks import check_above_0, check_at_most, check_known, check_not_below_0

from .terrain import TerrainConfig


@dataclass(frozen=True, kw_only=True)
class PhysicsConfig:
    """How a body is simulated; training and evaluation use the same.

    Attributes:
        timestep: Step of the physics [s].
        nsubstep: Physics steps a control step; 5 of 2 ms make the 100 Hz of the clips.
        iterations: Most iterations of the constraint solver a step.
        ls_iterations: Most steps of its line search.
        hands: "locked" (354 muscles of MyoFullBody) or "free" (all 416).
        nconmax: Contacts that each world has room for in MuJoCo Warp; 0 sizes it on the clips.
        njmax: Rows of constraints that each world has room for in MuJoCo Warp; 0 sizes it on the clips.
        terrain: The ground.
    """

    timestep: float = 0.002
    nsubstep: int = 5
    iterations: int = 20
    ls_iterations: int = 20
    hands: str = "locked"
    nconmax: int = 0
    njmax: int = 0
    terrain: TerrainConfig = field(default_factory=TerrainConfig)

    def __post_init__(self) -> None:
        check_above_0("physics", self, "timestep", "nsubstep", "iterations", "ls_iterations")
        check_not_below_0("physics", self, "nconmax", "njmax")
        # A control step is 0.2 s at most, the slowest control of clips (5 Hz); buffers are those of a small GPU.
        check_at_most("physics", self, timestep=0.2, nsubstep=1000, iterations=1000, ls_iterations=1000)
        check_at_most("physics", self, nconmax=100_000, njmax=1_000_000)
        check_known("physics", self, hands=("locked", "free"))

    @property
    def control_fps(self) -> float:
        """Control steps a second."""
        return 1.0 / (self.timestep * self.nsubstep)
