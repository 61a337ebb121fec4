"""What each writing command is given in trials of being killed, quick stand-ins for what computes, and what must hold.

Everything happens below the working directory. `prepare` makes what is there before, `command` is the command itself,
and `faults` says what is wrong after a kill.
"""

import hashlib
import json
import os
import re
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import numpy as np

from musclemap.cli import download, export, pack, page, retarget, validate
from musclemap.datasets.clip import read_clip
from musclemap.datasets.exports.export_body import ExportBody
from musclemap.datasets.manifest import Manifest
from musclemap.pipelines import archive, import_trajectories, validation
from musclemap.pipelines.dataset import choose_clips
from musclemap.pipelines.output_folder import has_lines, read_entries
from musclemap.skeletons.errors import ClipError, MusclemapError

from .fake_retargeter import FakeRetargeter, save
from .hub_server import Server, serving

OUT = Path("out")
SEEN = Path("seen.txt")
"""Sources that were converted, one a line, in the order of their conversion."""

NAMES = ("a", "b", "sub/c", "sub/d")


@dataclass(frozen=True)
class Scenario:
    """One command.

    Attributes:
        prepare: Makes what is there before.
        command: Runs it; gives its exit status.
        faults: What is wrong after a kill.
        status: Exit status of a run that is left alone.
        same: Whether a run that was killed and run again ends with the bytes of one that was left alone.
        serves: Whether `server` must run meanwhile.
    """

    prepare: Callable[[], int]
    command: Callable[[], int]
    faults: Callable[[], list[str]]
    status: int = 0
    same: bool = True
    serves: bool = False


def run(program: Any, *words: object) -> int:
    """Run a command in this process; gives its exit status."""
    try:
        program([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def clip_faults(out: Path = OUT) -> list[str]:
    """Clips that cannot be read, that no line has the hash of, and lines that were lost."""
    faults = []
    for path in out.rglob("*.h5"):
        try:
            read_clip(path)
        except ClipError as error:
            faults.append(f"unreadable: {error}")
    entries = read_entries(out)
    for entry in entries.values():
        if entry.clip is not None:
            try:
                read_clip(out / entry.clip, sha256=entry.clip_sha256)
            except ClipError as error:
                faults.append(f"orphaned: {error}")
    before = {entry.source for entry in Manifest.read(Path("before.jsonl"), missing_ok=True).entries}
    faults += [f"lost line: {source}" for source in before - entries.keys()]
    if has_lines(out) and (left_out := choose_clips(out, infeasible=True).left_out):
        faults += [f"refused by readers: {path}: {why}" for path, why in left_out.items()]
    return faults


def note_lines() -> None:
    """Keep the lines that there are, as those that must not be lost."""
    Manifest(entries=tuple(read_entries(OUT).values())).write(Path("before.jsonl"))


# mm-retarget


class NotedRetargeter(FakeRetargeter):
    """Writes down what it converts."""

    def retarget(self, motions: Sequence[Any]) -> list[Any]:
        with SEEN.open("a") as file:
            file.writelines(f"{motion.name}\n" for motion in motions)
        return super().retarget(motions)


def convert(version: str = "1", *words: object) -> int:
    """mm-retarget with a quick retargeter of some version."""
    make = lambda *_, **__: NotedRetargeter(version=version)  # noqa: E731
    cpu = SimpleNamespace(platform="cpu")
    choose_device = patch("musclemap.pipelines.device.choose_device", lambda _: cpu)
    with patch.object(archive, "make_retargeter", make), choose_device:
        return run(retarget.app, "in", OUT, "--no-report", "-q", *words)


def prepare_conversion() -> int:
    """A folder that was converted by an earlier version; since then one source went bad and one was added."""
    for k, name in enumerate((*NAMES, "bad")):
        save(Path("in") / f"{name}.npz", nframe=5 + k)
    status = convert("1")
    note_lines()
    Path("in/bad.npz").write_bytes(b"no motion")
    save(Path("in/new.npz"), nframe=11)
    SEEN.write_bytes(b"")
    return status


def conversion_faults() -> list[str]:
    """After a kill; what is whole is noted, and after the next run it must not have been converted again."""
    done = Path("done.txt")
    if done.exists():
        again = set(SEEN.read_text().split()) & set(done.read_text().split())
        return clip_faults() + [f"converted again: {name}" for name in sorted(again)]
    new = [
        entry.source for entry in read_entries(OUT).values()
        if entry.clip and read_clip(OUT / entry.clip).software == {"musclemap": "2"}
    ]  # fmt: skip
    done.write_text("\n".join(new))
    SEEN.write_bytes(b"")
    return clip_faults()


# mm-validate


class QuickValidator:
    """Finds the same in every clip."""

    def __init__(self, *_: object, **__: object) -> None:
        self.body = None

    def judged(self, clip: Any, *, muscles: bool) -> Any:
        """See `musclemap.retarget.feasibility.Validator`."""
        return replace(clip, verdict="warn", metrics={**clip.metrics, "checked": 1.0})


def prepare_clips() -> int:
    """A folder of clips."""
    for k, name in enumerate(NAMES):
        save(Path("in") / f"{name}.npz", nframe=5 + k)
    status = convert("1")
    note_lines()
    SEEN.unlink()
    return status


def check() -> int:
    """mm-validate with a quick validator."""
    nothing = lambda *_, **__: None  # noqa: E731
    with (
        patch.object(validation, "Validator", QuickValidator),
        patch.object(validation, "MyoFullBody", nothing),
        patch.object(validation, "choose_physics", nothing),
        patch.object(validation, "_refuse_strangers", nothing),
        patch("musclemap.pipelines.device.choose_device", nothing),
    ):
        return run(validate.app, OUT, "--no-report", "-q")


# mm-report

_PART = re.compile(r"\d{4,}-[0-9a-f]{12}\.js")


def prepare_report() -> int:
    """A folder with a report, whose clips are others since."""
    status = prepare_clips() or report()
    save(Path("in/aa.npz"), nframe=13)
    return status or convert("2")


def report() -> int:
    """mm-report."""
    return run(page.app, OUT, "--no-pictures", "-q")


def report_faults() -> list[str]:
    """The page is whole, and each of its parts is there and its own."""
    text = (OUT / "report.html").read_text("utf-8")
    faults = [] if text.rstrip().endswith("</html>") else ["half a page"]
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
    """Clips, and a bundle of them as they were before."""
    status = prepare_clips() or bundle()
    return status or convert("2", "--overwrite")


def bundle() -> int:
    """mm-pack."""
    return run(pack.app, OUT, "bundle", "--private", "--overwrite", "--name", "b", "-q")


def bundle_faults(folder: Path = Path("bundle")) -> list[str]:
    """A folder that has a manifest has all that it lists."""
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
    """Clips of MyoFullBody, and an export of them as they were before."""
    from musclemap.skeletons.bodies import load_body

    from .exported_clips import moving_clip, put

    clip = moving_clip(load_body(), nframe=8)
    for qpos_scale in (1.0, 1.01):
        changed = replace(clip, qvel=clip.qvel * qpos_scale, qpos=clip.qpos * np.float32(qpos_scale))
        Manifest(entries=tuple(put(OUT, f"{name}.npz", changed) for name in NAMES)).write(OUT / "manifest.jsonl")
        if qpos_scale == 1.0 and (status := export_clips()):
            return status
    return 0


_BODY: list[ExportBody] = []


def export_clips() -> int:
    """mm-export, with a body that is made once."""
    _BODY.extend([] if _BODY else [ExportBody()])
    with patch("musclemap.pipelines.export.ExportBody", lambda *_, **__: _BODY[0]):
        return run(export.app, OUT, EXPORT, "--to", "csv", "-q")


def export_faults() -> list[str]:
    """Every file has the hash of its line, after a kill in the record or in the journal."""
    from musclemap.pipelines.export import _earlier

    lines = _earlier(EXPORT, to="csv", fingers=False)
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
    """A server of two versions of a bundle, in a process of its own; gives its URL."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(read)
        with serving() as state:
            put_up(state)
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


def put_up(state: Server) -> None:
    """The two versions."""
    state.bundle(CONTENT | {"clips/a.h5": b"old", "x/gone.txt": b"g"}, folder="/old")
    state.bundle(CONTENT, folder="/new")


def fetch(folder: str = "new") -> int:
    """mm-download."""
    return run(download.app, f"{URL.read_text()}/{folder}/MANIFEST.json", OUT, "-q")


def fetch_faults() -> list[str]:
    """Files under their names are of the old version or the new one."""
    whole = {*CONTENT.values(), b"old", b"g"}
    files = [OUT / path for path in CONTENT if (OUT / path).is_file()]
    faults = [f"half a file: {path}" for path in files if path.read_bytes() not in whole]
    return faults + (bundle_faults(OUT) if (OUT / "MANIFEST.json").exists() else [])


# Trajectories of the hub, made into clips


class QuickImporter:
    """Makes clips of the bytes of files."""

    def __init__(self, version: str) -> None:
        self._made = NotedRetargeter(version=version)

    def provenance(self, origin: Any) -> Mapping[str, Any]:
        """See `TrajectoryImporter`."""
        return self._made.provenance(SimpleNamespace(licence=origin.licence)) | {"body_model": "not known"}

    def clip(self, trajectory: Any, origin: Any) -> Any:
        """See `TrajectoryImporter`."""
        from musclemap.datasets.amass import read_motion

        motion = read_motion(origin.path, name=origin.name)
        with SEEN.open("a") as file:
            file.write(f"{origin.name}\n")
        return replace(self._made.clip(motion), **self.provenance(origin))


def bring_in(version: str = "2") -> int:
    """The conversion of mm-download."""
    hashed = lambda path: SimpleNamespace(sha256=hashlib.sha256(path.read_bytes()).hexdigest())  # noqa: E731
    origins = [
        import_trajectories.Origin(
            path=path, name=path.relative_to("in").as_posix(),
            clip=path.relative_to("in").with_suffix(".h5").as_posix(), collection="o/n", file=path.name, revision="r",
            licence="unknown",
        )
        for path in sorted(Path("in").rglob("*.npz"))
    ]  # fmt: skip
    importer: Any = QuickImporter(version)
    with patch.object(import_trajectories, "read_trajectory", hashed):
        try:
            return 0 if import_trajectories.import_trajectories(origins, OUT, importer).complete else 1
        except MusclemapError:
            return 2


def prepare_import() -> int:
    """Clips of an earlier version."""
    for k, name in enumerate(NAMES):
        save(Path("in") / f"{name}.npz", nframe=5 + k)
    status = bring_in("1")
    note_lines()
    SEEN.write_bytes(b"")
    return status


SCENARIOS = {
    "mm-retarget": Scenario(
        prepare=prepare_conversion, command=lambda: convert("2"), faults=conversion_faults, status=1
    ),
    "mm-validate": Scenario(prepare=prepare_clips, command=check, faults=clip_faults),
    "mm-report": Scenario(prepare=prepare_report, command=report, faults=report_faults),
    "mm-pack": Scenario(prepare=prepare_bundle, command=bundle, faults=bundle_faults),
    "mm-export": Scenario(prepare=prepare_export, command=export_clips, faults=export_faults),
    "mm-download": Scenario(prepare=lambda: fetch("old"), command=fetch, faults=fetch_faults, serves=True),
    "mm-download (clips)": Scenario(prepare=prepare_import, command=bring_in, faults=conversion_faults),
}
