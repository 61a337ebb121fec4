"""Settings of proximal policy optimisation, and the types that it shares with the world model's."""

from typing import Annotated

from pydantic import Field

from musclemap.settings import HiddenWidths, NonNegativeFloat, PositiveFloat, UnitInterval, settings

from .networks import Precision
from .optimisers import Optimizer

NumSteps = Annotated[int, Field(ge=1, le=10_000)]
"""Steps of a rollout, which is kept in memory for every world, or gradient steps between two rollouts."""

BatchSize = Annotated[int, Field(ge=1, le=10_000_000)]
"""Samples of a gradient step, which holds them in memory."""


@settings
class PPOConfig:
    """Settings, as published for this task (MuscleMimic, arXiv 2603.25544) where it has them.

    Attributes:
        num_steps: Control steps of each world between updates.
        epochs: Passes over each rollout.
        minibatch_size: Samples of a gradient step; fewer if a rollout has fewer.
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
    """

    num_steps: NumSteps = 20
    epochs: Annotated[int, Field(ge=1, le=1000)] = 1
    minibatch_size: BatchSize = 1280
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
