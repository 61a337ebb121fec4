"""MkDocs hook: every tutorial can be downloaded as a notebook.

Tutorials are Markdown with Python code and commands, which `tests/test_tutorials.py` runs. Text becomes Markdown cells
and code becomes code cells, without outputs.
"""

import json
import re
from pathlib import PurePosixPath
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

FOLDER = "tutorials/"

BLOCK = re.compile(r"^```(python|bash)\n(.*?)^```\n?", re.MULTILINE | re.DOTALL)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add a notebook beside each tutorial."""
    for page in list(files.documentation_pages()):
        if page.src_uri.startswith(FOLDER) and page.name != "index":
            notebook = json.dumps(as_notebook(page.content_string), indent=1)
            files.append(File.generated(config, _notebook_uri(page.src_uri), content=notebook))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Link to the notebook below the title of a tutorial."""
    uri = _notebook_uri(page.file.src_uri)
    if files.get_file_from_path(uri) is None:
        return markdown
    title, _, text = markdown.partition("\n")
    return f"{title}\n\n[:material-download: Download as a notebook]({PurePosixPath(uri).name})\n{text}"


def as_notebook(markdown: str) -> dict[str, Any]:
    """A tutorial in Jupyter's format, version 4.5."""
    cells, end = [], 0
    for block in BLOCK.finditer(markdown):
        cells.append(_cell("markdown", markdown[end : block.start()], end))
        cells.append(_cell("code", _runnable(*block.groups()), block.start(2)))
        end = block.end()
    cells.append(_cell("markdown", markdown[end:], end))
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return {
        "cells": [cell for cell in cells if cell["source"]],
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }


def _runnable(language: str, code: str) -> str:
    """Code as a notebook runs it: an exclamation mark before every command of a shell."""
    return code if language == "python" else "".join(f"!{line}" for line in code.splitlines(True))


def _cell(kind: str, text: str, position: int) -> dict[str, Any]:
    """A cell, named after the position of its text in the page."""
    extra: dict[str, Any] = {"execution_count": None, "outputs": []} if kind == "code" else {}
    lines = text.strip("\n").splitlines(True)
    return {"cell_type": kind, "id": f"cell-{position}", "metadata": {}, "source": lines, **extra}


def _notebook_uri(page: str) -> str:
    return PurePosixPath(page).with_suffix(".ipynb").as_posix()
