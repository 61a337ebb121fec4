"""Files of a checkpoint folder: permitted contents, hashes, atomic publication and removal."""

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
"""Name of the file with the checkpoint's facts and the SHA-256 of each of its other files."""

MAX_FILES = 100_000
"""Largest number of files in a checkpoint; Orbax writes a few dozen per process."""

MAX_CONTENTS = 2**24
"""Largest size of `CONTENTS` [B], enough for `MAX_FILES` lines."""

MAX_OVERHEAD = 2**26
"""Largest size of the files beyond that of the arrays [B]: names, shapes and indices."""

_PARTIAL, _REMOVED = ".partial-", ".removed-"


def list_files(folder: Path, *, limit: int) -> dict[str, int]:
    """Sizes of the files in a folder and its subfolders, by relative path.

    Raises:
        FileError: If there is a link, a pipe or a device, if there are too many files, or if their total size exceeds
            `limit` bytes.
    """
    sizes: dict[str, int] = {}
    for root, folders, names in os.walk(folder, onerror=_reraise):
        for name in folders + names:
            path = Path(root, name)
            stat_result = path.lstat()
            if stat.S_ISREG(stat_result.st_mode):
                sizes[path.relative_to(folder).as_posix()] = stat_result.st_size
            elif not stat.S_ISDIR(stat_result.st_mode):
                raise FileError(f"{path.relative_to(folder)} is neither a file nor a folder")
        if len(sizes) > MAX_FILES:
            raise FileError(f"it has more than {MAX_FILES:,} files")
    if sum(sizes.values()) > limit:
        raise FileError(f"its files have {sum(sizes.values()):,} bytes, more than this run's limit of {limit:,}")
    return sizes


def _reraise(error: OSError) -> None:
    raise error


def write_contents(folder: Path, facts: Mapping[str, Any]) -> None:
    """Write `CONTENTS`: the facts, and hashes of all files already in the folder."""
    files = {name: _sha256(folder / name) for name in list_files(folder, limit=2**63)}
    text = strict_json({"facts": dict(facts), "files": files})
    write_atomically(folder / CONTENTS, (text + "\n").encode())


def check_contents(folder: Path, *, limit: int) -> dict[str, Any]:
    """Verify the files of a checkpoint and read its facts.

    Checkpoints of version 0.1.0 have no hashes; for these only sizes and file types are checked.

    Args:
        folder: Folder of the checkpoint.
        limit: Largest total size of the files [B].

    Returns:
        The facts passed to `write_contents`.

    Raises:
        FileError: If a file is missing, unexpected or modified.
    """
    sizes = list_files(folder, limit=limit)
    if CONTENTS not in sizes:
        return read_json_object(folder / "facts" / "metadata", limit=MAX_CONTENTS)
    contents = read_json_object(folder / CONTENTS, limit=MAX_CONTENTS)
    check_fields(contents, {"facts": dict, "files": dict}, where=CONTENTS)
    mismatches = sorted(contents["files"].keys() ^ (sizes.keys() - {CONTENTS}))
    if mismatches:
        raise FileError(f"{mismatches[0]} is {'missing' if mismatches[0] in contents['files'] else 'unexpected'}")
    for name, sha256 in contents["files"].items():
        if _sha256(folder / name) != sha256:
            raise FileError(f"{name} was modified: its SHA-256 differs")
    return contents["facts"]


def _sha256(path: Path) -> str:
    """Hash of a file that may be larger than memory."""
    with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def new_folder(parent: Path) -> Path:
    """Path of a temporary folder for a checkpoint being written. Removes leftovers of killed writers."""
    parent.mkdir(parents=True, exist_ok=True)
    for path in [*parent.glob(f"{_PARTIAL}*"), *parent.glob(f"{_REMOVED}*")]:
        if path.is_dir() and not path.is_symlink():
            shutil.rmtree(path, ignore_errors=True)
    return parent / f"{_PARTIAL}{secrets.token_hex(8)}"


def publish(folder: Path, path: Path) -> None:
    """Atomically rename a complete checkpoint to its final path; anything already there is renamed, not lost."""
    if os.path.lexists(path):
        rename_to_backup(path)
    folder.rename(path)


def remove(path: Path) -> None:
    """Remove a checkpoint. An atomic rename comes first, so that no partial checkpoint keeps the name."""
    removed = path.with_name(f"{_REMOVED}{secrets.token_hex(8)}")
    path.rename(removed)
    shutil.rmtree(removed, ignore_errors=True)
