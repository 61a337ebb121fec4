"""Settings of tracking."""

from typing import Annotated

from pydantic import Field

from musclemap.errors import SettingsError
from musclemap.settings import NonNegativeFloat, PositiveFloat, Seed, settings

MAX_COUNT, MAX_SAMPLES = 10_000, 1_000_000

Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
Samples = Annotated[int, Field(ge=0, le=MAX_SAMPLES)]


@settings
class TrackingConfig:
    """Settings of the controller and of the search for excitations.

    `benchmarks/tune_tracking.py` searches for gains; these fit MyoFullBody. A gain k is the square of a frequency: an
    error e and its rate ask for the acceleration `k e + 2 sqrt(k) damping de/dt`. Weights multiply accelerations in the
    cost, those of the root and the joints together with the square root of their inertia.

    Attributes:
        joint_gain: Gain of joint angles [1/s²].
        root_gain: Gain of the root's position [1/s²].
        root_rotation_gain: Gain of the root's orientation [1/s²].
        root_damping: Damping ratio of the root.
        joint_damping: Damping ratio of the joints.
        root_weight: Weight of the root's acceleration.
        root_rotation_weight: Weight of the root's angular acceleration.
        trunk_weight: Weight of the joints that follow a joint of the trunk through a soft coupling.
        toe_weight: Factor on the weight of the toes' joints while the foot bears: free toes yield, and the ball of the
            foot comes to the ground.
        added_inertia: Added to each inertia [kg m² or kg], so that light distal joints count.
        max_root_acceleration: Upper limit of the horizontal acceleration that the root's error asks for [m/s²].
        effort: Weight of squared deviations of the activations from those that cost nothing.
        feedforward: Part of the clip's own activations that costs nothing. Without it, or if the clip has none, a body
            stands 10 to 30 mm beside a reference that asks for effort.
        change: Weight of squared changes of the activations within a control step.
        horizon: Physics steps over which accelerations are averaged.
        foot_weight: Weight of the acceleration of a foot in swing.
        foot_rotation_weight: Weight of its angular acceleration.
        foot_gain: Gain of its position and orientation [1/s²].
        phase_shift: Share of the time by which the body is ahead of the reference that the reference skips.
        max_phase_shift: Longest time skipped or repeated [s].
        placement: Shift of the landing point, forwards or back, per error of the divergent component of motion.
        lateral_placement: Shift of the landing point sideways, per the same error.
        placement_rate: Rate at which that error is expected to grow until the landing [1/s].
        max_placement: Largest shift of the landing point [m].
        max_inwards: Largest shift of the landing point towards the other foot [m].
        return_rate: Lean of the body towards the reference, as a part of its feet's displacement from it.
        max_return: Largest lean [m].
        placement_lead: Part of the swing phase at which the shift is complete.
        clearance: Height added to the middle of the swing phase [m].
        clearance_outwards: Distance added outwards in the middle of the swing phase [m].
        landing_depth: Depth below the reference at which a foot that is late to land aims [m].
        contact_depth: How far below the clip the body stands [m].
        com_weight: Weight of the acceleration of the centre of mass.
        com_gain: Gain of the position of the centre of mass [1/s²].
        moment_weight: Weight of deviations from the clip's moments at the legs' joints between two steps [1/Nm].
        pressure_gain: Shift of the centre of pressure that these moments ask for, per error of the divergent component
            of motion.
        max_pressure_shift: Largest part of it within a foot [m]; load that goes to the other foot is not limited.
        seconds: Computing time per clip [s].
        variants: Variations of the gains that are tried together before the search; 0 for none.
        samples: Offsets simulated per fragment of the search; 0 for no search.
        kept: Offsets kept after each fragment.
        fragment: Control steps per fragment.
        spread: Standard deviation of the offsets of the legs' joints [rad]; of the trunk's half as much.
        seed: Seed of the search.
    """

    joint_gain: NonNegativeFloat = 110.0
    root_gain: NonNegativeFloat = 60.0
    root_rotation_gain: NonNegativeFloat = 67.0
    root_damping: NonNegativeFloat = 1.0
    joint_damping: NonNegativeFloat = 1.0
    root_weight: NonNegativeFloat = 1.0
    root_rotation_weight: NonNegativeFloat = 4.86
    trunk_weight: NonNegativeFloat = 4.63
    toe_weight: NonNegativeFloat = 1.0
    added_inertia: PositiveFloat = 0.3
    max_root_acceleration: NonNegativeFloat = 4.0
    effort: PositiveFloat = 50.0
    feedforward: NonNegativeFloat = 1.0
    change: NonNegativeFloat = 8.0
    horizon: Count = 13
    foot_weight: NonNegativeFloat = 2.0
    foot_rotation_weight: NonNegativeFloat = 0.5
    foot_gain: NonNegativeFloat = 150.0
    placement: NonNegativeFloat = 0.6
    phase_shift: NonNegativeFloat = 0.1
    max_phase_shift: NonNegativeFloat = 0.12
    lateral_placement: NonNegativeFloat = 0.9
    landing_depth: NonNegativeFloat = 0.01
    placement_rate: NonNegativeFloat = 2.0
    max_placement: NonNegativeFloat = 0.12
    max_inwards: NonNegativeFloat = 0.02
    return_rate: NonNegativeFloat = 0.3
    max_return: NonNegativeFloat = 0.015
    placement_lead: PositiveFloat = 0.8
    clearance: NonNegativeFloat = 0.02
    clearance_outwards: NonNegativeFloat = 0.01
    contact_depth: NonNegativeFloat = 0.003
    com_weight: NonNegativeFloat = 1.0
    moment_weight: NonNegativeFloat = 1.0
    pressure_gain: NonNegativeFloat = 2.0
    max_pressure_shift: NonNegativeFloat = 0.06
    com_gain: NonNegativeFloat = 30.0
    seconds: PositiveFloat = 600.0
    variants: Samples = 24
    samples: Samples = 40
    kept: Count = 8
    fragment: Count = 10
    spread: NonNegativeFloat = 0.08
    seed: Seed = 0

    def __post_init__(self) -> None:
        if self.kept > max(1, self.samples):
            raise SettingsError(f"tracking.kept is {self.kept}, more than the {self.samples} samples of a fragment")
