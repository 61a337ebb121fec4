"""Settings of learning through a model of the body's dynamics."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from musclemap.imitation.ppo.ppo_config import BatchSize, NumSteps, Optimizer, Precision
from musclemap.settings import (
    MAX_FACTOR,
    HiddenWidths,
    NonNegativeFloat,
    PositiveFloat,
    Seed,
    Sequence,
    UnitInterval,
    settings,
)


def _rising(horizons: tuple[int, ...]) -> tuple[int, ...]:
    if list(horizons) != sorted(set(horizons)):
        raise ValueError("each larger than the last")
    return horizons


Horizons = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1, max_length=16), *Sequence,
    AfterValidator(_rising),
]  # fmt: skip
"""Numbers of imagined steps, up to 10 s; each is compiled separately."""

Variant = Literal["rigid", "grey", "plain"]

BufferSteps = Annotated[int, Field(ge=1, le=1_000_000_000)]


@settings
class TendonConfig:
    """How the networks of muscle lengths are fitted.

    Attributes:
        hidden: Width of the two hidden layers of each muscle's network.
        num_samples: Configurations to fit; a tenth as many more are held out to measure the error.
        gradient_steps: Gradient steps.
        batch_size: Configurations of a gradient step.
        learning_rate: Initial learning rate; it decays to zero along a cosine.
        seed: Seed of the configurations and the initial weights.
    """

    # Every muscle has its own network, and every sample has all moment arms.
    hidden: Annotated[int, Field(ge=1, le=256)] = 16
    num_samples: Annotated[int, Field(ge=1, le=1_000_000)] = 10_000
    gradient_steps: Annotated[int, Field(ge=1, le=1_000_000)] = 2_000
    batch_size: Annotated[int, Field(ge=1, le=1_000_000)] = 256
    learning_rate: PositiveFloat = 5e-3
    seed: Seed = 0


@settings
class ModelConfig:
    """The network that predicts, and how it is fitted.

    Attributes:
        variant: "rigid" (muscles, rigid bodies, joint limits and feet on the ground are computed, and the network
            corrects their forces), "grey" (muscles are computed, and the network predicts the effect of their torques)
            or "plain" (its inputs are activations and excitations, so that it has to learn the muscles too).
        hidden: Widths of the hidden layers.
        sequence_length: Control steps predicted open-loop from a real state when fitting.
        batch_size: Sequences of a gradient step.
        gradient_steps: Gradient steps between rollouts.
        learning_rate: Learning rate of Adam.
        failure_fraction: Largest fraction of sequences that end in a failure or begin just before one.
        precision: "float32", or "bfloat16" for the matrix products.
        tendons: How lengths of muscles are fitted.
    """

    variant: Variant = "grey"
    hidden: HiddenWidths = (1024, 1024, 1024, 1024)
    # Sequences are unrolled, and kept in memory for the gradient.
    sequence_length: Annotated[int, Field(ge=1, le=1000)] = 8
    batch_size: BatchSize = 1024
    gradient_steps: NumSteps = 16
    learning_rate: PositiveFloat = 5e-4
    failure_fraction: Annotated[float, Field(ge=0, le=1)] = 0.5
    precision: Precision = "float32"
    tendons: TendonConfig = field(default_factory=TendonConfig)


@settings
class WorldStartConfig:
    """How learning through a model begins at a given policy. Has no effect on a run that starts from scratch.

    Attributes:
        critic_iterations: Learning iterations in which only the model and the value learn, before the policy changes.
    """

    critic_iterations: Annotated[int, Field(ge=0, le=1_000_000)] = 50


@settings
class WorldModelConfig:
    """How a policy is learned through imagined rollouts, after SuperMimic (arXiv 2610.28480).

    Attributes:
        num_steps: Control steps of each world between updates.
        buffer_size: Control steps of worlds that the replay buffer keeps.
        learning_starts: Control steps in the replay buffer before learning begins.
        buffer_reset_interval: Control steps after which the replay buffer is emptied and a checkpoint written, many
            times `buffer_size`, or 0: never. The buffer is on no disk, so a resumed run begins with an empty one; from
            these checkpoints it equals a run that was never interrupted.
        exploration_noise: Standard deviation of the excitations' noise in real worlds.
        noise_correlation: Correlation of the noise from one step to the next.
        sweep_fraction: Fraction of the worlds that play every clip in turn, from frame 0 and without noise.
        validation_fraction: Fraction of the worlds that the model is not fitted to, but evaluated on.
        dynamics: The model.
        horizons: Steps to imagine; longer as the model improves.
        horizon_error: Open-loop error of the landmarks, relative to the distance that they really moved, below which a
            horizon is used.
        batch_size: Imagined rollouts of a gradient step.
        gradient_steps: Gradient steps of policy and value between real rollouts.
        gamma: Discount factor.
        return_lambda: Lambda of the returns.
        hidden: Widths of the hidden layers of policy and value.
        learning_rate: Learning rate of the policy.
        value_learning_rate: Learning rate of the value.
        optimizer: "muon" (hidden matrices; the rest by AdamW) or "adamw".
        max_grad_norm: Gradients are clipped to this norm.
        max_state_grad_norm: At every imagined step, so is the derivative with respect to each state.
        policy_ema_decay: Decay, per gradient step, of the averaged policy; the averaged policy acts and is saved.
        target_ema_decay: Decay of the averaged value that returns are computed with.
        effort_coef: Coefficient of the mean square excitation, once tracking is good.
        effort_min_reward: Mean reward of a step from which effort counts; fully, 0.1 above it.
        precision: "float32", or "bfloat16" for the matrix products.
        start: How a run begins at a given policy.
    """

    num_steps: NumSteps = 8
    buffer_size: BufferSteps = 1_000_000
    learning_starts: BufferSteps = 10_000
    buffer_reset_interval: Annotated[int, Field(ge=0, le=10**15)] = 10_000_000
    exploration_noise: NonNegativeFloat = 0.1
    noise_correlation: UnitInterval = 0.9
    sweep_fraction: UnitInterval = 0.1
    validation_fraction: UnitInterval = 0.1
    dynamics: ModelConfig = field(default_factory=ModelConfig)
    horizons: Horizons = (8, 16, 32)
    horizon_error: PositiveFloat = 0.3
    batch_size: BatchSize = 1024
    gradient_steps: NumSteps = 8
    gamma: UnitInterval = 0.97
    return_lambda: UnitInterval = 0.95
    hidden: HiddenWidths = (1024, 512, 512)
    learning_rate: PositiveFloat = 4e-4
    value_learning_rate: PositiveFloat = 4e-4
    optimizer: Optimizer = "muon"
    max_grad_norm: PositiveFloat = 1.0
    max_state_grad_norm: PositiveFloat = 1.0
    policy_ema_decay: UnitInterval = 0.995
    target_ema_decay: UnitInterval = 0.99
    effort_coef: NonNegativeFloat = 0.02
    effort_min_reward: Annotated[float, Field(ge=-MAX_FACTOR, le=MAX_FACTOR)] = 0.8
    precision: Precision = "float32"
    start: WorldStartConfig = field(default_factory=WorldStartConfig)
