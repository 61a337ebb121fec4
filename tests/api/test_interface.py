"""The names of `import musclemap as mm`: found by tools, documented, imported lazily, without side effects."""

import ast
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import musclemap as mm
from musclemap.api import loading
from musclemap.api.optional import MissingPackageError
from musclemap.pipelines import builtin_data, builtin_walk

ROOT = Path(__file__).parents[2]

PROBE = """
import json, os, sys, threading, time, warnings
before = {"environment": dict(os.environ), "filters": list(warnings.filters), "threads": threading.active_count()}
started = time.perf_counter()
import musclemap
seconds = time.perf_counter() - started
after = {"environment": dict(os.environ), "filters": list(warnings.filters), "threads": threading.active_count()}
heavy = sorted({"numpy", "jax", "mujoco", "h5py", "scipy", "pandas", "gymnasium", "typer"} & set(sys.modules))
print(json.dumps({"seconds": seconds, "same": before == after, "heavy": heavy, "files": os.listdir(".")}))
"""


def _probe(folder: Path, program: str) -> Any:
    """Run a program in an empty folder that is also its home, and parse its output."""
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "HOME": str(folder)}
    command = [sys.executable, "-B", "-c", program]
    result = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def test_the_import_is_quick_and_changes_nothing(tmp_path: Path) -> None:
    found = min((_probe(tmp_path, PROBE) for _ in range(3)), key=lambda one: one["seconds"])
    assert found["seconds"] < 0.3
    assert found | {"seconds": 0} == {"seconds": 0, "same": True, "heavy": [], "files": []}


def test_every_name_is_listed_and_exists() -> None:
    assert set(mm.__all__) <= set(dir(mm))
    for name in mm.__all__:
        assert callable(getattr(mm, name)), name
    with pytest.raises(AttributeError, match=r"no attribute 'opne'; it has Clip, Dataset"):
        mm.opne  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]


def test_type_checkers_see_the_same_names() -> None:
    """The imports for type checkers name the modules that are imported at run time."""
    tree = ast.parse((ROOT / "src/musclemap/__init__.py").read_text())
    (block,) = (node for node in tree.body if isinstance(node, ast.If))
    imports = [node for node in block.body if isinstance(node, ast.ImportFrom)]
    seen = {alias.name: node.module for node in imports for alias in node.names}
    assert set(seen) == set(mm.__all__)
    for name, module in seen.items():
        if name != "retarget":
            assert getattr(mm, name).__module__ == module, name


def test_retarget_is_a_package_and_a_function() -> None:
    import musclemap.retarget.config
    from musclemap.api import conversion

    assert mm.retarget is sys.modules["musclemap.retarget"]
    assert musclemap.retarget.config.RetargetConfig.__name__ == "RetargetConfig"  # pyright: ignore
    assert inspect.signature(mm.retarget) == inspect.signature(conversion.retarget)
    assert inspect.getdoc(mm.retarget) == inspect.getdoc(conversion.retarget)
    with pytest.raises(mm.MusclemapError, match=r"is a folder; mm.retarget"):
        mm.retarget(ROOT / "docs")


def documented() -> dict[str, Any]:
    """Public functions, and public methods and properties of the public classes."""
    functions = {name: getattr(mm, name) for name in mm.__all__ if name != "MusclemapError"}
    for kind in (mm.Clip, mm.Dataset):
        for name, value in vars(kind).items():
            plain = value.__func__ if isinstance(value, classmethod) else value
            if not name.startswith("_") and (inspect.isfunction(plain) or isinstance(plain, property)):
                functions[f"{kind.__name__}.{name}"] = plain
    return functions


NO_ERRORS = {"Clip.of", "Dataset.names", "Dataset.splits", "Dataset.filter"}
"""Names that raise no error of this package."""

ARRAYS = {
    "Clip", "load", "retarget", "validate", "load_policy", "Clip.angles", "Clip.to_dataframe", "Clip.to_xarray",
    "Dataset.windows", "Dataset.torch", "Dataset.jax",
}  # fmt: skip
"""Names that give arrays, whose shapes and units their documentation has to state."""

SHAPE = re.compile(r"\((?:n\w+|length|batch\w*|\.\.\.)[^)]*\)")
UNIT = re.compile(r"\[[^]]*\b(?:m|s|rad|deg|N|Nm|Hz)\b[^]]*\]|\bmetres\b|\bradians\b|\b0 to 1\b")


@pytest.mark.parametrize("name", sorted(documented()))
def test_documentation_has_arguments_results_errors_and_an_example(name: str) -> None:
    function = documented()[name]
    text = inspect.getdoc(function) or ""
    assert ">>>" in text.partition("Example:")[2]
    code = "\n".join(line[4:] for line in map(str.strip, text.splitlines()) if line.startswith((">>> ", "... ")))
    ast.parse(code)
    assert ("Raises:" in text) == (name not in NO_ERRORS)
    if name in ARRAYS:
        assert SHAPE.search(text)
        assert UNIT.search(text)
    if inspect.isclass(function) or isinstance(function, property):
        return
    parameters = set(inspect.signature(function).parameters) - {"self", "cls"}
    described = {line.strip().partition(":")[0] for line in text.splitlines()}
    assert parameters <= described
    if parameters and name != "Clip.of":
        assert "Returns:" in text


def test_all_that_is_listed_is_public() -> None:
    assert set(documented()) >= NO_ERRORS | ARRAYS


def test_a_missing_package_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    clip = mm.load("builtin-walk")
    for module, use, hint in (
        ("pandas", clip.to_dataframe, r"pip install 'musclemap\[data\]'"),
        ("xarray", clip.to_xarray, r"pip install 'musclemap\[data\]'"),
        ("torch", lambda: mm.open("builtin-arm").torch(length=4), "pip install torch"),
    ):
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(MissingPackageError, match=hint) as caught:
            use()
        assert "\n" not in str(caught.value)


def test_builtin_names_are_those_of_the_downloads() -> None:
    assert loading.BUILTIN == (builtin_walk.BUILTIN_WALK, builtin_data.BUILTIN_ARM)
