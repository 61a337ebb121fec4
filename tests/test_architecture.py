"""The structure of the code: imports form no circle and point one way, and no folder is a heap."""

import ast
from collections import defaultdict
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FOLDERS = ("cli", "datasets", "imitation", "pipelines", "retarget", "skeletons")
MOST_FILES = 15
MOST_LINES = 400


def _sources() -> Iterator[Path]:
    for folder in FOLDERS:
        yield from (ROOT / folder).rglob("*.py")


def _module(path: Path) -> str:
    return ".".join(("musclemap", *path.relative_to(ROOT).with_suffix("").parts))


def _file(module: str) -> Path | None:
    """The file of a module, or the `__init__` of a package."""
    path = ROOT.joinpath(*module.split(".")[1:])
    result = (path.with_suffix(".py"), path / "__init__.py")
    return next((one for one in result if one.is_file() and path != ROOT), None)


def _imports(path: Path) -> set[Path]:
    """Files of ours that a file imports, anywhere in it: also in functions, and for types alone."""
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
    result = {_file(module) for module in modules if module.startswith("musclemap.")}
    return {file for file in result if file is not None and file != path}


GRAPH = {path: _imports(path) for path in _sources()}


def _circle(graph: dict[str, set[str]]) -> list[str]:
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        return error.args[1]
    return []


def test_the_graph_has_been_read() -> None:
    name = lambda path: path.relative_to(ROOT).as_posix()  # noqa: E731
    edges = {(name(path), name(other)) for path, result in GRAPH.items() for other in result}
    assert ("pipelines/archive.py", "pipelines/convert/conversion.py") in edges
    assert ("cli/retarget.py", "pipelines/archive.py") in edges  # within a function
    assert len(edges) > 500


def test_files_import_each_other_in_no_circle() -> None:
    assert not _circle({str(path): set(map(str, result)) for path, result in GRAPH.items()})


def test_sub_packages_import_each_other_in_no_circle() -> None:
    """A sub-package is one node; a file that lies in a folder of the first level is a node of its own."""

    def node(path: Path) -> str:
        parts = path.relative_to(ROOT).parts
        return "/".join(parts[:2])

    graph: dict[str, set[str]] = defaultdict(set)
    for path, result in GRAPH.items():
        graph[node(path)] |= {node(other) for other in result if other.name != "__init__.py"} - {node(path)}
    assert not _circle(graph)


def test_a_circle_would_be_found() -> None:
    assert _circle({"a": {"b"}, "b": {"c"}, "c": {"a"}})


@pytest.mark.parametrize("folder", FOLDERS)
def test_no_folder_has_more_files_than_can_be_looked_over(folder: str) -> None:
    places = [ROOT / folder, *(path for path in (ROOT / folder).rglob("*") if path.is_dir())]
    counts = {path: len(list(path.glob("*.py"))) for path in places}
    assert not {str(path): count for path, count in counts.items() if count > MOST_FILES + 1}  # and an __init__


def test_no_file_is_longer_than_can_be_read_in_one_sitting() -> None:
    lengths = {str(path.relative_to(ROOT)): len(path.read_text().splitlines()) for path in _sources()}
    assert not {path: length for path, length in lengths.items() if length > MOST_LINES}


def test_each_sub_package_says_what_it_is_for() -> None:
    for path in _sources():
        if path.name == "__init__.py":
            assert ast.get_docstring(ast.parse(path.read_text())), path
