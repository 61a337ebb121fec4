"""The files of one checkpoint: what may lie in its folder, their hashes, and how it gets and loses its name."""

import hashlib
import os
import secrets
import shutil
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from musclemap.backup import rename_to_backup
from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.manifest import strict_json
from musclemap.errors import FileError
from musclemap.files import check_fields, read_json_object

CONTENTS = "checkpoint.json"
"""Facts of a checkpoint, and the SHA-256 of each of its other files."""

MAX_FILES = 100_000
"""Most files of a checkpoint; Orbax writes some dozens for each process."""

MAX_CONTENTS = 2**24
"""Longest `CONTENTS` [B]: `MAX_FILES` lines."""

SPARE = 2**26
"""Size that files may have beyond the arrays that they hold [B]: names, shapes and indices."""

_PARTIAL, _REMOVED = ".partial-", ".removed-"


def contents_of(folder: Path, *, limit: int) -> dict[str, int]:
    """Sizes of the files below a folder, by path relative to it.

    Raises:
        FileError: There is a link, a pipe or a device, there are too many files, or they have more than `limit` bytes.
    """
    sizes: dict[str, int] = {}
    for root, folders, names in os.walk(folder, onerror=_raise):
        for name in folders + names:
            path = Path(root, name)
            status = path.lstat()
            if stat.S_ISREG(status.st_mode):
                sizes[path.relative_to(folder).as_posix()] = status.st_size
            elif not stat.S_ISDIR(status.st_mode):
                raise FileError(f"{path.relative_to(folder)} is neither a file nor a folder")
        if len(sizes) > MAX_FILES:
            raise FileError(f"it has more than {MAX_FILES:,} files")
    if sum(sizes.values()) > limit:
        raise FileError(f"its files have {sum(sizes.values()):,} bytes, more than the {limit:,} that the run can have")
    return sizes


def _raise(error: OSError) -> None:
    raise error


def write_contents(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `CONTENTS`: facts, and hashes of all files that are in the folder so far."""
    files = {name: _sha256(folder / name) for name in contents_of(folder, limit=2**63)}
    text = strict_json({"facts": dict(facts), "files": files})
    write_atomically(folder / CONTENTS, (text + "\n").encode())


def check_contents(folder: Path, *, limit: int) -> dict[str, Any]:
    """Check a checkpoint's files, and read its facts.

    Checkpoints of version 0.1.0 have no hashes; of these sizes and kinds of the files are checked.

    Args:
        folder: Of the checkpoint.
        limit: Most bytes that all files may have.

    Returns:
        The facts that `write_contents` was given.

    Raises:
        FileError: A file is missing, is too many, or is not the one that was written.
    """
    sizes = contents_of(folder, limit=limit)
    if CONTENTS not in sizes:
        return read_json_object(folder / "facts" / "metadata", limit=MAX_CONTENTS)
    message = read_json_object(folder / CONTENTS, limit=MAX_CONTENTS)
    check_fields(message, {"facts": dict, "files": dict}, where=CONTENTS)
    other = sorted(message["files"].keys() ^ (sizes.keys() - {CONTENTS}))
    if other:
        raise FileError(f"{other[0]} is {'missing' if other[0] in message['files'] else 'no file of it'}")
    for name, sha256 in message["files"].items():
        if _sha256(folder / name) != sha256:
            raise FileError(f"{name} is not the file that was written: its SHA-256 is another")
    return message["facts"]


def _sha256(path: Path) -> str:
    """Hash of a file that may be larger than memory."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_folder(parent: Path) -> Path:
    """Path of a folder to write a checkpoint in before it has a name; leftovers of killed writers are removed."""
    parent.mkdir(parents=True, exist_ok=True)
    for path in [*parent.glob(f"{_PARTIAL}*"), *parent.glob(f"{_REMOVED}*")]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    return parent / f"{_PARTIAL}{secrets.token_hex(8)}"


def give_name(folder: Path, path: Path) -> None:
    """Rename a whole checkpoint to its place, in one step. Whatever lies there already is kept under another name."""
    if os.path.lexists(path):
        rename_to_backup(path)
    folder.rename(path)


def remove(path: Path) -> None:
    """Remove a checkpoint: first its name, in one step, so that none is half there."""
    nameless = path.with_name(f"{_REMOVED}{secrets.token_hex(8)}")
    path.rename(nameless)
    shutil.rmtree(nameless, ignore_errors=True)
