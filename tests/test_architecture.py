"""Structure of the code: imports are acyclic and point one way, and folders and files stay small."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

from .conftest import LONG_FILES

ROOT = Path(__file__).parent.parent
FOLDERS = ("api", "cli", "datasets", "imitation", "pipelines", "retarget", "skeletons")
MAX_FILES = 15
MAX_LINES = 400


def _sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def _module(path: Path) -> str:
    return ".".join(("musclemap", *path.relative_to(ROOT).with_suffix("").parts))


def _file(module: str) -> Path | None:
    """File of a module, or `__init__.py` of a package."""
    path = ROOT.joinpath(*module.split(".")[1:])
    candidates = (path.with_suffix(".py"), path / "__init__.py")
    return next((file for file in candidates if file.is_file() and path != ROOT), None)


def _imports(path: Path) -> set[Path]:
    """Files of this package that a file imports anywhere, including in functions and for type checking."""
    package = _module(path).rpartition(".")[0]
    modules: list[str] = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                base = ".".join(filter(None, (package, node.module)))
            modules += [base, *(f"{base}.{alias.name}" for alias in node.names)]
        elif isinstance(node, ast.Import):
            modules += [alias.name for alias in node.names]
    imported = {_file(module) for module in modules if module.startswith("musclemap.")}
    return {file for file in imported if file is not None and file != path}


GRAPH = {path: _imports(path) for path in _sources()}


def _cycle(graph: dict[str, set[str]]) -> list[str]:
    """Nodes of an import cycle, or []."""
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_import_graph_is_complete() -> None:
    name = lambda path: path.relative_to(ROOT).as_posix()  # noqa: E731
    edges = {(name(path), name(other)) for path, imported in GRAPH.items() for other in imported}
    assert ("pipelines/archive.py", "pipelines/convert/conversion.py") in edges
    assert ("cli/retarget.py", "pipelines/archive.py") in edges  # imported in a function
    assert len(edges) > 500


def test_files_have_no_import_cycle() -> None:
    assert not _cycle({str(path): set(map(str, imported)) for path, imported in GRAPH.items()})


def test_sub_packages_have_no_import_cycle() -> None:
    """A sub-package is one node; each file directly in a root folder is a node too."""

    def node(path: Path) -> str:
        parts = path.relative_to(ROOT).parts
        return "/".join(parts[:2])

    graph: dict[str, set[str]] = defaultdict(set)
    for path, imported in GRAPH.items():
        graph[node(path)] |= {node(other) for other in imported if other.name != "__init__.py"} - {node(path)}
    assert not _cycle(graph)


def test_cycles_are_detected() -> None:
    assert _cycle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


@pytest.mark.parametrize("folder", FOLDERS)
def test_folders_have_at_most_15_files(folder: str) -> None:
    folders = [ROOT / folder, *(path for path in (ROOT / folder).rglob("*") if path.is_dir())]
    counts = {path: len(list(path.glob("*.py"))) for path in folders}
    assert not {str(path): count for path, count in counts.items() if count > MAX_FILES + 1}  # plus an __init__


def test_files_have_at_most_400_lines() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _sources()}
    assert not {path: length for path, length in lengths.items() if length > MAX_LINES}


def test_each_sub_package_has_a_docstring() -> None:
    for path in _sources():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), path


def test_files_that_start_first_exist() -> None:
    """Otherwise a renamed file would silently start last."""
    assert {path.stem for path in (ROOT / "tests").rglob("test_*.py")} >= set(LONG_FILES)
