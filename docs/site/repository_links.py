"""MkDocs hook: links that work on GitHub also work in the site.

Pages link to each other and to files of the repository by relative paths. The site has the pages in `docs/`; this hook
adds the documents at the root of the repository, and a page with the text of every other file that a page links to.
"""

import os
import posixpath
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

ROOT = Path(__file__).resolve().parents[2]

ROOT_PAGES = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
"""Documents at the root of the repository, and their pages."""

LANGUAGES = {".py": "python", ".toml": "toml", ".json": "json", ".sh": "bash", ".yml": "yaml", ".mk": "makefile"}
"""Highlighting of files by suffix; others are plain text."""

LINK = re.compile(r"(?P<start>\]\()(?P<target>[^)\s#]*)(?P<rest>(#[^)\s]*)?\))")
CODE = re.compile(r"^```.*?^```|^(?: {4}[^\n]*\n)+|`[^`\n]+`", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the documents at the root, and the files that any page links to."""
    for name, page in ROOT_PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / name).read_text("utf-8")))
    for path in sorted(linked_files()):
        files.append(File.generated(config, file_page(path), content=_as_page(path)))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn the links of a page into links of the site."""
    source = page_source(page.file.src_uri)
    if source is None:
        return markdown
    if page.is_homepage:
        page.meta["hide"] = ["navigation"]  # it would list this page alone
    folder = posixpath.dirname(page.file.src_uri)

    def rewritten(target: str) -> str:
        path = repository_path(source, target)
        return target if path is None else posixpath.relpath(site_path(path), folder or ".")

    return rewrite_links(markdown, rewritten)


def rewrite_links(markdown: str, rewritten: Callable[[str], str]) -> str:
    """Replace the target of every link and picture outside code; anchors are kept."""

    def replace(match: re.Match[str]) -> str:
        return match["start"] + rewritten(match["target"]) + match["rest"]

    parts, end = [], 0
    for code in CODE.finditer(markdown):
        parts += [LINK.sub(replace, markdown[end : code.start()]), code[0]]
        end = code.end()
    return "".join([*parts, LINK.sub(replace, markdown[end:])])


def link_targets(markdown: str) -> list[str]:
    """Targets of all links and pictures outside code, without anchors."""
    targets: list[str] = []
    rewrite_links(markdown, lambda target: (targets.append(target), target)[1])
    return targets


def linked_files() -> set[str]:
    """Files outside `docs/` that a page links to, and that are no page themselves.

    Raises:
        PluginError: If there is no such file.
    """
    pages = [*(ROOT / "docs").rglob("*.md"), *(ROOT / name for name in ROOT_PAGES)]
    found = set()
    for page in pages:
        source = page.relative_to(ROOT).as_posix()
        for target in link_targets(page.read_text("utf-8")):
            path = repository_path(source, target)
            if path is None or path.startswith("docs/") or path in ROOT_PAGES:
                continue
            if not (ROOT / path).is_file():
                raise PluginError(f"{source} links to {target}, which is no file of the repository")
            found.add(path)
    return found


def repository_path(source: str, target: str) -> str | None:
    """Path of a link's target below the root of the repository; None for addresses and anchors."""
    if not target or re.match(r"[a-z]+:", target):
        return None
    path = posixpath.normpath(posixpath.join(posixpath.dirname(source), target))
    return None if path.startswith("..") else path


def page_source(page: str) -> str | None:
    """File of the repository that a page of the site was made from; None for generated pages."""
    for name, root_page in ROOT_PAGES.items():
        if page == root_page:
            return name
    return f"docs/{page}" if (ROOT / "docs" / page).is_file() else None


def site_path(path: str) -> str:
    """Path in the site of a file of the repository."""
    if path in ROOT_PAGES:
        return ROOT_PAGES[path]
    return path.removeprefix("docs/") if path.startswith("docs/") else file_page(path)


def file_page(path: str) -> str:
    """Page that shows a file of the repository. MkDocs leaves out files whose names begin with a dot."""
    return "files/" + re.sub(r"(^|/)\.", r"\1", path) + ".md"


def _as_page(path: str) -> str:
    text = (ROOT / path).read_text("utf-8")
    title = f"---\nsearch:\n  exclude: true\n---\n# {path}\n\n"
    if PurePosixPath(path).suffix == ".md":
        return title + re.sub(r"^# .*\n", "", text, count=1)
    fence = "~" * max(4, 1 + max((len(run) for run in re.findall(r"~+", text)), default=0))
    return f"{title}{fence} {LANGUAGES.get(os.path.splitext(path)[1], 'text')}\n{text}\n{fence}\n"
