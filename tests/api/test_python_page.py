"""The snippets of docs/python.md run as they stand, in a folder with the clips and the run that they name."""

import contextlib
import io
import re
from pathlib import Path

import gymnasium
import numpy as np
import pytest
from matplotlib import pyplot

from musclemap.imitation.task.arm_motions import arm_clips

from ..support.data.arm_dataset import write_dataset
from ..support.data.arm_policies import save_untrained

ROOT = Path(__file__).parents[2]

SNIPPETS = re.findall(r"^```python\n(.*?)^```", (ROOT / "docs/python.md").read_text(), re.MULTILINE | re.DOTALL)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    clips = arm_clips(2, 1.0, seed=1)
    write_dataset(tmp_path / "out/clips", clips)
    save_untrained(tmp_path / "out/run/policy.safetensors", clips)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _run(snippet: str) -> tuple[dict[str, object], str]:
    """Run a snippet; return its variables and what it printed."""
    variables: dict[str, object] = {}
    with contextlib.redirect_stdout(io.StringIO()) as output:
        exec(compile(snippet, "python.md", "exec"), variables)
    pyplot.close("all")
    return variables, output.getvalue()


def _snippet(text: str) -> str:
    (snippet,) = (snippet for snippet in SNIPPETS if text in snippet)
    return snippet


def test_there_are_five_snippets_of_at_most_ten_lines() -> None:
    assert len(SNIPPETS) == 5
    assert all(snippet.count("\n") <= 10 for snippet in SNIPPETS)


def test_load_and_plot(folder: Path) -> None:
    _, printed = _run(_snippet("plot_gait"))
    assert "<Clip builtin/walk" in printed
    assert (folder / "gait.png").stat().st_size > 10_000


def test_table(folder: Path) -> None:
    _, printed = _run(_snippet("data.table"))
    assert "feasible" in printed
    assert "(101, " in printed


def test_loader(folder: Path) -> None:
    pytest.importorskip("torch", reason="PyTorch comes with the extra [smpl]")
    _, printed = _run(_snippet("DataLoader"))
    assert "torch.Size([6, 64, " in printed


def test_policy(folder: Path) -> None:
    variables, _ = _run(_snippet("load_policy"))
    picture, env = variables["picture"], variables["env"]
    assert isinstance(picture, np.ndarray)
    assert picture.std() > 1
    assert isinstance(env, gymnasium.Env)
    env.close()


@pytest.mark.slow
def test_retarget(folder: Path) -> None:
    _, printed = _run(_snippet("mm.retarget({"))
    verdict, error = printed.split()
    assert verdict in ("feasible", "warn", "infeasible")
    assert 0 < float(error) < 40
