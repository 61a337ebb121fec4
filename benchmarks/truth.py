"""A walk with measured ground forces, joint moments and EMG, converted and compared with the measurement.

    python benchmarks/truth.py FOLDER --json benchmarks/results/truth-cpu.json
    python benchmarks/truth.py FOLDER --scale-body height
    python benchmarks/truth.py FOLDER --scale-body lengths --masses proportional

`--scale-body height` gives the body the subject's mass and sex, and the height that the steps suggest; `lengths` also
his hip width and the lengths of thigh and shank, `feet` that of his shoes, too. `--masses` says how mass is shared
(docs/subjects.md).

FOLDER holds `walk_poses.npz`, the motion in AMASS's layout, and `reference.npz`: joint angles, plates, moments and EMG
of OpenSim Moco's example3DWalking (Apache-2.0; Rajagopal et al. 2016, IEEE TBME 63), in OpenSim's axes (x forward, y
up, z right). It is not part of the project. Clip and measurement are sampled at the same instants.

- Each force is divided by the weight of the body it acts on, each moment by its mass.
- Angles and moments have OpenSim's signs, which are those of MyoFullBody: flexion, dorsiflexion and inward rotation are
  positive. Angles are compared as they are; the table also gives the error without the mean offset.
- All frames count, also the first and last 0.2 s, in which filters see the ends of the motion.
- Where there are two sides, the table shows the worse one and the file both.
"""

import argparse
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import jax
import machine
import numpy as np
from emg_literature import MUSCLES, envelope
from tables import table
from truth_comparison import best_delay, correlation, event_errors, largest_return, rmse, transitions

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.clip import Clip
from musclemap.pipelines.device import choose_device
from musclemap.retarget.checks.inverse_dynamics import GRAVITY
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.targets.subject_lengths import height_of_steps
from musclemap.skeletons.bodies.human_segments import HUMAN
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.scaling.body_size import BodySize
from musclemap.skeletons.scaling.masses import MASS_METHODS
from musclemap.skeletons.variants.variant import make_variant

SIDES = ("left", "right")
EMG_SIDE = "right"
"""The side that the electrodes were on: soleus and gastrocnemius are busiest at the right foot's push-off."""

EMG_GROUPS = {
    "soleus": ("soleus",),
    "gastrocnemius": ("gastrocnemius",),
    "vasti": ("vastus_lateralis", "vastus_medius"),
    "gluteus maximus": ("gluteus_maximus",),
    "tibialis anterior": ("tibialis_anterior",),
    "hamstrings": ("medial_hamstrings", "biceps_femoris"),
}
"""Channels of the reference, averaged, by group of `emg_literature.MUSCLES`."""

ASKED_R = {"soleus": 0.7, "gastrocnemius": 0.7, "vasti": 0.7, "gluteus maximus": 0.7,
           "tibialis anterior": 0.5, "hamstrings": 0.5}  # fmt: skip

LONGEST_DELAY = 0.12
"""Longest electromechanical delay of force behind EMG that is tried [s]."""

EVENT_WINDOW = 0.3
"""An event further from the measured one is another event [s]."""

LOADED = 0.2
"""Vertical force above which the centre of pressure is judged [body weights]; below it, plates do not resolve it."""

RETURN_TOLERANCE_MM = 5.0
"""Distance that the centre of pressure may fall behind its maximum and still count as monotonic; noise of plates."""

LENGTHS = {"pelvis": 0.185, "thigh": 0.387, "shank": 0.460}
FOOT = {"foot": 0.3035}
"""Lengths of the man's segments as `BodySize` measures them [m]: those of MyoFullBody, times the factors by which the
reference's model was scaled to his markers: hip joints 0.0925 m from the middle, thigh 0.958, shank 1.149, foot 1.143
(`subject_walk_adjusted.osim` of OpenSim's examples; Apache-2.0). MyoFullBody's legs are of the same generic model. The
foot's markers were on shoes.
"""

ANGLES = ("hip_flexion", "knee_angle", "ankle_angle", "hip_rotation")


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: text of the target, values by name, and whether the target is met (None without one)."""

    title: str
    text: str
    asked: str
    met: bool | None
    values: dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Dynamics:
    """Forces of a clip: left foot, then right; axes forward, up and right, like the reference's.

    Attributes:
        bearing: Whether a foot bears load, shape (nframe, 2) bool.
        force: Force on each foot, shape (nframe, 2, 3) [N].
        centre: Position of the centre of pressure along the walk, shape (nframe, 2) [m].
        moment: Moments of the reduced joints, in the body's order, shape (nframe, njoint) [Nm].
        activation: Activations, shape (nframe, nu).
    """

    bearing: np.ndarray
    force: np.ndarray
    centre: np.ndarray
    moment: np.ndarray
    activation: np.ndarray


def to_walk_axes(vectors: np.ndarray, clip: Clip) -> np.ndarray:
    """Rotate world vectors (..., 3) to forward, up and right of the walk."""
    ahead = clip.qpos[-1, :2].astype(np.float64) - clip.qpos[0, :2]
    x, y = ahead / np.linalg.norm(ahead)
    return vectors @ np.array([[x, y, 0.0], [0.0, 0.0, 1.0], [y, -x, 0.0]]).T


def dynamics_of(clip: Clip) -> Dynamics:
    """Forces, moments and activations of a clip that was checked with muscles."""
    arrays = (clip.bearing, clip.ground_force, clip.centre_of_pressure, clip.joint_moment, clip.activation)
    if any(array is None for array in arrays):
        raise SystemExit("the clip has no forces or activations: validation is disabled")
    bearing, force, centre, moment, activation = (np.asarray(array, np.float64) for array in arrays)
    feet = [clip.support_names.index(f"{side}_foot") for side in SIDES]
    return Dynamics(
        bearing=bearing[:, feet] > 0,
        force=to_walk_axes(force[:, feet], clip),
        centre=to_walk_axes(centre[:, feet], clip)[..., 0],
        moment=moment,
        activation=activation,
    )


def event_row(dynamics: Dynamics, reference: dict[str, np.ndarray]) -> Row:
    """Foot strike and toe-off against the plates."""
    time = reference["time"]
    values: dict[str, Any] = {}
    worst, missing, extra = 0.0, 0, 0
    for k, side in enumerate(SIDES):
        for name, instants in zip(("on", "off"), transitions(dynamics.bearing[:, k], time), strict=True):
            ref = reference[f"events__{side}_{name}"]
            ref = ref[(ref > time[0]) & (ref < time[-1])]
            error, others = event_errors(instants, ref, window=EVENT_WINDOW)
            values[f"{side}_{name}_ms"] = [None if np.isnan(e) else round(1e3 * e, 1) for e in error]
            missing, extra = missing + int(np.isnan(error).sum()), extra + others
            worst = max(worst, 1e3 * float(np.nanmax(np.abs(error), initial=0.0)))
    values |= {"worst_ms": worst, "missing": missing, "extra": extra}
    text = f"{worst:.0f} ms, {missing} missing, {extra} extra"
    met = worst <= 30.0 and missing == extra == 0
    return Row(title="strike and toe-off against plates, worst", text=text, asked="30 ms", met=met, values=values)


def force_rows(dynamics: Dynamics, reference: dict[str, np.ndarray], weight: float) -> list[Row]:
    """Vertical force of each foot, and fore-aft force of both."""
    ref = np.stack([reference[f"force__{side}"] for side in SIDES], axis=1) / (float(reference["mass"]) * GRAVITY)
    force = dynamics.force / weight
    r = {side: correlation(force[:, k, 1], ref[:, k, 1]) for k, side in enumerate(SIDES)}
    error = {side: rmse(force[:, k, 1], ref[:, k, 1]) for k, side in enumerate(SIDES)}
    total, total_ref = force.sum(axis=1), ref.sum(axis=1)
    lowest, largest = min(r.values()), max(error.values())
    fore_aft = correlation(total[:, 0], total_ref[:, 0])
    vertical = correlation(total[:, 1], total_ref[:, 1])
    return [
        Row(title="vertical force per foot", text=f"r {lowest:.3f}, RMSE {largest:.3f} BW", asked="r 0.97, 0.06 BW",
            met=lowest >= 0.97 and largest <= 0.06, values={"r": r, "rmse_bw": error}),
        Row(title="vertical force, total", text=f"r {vertical:.3f}, RMSE {rmse(total[:, 1], total_ref[:, 1]):.3f} BW",
            asked="", met=None, values={"r": vertical, "rmse_bw": rmse(total[:, 1], total_ref[:, 1])}),
        Row(title="fore-aft force, total", text=f"r {fore_aft:.3f}", asked="r 0.95", met=fore_aft >= 0.95,
            values={"r": fore_aft, "rmse_bw": rmse(total[:, 0], total_ref[:, 0])}),
    ]  # fmt: skip


def centre_row(dynamics: Dynamics, reference: dict[str, np.ndarray], weight: float) -> Row:
    """Distance that the centre of pressure goes back while the foot is loaded, compared with that on the plates."""
    plates = float(reference["mass"]) * GRAVITY
    result, ref = {}, {}
    for k, side in enumerate(SIDES):
        result[side] = 1e3 * largest_return(dynamics.centre[:, k], dynamics.force[:, k, 1] > LOADED * weight)
        loaded = reference[f"force__{side}"][:, 1] > LOADED * plates
        ref[side] = 1e3 * largest_return(reference[f"pressure__{side}"][:, 0], loaded)
    worst, own = max(result.values()), max(ref.values())
    return Row(
        title="centre of pressure, largest way back while loaded", text=f"{worst:.0f} mm (plates: {own:.0f} mm)",
        asked=f"monotonic ({RETURN_TOLERANCE_MM:.0f} mm)", met=worst <= RETURN_TOLERANCE_MM,
        values={"way_back_mm": result, "plates_mm": ref},
    )  # fmt: skip


def angle_rows(clip: Clip, body: TargetBody, reference: dict[str, np.ndarray]) -> list[Row]:
    """Joint angles against the reference's [deg]."""
    q = np.rad2deg(body.reduced.reduce(clip.qpos.astype(np.float64)))
    rows = []
    for name in ANGLES:
        limit = 7.0 if name == "hip_rotation" else 3.0
        pairs = {side: (q[:, 7 + body.reduced.index(f"{name}_{side[0]}")],
                        np.rad2deg(reference[f"angle__{name}_{side[0]}"])) for side in SIDES}  # fmt: skip
        plain = {side: rmse(*pair) for side, pair in pairs.items()}
        values = {
            "rmse_deg": plain,
            "rmse_without_offset_deg": {side: rmse(*pair, offset=True) for side, pair in pairs.items()},
            "offset_deg": {side: float(np.mean(a - b)) for side, (a, b) in pairs.items()},
            "r": {side: correlation(*pair) for side, pair in pairs.items()},
        }
        worst, without = max(plain.values()), max(values["rmse_without_offset_deg"].values())
        title = f"{name.replace('_', ' ')}, RMSE"
        text = f"{worst:.1f} deg ({without:.1f} without its offset)"
        rows.append(Row(title=title, text=text, asked=f"{limit:g} deg", met=worst <= limit, values=values))
    return rows


def moment_rows(dynamics: Dynamics, body: TargetBody, reference: dict[str, np.ndarray]) -> list[Row]:
    """Joint moments per body mass against the reference's."""
    mass, own = float(reference["mass"]), body.mass
    rows = []
    for name, asked in (("ankle_angle", 0.95), ("knee_angle", 0.85), ("hip_flexion", 0.85)):
        pairs = {side: (dynamics.moment[:, body.reduced.index(f"{name}_{side[0]}")] / own,
                        reference[f"moment__{name}_{side[0]}_moment"] / mass) for side in SIDES}  # fmt: skip
        r = {side: correlation(*pair) for side, pair in pairs.items()}
        error = {side: rmse(*pair) for side, pair in pairs.items()}
        absolute = {side: rmse(own * a, mass * b) for side, (a, b) in pairs.items()}
        text = f"r {min(r.values()):.2f}, RMSE {max(error.values()):.2f} Nm/kg ({max(absolute.values()):.1f} Nm)"
        values = {"r": r, "rmse_nm_kg": error, "rmse_nm": absolute}
        title = f"{name.replace('_angle', '').replace('_', ' ')} moment"
        rows.append(Row(title=title, text=text, asked=f"r {asked}", met=min(r.values()) >= asked, values=values))
    return rows


def emg_rows(dynamics: Dynamics, body: TargetBody, reference: dict[str, np.ndarray], fps: float) -> list[Row]:
    """Activations, low-pass filtered like the envelopes, against the EMG of one side."""
    names = [body.model.actuator(k).name for k in range(body.model.nu)]
    actuators = {emg.title: [f"{muscle}_{EMG_SIDE[0]}" for muscle in emg.muscles] for emg in MUSCLES}
    smooth = envelope(dynamics.activation, fps)
    rows = []
    for title, channels in EMG_GROUPS.items():
        ref = np.mean([reference[f"emg__{channel}"] for channel in channels], axis=0)
        curve = smooth[:, [names.index(name) for name in actuators[title]]].mean(axis=1)
        delay, r = best_delay(curve, ref, fps=fps, longest=LONGEST_DELAY)
        values = {"r": r, "delay_ms": 1e3 * delay, "peak_activation": float(curve.max())}
        text = f"r {r:.2f} at {1e3 * delay:.0f} ms"
        asked = f"r {ASKED_R[title]:g}"
        rows.append(Row(title=f"EMG, {title}", text=text, asked=asked, met=r >= ASKED_R[title], values=values))
    return rows


def compare(clip: Clip, body: TargetBody, reference: dict[str, np.ndarray]) -> list[Row]:
    """All rows of the table."""
    dynamics = dynamics_of(clip)
    weight = body.mass * GRAVITY
    return [
        event_row(dynamics, reference),
        *force_rows(dynamics, reference, weight),
        centre_row(dynamics, reference, weight),
        *angle_rows(clip, body, reference),
        *moment_rows(dynamics, body, reference),
        *emg_rows(dynamics, body, reference, clip.fps),
    ]


def print_rows(rows: list[Row]) -> None:
    """Print the table."""
    word = {True: "yes", False: "NO", None: ""}
    print(table(("quantity", "measured", "asked", "met"), [(r.title, r.text, r.asked, word[r.met]) for r in rows]))


def convert(folder: Path, retargeter: Retargeter) -> tuple[Clip, dict[str, np.ndarray]]:
    """Clip of the walk, and the reference at the clip's frames."""
    with np.load(folder / "reference.npz", allow_pickle=False) as file:
        reference = {name: file[name] for name in file.files}
    clip = retargeter.retarget([read_motion(folder / "walk_poses.npz", name="walk_poses.npz")])[0].clip
    if clip is None or clip.nframe != len(reference["time"]):
        raise SystemExit(f"{folder}: the walk gives no clip with one frame per sample of the reference")
    return clip, reference


def add_size_options(parser: argparse.ArgumentParser) -> None:
    """Options that give the body the subject's size."""
    parser.add_argument("--scale-body", choices=("height", "lengths", "feet"), help="give the body the subject's size")
    parser.add_argument("--masses", choices=MASS_METHODS, default=BodySize().masses, help="how its mass is shared")


def sized(config: RetargetConfig, options: argparse.Namespace, device: Any) -> RetargetConfig:
    """Settings with a body of the subject's mass and sex, of the height that the steps suggest, and of his lengths."""
    if options.scale_body is None:
        return config
    with np.load(options.folder / "reference.npz", allow_pickle=False) as file:
        mass = round(float(file["mass"]), 2)
    unscaled = Retargeter(config, device=device)
    targets = unscaled.targets(read_motion(options.folder / "walk_poses.npz", name="walk_poses.npz"))
    size = {"height": height_of_steps(HUMAN, targets.stance.scale), "mass": mass, "sex": "male"}
    size |= {} if options.scale_body == "height" else LENGTHS
    size |= FOOT if options.scale_body == "feet" else {}
    size |= {} if options.masses == BodySize().masses else {"masses": options.masses}
    variant = make_variant(size=size)
    print(f"body: {variant.text}")
    return replace(config, body=replace(config.body, variant=variant))


def main() -> int:
    """Run the benchmark; returns 2 without data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with walk_poses.npz and reference.npz")
    add_size_options(parser)
    parser.add_argument("--device", choices=("cpu", "gpu"))
    parser.add_argument("--json", type=Path, help="file for the results as JSON")
    options = parser.parse_args()
    missing = [name for name in ("walk_poses.npz", "reference.npz") if not (options.folder / name).is_file()]
    if missing:
        print(f"{options.folder} has no {' and no '.join(missing)}; see the head of {Path(__file__).name} for what "
              "they hold. They are not part of the project.", file=sys.stderr)  # fmt: skip
        return 2
    config = RetargetConfig()
    config = replace(config, validation=replace(config.validation, muscles=True))
    device = choose_device(options.device) or jax.devices()[0]
    results: dict[str, Any] = {"machine": machine.describe()}
    print(machine.message(results["machine"]))
    retargeter = Retargeter(sized(config, options, device), device=device)
    clip, reference = convert(options.folder, retargeter)
    rows = compare(clip, retargeter.body, reference)
    metrics = ("landmark_error_mm", "foot_error_mm", "landmark_error_max_mm", "residual_force_bw", "residual_torque_nm",
               "activation_mean", "activation_saturated_fraction", "unmet_torque_nm")  # fmt: skip
    print(f"\n{clip.verdict}: " + ", ".join(f"{name} {clip.metrics[name]:.3g}" for name in metrics) + "\n")
    print_rows(rows)
    results |= {
        "model": f"{clip.model} {clip.model_version}",
        "verdict": clip.verdict,
        "metrics": {name: clip.metrics[name] for name in metrics},
        "rows": {row.title: {"asked": row.asked, "met": row.met, **row.values} for row in rows},
    }
    machine.save(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
