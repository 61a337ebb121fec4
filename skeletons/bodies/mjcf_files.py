"""MJCF models of users and strangers: which files they name, checked before MuJoCo opens any.

MuJoCo opens whatever file a model names, and plugins run code. So every file of a model has to lie in one folder, and
nothing but geometry, joints and muscles may be declared.
"""

import os
from pathlib import Path
from xml.etree import ElementTree
from xml.parsers import expat

from musclemap.errors import FileError, TargetError
from musclemap.files import read_bytes, shown

MAX_XML, MAX_ALL_XML = 2**24, 2**26
"""Longest file of a model, and longest of all its included files together [B]; MyoFullBody has 0.5 MB."""

MAX_FILES, MAX_ALL_BYTES = 4096, 2**29
"""Most files that a model names, and their largest size together [B]; MyoFullBody has 160 meshes with 8 MB."""

MAX_DEPTH = 64
"""Deepest nesting of elements; MyoFullBody has 26 levels."""

_FORBIDDEN = ("extension", "plugin", "model", "attach", "replicate", "composite", "flexcomp")
"""Elements that load code or other models, or make many bodies of one line."""

_FOLDERS = ("assetdir", "meshdir", "texturedir")


def check_model_files(path: Path, root: Path) -> None:
    """Check every file that a model names, directly or in included files.

    Args:
        path: The model.
        root: Folder in which all its files must lie.

    Raises:
        TargetError: If a file is outside the folder, unreadable, too large, or not XML; if the model declares a
            document type, nests too deeply, or has an element that is not allowed.
    """
    _Check(path, root).run()


class _Check:
    def __init__(self, path: Path, root: Path) -> None:
        self._main, self._root = path, root.resolve()
        self._folders: set[str] = {""}
        self._files: set[str] = set()
        self._included: dict[Path, ElementTree.Element] = {}
        self._size = 0

    def run(self) -> None:
        self._read(self._inside(self._main.name, [self._main.parent]))
        xml = {self._main.parent, *(path.parent for path in self._included)}
        places = [place / folder for place in sorted(xml) for folder in sorted(self._folders)]
        if len(self._files) > MAX_FILES:
            raise TargetError(f"{self._main} names {len(self._files):,} files; at most {MAX_FILES:,} are read")
        total = sum(self._inside(name, places).stat().st_size for name in sorted(self._files))
        if total > MAX_ALL_BYTES:
            raise TargetError(f"the files of {self._main} have {total:,} bytes; at most {MAX_ALL_BYTES:,} are read")

    def _read(self, path: Path) -> None:
        """Parse a file and those that it includes."""
        if path in self._included:
            return
        try:
            data = read_bytes(path, limit=MAX_XML)
        except FileError as error:
            raise TargetError(str(error)) from error
        self._size += len(data)
        if self._size > MAX_ALL_XML:
            raise TargetError(f"{self._main} and what it includes have more than {MAX_ALL_XML:,} bytes")
        self._included[path] = tree = _parse(data, path)
        for element in tree.iter():
            tag = str(element.tag)
            if tag in _FORBIDDEN:
                raise TargetError(f"{path} has an element <{tag}>, which is not allowed in a body")
            if tag == "compiler":
                self._folders |= {_relative(element.get(key, ""), path) for key in _FOLDERS}
            names = [value for key, value in element.attrib.items() if key.startswith("file")]
            if tag == "include":
                for name in names:
                    self._read(self._inside(_relative(name, path), [self._main.parent, path.parent]))
            else:
                self._files |= {_relative(name, path) for name in names}

    def _inside(self, name: str, places: list[Path]) -> Path:
        """The file of a name that exists at one of several places; none that exists may be outside the folder.

        Which place MuJoCo looks at depends on settings and releases, so every place counts.
        """
        candidates = [Path(os.path.normpath(place / name)) for place in places]
        found = [candidate for candidate in candidates if candidate.exists()]
        if any(not candidate.resolve().is_relative_to(self._root) for candidate in found):
            raise TargetError(f"{self._main} names {shown(name)}, which is outside the folder {self._root}")
        if not found:
            raise TargetError(f"{self._main} names {shown(name)}, which is not in the folder {self._root}")
        return found[0]


def _relative(name: str, path: Path) -> str:
    """A relative name with slashes, as MuJoCo reads it on every system."""
    if name.startswith(("/", "\\")) or ":" in name or "\0" in name:
        raise TargetError(f"{path} names {shown(name)}, which is not relative to the model")
    return name.replace("\\", "/")


def _parse(data: bytes, path: Path) -> ElementTree.Element:
    """Parse XML without document types, and so without entities, of limited depth."""
    builder, depth = ElementTree.TreeBuilder(), 0
    parser = expat.ParserCreate()

    def start(tag: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > MAX_DEPTH:
            raise TargetError(f"{path} nests elements more than {MAX_DEPTH} deep")
        builder.start(tag, attributes)

    def end(tag: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(tag)

    def doctype(*_: object) -> None:
        raise TargetError(f"{path} declares a document type, which is not allowed in a body")

    parser.StartElementHandler, parser.EndElementHandler, parser.StartDoctypeDeclHandler = start, end, doctype
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise TargetError(f"{path} is not XML: {error}") from error
    return builder.close()
