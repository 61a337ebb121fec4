"""Activations of a tracked walk beside those of static optimisation and EMG.

    python benchmarks/tracked_activations.py OUT [NAME]        OUT was converted with --muscles and tracked by mm-track
    python benchmarks/tracked_activations.py OUT [NAME] --truth FOLDER    the walk of benchmarks/truth.py, with its EMG

Prints, by group of muscles, the mean activation of both, how well they agree over the clip, how each agrees with EMG,
and the co-contraction of antagonists: twice the smaller of two activations over their sum, mean over the clip (Falconer
& Winter 1985). Activations are low-pass filtered like EMG envelopes (6 Hz). Without `--truth` the envelopes are those
of the literature (`emg_literature.py`), by phase of the stride; with it they are the measured ones. Muscles act up to
0.12 s after their EMG; the delay that agrees best counts. `--out` draws the curves.
"""

import argparse
import itertools
from pathlib import Path

import matplotlib

matplotlib.use("Agg")

import matplotlib.pyplot as plt
import numpy as np
from emg_literature import MUSCLES, PHASE, by_phase, envelope
from tables import table
from truth import EMG_GROUPS, EMG_SIDE, LONGEST_DELAY
from truth_comparison import best_delay, correlation

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.track_file import read_track, track_path
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.intervals import runs

ANTAGONISTS = (("soleus", "tibialis anterior"), ("vasti", "hamstrings"), ("gluteus maximus", "rectus femoris"))

LONGEST_STRIDE = 2.0
"""Longest time between two strikes of a foot that counts as a stride [s]."""


def envelopes(clip: Clip, side: str) -> dict[str, np.ndarray]:
    """Mean activation of each group of one leg, low-pass filtered, shape (nframe,) each."""
    assert clip.activation is not None
    smooth = np.maximum(envelope(clip.activation, clip.fps), 0.0)
    columns = {emg.title: [clip.muscle_names.index(f"{name}_{side}") for name in emg.muscles] for emg in MUSCLES}
    return {title: smooth[:, column].mean(axis=1) for title, column in columns.items()}


def strides(clip: Clip, side: str) -> list[tuple[int, int]]:
    """Frames of each stride, from one strike of a foot to the next."""
    assert clip.bearing is not None
    foot = clip.support_names.index("left_foot" if side == "l" else "right_foot")
    strikes = [start for start, _ in runs(np.asarray(clip.bearing[:, foot], bool)) if start > 0]
    return [(a, b) for a, b in itertools.pairwise(strikes) if b - a < LONGEST_STRIDE * clip.fps]


def agreement_by_phase(
    values: np.ndarray, parts: list[tuple[int, int]], literature: tuple[float, ...], fps: float
) -> float:
    """Largest correlation with an envelope by phase, at delays up to `LONGEST_DELAY`."""
    phase = np.arange(100.0)
    curve, cyclic = by_phase(values, parts, phase), np.interp(phase, PHASE, literature)
    longest = round(100 * LONGEST_DELAY * fps / float(np.mean([b - a for a, b in parts])))
    return max(correlation(curve, np.roll(cyclic, delay)) for delay in range(longest + 1))


def co_contraction(a: np.ndarray, b: np.ndarray) -> float:
    """Mean co-contraction of two activations, 0 to 1."""
    return float(np.mean(2 * np.minimum(a, b) / np.maximum(a + b, 1e-3)))


def main() -> None:
    """Print the tables and draw the curves."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("name", nargs="?", default="", help="part of the clip's path")
    parser.add_argument("--truth", type=Path, help="folder of benchmarks/truth.py")
    parser.add_argument("--out", dest="figure", type=Path, help="picture to draw")
    options = parser.parse_args()
    found = [p for p in sorted(options.out.rglob("*.h5")) if "tracks" not in p.parts and options.name in str(p)]
    if len(found) != 1:
        raise SystemExit(f"{len(found)} clips match {options.name!r}")
    clip, track = read_clip(found[0]), read_track(track_path(options.out, str(found[0].relative_to(options.out))))
    if clip.activation is None:
        raise SystemExit("the clip has no activations: convert it with --muscles")
    if track.start:
        raise SystemExit(f"the track begins at frame {track.start} of the clip, not at its first")
    tracked = tracked_clip(clip, track)
    clip = clip.frames(slice(tracked.nframe))
    side = EMG_SIDE[0]
    static, moved = envelopes(clip, side), envelopes(tracked, side)
    measured = dict(np.load(options.truth / "reference.npz")) if options.truth else {}
    parts = strides(clip, side)
    rows = []
    for emg in MUSCLES:
        a, b = static[emg.title], moved[emg.title]
        agreement = ["", ""]
        if measured and emg.title in EMG_GROUPS:
            emg_curve = np.mean([measured[f"emg__{channel}"] for channel in EMG_GROUPS[emg.title]], axis=0)[: len(a)]
            agreement = [f"{best_delay(x, emg_curve, fps=clip.fps, longest=LONGEST_DELAY)[1]:.2f}" for x in (a, b)]
        elif not measured and emg.envelope and parts:
            agreement = [f"{agreement_by_phase(x, parts, emg.envelope, clip.fps):.2f}" for x in (a, b)]
        rows.append([emg.title, f"{a.mean():.3f}", f"{b.mean():.3f}", f"{correlation(a, b):.2f}", *agreement])
    print(f"{found[0].stem}, {tracked.nframe} frames, {EMG_SIDE} leg\n")
    print(table(["muscles", "static, mean", "tracked, mean", "r", "static with EMG, r", "tracked with EMG, r"], rows))
    pairs = [
        [f"{a} and {b}", f"{co_contraction(static[a], static[b]):.2f}", f"{co_contraction(moved[a], moved[b]):.2f}"]
        for a, b in ANTAGONISTS
    ]
    print("\n" + table(["antagonists", "static, co-contraction", "tracked, co-contraction"], pairs))
    means = [float(np.mean(np.asarray(c.activation)[:, [n in track.muscle_names for n in c.muscle_names]]))
             for c in (clip, tracked)]  # fmt: skip
    print(f"\nmean activation of all muscles: static {means[0]:.3f}, tracked {means[1]:.3f}")
    if options.figure and parts:
        draw(static, moved, parts, options.figure)


def draw(static: dict[str, np.ndarray], moved: dict[str, np.ndarray], parts: list[tuple[int, int]], path: Path) -> None:
    """Plot both over the stride, with the envelopes of the literature."""
    figure, axes = plt.subplots(2, 4, figsize=(13, 5.6), sharex=True, constrained_layout=True)
    fine = np.linspace(0.0, 100.0, 101)
    for axis, emg in zip(axes.flat, MUSCLES, strict=True):
        curves = {"static optimisation": by_phase(static[emg.title], parts, fine),
                  "tracked": by_phase(moved[emg.title], parts, fine)}  # fmt: skip
        highest = max(0.1, *(curve.max() for curve in curves.values()))
        if emg.envelope:
            scaled = highest * np.array(emg.envelope)
            axis.fill_between(PHASE, 0, scaled, color="0.85", linewidth=0, label="EMG envelope, scaled")
        for (name, curve), style in zip(curves.items(), ("-", "--"), strict=True):
            axis.plot(fine, curve, style, label=name)
        axis.set(title=emg.title, xlim=(0, 100), ylim=(0, 1.08 * highest))
    for axis in axes[1]:
        axis.set_xlabel("stride from heel strike [%]")
    for axis in axes[:, 0]:
        axis.set_ylabel("activation")
    figure.legend(*axes[0, 1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=80)
    print(f"drawn: {path}")


if __name__ == "__main__":
    main()
