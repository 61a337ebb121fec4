"""MkDocs hook: the page of the public names of `musclemap`, made from their docstrings by mkdocstrings."""

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

import musclemap as mm

PAGE = "api.md"

ORDER = ("load", "open", "retarget", "validate", "track", "train", "evaluate", "load_policy", "Clip", "Dataset")
"""Order of the names on the page; names that are not here follow."""

SECTION = """::: {path}
    options:
      heading: "{title}"
      toc_label: "{title}"
      show_root_heading: true
      show_root_toc_entry: true
"""

HEAD = """# Python reference

    import musclemap as mm

[Python](python.md) is an introduction. The same texts are in `help(mm.load)`, or `mm.load?` in a notebook.

"""


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the page."""
    files.append(File.generated(config, PAGE, content=api_page()))
    return files


def api_page() -> str:
    """A section for each public name."""
    names = sorted(mm.__all__, key=lambda name: (ORDER.index(name) if name in ORDER else len(ORDER), name))
    return HEAD + "\n".join(SECTION.format(path=_full_name(name), title=f"mm.{name}") for name in names)


def _full_name(name: str) -> str:
    value = getattr(mm, name)
    if name == "retarget":  # a package that calls this function
        return "musclemap.api.conversion.retarget"
    return f"{value.__module__}.{value.__name__}"
