"""Settings of tracking."""

from dataclasses import fields

from musclemap.errors import SettingsError
from musclemap.settings import settings


@settings
class TrackingConfig:
    """Settings of the controller and of the search for excitations.

    `benchmarks/tune_tracking.py` found the gains for MyoFullBody. A gain k is the square of a natural frequency:
    an error e and its rate ask for the acceleration `k e + 2 sqrt(k) damping de/dt`. Weights multiply the square roots
    of squared accelerations in the cost, those of joints with the square root of the inertia they see.

    Attributes:
        joint_gain: Gain of joint angles [1/s²].
        root_gain: Gain of the root's position [1/s²].
        root_rotation_gain: Gain of the root's orientation [1/s²].
        root_damping: Damping ratio of the root.
        joint_damping: Damping ratio of the joints.
        root_weight: Weight of the root's acceleration.
        root_rotation_weight: Weight of the root's angular acceleration.
        trunk_weight: Weight of the joints that follow a joint of the trunk through a soft coupling.
        added_inertia: Added to each inertia [kg m² or kg], so that light distal joints count.
        max_root_acceleration: Upper limit of the horizontal acceleration that the root's error asks for [m/s²].
        effort: Weight of squared activations.
        change: Weight of squared changes of the activations within a control step.
        horizon: Physics steps over which accelerations are averaged.
        foot_weight: Weight of the acceleration of a foot in swing.
        foot_rotation_weight: Weight of its angular acceleration.
        foot_gain: Gain of its position and orientation [1/s²].
        placement: Shift of the landing point, forwards or back, per error of the divergent component of motion.
        phase_shift: Part of the time by which the body is ahead of the reference that the reference moves on.
        max_phase_shift: Largest such time [s].
        lateral_placement: The same sideways.
        landing_depth: Depth below the reference at which a foot that is late to land aims [m].
        placement_rate: Rate at which that error is expected to grow until the landing [1/s].
        max_placement: Largest shift of the landing point [m].
        max_inwards: Largest shift of the landing point towards the other foot [m].
        return_rate: Lean of the body towards the reference, as a part of its feet's displacement from it.
        max_return: Largest lean [m].
        placement_lead: Part of the swing phase at which the shift is complete.
        clearance: Height added to the middle of the swing phase [m].
        clearance_outwards: Distance added outwards in the middle of the swing phase [m].
        contact_depth: How far below the clip the body stands [m].
        com_weight: Weight of the acceleration of the centre of mass.
        moment_weight: Weight of deviations from the reference's moments at the legs' joints while both feet stand
            [1/Nm].
        com_gain: Gain of the position of the centre of mass [1/s²].
        seconds: Computing time per clip [s].
        samples: Variants simulated per fragment of the search; 0 for feedback alone.
        kept: Variants kept after each fragment.
        fragment: Control steps per fragment.
        spread: Standard deviation of the offsets of the legs' joints [rad]; of the trunk's half as much.
        seed: Seed of the search.
    """

    joint_gain: float = 110.0
    root_gain: float = 60.0
    root_rotation_gain: float = 67.0
    root_damping: float = 1.0
    joint_damping: float = 1.0
    root_weight: float = 1.0
    root_rotation_weight: float = 4.86
    trunk_weight: float = 4.63
    added_inertia: float = 0.3
    max_root_acceleration: float = 4.0
    effort: float = 50.0
    change: float = 8.0
    horizon: int = 13
    foot_weight: float = 2.0
    foot_rotation_weight: float = 0.5
    foot_gain: float = 150.0
    placement: float = 0.6
    phase_shift: float = 0.1
    max_phase_shift: float = 0.12
    lateral_placement: float = 0.9
    landing_depth: float = 0.01
    placement_rate: float = 2.0
    max_placement: float = 0.12
    max_inwards: float = 0.02
    return_rate: float = 0.3
    max_return: float = 0.015
    placement_lead: float = 0.8
    clearance: float = 0.02
    clearance_outwards: float = 0.01
    contact_depth: float = 0.003
    com_weight: float = 1.0
    moment_weight: float = 1.0
    com_gain: float = 30.0
    seconds: float = 600.0
    samples: int = 40
    kept: int = 8
    fragment: int = 10
    spread: float = 0.08
    seed: int = 0

    def __post_init__(self) -> None:
        positive = {"effort", "horizon", "seconds", "fragment", "kept", "placement_lead", "added_inertia"}
        for field in fields(self):
            value = getattr(self, field.name)
            if not value >= 0 or (field.name in positive and value == 0) or value == float("inf"):
                bound = "above 0" if field.name in positive else "at least 0"
                raise SettingsError(f"tracking.{field.name} is {value}; it must be {bound}")
        if self.kept > max(1, self.samples):
            raise SettingsError(f"tracking.kept is {self.kept}, more than the {self.samples} samples of a fragment")
