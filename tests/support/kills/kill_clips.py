"""Commands that write clips and manifests, with fast substitutes for the computation; for kill trials.

Everything happens below the working directory.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from musclemap.cli import retarget, validate
from musclemap.datasets.clip import read_clip
from musclemap.datasets.manifest import Manifest
from musclemap.datasets.output_folder import has_lines, read_entries
from musclemap.errors import ClipError, MusclemapError
from musclemap.pipelines import archive, import_trajectories, validation
from musclemap.pipelines.train.dataset import select_clips

from ...support.data.fake_retargeter import FakeRetargeter, save

OUT = Path("out")
SEEN = Path("seen.txt")
"""Sources that were converted, one per line, in the order of their conversion."""

NAMES = ("a", "b", "sub/c", "sub/d")


def run(program: Any, *words: object) -> int:
    """Run a command in this process; return its exit status."""
    try:
        program([str(word) for word in words])
    except SystemExit as end:
        return int(end.code or 0)
    return 0


def clip_faults(out: Path = OUT) -> list[str]:
    """Clips that cannot be read or match no entry's hash, and lost entries."""
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
    if has_lines(out) and (left_out := select_clips(out, infeasible=True).left_out):
        faults += [f"refused by readers: {path}: {why}" for path, why in left_out.items()]
    return faults


def note_lines() -> None:
    """Save the current entries as those that must not be lost."""
    Manifest(entries=tuple(read_entries(OUT).values())).write(Path("before.jsonl"))


# mm-retarget


class NotedRetargeter(FakeRetargeter):
    """Writes down which motions it converts."""

    def retarget(self, motions: Sequence[Any]) -> list[Any]:
        with SEEN.open("a") as file:
            file.writelines(f"{motion.name}\n" for motion in motions)
        return super().retarget(motions)


def convert(version: str = "1", *words: object) -> int:
    """Run mm-retarget with a fast retargeter of a given version."""
    make = lambda *_, **__: NotedRetargeter(version=version)  # noqa: E731
    cpu = SimpleNamespace(platform="cpu")
    choose_device = patch("musclemap.pipelines.device.choose_device", lambda _: cpu)
    with patch.object(archive, "make_retargeter", make), choose_device:
        return run(retarget.app, "in", OUT, "--no-report", "-q", *words)


def prepare_conversion() -> int:
    """Convert a folder with an earlier version, then damage one source and add another."""
    for k, name in enumerate((*NAMES, "bad")):
        save(Path("in") / f"{name}.npz", nframe=5 + k)
    status = convert("1")
    note_lines()
    Path("in/bad.npz").write_bytes(b"no motion")
    save(Path("in/new.npz"), nframe=11)
    SEEN.write_bytes(b"")
    return status


def conversion_faults() -> list[str]:
    """Faults after a kill. The first call notes the finished clips; after the next run none may be converted again."""
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
    """Gives every clip the same verdict."""

    def __init__(self, *_: object, **__: object) -> None:
        self.body = None

    def validate(self, clip: Any, *, muscles: bool) -> Any:
        """See `musclemap.retarget.checks.validator.Validator`."""
        return replace(clip, verdict="warn", metrics={**clip.metrics, "checked": 1.0})


def prepare_clips() -> int:
    """Write a folder of clips."""
    for k, name in enumerate(NAMES):
        save(Path("in") / f"{name}.npz", nframe=5 + k)
    status = convert("1")
    note_lines()
    SEEN.unlink()
    return status


def check() -> int:
    """Run mm-validate with a fast validator."""
    nothing = lambda *_, **__: None  # noqa: E731
    with (
        patch.object(validation, "Validator", QuickValidator),
        patch.object(validation, "load_clip_body", lambda *_, **__: SimpleNamespace(sha256="")),
        patch.object(validation, "choose_physics", nothing),
        patch.object(validation, "_check_body", nothing),
        patch("musclemap.pipelines.device.choose_device", nothing),
    ):
        return run(validate.app, OUT, "--no-report", "-q")


# Import of trajectories from the hub


class QuickImporter:
    """Builds clips from the bytes of files."""

    def __init__(self, version: str) -> None:
        self._retargeter = NotedRetargeter(version=version)

    def provenance(self, source: Any) -> Mapping[str, Any]:
        """See `TrajectoryImporter`."""
        return self._retargeter.provenance(SimpleNamespace(licence=source.licence)) | {"body_model": "not known"}

    def make_clip(self, trajectory: Any, source: Any) -> Any:
        """See `TrajectoryImporter`."""
        from musclemap.datasets.amass.reader import read_motion

        motion = read_motion(source.path, name=source.name)
        with SEEN.open("a") as file:
            file.write(f"{source.name}\n")
        return replace(self._retargeter.clip(motion), **self.provenance(source))


def import_clips(version: str = "2") -> int:
    """Run the conversion of mm-download."""
    hashed = lambda path: SimpleNamespace(sha256=hashlib.sha256(path.read_bytes()).hexdigest())  # noqa: E731
    sources = [
        import_trajectories.TrajectorySource(
            path=path, name=path.relative_to("in").as_posix(),
            clip=path.relative_to("in").with_suffix(".h5").as_posix(), collection="o/n", file=path.name, revision="r",
            licence="unknown",
        )
        for path in sorted(Path("in").rglob("*.npz"))
    ]  # fmt: skip
    importer: Any = QuickImporter(version)
    with patch.object(import_trajectories, "read_trajectory", hashed):
        try:
            return 0 if import_trajectories.import_trajectories(sources, OUT, importer).complete else 1
        except MusclemapError:
            return 2


def prepare_import() -> int:
    """Import clips with an earlier version."""
    for k, name in enumerate(NAMES):
        save(Path("in") / f"{name}.npz", nframe=5 + k)
    status = import_clips("1")
    note_lines()
    SEEN.write_bytes(b"")
    return status
