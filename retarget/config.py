"""Settings of a conversion; each changes something, and `musclemap.settings` refuses any other."""

import json
import operator
from dataclasses import field
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from musclemap.datasets.formats.readers.units import checked_unit
from musclemap.errors import SettingsError
from musclemap.settings import MAX_FACTOR, NonNegativeFloat, PositiveFloat, Sequence, settings
from musclemap.skeletons.variants.variant import UNALTERED, OptionalVariant

Iterations = Annotated[int, Field(ge=1, le=10_000)]

MuscleCost = Literal["volume", "activation", "stress-cubed"]
"""What static optimisation minimises: squares of activation weighted by muscle volume, plain squares of activation, or
cubes of muscle stress."""


def _is_force_file(name: str) -> str:
    if name not in ("", "none") and not name.casefold().endswith((".mot", ".sto", ".xml")):
        raise ValueError("with the end .mot, .sto or .xml, or none")
    return name


def _is_marker_file(name: str) -> str:
    if name not in ("", "none") and not name.casefold().endswith((".trc", ".c3d")):
        raise ValueError("with the end .trc or .c3d, or none")
    return name


def _is_table_of_subjects(text: str) -> str:
    try:
        table = json.loads(text or "{}")
    except ValueError as error:
        raise ValueError(f"JSON of the sizes of subjects: {error}") from error
    if not isinstance(table, dict) or not all(isinstance(facts, dict) for facts in table.values()):
        raise ValueError("a JSON object with the size of each subject")
    return text


StaticTrial = Annotated[str, Field(max_length=255), AfterValidator(_is_marker_file)]
ForceFile = Annotated[str, Field(max_length=4096), AfterValidator(_is_force_file)]


@settings
class BodyConfig:
    """Which target body is used, and which version of it.

    Attributes:
        name: The body: "full-body" (MyoFullBody), "bimanual-arm" (MyoBimanualArm, the arms on a chest), or the name of
            a body of one's own (docs/own-body.md).
        chest: What becomes of the motion of the chest that MyoBimanualArm hangs from: "moving" (the clip keeps it, and
            forces include it), "fixed" (it is left out, and the chest is upright and at rest, as published) or
            "full-body" (MyoFullBody is fitted first, and the clip has its chest and arms).
        published: Whether the model is used as its package releases it, without our corrections of faults (see
            docs/body.md): for policies and clips of others, which were made with it.
        variant: What differs from the body's table: weak muscles, limited joints, added mass (see docs/variants.md), a
            person's size (docs/subjects.md).
        subjects: Sizes of subjects as JSON, from the table of `--subjects`; a clip holds the variant that follows.
        scale: What is scaled if subject and body differ in size: "motion", or "body", to the lengths of the motion's
            own bones. A clip holds the variant that follows.
    """

    name: Annotated[str, Field(min_length=1, max_length=60)] = "full-body"
    chest: Literal["moving", "fixed", "full-body"] = "moving"
    published: bool = False
    variant: OptionalVariant = UNALTERED
    subjects: Annotated[str, Field(exclude_if=operator.not_), AfterValidator(_is_table_of_subjects)] = ""
    scale: Annotated[Literal["motion", "body"], Field(exclude_if=lambda value: value == "motion")] = "motion"

    def __post_init__(self) -> None:
        if self.chest != "moving" and self.name != "bimanual-arm":
            raise ValueError(f"chest={self.chest} is for the body bimanual-arm: add --body bimanual-arm")


def _unit(text: str) -> str:
    """As `checked_unit`, for a field: the settings name it in their error."""
    try:
        return checked_unit(text)
    except SettingsError as error:
        raise ValueError(str(error)) from error


@settings
class SourceConfig:
    """What is known about the source files better than they say themselves.

    Attributes:
        up: Axis that points up in the files' world: "z", "y", or "auto" (y up is noticed, and turned if it is certain).
        units: Unit of their positions: "m", "cm", "mm", "in", "cmu" (56.4 mm), the length of one unit in metres such as
            "0.0254", or "auto" (other units are noticed, and converted if certain).
        fps: Frame rate [Hz] in place of that of the files, or 0 for that of the files.
        ground: Height of the floor: "auto" (that of the standing feet) or "zero" (z = 0 of the files).
        joints: Joint map of files with their own skeletons, each such as "left_hip = LeftUpLeg"; empty to find the
            joints by their names or positions.
        force_file: File of measured ground forces of each motion, relative to its folder, where * stands for the name
            of the motion without suffix; "none" for no forces; empty to find it by its name (see docs/formats.md).
        mass: Mass of the subject [kg], or 0 to take it from the measured forces.
        static_trial: Name of the static trial of each folder, which calibrates its other recordings of markers; "none"
            for none; empty to find it by its name.
    """

    up: Literal["auto", "z", "y"] = "auto"
    units: Annotated[str, AfterValidator(_unit)] = "auto"
    fps: NonNegativeFloat = 0.0
    ground: Literal["auto", "zero"] = "auto"
    joints: Annotated[tuple[str, ...], *Sequence] = ()
    force_file: ForceFile = ""
    mass: NonNegativeFloat = 0.0
    static_trial: StaticTrial = ""

@settings
class ScaleConfig:
    """How the subject's size is estimated from the motion.

    Attributes:
        height_sigma: Standard deviation of the scale that the pelvis height above the floor gives (relative).
        prior_sigma: Standard deviation of the skeleton's own scale if the floor is not where the height expects it
            (relative).
        speed_sigma: Standard deviation of the speed of a standing foot [m/s].
        lower: Smallest plausible scale.
        upper: Largest plausible scale.
    """

    height_sigma: PositiveFloat = 0.03
    prior_sigma: PositiveFloat = 0.06
    speed_sigma: PositiveFloat = 0.07
    lower: PositiveFloat = 0.5
    upper: Annotated[float, Field(le=MAX_FACTOR)] = 2.5

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ValueError(f"lower must be below upper, got {self.lower} and {self.upper}")


@settings
class FilterConfig:
    """How noise is removed from the source before the fit.

    Attributes:
        enabled: Whether the source is filtered.
        lowest: Lowest cutoff frequency that residual analysis may choose [Hz].
        highest: Highest cutoff frequency [Hz], also used around free fall and landing; at most 40 % (there 80 %) of
            half the frame rate.
        cutoff: Cutoff frequency of all signals in all frames [Hz], or 0 for residual analysis by group of signals.
    """

    enabled: bool = True
    lowest: PositiveFloat = 5.0
    highest: PositiveFloat = 12.0
    cutoff: NonNegativeFloat = 0.0

    def __post_init__(self) -> None:
        if self.lowest > self.highest:
            raise ValueError(f"lowest must not exceed highest, got {self.lowest} and {self.highest}")


@settings
class ContactConfig:
    """When a heel or toe of the source counts as standing.

    Attributes:
        max_speed: Highest speed of a standing point [m/s].
        max_height: Highest point above its floor [m].
        min_duration: Shortest contact, and shortest gap between two contacts; shorter ones are closed [s].
        free_fall: Downward acceleration of the pelvis above which the body counts as unsupported [m/s^2].
    """

    max_speed: PositiveFloat = 0.25
    max_height: PositiveFloat = 0.035
    min_duration: PositiveFloat = 0.06
    free_fall: PositiveFloat = 5.0


@settings
class WeightConfig:
    """Weights of the terms of the fit, relative to 1 for the square metre of a landmark's error.

    Attributes:
        trunk: Positions of lumbar1 and head.
        arm: Positions of humerus, ulna, lunate.
        pelvis: Position of the pelvis.
        leg: Positions of femur and tibia.
        foot: Positions of talus and toes.
        pelvis_rotation: Orientation of the pelvis [1/rad^2].
        trunk_rotation: Orientation of the chest [1/rad^2].
        limb_rotation: Orientation of the other oriented bodies [1/rad^2].
        contact: Distance of heels and toes in contact from where the contact holds them.
        floor: Foot geometry below the floor.
        rest: Height of heels and toes in contact above the ground.
        self_collision: Overlapping limbs, and limbs below the floor, when a clip with self-collisions is refitted.
        prior: Distance of a joint from its rest value [1/rad^2].
        angle: Distance of a joint from the angle that the source states for it, in place of the prior [1/rad^2].
        velocity: First differences of joints at 100 Hz, relative to the stiffness that landmarks give the joint.
        acceleration: Second differences of joints at 100 Hz, relative to the same; 1 smooths above about 16 Hz.
        twist: Factor on both for elevation plane and axial rotation of the shoulder, which coincide while the
            arm hangs.
        toes: Factor on both for the toes, whose flexion no landmark measures: only contacts and the floor move them.
        root_acceleration: Second differences at 100 Hz of the root's deviation from the source, relative to the same.
    """

    trunk: NonNegativeFloat = 0.5
    arm: NonNegativeFloat = 1.0
    pelvis: NonNegativeFloat = 1.0
    leg: NonNegativeFloat = 0.7
    foot: NonNegativeFloat = 3.0
    pelvis_rotation: NonNegativeFloat = 0.02
    trunk_rotation: NonNegativeFloat = 0.02
    limb_rotation: NonNegativeFloat = 0.003
    contact: NonNegativeFloat = 30.0
    floor: NonNegativeFloat = 1000.0
    rest: NonNegativeFloat = 300.0
    self_collision: NonNegativeFloat = 150.0
    prior: NonNegativeFloat = 2e-5
    angle: NonNegativeFloat = 1.0
    velocity: NonNegativeFloat = 1e-3
    acceleration: NonNegativeFloat = 1.0
    twist: NonNegativeFloat = 500.0
    toes: NonNegativeFloat = 100.0
    root_acceleration: NonNegativeFloat = 500.0


@settings
class SolverConfig:
    """How the fit is solved.

    Attributes:
        anchor_seconds: Time between anchor frames, which are solved independently from several starts [s].
        anchor_iterations: Levenberg-Marquardt steps of an anchor frame.
        calibration_iterations: Levenberg-Marquardt steps after each round of calibration.
        batch_size: Independent frames solved together; 0 chooses a number that suits the device.
        window_size: Frames of a window of the whole-clip refinement; a multiple of 4.
        window_batch_size: Windows refined together; 0 chooses a number that suits the device.
        sweeps: Most passes over a clip; each shifts the windows by half.
        tolerance: A window has converged when a pass lowers its cost by less than this fraction. The cost at the
            windows' seams is small beside that of landmarks out of reach: at 0.02, seams remain at which the root
            jerks.
        window_iterations: Levenberg-Marquardt steps per window and pass.
    """

    anchor_seconds: PositiveFloat = 0.1
    anchor_iterations: Iterations = 20
    calibration_iterations: Iterations = 5
    # Memory grows with the frames solved together.
    batch_size: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    window_size: Annotated[int, Field(ge=4, le=4096, multiple_of=4)] = 64
    window_batch_size: Annotated[int, Field(ge=0, le=100_000)] = 0
    sweeps: Iterations = 64
    tolerance: PositiveFloat = 0.0005
    window_iterations: Iterations = 1


@settings
class DynamicsConfig:
    """How a fit is refined so that forces of the ground explain its motion.

    Attributes:
        enabled: Whether clips are refined; without it they are purely kinematic.
        iterations: Most Gauss-Newton steps; a clip that no longer gains takes fewer.
        residual_weight: Cost of a squared residual of one body weight, relative to that of a landmark's squared metre.
        smoothness: Second differences at 100 Hz of the deviation from the smooth fit, relative to the stiffness that
            landmarks give the joint; 100 smooths above about 5 Hz.
        cutoff: Cutoff frequency of the low-pass filter that gives the smooth fit [Hz], or 0 for the fit itself. 6 Hz is
            customary before inverse dynamics of gait (Winter 2009). Free fall and landing are not smoothed.
    """

    enabled: bool = True
    iterations: Iterations = 4
    residual_weight: PositiveFloat = 5.0
    smoothness: NonNegativeFloat = 100.0
    cutoff: NonNegativeFloat = 6.0


@settings
class ValidationConfig:
    """How clips are checked.

    Attributes:
        enabled: Whether a conversion checks its clips on the full body; without it the verdict is kinematic.
        cutoff: Cutoff frequency of a low-pass filter before inverse dynamics [Hz]. 0 filters only clips whose source
            was not filtered, at 6 Hz, as is customary in gait analysis (Winter 2009).
        jitter_cutoff: Root height above this frequency counts as jitter [Hz].
        friction: Coefficient of friction between sole and ground.
        force_weight: Weight of the squared residual against the squared contact forces, both in body weights.
        residual_weight: Squares of activation that one squared newton metre of residual torque costs.
        chunk_size: Frames checked together; bounds the memory, with muscles 70 kB per frame.
        muscles: Whether a conversion estimates activations by static optimisation and stores them with the clip.
        muscle_cost: What the activations minimise: "volume" (squares weighted by muscle volume), "activation" (plain
            squares) or "stress-cubed".
        passive_torques: Whether published passive torques of hip, knee and ankle (Riener & Edrich 1999) replace those
            of the model's muscles there.
        forces: "measured" (ground forces of force plates are used where there are any) or "estimated" (they are only
            compared).
        refit: Whether a clip with too much self-collision or floor penetration is fitted once more.
        thresholds: Thresholds that differ from the table's, each as "METRIC=WARN:INFEASIBLE"; "none" disables one.
    """

    enabled: bool = True
    cutoff: NonNegativeFloat = 0.0
    jitter_cutoff: PositiveFloat = 12.0
    friction: PositiveFloat = 0.8
    force_weight: PositiveFloat = 100.0
    residual_weight: PositiveFloat = 1.0
    chunk_size: Annotated[int, Field(ge=1, le=10_000_000)] = 2048  # at most all frames of a clip of a day
    muscles: bool = False
    muscle_cost: MuscleCost = "volume"
    passive_torques: bool = False
    forces: Literal["measured", "estimated"] = "measured"
    refit: bool = True
    thresholds: Annotated[tuple[str, ...], *Sequence] = ()


@settings
class RetargetConfig:
    """Everything that changes the result of a conversion.

    Attributes:
        fps: Frame rate of the clips [Hz].
        hands: "locked" (fingers at rest), "tracked" (fingers follow SMPL-H or SMPL-X hands), or "auto" (tracked for
            MyoBimanualArm, locked for MyoFullBody).
        joint_limits: "effective" (driven joints stay in their declared range too) or "declared".
        max_calibration_offset: Largest offset that calibration from the motion may add to a joint of the source
            skeleton [m]; 0 for none.
        default_fps: Frame rate of sources that do not state theirs [Hz], or 0 to refuse them.
        treadmill: Clips of motions on a treadmill: "keep" (they stay in place, and are judged as walking), "overground"
            (the travel is added) or "off" (treadmills are not recognised).
        source: Axes, unit, frame rate and floor of the sources.
        body: Target body and its version.
        filter: Low-pass filter of the source.
        scale: Subject's size.
        contact: Contact detection.
        weights: Weights of the fit.
        solver: Numerical settings.
        dynamics: Refinement of the fit.
        validation: Checks on the full body.
    """

    fps: Annotated[float, Field(ge=5, le=1000)] = 100.0
    hands: Literal["auto", "locked", "tracked"] = "auto"
    joint_limits: Literal["effective", "declared"] = "effective"
    max_calibration_offset: NonNegativeFloat = 0.04
    default_fps: NonNegativeFloat = 0.0
    treadmill: Literal["keep", "overground", "off"] = "keep"
    source: SourceConfig = field(default_factory=SourceConfig)
    body: BodyConfig = field(default_factory=BodyConfig)
    filter: FilterConfig = field(default_factory=FilterConfig)
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    contact: ContactConfig = field(default_factory=ContactConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)
    dynamics: DynamicsConfig = field(default_factory=DynamicsConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)
