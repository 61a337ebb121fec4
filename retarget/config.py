"""Settings of a conversion. Each is read somewhere; an unknown one is refused by `musclemap.settings`."""

from dataclasses import dataclass, field

from musclemap.errors import SettingsError
from musclemap.setting_checks import MAX_FACTOR, check_above_0, check_at_most, check_known, check_not_below_0


@dataclass(frozen=True, kw_only=True)
class ScaleConfig:
    """How the subject's size is read from the motion.

    Attributes:
        height_sigma: Trust in the scale that pelvis height over the floor gives (one standard deviation, relative).
        prior_sigma: Trust in the scale of the skeleton when the floor is not where the height expects it (relative).
        speed_sigma: Spread of a standing foot's speed about zero [m/s].
        lower: Smallest scale that is believed.
        upper: Largest scale that is believed.
    """

    height_sigma: float = 0.03
    prior_sigma: float = 0.06
    speed_sigma: float = 0.07
    lower: float = 0.5
    upper: float = 2.5

    def __post_init__(self) -> None:
        check_above_0("scale", self, "height_sigma", "prior_sigma", "speed_sigma", "lower")
        check_at_most("scale", self, **dict.fromkeys(self.__dataclass_fields__, MAX_FACTOR))
        if not self.lower < self.upper:
            raise SettingsError(f"scale.lower {self.lower} is not below scale.upper {self.upper}")


@dataclass(frozen=True, kw_only=True)
class ContactConfig:
    """When a heel or toe of the source counts as standing.

    Attributes:
        speed: Highest speed of a standing point [m/s].
        height: Highest point above its floor [m].
        min_seconds: Shortest contact that is kept, and shortest gap that is not closed [s].
        free_fall: Downward pelvis acceleration above which nothing has to carry the body [m/s^2].
    """

    speed: float = 0.25
    height: float = 0.035
    min_seconds: float = 0.06
    free_fall: float = 5.0

    def __post_init__(self) -> None:
        check_above_0("contact", self, "speed", "height", "min_seconds", "free_fall")
        check_at_most("contact", self, **dict.fromkeys(self.__dataclass_fields__, MAX_FACTOR))


@dataclass(frozen=True, kw_only=True)
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
        contact: Heels and toes that stand, held where they stand.
        floor: Foot geometry below the floor.
        apart: Limbs that overlap, and limbs below the floor, in the repair of clips that touch themselves.
        prior: Distance of a joint from its rest value [1/rad^2].
        velocity: First differences of joints at 100 Hz, relative to the stiffness that landmarks give the joint.
        acceleration: Second differences of joints at 100 Hz, likewise; 1 smooths above about 16 Hz.
        twist: Factor on both for elevation plane and axial rotation of the shoulder, which are one axis where the arm
            hangs.
        toes: Factor on both for the toes, whose bend no landmark measures: contacts and the floor alone move them.
        root_acceleration: Second differences of the root's departure from the source at 100 Hz, likewise.
    """

    trunk: float = 0.5
    arm: float = 1.0
    pelvis: float = 1.0
    leg: float = 0.7
    foot: float = 3.0
    pelvis_rotation: float = 0.02
    trunk_rotation: float = 0.02
    limb_rotation: float = 0.003
    contact: float = 30.0
    floor: float = 1000.0
    self_collision: float = 150.0
    prior: float = 2e-5
    velocity: float = 1e-3
    acceleration: float = 1.0
    twist: float = 500.0
    toes: float = 100.0
    root_acceleration: float = 500.0

    def __post_init__(self) -> None:
        check_not_below_0("weights", self, *self.__dataclass_fields__)
        check_at_most("weights", self, **dict.fromkeys(self.__dataclass_fields__, MAX_FACTOR))


@dataclass(frozen=True, kw_only=True)
class SolverConfig:
    """How the fit is solved.

    Attributes:
        anchor_seconds: Time between anchor frames, which are solved by themselves from several starts [s].
        anchor_iterations: Levenberg-Marquardt steps of an anchor frame.
        calibration_iterations: Levenberg-Marquardt steps after each round of calibration.
        batch: Frames solved together by themselves; 0 for what suits the device.
        window: Frames of a window of the whole-clip refinement; a multiple of 4.
        windows: Windows refined together; 0 for what suits the device.
        sweeps: Most passes over a clip; each shifts the windows by half.
        tolerance: A window is done when a pass lowers its cost by less than this fraction.
        window_iterations: Levenberg-Marquardt steps a window and pass.
    """

    anchor_seconds: float = 0.1
    anchor_iterations: int = 20
    calibration_iterations: int = 5
    batch: int = 0
    window: int = 64
    windows: int = 0
    sweeps: int = 16
    tolerance: float = 0.02
    window_iterations: int = 1

    def __post_init__(self) -> None:
        check_not_below_0("solver", self, "batch", "windows")
        check_above_0("solver", self, *(self.__dataclass_fields__.keys() - {"batch", "windows"}))
        # Memory grows with the frames solved together, time with the steps.
        check_at_most("solver", self, batch=1_000_000, window=4096, windows=100_000, anchor_seconds=MAX_FACTOR)
        check_at_most("solver", self, anchor_iterations=10_000, calibration_iterations=10_000, window_iterations=10_000)
        check_at_most("solver", self, sweeps=10_000, tolerance=MAX_FACTOR)
        if self.window % 4:
            raise SettingsError(f"solver.window is {self.window}; it must be a multiple of 4")


@dataclass(frozen=True, kw_only=True)
class ValidationConfig:
    """How clips are checked.

    Attributes:
        enabled: Whether a conversion checks its clips on the full body; without it the verdict is kinematic.
        cutoff: Of the low-pass filter before inverse dynamics [Hz]; 6 is customary in gait analysis (Winter 2009).
        jitter_cutoff: What the root's height does above this counts as jitter [Hz].
        friction: Coefficient of friction between sole and ground.
        bearing_height: Points of a standing foot up to this height bear [m].
        torque_weight: Squares of activation that a squared newton metre of unmet torque costs.
        chunk: Frames checked together; bounds the memory, with muscles 70 kB a frame.
        muscles: Whether a conversion looks for activations and stores them with the clip.
        repair: Whether a clip that touches itself or the floor more than it should is fitted once more.
        limits: Thresholds that differ from the table's, each as "METRIC=WARN:INFEASIBLE"; "none" for no such threshold.
    """

    enabled: bool = True
    cutoff: float = 6.0
    jitter_cutoff: float = 12.0
    friction: float = 0.8
    bearing_height: float = 0.03
    torque_weight: float = 1.0
    chunk: int = 2048
    muscles: bool = False
    refit: bool = True
    limits: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check_above_0(
            "validation", self, "cutoff", "jitter_cutoff", "friction", "bearing_height", "torque_weight", "chunk"
        )
        check_at_most("validation", self, chunk=10_000_000)  # of a clip of four hours all frames
        check_at_most(
            "validation", self, cutoff=MAX_FACTOR, jitter_cutoff=MAX_FACTOR, friction=MAX_FACTOR,
            bearing_height=MAX_FACTOR, torque_weight=MAX_FACTOR,
        )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class RetargetConfig:
    """Everything that changes the result of a conversion.

    Attributes:
        fps: Frames a second of the clips.
        hands: "locked" (fingers at rest) or "tracked" (fingers follow SMPL-H or SMPL-X hands).
        limits: "effective" (driven joints stay in their declared range too) or "declared".
        calibration: Largest offset that the motion itself may add to a joint of the source skeleton [m]; 0 for none.
        default_fps: Frame rate of sources that do not tell theirs, or 0 to refuse them.
        scale: Subject's size.
        contact: Contact detection.
        weights: Weights of the fit.
        solver: Numerical settings.
        validation: Checks on the full body.
    """

    fps: float = 100.0
    hands: str = "locked"
    limits: str = "effective"
    calibration: float = 0.04
    default_fps: float = 0.0
    scale: ScaleConfig = field(default_factory=ScaleConfig)
    contact: ContactConfig = field(default_factory=ContactConfig)
    weights: WeightConfig = field(default_factory=WeightConfig)
    solver: SolverConfig = field(default_factory=SolverConfig)
    validation: ValidationConfig = field(default_factory=ValidationConfig)

    def __post_init__(self) -> None:
        if not 5.0 <= self.fps <= 1000.0:
            raise SettingsError(f"fps is {self.fps}; clips run at 5 to 1000 frames a second")
        check_known("", self, hands=("locked", "tracked"), limits=("effective", "declared"))
        check_not_below_0("", self, "default_fps", "calibration")
        check_at_most("", self, default_fps=MAX_FACTOR, calibration=MAX_FACTOR)
