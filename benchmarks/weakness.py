"""A walk tracked by weak muscles beside the same walk tracked by the clip's own body: push-off and activations.

    mm-download builtin-walk walk
    mm-track walk --strength ankle_plantarflexors=0.5
    mm-track walk --strength ankle_plantarflexors=0.25
    python benchmarks/weakness.py walk --group ankle_plantarflexors --factors 0.5 0.25 \
        --out docs/images/weak_plantarflexors.png

The bodies follow the same clip, so the strides are the same; what differs is which muscles make the moments. Moments
are those of the muscles in the simulation, active and passive, about the joint, per kilogram of body mass; power is
moment times the joint's velocity. Curves are means over all strides of both legs that every track contains.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import mujoco
import numpy as np
from emg_literature import by_phase
from PIL import Image
from tables import table
from tracked_activations import strides

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.output_folder import clip_files
from musclemap.datasets.track_file import StoredTrack
from musclemap.pipelines.track.compensation import compare_tracks
from musclemap.pipelines.track.replaying import body_of_track
from musclemap.pipelines.track.track_folder import find_track, read_track_list
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.variants.assignments import parse_variant
from musclemap.skeletons.variants.groups import grouped

PHASE = np.linspace(0.0, 100.0, 101)
SIDES = ("r", "l")
JOINTS = {"ankle": ("ankle_angle", -1.0), "hip": ("hip_flexion", 1.0)}
"""Joint, and the sign that makes plantarflexion and hip flexion positive."""

MUSCLES = {
    "soleus": ("soleus",), "gastrocnemius": ("gasmed", "gaslat"),
    "other plantarflexors": ("tibpost", "perlong", "perbrev", "fdl", "fhl"), "tibialis anterior": ("tibant",),
    "hip flexors": "hip_flexors", "hip extensors": "hip_extensors", "vasti": ("vasint", "vaslat", "vasmed"),
}  # fmt: skip
"""Muscles of one side, or a group of them, by the title of their panel."""


COLOURS = ("0.3", "tab:orange", "tab:red", "tab:purple")


@dataclass(frozen=True, kw_only=True)
class Gait:
    """Curves over the stride, shape (101,) each, means over strides and sides."""

    moment: dict[str, np.ndarray]
    power: dict[str, np.ndarray]
    activation: dict[str, np.ndarray]


def gait_of(track: StoredTrack, clip: Clip, steps: int) -> Gait:
    """Moments and powers per mass, and activations, of the first frames of a track."""
    body = body_of_track(track)
    model, data = body.model, mujoco.MjData(body.model)
    force = np.empty((steps, model.nv))
    qvel = track.tracked_qvel[:steps, body.clip_qvel].astype(np.float64)
    for frame in range(steps):
        data.qpos[:], data.qvel[:] = track.tracked_qpos[frame, body.clip_qpos], qvel[frame]
        data.act[:] = track.tracked_act[frame]
        mujoco.mj_forward(model, data)
        force[frame] = data.qfrc_actuator
    parts = {side: strides(clip.frames(slice(steps)), side) for side in SIDES}
    mean = lambda values: np.mean([by_phase(values[side], parts[side], PHASE) for side in SIDES], axis=0)  # noqa: E731
    moment, power = {}, {}
    for name, (joint, sign) in JOINTS.items():
        dof = {side: int(model.joint(f"{joint}_{side}").dofadr[0]) for side in SIDES}
        moment[name] = mean({side: sign * force[:, dof[side]] / body.target.mass for side in SIDES})
        power[name] = mean({side: force[:, dof[side]] * qvel[:, dof[side]] / body.target.mass for side in SIDES})
    groups = grouped(track.muscle_names, body.target.muscle_groups)
    activation = {}
    for title, muscles in MUSCLES.items():
        columns = {
            side: [track.muscle_names.index(name) for name in (
                groups[f"{muscles}_{side}"] if isinstance(muscles, str) else [f"{stem}_{side}" for stem in muscles])]
            for side in SIDES
        }  # fmt: skip
        activation[title] = mean({side: track.tracked_act[:steps, columns[side]].mean(axis=1) for side in SIDES})
    return Gait(moment=moment, power=power, activation=activation)


def draw(gaits: dict[str, Gait], path: Path) -> None:
    """Plot all over the stride, by name; that of the clip's own body first."""
    figure, axes = plt.subplots(2, 5, figsize=(15, 5.6), sharex=True, constrained_layout=True)
    panels = [
        ("ankle, plantarflexor moment", "Nm/kg", lambda gait: gait.moment["ankle"]),
        ("ankle, power", "W/kg", lambda gait: gait.power["ankle"]),
        ("hip, flexor moment", "Nm/kg", lambda gait: gait.moment["hip"]),
        *((title, "activation", lambda gait, title=title: gait.activation[title]) for title in MUSCLES),
    ]
    for axis, (title, unit, curve) in zip(axes.flat, panels, strict=True):
        for (name, gait), colour in zip(gaits.items(), COLOURS, strict=False):
            axis.plot(PHASE, curve(gait), color=colour, label=name)
        axis.set(title=title, xlim=(0, 100), ylabel=unit)
        if unit == "activation":
            axis.set_ylim(0.0, None)
        else:
            axis.axhline(0.0, color="0.8", linewidth=0.8, zorder=0)
    for axis in axes[1]:
        axis.set_xlabel("stride from heel strike [%]")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(gaits))
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=72)
    Image.open(path).convert("RGB").quantize(128, dither=Image.Dither.NONE).save(path, optimize=True)  # smaller
    print(f"\ndrawn: {path}")


def rows_of(gaits: list[Gait], tracks: list[StoredTrack], stride: float) -> list[list[str]]:
    """Rows of the table; `stride` is the mean duration of a stride [s]."""
    work = lambda gait: np.maximum(gait.power["ankle"], 0.0).mean() * stride  # noqa: E731
    return [
        ["peak plantarflexor moment [Nm/kg]", *(f"{gait.moment['ankle'].max():.2f}" for gait in gaits)],
        ["peak ankle power, push-off [W/kg]", *(f"{gait.power['ankle'].max():.2f}" for gait in gaits)],
        ["positive ankle work a stride [J/kg]", *(f"{work(gait):.3f}" for gait in gaits)],
        ["peak hip flexor moment [Nm/kg]", *(f"{gait.moment['hip'].max():.2f}" for gait in gaits)],
        *([f"mean activation, {title}", *(f"{gait.activation[title].mean():.3f}" for gait in gaits)]
          for title in MUSCLES),
        ["frames followed", *(f"{track.metrics['frames']} of {track.metrics['frames_total']}" for track in tracks)],
        *([title, *(f"{track.metrics[key]:.1f}" for track in tracks)]
          for title, key in (("landmark error, mean [mm]", "landmark_error_mean_mm"),
                             ("root error, mean [mm]", "root_error_mean_mm"))),
    ]  # fmt: skip


def main() -> None:
    """Print the tables and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", type=Path, help="data set with one clip and its tracks")
    parser.add_argument("--group", default="ankle_plantarflexors", help="muscle or group, as for mm-track --strength")
    parser.add_argument("--factors", type=float, nargs="+", default=[0.5], help="factors of strength, of a track each")
    parser.add_argument("--out", type=Path, help="picture to draw")
    options = parser.parse_args()
    files = clip_files(options.root)
    if len(files) != 1:
        raise SystemExit(f"{options.root} has {len(files)} clips; the comparison is of one")
    clip, name = read_clip(files[0]), files[0].relative_to(options.root).as_posix()
    body, lines = load_body(clip.model), read_track_list(options.root)
    tracks = {"own body": find_track(options.root, name, lines)}
    for factor in options.factors:
        variant = parse_variant(body.model, body.muscle_groups, strength=[f"{options.group}={factor}"])
        tracks[variant.text] = find_track(options.root, name, lines, variant=variant.short_name)
    usable = {title: track for title, track in tracks.items() if isinstance(track, StoredTrack)}
    if len(usable) < len(tracks):
        raise SystemExit(f"{name} lacks tracks: {', '.join(tracks.keys() - usable.keys())}; mm-track makes them")
    steps = min(track.nstep for track in usable.values()) + 1
    parts = [part for side in SIDES for part in strides(clip.frames(slice(steps)), side)]
    if not all(strides(clip.frames(slice(steps)), side) for side in SIDES):
        raise SystemExit(f"no whole stride of both legs in the {steps} frames that all tracks have")
    gaits = {title: gait_of(track, clip, steps) for title, track in usable.items()}
    stride = float(np.mean([b - a for a, b in parts])) / clip.fps
    print(f"{name}, {len(parts)} strides in {steps} frames\n")
    print(table(["", *gaits], rows_of(list(gaits.values()), list(usable.values()), stride)))
    own = usable["own body"]
    for title, track in list(usable.items())[1:]:
        found = compare_tracks(track, own)
        print(f"\n{title}: {track.verdict} {track.failure}")
        print("saturated first: " + ", ".join(f"{one.muscle} from {one.first:.2f} s" for one in found.saturated))
        print("rise most: " + ", ".join(f"{muscle} +{rise:.2f}" for muscle, rise in found.risen or ()))
    if options.out:
        draw(gaits, options.out)


if __name__ == "__main__":
    main()
