"""Settings of the tracking task. Imports no JAX, so that a command can refuse a wrong setting at once."""

from dataclasses import field
from typing import Annotated

from pydantic import AfterValidator, Field

from musclemap.settings import MAX_FACTOR, NonNegativeFloat, PositiveFloat, Sequence, settings

AHEAD = (1, 2, 4, 8, 16, 32)
"""Future steps whose reference is observed; deviations refer to the present step."""

EDGE = 1e-4
"""Excitations closer than this to 0 or 1 cannot be requested through actions."""


def _distinct(steps: tuple[int, ...]) -> tuple[int, ...]:
    if len(set(steps)) < len(steps):
        raise ValueError("no two alike")
    return steps


FutureSteps = Annotated[
    tuple[Annotated[int, Field(ge=1, le=1000)], ...], Field(min_length=1, max_length=64), *Sequence,
    AfterValidator(_distinct),
]  # fmt: skip
"""Steps ahead of the present, up to 10 s."""

Width = Annotated[float, Field(ge=1.0 / MAX_FACTOR, le=MAX_FACTOR)]
"""Width of a bell; errors are divided by it."""


@settings
class RewardConfig:
    """The reward to learn from. Its terms are between 0 and 1, so that early termination never pays.

    Each tracking term is half a narrow bell and half a wide one, which still has a slope far from the reference.
    Weights need not add up to 1: they are divided by their sum.

    Attributes:
        landmark: Weight of the landmarks' positions relative to the root.
        joint: Weight of the independent joints.
        joint_velocity: Weight of their velocities.
        landmark_velocity: Weight of the landmarks' velocities.
        fingertip: Weight of the fingertips' positions in the hands, where the fingers move.
        root: Weight of the root's position in the world; for a body with a free root.
        root_rotation: Weight of its orientation.
        effort: Weight of low excitation: 1 minus its mean square.
        action_rate: Weight of steady excitation: 1 minus the mean square of its change.
        landmark_scale: Error at which the narrow bell has fallen to 1/e [m].
        joint_scale: The same for joints [rad].
        joint_velocity_scale: The same for their velocities [rad/s].
        landmark_velocity_scale: The same for the landmarks' velocities [m/s].
        fingertip_scale: The same for the fingertips' positions in the hands [m]: a tenth of a finger's length.
        root_scale: The same for the root's position [m].
        root_rotation_scale: The same for its orientation [rad].
        wide_factor: Width of the wide bell over that of the narrow one.
    """

    landmark: NonNegativeFloat = 0.35
    joint: NonNegativeFloat = 0.2
    joint_velocity: NonNegativeFloat = 0.05
    landmark_velocity: NonNegativeFloat = 0.1
    fingertip: NonNegativeFloat = 0.2
    root: NonNegativeFloat = 0.15
    root_rotation: NonNegativeFloat = 0.1
    effort: NonNegativeFloat = 0.03
    action_rate: NonNegativeFloat = 0.02
    landmark_scale: Width = 0.06
    joint_scale: Width = 0.2
    joint_velocity_scale: Width = 2.0
    landmark_velocity_scale: Width = 0.5
    fingertip_scale: Width = 0.01
    root_scale: Width = 0.15
    root_rotation_scale: Width = 0.3
    wide_factor: Width = 4.0

    def __post_init__(self) -> None:
        # Some bodies have no free root or no fingers that move; the rest is divided by the sum of these.
        weights = (
            self.landmark, self.joint, self.joint_velocity, self.landmark_velocity, self.effort, self.action_rate,
        )  # fmt: skip
        if not any(weights):
            raise ValueError("a weight other than root, root_rotation and fingertip must be above 0")


@settings
class TaskConfig:
    """Settings of the task.

    Attributes:
        future_steps: Steps ahead at which the policy observes the reference.
        episode_length: Longest episode [control steps].
        max_landmark_error: Mean distance of the landmarks, relative to the root, at which an episode terminates [m].
        max_root_error: Distance of the root at which an episode terminates [m].
        resting_excitation: Excitation of an action of zero, and activation of clips without their own.
        latency_steps: Largest delay of excitations [control steps]; each episode has its own.
        push_interval: Mean time between pushes at the root [s]; 0 for none.
        push_speed: Largest change of the root's horizontal speed by a push [m/s].
        reward: The reward to learn from.
    """

    future_steps: FutureSteps = AHEAD
    # Steps are counted in 32 bits; delayed excitations are kept in memory for every world.
    episode_length: Annotated[int, Field(ge=1, le=2**31 - 1)] = 1000
    max_landmark_error: PositiveFloat = 0.3
    max_root_error: PositiveFloat = 0.5
    resting_excitation: Annotated[float, Field(ge=EDGE, le=1.0 - EDGE)] = 0.1
    latency_steps: Annotated[int, Field(ge=0, le=1000)] = 0
    push_interval: NonNegativeFloat = 0.0
    push_speed: NonNegativeFloat = 0.5
    reward: RewardConfig = field(default_factory=RewardConfig)
