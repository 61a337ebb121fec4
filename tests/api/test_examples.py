"""The examples of the docstrings run as they stand, in a folder with the clips and the run that they name."""

import doctest
import inspect
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

import musclemap as mm
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER

from ..support.data.arm_dataset import write_dataset
from ..support.data.arm_policies import save_untrained
from ..support.pages_code import run_command

EXAMPLES = {
    "load": mm.load, "open": mm.open, "load_policy": mm.load_policy, "evaluate": mm.evaluate,
    "Clip": mm.Clip, "Clip.of": mm.Clip.of, "Clip.angles": mm.Clip.angles, "Clip.to_dataframe": mm.Clip.to_dataframe,
    "Clip.to_xarray": mm.Clip.to_xarray, "Clip.plot": mm.Clip.plot, "Clip.plot_gait": mm.Clip.plot_gait,
    "Dataset.names": mm.Dataset.names, "Dataset.find": mm.Dataset.find, "Dataset.items": mm.Dataset.items,
    "Dataset.table": mm.Dataset.table, "Dataset.splits": mm.Dataset.splits, "Dataset.split": mm.Dataset.split,
    "Dataset.filter": mm.Dataset.filter, "Dataset.windows": mm.Dataset.windows, "Dataset.torch": mm.Dataset.torch,
    "Dataset.jax": mm.Dataset.jax,
}  # fmt: skip
"""Names whose examples take seconds; those of conversion, checks, tracking and training take minutes."""

EXACT = {"load", "Clip"}
"""Examples whose printed results are those of the package's own walk."""


def _examples(function: Any) -> list[doctest.Example]:
    return doctest.DocTestParser().get_examples(inspect.getdoc(function) or "")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with `out/clips`, the built-in walk; `bundle`, the same with splits; and `out/run`, a policy."""
    root = tmp_path_factory.mktemp("examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        assert run_command("mm-download builtin-walk out/clips -q") == 0
        write_dataset(root / "arm", arm_clips(3, 1.0, seed=1))
        assert run_command("mm-pack arm bundle --shares 0.34,0.33,0.33 -q") == 0
    save_untrained(root / "out/run/policy.safetensors", arm_clips(2, 1.0, seed=1))
    return root


def _variables() -> dict[str, Any]:
    """What examples use without making it."""
    data = mm.open("out/clips")
    return {
        "mm": mm, "clip": mm.load("builtin-walk"), "data": data, "path": WALK_FOLDER / WALK_CLIP,
        "obs": np.zeros(mm.load_policy("out/run").nobs), "step": lambda *arrays: 0.0,
        "update": lambda state, qpos: state, "state": 0,
    }  # fmt: skip


@pytest.mark.parametrize("name", sorted(EXAMPLES))
def test_example_runs(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    variables = _variables()
    if name == "Dataset.torch":
        variables["torch"] = pytest.importorskip("torch", reason="PyTorch comes with the extra [smpl]")
    examples = _examples(EXAMPLES[name])
    assert examples
    for example in examples:
        try:
            code = compile(example.source.strip(), name, "eval")
        except SyntaxError:
            exec(compile(example.source, name, "exec"), variables)
            continue
        value = eval(code, variables)
        if example.want and name in EXACT:
            assert " ".join(repr(value).split()) == " ".join(example.want.split())
    pyplot.close("all")
