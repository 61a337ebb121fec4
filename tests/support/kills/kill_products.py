"""Commands that write reports, bundles, exports and downloads; for kill trials.

Everything happens below the working directory.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import numpy as np

from musclemap.cli import download, export, pack
from musclemap.cli import report as page
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.manifest import Manifest
from musclemap.skeletons.bodies import load_body

from ...support.data.fake_retargeter import save
from ...support.hub_server import Server, serving
from .kill_clips import NAMES, OUT, clip_faults, convert, prepare_clips, run

# mm-report

_PART = re.compile(r"\d{4,}-[0-9a-f]{12}\.js")


def prepare_report() -> int:
    """Write a folder with a report, then change its clips."""
    status = prepare_clips() or report()
    save(Path("in/aa.npz"), nframe=13)
    return status or convert("2")


def report() -> int:
    """Run mm-report."""
    return run(page.app, OUT, "--no-pictures", "-q")


def report_faults() -> list[str]:
    """The page is complete, and each of its parts is present and belongs to it."""
    text = (OUT / "report.html").read_text("utf-8")
    faults = [] if text.rstrip().endswith("</html>") else ["incomplete page"]
    for name in set(_PART.findall(text)):
        path = OUT / "report" / name
        data = path.read_text("ascii") if path.is_file() else ""
        match = re.fullmatch(r'musclemapClip\("([^"]+)", (.*)\);\n', data)
        if match is None or match[1] != name:
            faults.append(f"a part of the page is missing or damaged: {name}")
        elif hashlib.sha256(match[2].encode()).hexdigest()[:12] != name[-15:-3]:
            faults.append(f"a part of the page is another clip's: {name}")
    return faults + clip_faults()


# mm-pack


def prepare_bundle() -> int:
    """Write clips and a bundle of an earlier version of them."""
    status = prepare_clips() or bundle()
    return status or convert("2", "--overwrite")


def bundle() -> int:
    """Run mm-pack."""
    return run(pack.app, OUT, "bundle", "--private", "--overwrite", "--name", "b", "-q")


def bundle_faults(folder: Path = Path("bundle")) -> list[str]:
    """A folder with a manifest has every file that it lists."""
    if not (folder / "MANIFEST.json").is_file():
        return ["there is no bundle"]
    files = json.loads((folder / "MANIFEST.json").read_bytes())["files"]
    return [
        f"not what the bundle says: {file['path']}" for file in files
        if hashlib.sha256((folder / file["path"]).read_bytes()).hexdigest() != file["sha256"]
    ]  # fmt: skip


# mm-export

EXPORT = Path("csv")


def prepare_export(version: str = "1") -> int:
    """Write clips of MyoFullBody and an export of an earlier version of them."""

    from ...support.data.exported_clips import moving_clip, put

    clip = moving_clip(load_body(), nframe=8)
    for qpos_scale in (1.0, 1.01):
        changed = replace(clip, qvel=clip.qvel * qpos_scale, qpos=clip.qpos * np.float32(qpos_scale))
        Manifest(entries=tuple(put(OUT, f"{name}.npz", changed) for name in NAMES)).write(OUT / "manifest.jsonl")
        if qpos_scale == 1.0 and (status := export_clips()):
            return status
    return 0


_BODY: list[ExportBody] = []


def export_clips() -> int:
    """Run mm-export, with a body that is built once."""
    _BODY.extend([] if _BODY else [ExportBody(load_body())])
    with patch("musclemap.pipelines.export.ExportBody", lambda *_, **__: _BODY[0]):
        return run(export.app, OUT, EXPORT, "--to", "csv", "-q")


def export_faults() -> list[str]:
    """Every file has the hash in its record, after a kill in the record or in the journal."""
    from musclemap.pipelines.export_record import ExportKind, read_record

    lines = read_record(EXPORT, ExportKind(to="csv", fingers=False, tracked=False))
    faults = [] if lines.keys() >= {f"{name}.h5" for name in NAMES} else ["lost line"]
    for line in lines.values():
        data = (EXPORT / line["file"]).read_bytes()
        if hashlib.sha256(data).hexdigest() != line["sha256"]:
            faults.append(f"orphaned: {line['file']}")
    return faults


# mm-download

CONTENT = {"clips/a.h5": b"a" * 60_000, "clips/b.h5": b"b" * 9, "clips/again.h5": b"b" * 9, "x/c.txt": b"c"}
URL = Path("url.txt")


@contextmanager
def server() -> Iterator[str]:
    """Run a server of two versions of a bundle in a separate process; yield its URL."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with serving() as state:
            publish(state)
            os.write(write, state.url.encode())
            os.close(write)
            threading.Event().wait()
    os.close(write)
    with os.fdopen(read) as pipe:
        url = pipe.read()
    try:
        yield url
    finally:
        os.kill(child, 9)
        os.waitpid(child, 0)


def publish(state: Server) -> None:
    """Publish the two versions."""
    state.bundle(CONTENT | {"clips/a.h5": b"old", "x/gone.txt": b"g"}, folder="/old")
    state.bundle(CONTENT, folder="/new")


def fetch(folder: str = "new") -> int:
    """Run mm-download."""
    return run(download.app, f"{URL.read_text()}/{folder}/MANIFEST.json", OUT, "-q")


def fetch_faults() -> list[str]:
    """Files under their names belong to the old version or the new one."""
    contents = {*CONTENT.values(), b"old", b"g"}
    files = [OUT / path for path in CONTENT if (OUT / path).is_file()]
    faults = [f"half a file: {path}" for path in files if path.read_bytes() not in contents]
    return faults + (bundle_faults(OUT) if (OUT / "MANIFEST.json").exists() else [])
