"""Settings of learning through a model of the body's dynamics."""

from dataclasses import dataclass, field

from musclemap.errors import SettingsError
from musclemap.files import shown
from musclemap.imitation.ppo.networks import PRECISIONS
from musclemap.imitation.ppo.optimisers import OPTIMIZERS
from musclemap.setting_checks import (
    MAX_FACTOR,
    check_above_0,
    check_at_most,
    check_below_1,
    check_known,
    check_not_below_0,
    check_widths,
)

from .world_model import ModelConfig

MAX_HORIZON, MAX_HORIZONS = 1000, 16
"""Most steps that are imagined, 10 s, and most horizons, each of which is compiled by itself."""


@dataclass(frozen=True, kw_only=True)
class WorldModelConfig:
    """How a policy is learned through imagined rollouts, after SuperMimic (arXiv 2610.28480).

    Attributes:
        rollout: Control steps that each world makes between updates.
        capacity: Control steps of worlds that are remembered.
        begin: Control steps that have to be remembered before anything is learned.
        refill: Control steps after which memory is emptied and a checkpoint written, many times `capacity`, or 0:
            never. What is remembered is on no disk, so a run that is taken up again begins with nothing; from these
            checkpoints it equals one that went on.
        noise: Standard deviation of the excitations' noise in real worlds.
        noise_memory: Share of the noise that is kept from one step to the next.
        sweepers: Share of the worlds that go through every clip in turn, from frame 0 and without noise.
        held: Share of the worlds that the model is not fitted to, but judged by.
        dynamics: The model.
        horizons: Steps that are imagined; longer as the model gets better.
        horizon_error: Open-loop error of the landmarks, over the way that they really went, below which a horizon is
            trusted.
        batch: Imagined rollouts of a gradient step.
        steps: Gradient steps of policy and value between real rollouts.
        discount: What a reward is worth a step later.
        trace: Lambda of the returns.
        hidden: Widths of the hidden layers of policy and value.
        learning_rate: Of the policy.
        value_learning_rate: Of the value.
        optimizer: "muon" (hidden matrices; the rest by AdamW) or "adamw".
        max_grad_norm: Gradients are clipped to this norm.
        state_grad_norm: So is, at every imagined step, the derivative with respect to each state.
        average: Share of the old that the averaged policy keeps in a gradient step; it is what acts and is kept.
        target: The same for the value that returns are computed with.
        effort: Weight of the mean square excitation, once tracking is good.
        effort_from: Mean reward of a step from which effort counts; fully, 0.1 above it.
        precision: "float32", or "bfloat16" for the matrix products.
    """

    rollout: int = 8
    capacity: int = 1_000_000
    begin: int = 10_000
    refill: int = 10_000_000
    noise: float = 0.1
    noise_memory: float = 0.9
    sweepers: float = 0.1
    held: float = 0.1
    dynamics: ModelConfig = field(default_factory=ModelConfig)
    horizons: tuple[int, ...] = (8, 16, 32)
    horizon_error: float = 0.3
    batch: int = 1024
    steps: int = 8
    discount: float = 0.97
    trace: float = 0.95
    hidden: tuple[int, ...] = (1024, 512, 512)
    learning_rate: float = 4e-4
    value_learning_rate: float = 4e-4
    optimizer: str = "muon"
    max_grad_norm: float = 1.0
    state_grad_norm: float = 1.0
    average: float = 0.995
    target: float = 0.99
    effort: float = 0.02
    effort_from: float = 0.8
    precision: str = "float32"

    def __post_init__(self) -> None:
        section = "world_model"
        check_above_0(
            section, self, "rollout", "capacity", "begin", "horizon_error", "batch", "steps", "learning_rate",
            "value_learning_rate", "max_grad_norm", "state_grad_norm",
        )  # fmt: skip
        check_below_1(section, self, "noise_memory", "discount", "trace", "average", "target", "sweepers", "held")
        check_not_below_0(section, self, "noise", "effort", "refill")
        # Steps: what single precision counts. Rollouts and horizons are compiled step by step, and kept in memory.
        check_at_most(section, self, rollout=10_000, capacity=1_000_000_000, begin=1_000_000_000, steps=10_000)
        check_at_most(section, self, batch=10_000_000, refill=10**15)
        check_at_most(
            section, self, noise=MAX_FACTOR, horizon_error=MAX_FACTOR, learning_rate=MAX_FACTOR,
            value_learning_rate=MAX_FACTOR, max_grad_norm=MAX_FACTOR, state_grad_norm=MAX_FACTOR, effort=MAX_FACTOR,
            effort_from=MAX_FACTOR,
        )  # fmt: skip
        check_widths(section, self, "hidden")
        if self.effort_from < -MAX_FACTOR:
            raise SettingsError(f"world_model.effort_from is {self.effort_from}; it must not be below {-MAX_FACTOR:,}")
        if max(self.horizons, default=0) > MAX_HORIZON or len(self.horizons) > MAX_HORIZONS:
            raise SettingsError(
                f"world_model.horizons is {shown(self.horizons)}; it lists at most {MAX_HORIZONS} of at most "
                f"{MAX_HORIZON} steps"
            )
        if not self.horizons or list(self.horizons) != sorted({*self.horizons}) or self.horizons[0] < 1:
            rule = "it lists steps, each more than the last"
            raise SettingsError(f"world_model.horizons is {shown(self.horizons)}; {rule}")
        check_known(section, self, optimizer=OPTIMIZERS, precision=PRECISIONS)
