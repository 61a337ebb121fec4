"""Inverse dynamics of a walk with measured and with estimated ground forces, against a reference's moments.

    python benchmarks/measured_forces.py FOLDER --json benchmarks/results/measured-forces-cpu.json

FOLDER holds `reference.npz` as for `truth.py`. Its coordinates are written as a motion of OpenSim, its plates as the
table of ground reaction beside it, without a word on which foot is on which plate, and the motion is converted twice:
with the forces used (the default) and with `validation.forces=estimated`. Comparisons are those of `truth.py`, and so
are `--scale-body` and `--masses`, which need its `walk_poses.npz`, too. The mass of the forces' subject is taken from
the forces.
"""

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import jax
import machine
import numpy as np
from tables import table
from truth import add_size_options, centre_row, dynamics_of, event_row, force_rows, moment_rows, sized

from musclemap.datasets.clip import Clip
from musclemap.datasets.formats.opensim import sto_bytes
from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.opensim.coordinates import PELVIS_POSITION
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.datasets.formats.tables import MOT_HEADER, table_text
from musclemap.pipelines.device import choose_device
from musclemap.retarget.checks.inverse_dynamics import GRAVITY
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.body import TargetBody

LOADS = {"right": "ground", "left": "1_ground"}
"""Columns of OpenSim's examples, which do not say which foot they are."""

METRICS = ("subject_mass_kg", "residual_force_bw", "residual_torque_nm", "dynamics_moved_mm", "landmark_error_mm",
           "unmet_torque_nm", "plate_offset_mm")  # fmt: skip


def write_trial(reference: dict[str, np.ndarray], folder: Path) -> Path:
    """Write the motion, and its ground reaction beside it; returns the motion's path."""
    angles = {key.removeprefix("angle__"): reference[key] for key in reference if key.startswith("angle__")}
    columns = {name: value if name in PELVIS_POSITION else np.rad2deg(value) for name, value in angles.items()}
    values = np.column_stack(list(columns.values()))
    text = MOT_HEADER.format(rows=len(values), columns=values.shape[1] + 1)
    text += table_text(("time", *columns), reference["time"], values, separator="\t", number="%.8f")
    (folder / "walk_ik.mot").write_text(text)
    names, parts = [], []
    for side, load in LOADS.items():
        for kind, array in (("force_v", "force"), ("force_p", "pressure")):
            names += [f"{load}_{kind}{axis}" for axis in "xyz"]
            parts.append(reference[f"{array}__{side}"])
    data = sto_bytes("measured", names, reference["time"], np.concatenate(parts, axis=1), [])
    (folder / "walk_grf.mot").write_bytes(data)
    return folder / "walk_ik.mot"


def rows_of(clip: Clip, body: TargetBody, reference: dict[str, np.ndarray]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Texts and values by quantity."""
    dynamics, weight = dynamics_of(clip), body.mass * GRAVITY
    rows = [
        event_row(dynamics, reference),
        *force_rows(dynamics, reference, weight),
        centre_row(dynamics, reference, weight),
        *moment_rows(dynamics, body, reference),
    ]
    return {row.title: (row.text, row.values) for row in rows}


def main() -> int:
    """Run the benchmark; returns 2 without data."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with reference.npz")
    parser.add_argument("--device", choices=("cpu", "gpu"))
    parser.add_argument("--json", type=Path, help="file for the results as JSON")
    add_size_options(parser)
    options = parser.parse_args()
    if not (options.folder / "reference.npz").is_file():
        print(f"{options.folder} has no reference.npz; see the head of truth.py", file=sys.stderr)
        return 2
    with np.load(options.folder / "reference.npz", allow_pickle=False) as file:
        reference = {name: file[name] for name in file.files}
    results: dict[str, Any] = {"machine": machine.describe()}
    print(machine.message(results["machine"]))
    device = choose_device(options.device) or jax.devices()[0]
    defaults = sized(RetargetConfig(), options, device)
    texts: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        motion = write_trial(reference, Path(folder))
        for forces in ("estimated", "measured"):
            config = replace(defaults, validation=replace(defaults.validation, muscles=True, forces=forces))
            retargeter = Retargeter(config, device=device)
            clip = retargeter.retarget(read_motions(motion, name="walk_ik.mot", options=ReadOptions()))[0].clip
            if clip is None or clip.nframe != len(reference["time"]):
                raise SystemExit("the walk gives no clip with one frame per sample of the reference")
            rows = rows_of(clip, retargeter.body, reference)
            metrics = {name: clip.metrics.get(name) for name in METRICS}
            estimate = {key: value for key, value in clip.metrics.items() if key.startswith("estimate_")}
            results[forces] = {"verdict": clip.verdict, "metrics": metrics | estimate,
                               "rows": {title: values for title, (_, values) in rows.items()}}  # fmt: skip
            for title, (text, _) in rows.items():
                texts.setdefault(title, {})[forces] = text
            for name, value in (metrics | estimate).items():
                texts.setdefault(name, {})[forces] = "" if value is None else f"{value:.3g}"
            texts.setdefault("verdict", {})[forces] = f"{clip.verdict} {clip.broken_rules}"
    print(table(("quantity", "estimated", "measured"),
                [(title, text["estimated"], text["measured"]) for title, text in texts.items()]))  # fmt: skip
    machine.save(options.json, results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
