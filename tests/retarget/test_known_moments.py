"""A walk with known joint moments: with the plates' forces they come back, and the motion agrees with the plates."""

from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.formats.readers.motion_reader import ReadOptions
from musclemap.datasets.formats.readers.table import read_motions
from musclemap.retarget.retargeter import Retargeter

from ..support.force_writer import grf_text
from ..support.opensim_writer import known_walk

TRUTH = Path(__file__).parents[3] / "shared" / "truth"


@pytest.mark.skipif(not TRUTH.is_dir(), reason="needs the walk with known joint moments")
def test_moments_with_the_forces_of_plates(retargeter: Retargeter, tmp_path: Path) -> None:
    """Estimated forces give r of 0.99, 0.93 and 0.85 (docs/truth.md)."""
    with np.load(TRUTH / "reference.npz", allow_pickle=False) as file:
        reference = {name: file[name] for name in file.files}
    (tmp_path / "walk_ik.mot").write_bytes(known_walk(TRUTH))
    time = reference["time"] - reference["time"][0]
    loads = {
        pattern: np.hstack([reference[f"force__{side}"], reference[f"pressure__{side}"], np.zeros((len(time), 3))])
        for pattern, side in (("ground_{}", "right"), ("1_ground_{}", "left"))
    }
    (tmp_path / "walk_grf.mot").write_bytes(grf_text(time, loads))
    motions = read_motions(tmp_path / "walk_ik.mot", name="walk_ik.mot", options=ReadOptions())
    clip = retargeter.retarget(motions)[0].clip
    assert clip is not None
    assert clip.measured is not None
    assert clip.measured.all()
    assert clip.joint_moment is not None
    assert clip.metrics["subject_mass_kg"] == pytest.approx(float(reference["mass"]), rel=0.015)
    assert clip.metrics["plate_offset_mm"] < 5.0
    for name, lowest, largest in (("ankle_angle", 0.98, 0.1), ("knee_angle", 0.94, 0.12), ("hip_flexion", 0.94, 0.16)):
        for side in "rl":
            own = clip.joint_moment[:, clip.moment_names.index(f"{name}_{side}")] / retargeter.body.mass
            ref = reference[f"moment__{name}_{side}_moment"] / float(reference["mass"])
            assert np.corrcoef(own, ref)[0, 1] > lowest
            assert np.sqrt(np.mean((own - ref) ** 2)) < largest
    assert clip.metrics["residual_force_bw"] < 0.015
    assert clip.metrics["residual_torque_nm"] < 4.0
    assert clip.verdict == "feasible"
