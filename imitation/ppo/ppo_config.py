"""Settings of proximal policy optimisation, and the types that it shares with the world model's."""

from dataclasses import field
from typing import Annotated, Literal

from pydantic import Field

from musclemap.settings import HiddenWidths, NonNegativeFloat, PositiveFloat, UnitInterval, settings

Optimizer = Literal["muon", "adamw"]

Precision = Literal["float32", "bfloat16"]
"""Names accepted by `matmul_dtype`."""

NumSteps = Annotated[int, Field(ge=1, le=10_000)]
"""Steps of a rollout, which is kept in memory for every world, or gradient steps between two rollouts."""

BatchSize = Annotated[int, Field(ge=1, le=10_000_000)]
"""Samples of a gradient step, which holds them in memory."""


MinibatchSize = Annotated[int, Field(ge=0, le=10_000_000)]

MAX_MINIBATCH = 1280
"""Published size of a minibatch, for rollouts of 163,840 samples."""

MIN_STEPS = 4
"""Number of gradient steps per pass over a rollout that is too small for several of the published minibatches."""

MIN_ACTION_STD, MAX_ACTION_STD = 0.05, 2.0
"""Limits of the exploration noise, in actions before the sigmoid."""


def default_minibatch_size(nsample: int) -> int:
    """Samples of a gradient step for a rollout of `nsample`: a quarter of it, but at most the published number.

    A GPU's rollout has many minibatches of the published size; that of a few worlds on a CPU has less than one.
    """
    return max(min(nsample // MIN_STEPS, MAX_MINIBATCH), 1)


@settings
class StartConfig:
    """How PPO begins at a given policy. Has no effect on a run that starts from scratch.

    Attributes:
        critic_rollouts: Rollouts that only the critic learns from, before the actor changes.
        kl_coef: Coefficient of the KL divergence from the starting policy; 0 for none.
        kl_fade_steps: Control steps, summed over the worlds and counted from the actor's first update, over which that
            coefficient falls linearly to 0. The normaliser is constant until then.
        noise_std: Initial standard deviation of actions, before the sigmoid, unless the starting policy's is smaller.
    """

    critic_rollouts: Annotated[int, Field(ge=0, le=1_000_000)] = 50
    kl_coef: NonNegativeFloat = 1.0
    kl_fade_steps: Annotated[int, Field(ge=1, le=10**15)] = 1_000_000
    noise_std: Annotated[float, Field(ge=MIN_ACTION_STD, le=MAX_ACTION_STD)] = 0.2


@settings
class PPOConfig:
    """Settings, as published for this task (MuscleMimic, arXiv 2603.25544) where it has them.

    Attributes:
        num_steps: Control steps of each world between updates.
        epochs: Passes over each rollout.
        minibatch_size: Samples of a gradient step, fewer if a rollout has fewer; 0 for a quarter of a rollout, but at
            most the published 1280.
        gamma: Discount factor.
        gae_lambda: Lambda of generalised advantage estimation.
        clip_eps: Largest deviation of the probability ratio from 1 before it is clipped.
        ent_coef: Coefficient of the policy's entropy.
        vf_coef: Coefficient of the value loss.
        learning_rate: Learning rate of the optimiser.
        optimizer: "muon" (matrices; the rest by AdamW) or "adamw".
        weight_decay: Weight decay of the optimiser.
        max_grad_norm: Gradients are clipped to this norm.
        target_kl: KL divergence from the rollout's policy at which updates stop until the next rollout.
        init_noise_std: Initial standard deviation of actions, before the sigmoid.
        hidden: Widths of the hidden layers of policy and value.
        precision: "float32", or "bfloat16" for the matrix products.
        start: How a run begins at a given policy.
    """

    num_steps: NumSteps = 20
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    minibatch_size: MinibatchSize = 0
    gamma: UnitInterval = 0.99
    gae_lambda: UnitInterval = 0.95
    clip_eps: PositiveFloat = 0.2
    ent_coef: NonNegativeFloat = 0.0
    vf_coef: NonNegativeFloat = 1.0
    learning_rate: PositiveFloat = 4e-4
    optimizer: Optimizer = "muon"
    weight_decay: NonNegativeFloat = 0.0
    max_grad_norm: PositiveFloat = 1.0
    target_kl: PositiveFloat = 0.1
    init_noise_std: PositiveFloat = 0.5
    hidden: HiddenWidths = (1024, 512, 512)
    precision: Precision = "float32"
    start: StartConfig = field(default_factory=StartConfig)
