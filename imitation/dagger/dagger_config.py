"""Settings of imitating a regulator or the tracking controller."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from musclemap.imitation.ppo.ppo_config import BatchSize, NumSteps, Optimizer, Precision
from musclemap.imitation.regulator.regulator_config import RegulatorConfig
from musclemap.imitation.tracking.config import TrackingConfig
from musclemap.settings import HiddenWidths, NonNegativeFloat, PositiveFloat, Sequence, UnitInterval, settings

Shares = Annotated[
    tuple[Annotated[float, Field(ge=0, le=1)], ...], Field(min_length=1, max_length=100), *Sequence
]  # fmt: skip
"""Share of the teacher in the executed excitations, for each round."""

Teaching = Literal["regulator", "controller"]

LabelSteps = Annotated[int, Field(ge=1, le=100_000_000)]


@settings
class DaggerConfig:
    """How a policy imitates its teacher: dataset aggregation (Ross et al. 2011, arXiv 1011.0686).

    Attributes:
        teacher: "regulator", around the motion of a clip's track, or "controller", the tracking controller itself.
        tracks: Whether the regulator holds to the tracks that `mm-track` has stored for the clips. For a clip without
            one, it holds to the motion that the tracking controller reaches without disturbances.
        shares: Share of the teacher in the executed excitations of each round; further rounds repeat the last one.
        round_steps: Control steps of all worlds per round, each with a label.
        num_steps: Control steps of each world per iteration.
        buffer_size: Labels that are kept; new ones then replace the oldest.
        epochs: Passes over all kept labels per round.
        gradient_steps: Gradient steps per iteration.
        batch_size: Labels of a gradient step.
        learning_rate: Learning rate at the beginning of each round.
        final_learning_rate: Share of it that is left at the end of the round; it decays along a cosine.
        optimizer: "muon" (matrices; the rest by AdamW) or "adamw".
        max_grad_norm: Gradients are clipped to this norm.
        hidden: Widths of the hidden layers of the policy.
        components: Principal components of the observations that the policy is fitted in; it learns nothing of the
            others, see `principal_inputs`.
        precision: "float32", or "bfloat16" for the matrix products.
        directions: Directions of activation with the largest effect that each label distinguishes.
        direction_power: Power of a direction's effect on the teacher's cost that its errors count with: 1 is that cost,
            0 counts all directions alike.
        activation_weight: Weight of errors in every direction, those that move nothing included.
        exploration_noise: Standard deviation of the noise in the executed excitations.
        noise_correlation: Correlation of the noise from one step to the next.
        root_noise: Standard deviation of the root's velocity at the start of an episode [m/s].
        joint_noise: Standard deviation of the velocities of root rotation and joints at the start [rad/s].
        sweep_fraction: Fraction of the worlds that play every clip in turn from frame 0; the others start anywhere.
        handback: Mean landmark error beyond which the teacher acts alone [m].
        evaluation_steps: Most control steps of an episode when the policy is evaluated at the end of a round.
        workers: Processes that compute labels; 0 for one per core.
        regulator: The regulator.
        tracking: The tracking controller; only its gains matter, as there is no search.
    """

    teacher: Teaching = "regulator"
    tracks: bool = True
    shares: Shares = (1.0, 0.7, 0.4, 0.2, 0.0, 0.0)
    round_steps: LabelSteps = 8000
    num_steps: NumSteps = 10
    buffer_size: LabelSteps = 60_000
    epochs: Annotated[int, Field(ge=1, le=10_000)] = 20
    gradient_steps: NumSteps = 50
    batch_size: BatchSize = 256
    learning_rate: PositiveFloat = 1e-3
    final_learning_rate: PositiveFloat = 0.02
    optimizer: Optimizer = "adamw"
    max_grad_norm: PositiveFloat = 1.0
    hidden: HiddenWidths = (1024, 512, 512)
    components: Annotated[int, Field(ge=1, le=100_000)] = 512
    precision: Precision = "float32"
    directions: Annotated[int, Field(ge=1, le=1000)] = 32
    direction_power: Annotated[float, Field(ge=0, le=1)] = 0.5
    activation_weight: NonNegativeFloat = 1.0
    exploration_noise: NonNegativeFloat = 0.1
    noise_correlation: UnitInterval = 0.9
    root_noise: NonNegativeFloat = 0.05
    joint_noise: NonNegativeFloat = 0.1
    sweep_fraction: UnitInterval = 0.3
    handback: PositiveFloat = 0.12
    evaluation_steps: NumSteps = 1000
    workers: Annotated[int, Field(ge=0, le=1024)] = 0
    regulator: RegulatorConfig = field(default_factory=RegulatorConfig)
    tracking: TrackingConfig = field(default_factory=TrackingConfig)
