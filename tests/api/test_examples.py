"""The examples of the docstrings run as they stand, in a folder with the clips and the run that they name."""

import doctest
import inspect
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from matplotlib import pyplot

import musclemap as mm
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.pipelines.builtin_walk import WALK_CLIP, WALK_FOLDER
from musclemap.skeletons.bodies.own_bodies import ENVIRONMENT

from ..support.data.arm_dataset import write_dataset
from ..support.data.arm_policies import save_untrained
from ..support.own_legs import write_legs
from ..support.pages_code import run_command
from .test_interface import documented

EXAMPLES = {
    "load": mm.load, "open": mm.open, "load_policy": mm.load_policy, "evaluate": mm.evaluate,
    "Clip": mm.Clip, "Clip.of": mm.Clip.of, "Clip.angles": mm.Clip.angles, "Clip.to_dataframe": mm.Clip.to_dataframe,
    "Clip.to_xarray": mm.Clip.to_xarray, "Clip.plot": mm.Clip.plot, "Clip.plot_gait": mm.Clip.plot_gait,
    "Dataset.names": mm.Dataset.names, "Dataset.find": mm.Dataset.find, "Dataset.items": mm.Dataset.items,
    "Dataset.table": mm.Dataset.table, "Dataset.splits": mm.Dataset.splits, "Dataset.split": mm.Dataset.split,
    "Dataset.filter": mm.Dataset.filter, "Dataset.windows": mm.Dataset.windows, "Dataset.torch": mm.Dataset.torch,
    "Dataset.jax": mm.Dataset.jax, "Dataset": mm.Dataset, "add_body": mm.add_body,
}  # fmt: skip
"""Names whose examples take seconds; those of conversion, checks, tracking and training take minutes."""

MINUTES = ("retarget", "track", "train", "validate")
"""Names whose examples are run with a stand-in that takes what the function takes."""

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
    write_legs(root / "legs")
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
    monkeypatch.setenv(ENVIRONMENT, "")  # of bodies of one's own
    variables = _variables()
    if name == "Dataset.torch":
        variables["torch"] = pytest.importorskip("torch", reason="PyTorch comes with the extra [smpl]")
    _run(_examples(EXAMPLES[name]), variables, exact=name in EXACT)
    pyplot.close("all")


def _run(examples: list[doctest.Example], variables: dict[str, Any], *, exact: bool) -> None:
    """Run examples, and compare the printed results if they are exact."""
    assert examples
    for example in examples:
        try:
            code = compile(example.source.strip(), "example", "eval")
        except SyntaxError:
            exec(compile(example.source, "example", "exec"), variables)
            continue
        value = eval(code, variables)
        if example.want and exact:
            assert " ".join(repr(value).split()) == " ".join(example.want.split())


def _stand_in(function: Any, result: Callable[[Any], Any]) -> Callable[..., Any]:
    """A function with the parameters of another, and what it returns for the first argument."""

    def call(*args: Any, **kwargs: Any) -> Any:
        bound = inspect.signature(function).bind(*args, **kwargs)
        return result(next(iter(bound.arguments.values())))

    return call


def test_examples_that_take_minutes_are_valid_calls(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And what they do with the results exists; the results themselves are those of tests of each function."""
    monkeypatch.chdir(folder)
    walk, data = mm.load("builtin-walk"), mm.open("out/clips")
    counts = SimpleNamespace(counts={"tracked": 1, "feasible": 4})
    results = {
        "retarget": lambda source: data if isinstance(source, str) else walk,
        "track": lambda source: counts,
        "train": lambda source: SimpleNamespace(policy=Path("out/run/policy.safetensors")),
        "validate": lambda source: counts if isinstance(source, str) else walk,
    }
    examples = {name: _examples(getattr(mm, name)) for name in MINUTES} | {"to_hub": _examples(mm.Dataset.to_hub)}
    for name in MINUTES:
        monkeypatch.setattr(mm, name, _stand_in(getattr(mm, name), results[name]))
    monkeypatch.setattr(mm.Dataset, "to_hub", _stand_in(mm.Dataset.to_hub, lambda data: None))
    monkeypatch.setattr(mm, "load", _stand_in(mm.load, lambda source: walk))
    arrays = {"poses": np.zeros((3, 156)), "trans": np.zeros((3, 3))}
    for name in examples:
        _run(examples[name], {"mm": mm, "clip": walk, **arrays}, exact=False)


def test_every_public_name_has_an_example_here() -> None:
    assert {*EXAMPLES, *MINUTES, "Dataset.to_hub"} == set(documented())
