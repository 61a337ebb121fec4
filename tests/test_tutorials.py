"""The tutorials run as they stand, from an empty folder to the results that they describe."""

import re
from pathlib import Path

import matplotlib
import pytest

from .support.pages_code import ROOT, code_blocks, run_page

matplotlib.use("agg")

TUTORIALS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "docs" / "tutorials").glob("*.md"))


@pytest.fixture(autouse=True)
def empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", TUTORIALS)
def test_all_code_is_python_or_commands(page: str) -> None:
    text = (ROOT / page).read_text()
    assert len(re.findall(r"^```\w", text, re.MULTILINE)) == len(code_blocks(page))
    commands = [line for language, code in code_blocks(page) if language == "bash" for line in code.splitlines()]
    assert all(line.startswith("mm-") for line in commands)


@pytest.mark.slow
def test_first_clip(empty_folder: Path) -> None:
    variables, _ = run_page("docs/tutorials/first-clip.md")
    assert variables["clip"].verdict == "feasible"
    assert variables["total"].mean() == pytest.approx(84.3 * 9.81, rel=0.02)  # mass of the body, docs/body.md
    assert variables["angles"]["knee_angle_r"].max() > 60
    assert all((empty_folder / name).stat().st_size > 5000 for name in ("squat.png", "squat-angles.png"))
    assert list((empty_folder / "csv").rglob("squat_poses.csv"))


@pytest.mark.slow
def test_lab_data(empty_folder: Path) -> None:
    variables, _ = run_page("docs/tutorials/lab-data.md")
    metrics = variables["clip"].metrics
    assert metrics["forces"] == "measured"
    assert metrics["subject_mass_kg"] == pytest.approx(84.3, rel=0.02)  # the stand-in's forces are those of the body
    assert metrics["estimate_r_left"] > 0.9
    assert metrics["plate_offset_mm"] < 20
    assert list((empty_folder / "opensim").rglob("trial01*_moments_per_kg.sto"))


def test_muscles_of_a_walk(empty_folder: Path) -> None:
    variables, _ = run_page("docs/tutorials/muscles-of-a-walk.md")
    soleus, stance = variables["soleus"], variables["stance"]
    assert soleus[stance].mean() > 2 * soleus[~stance].mean()
    names, both = variables["names"], variables["both"]
    in_simulator = variables["tracked"].activation[:, [names.index(name) for name in both]]
    assert in_simulator.mean() > variables["activation"][both].to_numpy().mean()
    assert variables["difference"].mean() < 0.05
    assert (empty_folder / "muscles.png").stat().st_size > 20_000


@pytest.mark.slow
def test_train_and_look(empty_folder: Path) -> None:
    variables, _ = run_page("docs/tutorials/train-and-look.md")
    assert variables["result"].steps >= 10_000
    assert len(variables["lines"]) > 1
    error = variables["total"]["mean"]["absolute_landmark_error_to_end"]
    assert error < 0.1  # an untrained policy has 0.2 m, docs/training.md
    assert variables["picture"].std() > 1
