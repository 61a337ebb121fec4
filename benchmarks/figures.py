"""Figures of one clip for experts in gait: shoulder angles, leg angles over the stride, and heights of the feet.

python benchmarks/figures.py                                        the built-in walk at 1.2 m/s, to docs/images
python benchmarks/figures.py --clip FILE --source FILE --out DIR    any clip; leg angles need a walk
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.spatial.transform import Rotation

from musclemap.datasets.amass.reader import read_motion
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.motion import SourceMotion
from musclemap.datasets.synthetic import gait_tables
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.resample import resample
from musclemap.retarget.retargeter import Retargeter
from musclemap.retarget.targets.proportions import fit_proportions
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.smpl.joints import BODY_NAMES
from musclemap.skeletons.smpl.mean_skeleton import mean_joints

SIDES = {"l": ("left", "tab:blue"), "r": ("right", "tab:red")}
SHOULDER = {
    "elv_angle": "plane of elevation",
    "shoulder_elv": "elevation",
    "shoulder_rot": "axial rotation",
}
LEG = {
    "hip_flexion": ("hip_flexion", "hip flexion", "hip", -1.0),
    "knee_angle": ("knee_flexion", "knee flexion", "knee", 1.0),
    "ankle_angle": ("ankle_dorsiflexion", "ankle dorsiflexion", "ankle", -1.0),
}
"""By joint of the target: curve of the gait tables, title, source joint, and sign of its rotation about x."""

BAND = "healthy adults at 1.3 m/s, ±1 SD (datasets/synthetic/gait_tables.py)"
MIN_STRIDE, MAX_STRIDE = 0.6, 2.0
"""Durations of a stride [s]; intervals between heel strikes outside this range are ignored."""


def shoulder_angles(clip: Clip, body: TargetBody, path: Path) -> None:
    """Plot the three angles of each shoulder over time."""
    figure, axes = plt.subplots(3, 1, figsize=(8, 6), sharex=True, constrained_layout=True)
    time = np.arange(clip.nframe) / clip.fps
    for axis, (joint, title) in zip(axes, SHOULDER.items(), strict=True):
        for side, (word, colour) in SIDES.items():
            axis.plot(time, _degrees(clip, body, f"{joint}_{side}"), color=colour, label=word)
        axis.set_ylabel(f"{title}\n{joint} [deg]")
    axes[0].legend(loc="upper right")
    axes[-1].set_xlabel("time [s]")
    _save(figure, f"Shoulders, {_name(clip)}", path)


def leg_angles(clip: Clip, motion: SourceMotion | None, body: TargetBody, path: Path) -> None:
    """Plot hip, knee and ankle angles over the stride, one line per stride, with the bands of healthy adults.

    Angles are relative to the T-pose, in which all angles of the source are zero. The target's hips are slightly flexed
    in it, because its pelvis leans forward.
    """
    figure, axes = plt.subplots(1, 3, figsize=(11, 4.8), constrained_layout=True)
    phase = np.linspace(0.0, 1.0, 101)
    upright = np.rad2deg(body.reduced.expand(fit_proportions(body, mean_joints()).t_pose[None])[0])
    rotvec = None if motion is None else resample(motion, clip.fps).rotvec
    for axis, (joint, (curve, title, carrier, sign)) in zip(axes, LEG.items(), strict=True):
        normal = np.rad2deg(gait_tables.curve(curve, phase=phase))
        spread = gait_tables.SPREAD[curve]
        axis.fill_between(100 * phase, normal - spread, normal + spread, color="0.85", label=BAND, linewidth=0)
        for side, (word, colour) in SIDES.items():
            adr = body.model.joint(f"{joint}_{side}").qposadr[0]
            for k, stride in enumerate(_strides(clip, _degrees(clip, body, f"{joint}_{side}") - upright[adr], side)):
                axis.plot(100 * phase, stride, color=colour, linewidth=0.8, label=None if k else word)
            if rotvec is None:
                continue
            angles = Rotation.from_rotvec(rotvec[:, BODY_NAMES.index(f"{word}_{carrier}")]).as_euler(
                "XYZ", degrees=True
            )
            for k, stride in enumerate(_strides(clip, sign * angles[:, 0], side)):
                axis.plot(100 * phase, stride, ":", color=colour, linewidth=0.8, label=None if k else f"{word}, source")
        axis.set(title=title, xlabel="stride from heel strike [%]", xlim=(0, 100))
    axes[0].set_ylabel("angle from the T-pose [deg]")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize="small")
    _save(figure, f"Legs, {_name(clip)}", path)


def feet(clip: Clip, body: TargetBody, path: Path, *, seconds: float = 3.0) -> None:
    """Plot the heights of heels and toes above the floor, with their contacts."""
    nframe = min(clip.nframe, round(seconds * clip.fps))
    height = 100 * evaluate_clip(body, clip.qpos[:nframe].astype(np.float64)).contact_pos[..., 2]
    time = np.arange(nframe) / clip.fps
    figure, axes = plt.subplots(2, 1, figsize=(8, 5), sharex=True, sharey=True, constrained_layout=True)
    for axis, (word, first) in zip(axes, (("left", 0), ("right", 2)), strict=True):
        for k, (part, colour) in enumerate((("heel", "tab:green"), ("toe", "tab:purple"))):
            axis.plot(time, height[:, first + k], color=colour, label=part)
            in_contact = clip.contact[:nframe, first + k] > 0
            _bar(axis, time, in_contact, level=-1.0 - 1.2 * k, colour=colour)
        axis.axhline(0.0, color="0.6", linewidth=0.8)
        axis.set_ylabel(f"{word} foot [cm]")
    axes[0].legend(title="bars: contact", loc="upper right")
    axes[-1].set_xlabel("time [s]")
    _save(figure, f"Feet over the floor, {_name(clip)}", path)


def _bar(axis: Axes, time: np.ndarray, mask: np.ndarray, *, level: float, colour: str) -> None:
    axis.fill_between(time, level, level + 0.8, where=mask.tolist(), color=colour, linewidth=0)


def _degrees(clip: Clip, body: TargetBody, joint: str) -> np.ndarray:
    return np.rad2deg(clip.qpos[:, body.model.joint(joint).qposadr[0]].astype(np.float64))


def _strides(clip: Clip, values: np.ndarray, side: str) -> Sequence[np.ndarray]:
    """Values of each stride of a side, from heel strike to heel strike, at 101 phases."""
    heel = clip.contact[:, 0 if side == "l" else 2].astype(int)
    strikes = np.flatnonzero(np.diff(heel) == 1) + 1
    result = []
    for start, stop in itertools.pairwise(strikes):
        if MIN_STRIDE <= (stop - start) / clip.fps <= MAX_STRIDE:
            result.append(np.interp(np.linspace(start, stop, 101), np.arange(clip.nframe), values))
    return result


def _name(clip: Clip) -> str:
    return Path(clip.source).stem.removesuffix("_poses")


def _save(figure: Figure, title: str, path: Path) -> None:
    figure.suptitle(title)
    figure.savefig(path, dpi=110)
    plt.close(figure)
    print(path)


def main() -> None:
    """Draw all figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--clip", type=Path, metavar="FILE", help="clip to draw (default: the built-in walk at 1.2 m/s)"
    )
    parser.add_argument("--source", type=Path, metavar="FILE", help="source motion of the clip, drawn with it")
    parser.add_argument("--out", type=Path, metavar="DIR", default=Path("docs/images"), help="folder for the figures")
    options = parser.parse_args()
    body = load_body()
    if options.clip is None:
        motion = synthesise("walk_1.2")
        clip = Retargeter().retarget([motion])[0].clip
        assert clip is not None  # the walk is long enough
    else:
        clip = read_clip(options.clip)
        motion = read_motion(options.source, name=clip.source) if options.source else None
    options.out.mkdir(parents=True, exist_ok=True)
    shoulder_angles(clip, body, options.out / f"{_name(clip)}_shoulders.png")
    leg_angles(clip, motion, body, options.out / f"{_name(clip)}_legs.png")
    feet(clip, body, options.out / f"{_name(clip)}_feet.png")


if __name__ == "__main__":
    main()
