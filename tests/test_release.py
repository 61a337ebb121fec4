"""The files of a release agree with each other and with the tree: versions, change log, workflows, Dockerfile."""

import json
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from datetime import date
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import pytest
import yaml

import musclemap
from musclemap.pipelines.rendering.gl import INSTALL_HINT

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FOLDERS = ("api", "cli", "datasets", "imitation", "pipelines", "retarget", "skeletons")

SECTIONS = ("Added", "Changed", "Deprecated", "Removed", "Fixed", "Security")
"""Sections of a release, in the order of keepachangelog.com."""


def _makefile_targets() -> set[str]:
    text = (ROOT / "Makefile").read_text() + (ROOT / "study.mk").read_text()
    return set(re.findall(r"^([a-z][a-z-]*):", text, re.MULTILINE))


def _releases() -> list[tuple[str, str]]:
    """Version and date of each release in the change log, the newest first."""
    text = (ROOT / "CHANGELOG.md").read_text()
    return re.findall(r"^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$", text, re.MULTILINE)


def test_the_version_is_the_same_everywhere() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert citation["version"] == musclemap.__version__ == _releases()[0][0]
    assert str(citation["date-released"]) == _releases()[0][1]
    assert citation["license"] == PROJECT["license"]


def test_the_citation_is_complete() -> None:
    """The fields that version 1.2 of the format requires, and those that services read."""
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert {"cff-version", "message", "title", "authors", "type", "version", "license"} <= set(citation)
    assert citation["cff-version"] == "1.2.0"
    names = ({"name"}, {"given-names", "family-names"})
    assert all(any(name <= set(author) for name in names) for author in citation["authors"])


def test_releases_of_the_change_log_are_in_order() -> None:
    versions = [tuple(map(int, version.split("."))) for version, _ in _releases()]
    days = [date.fromisoformat(day) for _, day in _releases()]
    assert versions == sorted(set(versions), reverse=True)
    assert days == sorted(days, reverse=True)


def test_sections_of_each_release_are_in_order_and_appear_once() -> None:
    text = (ROOT / "CHANGELOG.md").read_text()
    for release in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        names = re.findall(r"^### (.+)$", release, re.MULTILINE)
        assert names == [name for name in SECTIONS if name in names], release.splitlines()[0]
        assert all(re.search(rf"^### {name}\n\S", release, re.MULTILINE) for name in names)


def test_development_installs_what_the_checks_need() -> None:
    extras = PROJECT["optional-dependencies"]
    (own,) = (name for name in extras["dev"] if name.startswith("musclemap["))
    assert {"docs", "data", "gym", "markers", "onnx"} <= set(re.findall(r"\w+", own))
    assert {name for name in re.findall(r"\w+", own.partition("[")[2])} <= set(extras)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_a_workflow_only_reads_and_calls_targets_that_exist(path: Path) -> None:
    workflow: dict[Any, Any] = yaml.safe_load(path.read_text())
    assert workflow["permissions"] == {"contents": "read"}
    assert workflow["concurrency"]["cancel-in-progress"] is True
    for name, job in workflow["jobs"].items():
        assert "permissions" not in job, name
        assert job["timeout-minutes"] <= 120
        steps = job["steps"]
        assert all(re.fullmatch(r"[\w.-]+/[\w./-]+@v\d+", step["uses"]) for step in steps if "uses" in step), name
        checkout = next(step for step in steps if step.get("uses", "").startswith("actions/checkout@"))
        assert checkout["with"]["persist-credentials"] is False
        python = next(step for step in steps if step.get("uses", "").startswith("actions/setup-python@"))
        assert python["with"]["cache"] == "pip"
        assert (ROOT / python["with"]["cache-dependency-path"]).is_file()
    for target in re.findall(r"\bmake ([a-z][a-z-]*)", re.sub(r"#.*", "", path.read_text())):
        assert target in _makefile_targets(), target


def test_workflows_run_every_check() -> None:
    called = {target for path in WORKFLOWS for target in re.findall(r"\bmake ([a-z-]+)", path.read_text())}
    assert called >= {"lint", "type", "test", "docs", "wheel"}
    local = re.findall(r"^make (.+)$", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)
    assert set(" ".join(local).split()) <= called
    tested = {version for path in WORKFLOWS for version in re.findall(r'"(3\.\d+)"', path.read_text())}
    oldest = PROJECT["requires-python"].removeprefix(">=")
    declared = {name.rpartition(" ")[2] for name in PROJECT["classifiers"] if re.search(r":: 3\.\d+$", name)}
    assert oldest in tested <= declared


def _dockerfile() -> list[tuple[str, str]]:
    """Instructions of the Dockerfile with their arguments; comments and line breaks are removed."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(), flags=re.MULTILINE).replace("\\\n", " ")
    lines = [line for line in text.splitlines() if line.strip()]
    return [(line.partition(" ")[0], re.sub(r"\s+", " ", line.partition(" ")[2])) for line in lines]


def _ignored(path: str) -> bool:
    """Whether .dockerignore leaves out a file or folder at the root; the last pattern that matches decides."""
    ignored = False
    for line in (ROOT / ".dockerignore").read_text().splitlines():
        if line and not line.startswith("#") and fnmatch(path, line.removeprefix("!")):
            ignored = not line.startswith("!")
    return ignored


def test_the_image_copies_what_exists_and_what_the_wheel_needs() -> None:
    copied = {word for name, words in _dockerfile() if name == "COPY" for word in words.split()[:-1]}
    assert all((ROOT / word).exists() for word in copied)
    assert not [word for word in copied if _ignored(word)]
    assert _ignored("out")
    links = [path for path in (ROOT / "src" / "musclemap").iterdir() if path.is_symlink()]
    linked = {path.resolve().relative_to(ROOT).parts[0] for path in links}
    assert linked >= set(FOLDERS)
    assert copied >= {*linked, "src", "pyproject.toml", PROJECT["readme"], *PROJECT["license-files"]}


def test_a_wheel_can_be_built_from_what_the_image_copies(tmp_path: Path) -> None:
    pytest.importorskip("hatchling", reason="hatchling comes with the extra [dev]")
    for words in (words.split() for name, words in _dockerfile() if name == "COPY"):
        for word in words[:-1]:
            target = tmp_path / word if len(words) == 2 else tmp_path / words[-1] / word
            if (ROOT / word).is_dir():
                shutil.copytree(ROOT / word, target, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
            else:
                shutil.copy(ROOT / word, target)
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path / "dist")]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True, timeout=120)
    (wheel,) = (tmp_path / "dist").iterdir()
    names = zipfile.ZipFile(wheel).namelist()
    code = {str(path.relative_to(ROOT)) for folder in FOLDERS for path in (ROOT / folder).rglob("*.py")}
    assert {f"musclemap/{name}" for name in code} <= set(names)


def test_the_image_installs_extras_that_exist_and_starts_a_command() -> None:
    instructions = _dockerfile()
    runs = " ".join(words for name, words in instructions if name == "RUN")
    (extras,) = re.findall(r"'\.\[([\w,]+)\]'", runs)
    assert set(extras.split(",")) <= set(PROJECT["optional-dependencies"])
    assert "gpu" in extras.split(",")
    assert all(package in runs for package in INSTALL_HINT.split()[2:])
    (entry,) = (json.loads(words) for name, words in instructions if name == "ENTRYPOINT")
    assert entry[0] in PROJECT["scripts"]


def test_the_image_has_the_cuda_of_the_extra() -> None:
    (base,) = (words for name, words in _dockerfile() if name == "FROM")
    (cuda,) = re.findall(r"cuda(\d+)\]", " ".join(PROJECT["optional-dependencies"]["gpu"]))
    assert re.match(rf"nvidia/cuda:{cuda}\.\d+\.\d+-base-ubuntu", base)


def test_the_image_runs_as_an_ordinary_user() -> None:
    users = [words for name, words in _dockerfile() if name == "USER"]
    assert users
    assert users[-1] not in ("root", "0")


def test_hadolint_finds_nothing() -> None:
    program = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if program is None:
        pytest.skip("hadolint comes with the extra [dev]")
    done = subprocess.run([program, "Dockerfile"], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout
