"""The documentation site builds without a warning, and its generated pages are complete."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.parse import unquote

import pytest
import typer
import yaml

import musclemap as mm
from musclemap.cli.main import VERBS

ROOT = Path(__file__).parents[2]

pytest.importorskip("mkdocs", reason="MkDocs comes with the extra [docs]")
pytest.importorskip("mkdocstrings", reason="mkdocstrings comes with the extra [docs]")


@cache
def _hook(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"docs_site_{name}", ROOT / "docs" / "site" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` builds it."""
    folder = tmp_path_factory.mktemp("site")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src"), "NO_MKDOCS_2_WARNING": "1"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    assert not (done.stdout + done.stderr).strip()
    return folder


class _Page(HTMLParser):
    """Targets of the links, pictures and scripts of a page, its anchors, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := values.get(name))}
        for name in ("href", "src"):
            if value := values.get(name):
                self.targets.append(value)
                if tag in ("script", "img", "video", "iframe") or (tag == "link" and values.get("rel") == "stylesheet"):
                    self.loaded.append(value)


def _pages(site: Path) -> dict[Path, _Page]:
    return {path: _Page(path.read_text("utf-8")) for path in site.rglob("*.html") if path.name != "404.html"}


def test_every_link_of_the_site_leads_to_a_file_and_an_anchor(site: Path) -> None:
    pages = _pages(site)
    assert len(pages) > 30
    for path, page in pages.items():
        for target in page.targets:
            if re.match(r"[a-z]+:", target):
                continue
            name, _, anchor = unquote(target).partition("#")
            file = (path.parent / name).resolve() if name else path
            assert file.is_file(), f"{path.name}: {target}"
            if anchor and not anchor.startswith("__"):
                assert anchor in pages[file].anchors, f"{path.name}: {target}"


def test_nothing_is_loaded_from_a_network(site: Path) -> None:
    for path, page in _pages(site).items():
        assert not [target for target in page.loaded if re.match(r"(https?:)?//", target)], path


def test_the_home_page_is_the_readme(site: Path) -> None:
    text = (site / "index.html").read_text()
    for name in ("start/biomechanics.html", "status.html", "contributing.html", "images/walk_policy.webp"):
        assert f'"{name}"' in text


def test_every_page_is_in_the_navigation(site: Path) -> None:
    home = _Page((site / "index.html").read_text())
    listed = {target.partition("#")[0] for target in home.targets}
    pages = {path.relative_to(site).as_posix() for path in _pages(site)}
    assert {page for page in pages if not page.startswith("files/")} <= listed | {"index.html"}


def test_every_option_of_every_command_is_on_the_page(site: Path) -> None:
    text = (site / "commands.html").read_text()
    for verb in VERBS:
        command: Any = typer.main.get_command(importlib.import_module(f"musclemap.cli.{verb}").app)
        start = text.index(f'id="mm-{verb}"')
        section = text[start : text.find("<h2", start + 1)]
        options = [name for parameter in command.params for name in parameter.opts if name.startswith("--")]
        assert len(options) >= 3
        assert not [name for name in options if name not in section], verb


def test_every_setting_is_on_the_page_with_its_meaning(site: Path) -> None:
    hook = _hook("settings_page")
    text = (site / "settings.html").read_text()
    for cls in hook.GROUPS.values():
        found = list(hook.leaves(cls()))
        assert len(found) > 20
        assert not [name for name, _, meaning in found if not meaning]
        assert not [name for name, _, _ in found if f"<code>{name}</code>" not in text]


def test_names_of_settings_are_those_that_set_takes() -> None:
    from musclemap.settings import override

    hook = _hook("settings_page")
    for cls in hook.GROUPS.values():
        leaves = {name: value for name, value, _ in hook.leaves(cls())}
        name = next(name for name, value in leaves.items() if "." in name and isinstance(value, float))
        changed = override(cls(), [f"{name}={leaves[name]}"])
        assert changed == cls()


def test_every_public_name_is_on_the_page_with_its_arguments(site: Path) -> None:
    text = (site / "api.html").read_text()
    page = _Page(text)
    for name in mm.__all__:
        assert f">mm.{name}<" in text.replace("\n", "").replace(" ", ""), name
    for name in ("musclemap.api.clip.Clip.plot_gait", "musclemap.api.dataset.Dataset.windows"):
        assert name in page.anchors
    assert "warm_start" in text


def test_tutorials_are_notebooks_too(site: Path) -> None:
    tutorials = sorted((ROOT / "docs" / "tutorials").glob("*.md"))
    for path in tutorials:
        notebook = json.loads((site / "tutorials" / f"{path.stem}.ipynb").read_text())
        assert (notebook["nbformat"], notebook["nbformat_minor"]) == (4, 5)
        cells = notebook["cells"]
        assert len({cell["id"] for cell in cells}) == len(cells)
        assert all(cell.get("outputs", []) == [] for cell in cells)
        code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
        for text in code:
            if not text.startswith("!mm-"):
                compile(text, path.name, "exec")
        assert len(code) == len(re.findall(r"^```(?:python|bash)$", path.read_text(), re.MULTILINE))
        assert f'href="{path.stem}.ipynb"' in (site / "tutorials" / f"{path.stem}.html").read_text()


def test_a_notebook_keeps_the_order_and_marks_commands() -> None:
    notebook = _hook("notebooks").as_notebook("# T\n\n```bash\nmm-info\n```\ntext\n\n```python\nx = 1\n```\n")
    cells = [(cell["cell_type"], "".join(cell["source"])) for cell in notebook["cells"]]
    assert cells == [("markdown", "# T"), ("code", "!mm-info"), ("markdown", "text"), ("code", "x = 1")]


def test_links_are_rewritten_outside_code_only() -> None:
    links = _hook("repository_links")
    text = "[a](../x.py#L1) `[b](../y.py)`\n\n    [c](../z.py)\n\n![d](images/e.png)\n"
    assert links.link_targets(text) == ["../x.py", "images/e.png"]
    changed = links.rewrite_links(text, str.upper)
    assert "(../X.PY#L1)" in changed
    assert "`[b](../y.py)`" in changed
    assert "    [c](../z.py)" in changed


def test_paths_of_the_repository_and_of_the_site() -> None:
    links = _hook("repository_links")
    assert links.repository_path("docs/start/rl.md", "../../README.md") == "README.md"
    assert links.repository_path("docs/a.md", "https://example.org/b.md") is None
    assert links.site_path("README.md") == "index.md"
    assert links.site_path("docs/bvh.md") == "bvh.md"
    assert links.site_path("expected/builtin.json") == "files/expected/builtin.json.md"
    assert links.site_path(".github/workflows/ci.yml") == "files/github/workflows/ci.yml.md"


class _Loader(yaml.SafeLoader):
    """YAML with MkDocs' tags for Python objects, which are left out."""


_Loader.add_multi_constructor("tag:yaml.org,2002:python/", lambda loader, suffix, node: suffix)


def test_make_docs_builds_what_the_configuration_says() -> None:
    config = yaml.load((ROOT / "mkdocs.yml").read_text(), Loader=_Loader)
    assert config["strict"] is True
    assert config["site_dir"] == "out/docs"
    assert "mkdocs build --strict" in (ROOT / "Makefile").read_text()
    assert all((ROOT / hook).is_file() for hook in config["hooks"])
