"""Package layout: one source tree, importable as `musclemap` whether installed or not."""

import ast
import json
import os
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib import metadata
from pathlib import Path

import pytest

import musclemap

ROOT = Path(__file__).parent.parent
FOLDERS = ("api", "cli", "datasets", "imitation", "pipelines", "retarget", "skeletons")
SHARED_MODULES = {path.stem for path in (ROOT / "src" / "musclemap").glob("*.py")}
"""Modules outside the root folders. All code may import them; of this package they import the errors only."""

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())


@pytest.mark.parametrize("folder", FOLDERS)
def test_each_folder_is_linked_into_the_package(folder):
    link = ROOT / "src" / "musclemap" / folder
    assert link.is_symlink()
    assert os.readlink(link) == f"../../{folder}"
    assert (ROOT / folder).is_dir()


def test_only_datasets_has_no_init_file():
    without = [folder for folder in FOLDERS if not (ROOT / folder / "__init__.py").exists()]
    assert without == ["datasets"]


def test_gitignore_hides_no_code():
    lines = [line.strip() for line in (ROOT / ".gitignore").read_text().splitlines()]
    assert not [line for line in lines if line.strip("/") in FOLDERS]


def test_installed_version_is_the_source_version():
    assert re.fullmatch(r"\d+\.\d+\.\d+", musclemap.__version__)
    try:
        installed = metadata.version("musclemap")
    except metadata.PackageNotFoundError:
        pytest.skip("runs from the source tree, not installed")
    assert installed == musclemap.__version__


def _module_level_imports(tree: ast.Module) -> set[str]:
    """Top-level names imported at module level, including `if` and `try` blocks but not functions."""
    names, blocks = set(), list(tree.body)
    while blocks:
        node = blocks.pop()
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            blocks.extend(child for child in ast.iter_child_nodes(node) if isinstance(child, ast.stmt))
    return names


def test_commands_import_nothing_heavy_at_module_level():
    banned = set(PROJECT["tool"]["ruff"]["lint"]["flake8-tidy-imports"]["banned-module-level-imports"])
    assert banned >= {"jax", "warp", "mujoco", "mujoco_warp", "h5py", "torch"}
    heavy = {path.name: _module_level_imports(ast.parse(path.read_text())) & banned for path in ROOT.glob("cli/*.py")}
    assert not {name: names for name, names in heavy.items() if names}


@pytest.mark.parametrize("folder", FOLDERS)
def test_imports_point_one_way(folder):
    """api -> cli -> pipelines -> {retarget, imitation} -> {datasets, skeletons}; all may import the shared modules."""
    below = {"skeletons": set(), "datasets": {"skeletons"}}
    below["retarget"] = below["imitation"] = {"datasets", "skeletons"}
    below["pipelines"] = {"retarget", "imitation", "datasets", "skeletons"}
    below["cli"] = {*below["pipelines"], "pipelines"}
    below["api"] = {*below["cli"], "cli"}
    for path in ROOT.glob(f"{folder}/**/*.py"):
        text = path.read_text()
        imported = set(re.findall(r"^\s*(?:from|import) musclemap\.(\w+)", text, re.MULTILINE))
        imported |= {
            name for name in FOLDERS if re.search(rf"^\s*from musclemap import .*\b{name}\b", text, re.MULTILINE)
        }
        assert imported <= below[folder] | {folder} | SHARED_MODULES, path


def test_modules_beside_the_folders_import_errors_only():
    for path in (ROOT / "src" / "musclemap").glob("*.py"):
        imported = set(re.findall(r"^\s*(?:from|import) musclemap\.([\w.]+)", path.read_text(), re.MULTILINE))
        if path.name == "__init__.py":  # names that it imports when they are used
            imported = {name for name in imported if not name.startswith("api.")}
        assert imported <= SHARED_MODULES | {"skeletons.errors"}, path


def test_every_command_has_its_function():
    for name, target in PROJECT["project"]["scripts"].items():
        module, _, attribute = target.partition(":")
        source = (ROOT / "src" / Path(*module.split("."))).with_suffix(".py").read_text()
        assert name.startswith("mm-") or name == "musclemap"
        assert re.search(rf"^(def )?{attribute}\b", source, re.MULTILINE), target


def _build(kind: str, folder: Path, *, source: Path) -> Path:
    command = [sys.executable, "-m", "hatchling", "build", "-t", kind, "-d", str(folder)]
    subprocess.run(command, cwd=source, check=True, capture_output=True, timeout=120)
    (built,) = folder.iterdir()
    return built


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """The wheel built from this tree."""
    pytest.importorskip("hatchling", reason="hatchling comes with the extra [dev]")
    return zipfile.ZipFile(_build("wheel", tmp_path_factory.mktemp("wheel"), source=ROOT))


def test_wheel_has_one_top_level_name_and_all_the_code(wheel):
    names = wheel.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"musclemap"}
    code = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert code <= {name.removeprefix("musclemap/") for name in names}
    groups = {f"musclemap/datasets/groups/{path.name}" for path in (ROOT / "datasets" / "groups").glob("*.txt")}
    assert groups <= set(names)
    walk = "datasets/builtin_walk"
    data = {str(path.relative_to(ROOT)) for path in (ROOT / walk).rglob("*") if path.is_file()}
    assert len(data) == 4  # clip, track, policy, README with the licence
    assert data <= {name.removeprefix("musclemap/") for name in names}
    assert "musclemap/py.typed" in names


def test_source_archive_builds_the_same_wheel(tmp_path, wheel):
    archive = _build("sdist", tmp_path / "sdist", source=ROOT)
    subprocess.run(["tar", "-xzf", str(archive), "-C", str(tmp_path)], check=True, timeout=60)
    unpacked = tmp_path / archive.name.removesuffix(".tar.gz")
    again = zipfile.ZipFile(_build("wheel", tmp_path / "again", source=unpacked))
    assert {i.filename: i.CRC for i in wheel.infolist()} == {i.filename: i.CRC for i in again.infolist()}


def test_info_runs_from_anywhere_and_prints_json(tmp_path):
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    command = [sys.executable, "-m", "musclemap.cli.info", "--json"]
    result = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert json.loads(result.stdout)["musclemap"] == musclemap.__version__


def test_every_command_is_a_verb():
    from musclemap.cli.main import VERBS

    assert {name for name in PROJECT["project"]["scripts"] if name != "musclemap"} == {f"mm-{verb}" for verb in VERBS}
