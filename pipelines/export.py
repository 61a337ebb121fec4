"""Clips of a folder written in another program's format, with a list of what became of each."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import musclemap
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.exports.bvh import bvh_bytes
from musclemap.datasets.exports.export_body import ExportBody
from musclemap.datasets.exports.locomujoco import trajectory_arrays
from musclemap.datasets.exports.mjlab import mjlab_arrays
from musclemap.datasets.exports.npz import npz_bytes
from musclemap.datasets.exports.tables import csv_bytes, mot_bytes
from musclemap.datasets.globs import taken
from musclemap.datasets.manifest import ManifestEntry, strict_json, write_atomically
from musclemap.files import check_fields, read_json_object
from musclemap.skeletons.errors import ClipError, FileError, SettingsError

from .output_folder import MANIFEST, OutputError, clip_path, read_entries

RECORD = "export.json"
RECORD_FORMAT, RECORD_VERSION = "musclemap-export", 1


@dataclass(frozen=True, kw_only=True)
class Format:
    """A format: ending of its files, what it is, whether it can have fingers, and how a clip is written in it."""

    ending: str
    what: str
    fingers: bool
    write: Callable[[Clip, ExportBody], bytes]


FORMATS = {
    "musclemimic": Format(
        ending=".npz",
        what="trajectory of MuscleMimic and LocoMuJoCo",
        fingers=False,
        write=lambda clip, body: npz_bytes(trajectory_arrays(clip, body)),
    ),
    "mjlab": Format(
        ending=".npz",
        what="motion of mjlab and BeyondMimic",
        fingers=True,
        write=lambda clip, body: npz_bytes(mjlab_arrays(clip, body)),
    ),
    "csv": Format(ending=".csv", what="table, one row a frame", fingers=True, write=csv_bytes),
    "mot": Format(ending=".mot", what="OpenSim motion, degrees", fingers=True, write=mot_bytes),
    "bvh": Format(ending=".bvh", what="skeleton of the 17 landmarks", fingers=False, write=bvh_bytes),
}


@dataclass(frozen=True, kw_only=True)
class ExportedClip:
    """What became of one clip.

    Attributes:
        clip: POSIX path below the source folder.
        file: POSIX path below the output folder, or None when there is none.
        sha256: Hash of the file, or None.
        status: "ok", or "refused".
        reason: Why there is no file, or empty.
        notes: What the file does not tell although the clip does.
        clip_sha256: Hash of the clip, or None when it cannot be read.
        source: Where the clip is from.
        licence: Licence of the clip's source, as far as it is known.
        verdict: Of the clip.
        nframe: Frames.
    """

    clip: str
    file: str | None = None
    sha256: str | None = None
    status: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    clip_sha256: str | None = None
    source: str = ""
    licence: str = ""
    verdict: str | None = None
    nframe: int = 0


@dataclass(frozen=True, kw_only=True)
class Exported:
    """Result of a run: one entry a clip."""

    out: Path
    to: str
    clips: tuple[ExportedClip, ...]

    @property
    def refused(self) -> tuple[ExportedClip, ...]:
        """Clips without a file."""
        return tuple(clip for clip in self.clips if clip.status != "ok")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        counts = {"ok": len(self.clips) - len(self.refused), "refused": len(self.refused)}
        return {"out": str(self.out), "to": self.to, "counts": counts, "clips": [asdict(clip) for clip in self.clips]}


def export_clips(
    source: Path,
    out: Path,
    *,
    to: str,
    fingers: bool = False,
    include: Sequence[str] = (),
    feasible_only: bool = False,
    progress: Callable[[ExportedClip, int, int], None] | None = None,
) -> Exported:
    """Write every clip below a folder, or one clip, in another format.

    Args:
        source: Folder of clips (.h5), or one.
        out: Folder for the files; each has its clip's path with another ending.
        to: One of `FORMATS`.
        fingers: Keep the finger joints, where the format can have them.
        include: Globs; a clip is taken when one matches its path or its bare name.
        feasible_only: Refuse clips that the checks found infeasible.
        progress: Called after each clip with the number done and that of all.

    Raises:
        SettingsError: There is no clip, no such format, or the folder holds another.
        OutputError: A file cannot be written.
    """
    if to not in FORMATS:
        raise SettingsError(f"there is no format {to!r}; there are: {', '.join(FORMATS)}")
    if fingers and not FORMATS[to].fingers:
        raise SettingsError(f"{to} has no fingers; those that can have them: "
                            f"{', '.join(name for name, form in FORMATS.items() if form.fingers)}")  # fmt: skip
    earlier = _earlier(out, to=to, fingers=fingers)
    root, names, entries = _clips(source, include)
    body = ExportBody(fingers=fingers)
    done = []
    for name in names:
        exported = _export(root, name, entries.get(name), out, to, body, feasible_only=feasible_only)
        done.append(exported)
        if progress is not None:
            progress(exported, len(done), len(names))
    _write_record(out, earlier | {clip.clip: asdict(clip) for clip in done}, to=to, fingers=fingers)
    return Exported(out=out, to=to, clips=tuple(done))


def _clips(source: Path, include: Sequence[str]) -> tuple[Path, list[str], dict[str, ManifestEntry]]:
    """The folder, the wanted clips in it, those among them that only the manifest knows too, and its lines by clip."""
    root = source if source.is_dir() else source.parent
    found = {path.relative_to(root).as_posix() for path in (root.rglob("*.h5") if source.is_dir() else [source])}
    entries = {e.clip: e for e in read_entries(root).values() if e.clip} if (root / MANIFEST).is_file() else {}
    if source.is_dir():
        found |= entries.keys()
    wanted = [name for name in sorted(found) if taken(name, include=include)]
    if not found:
        raise SettingsError(f"there is no clip (.h5) below {source}")
    if not wanted:
        raise SettingsError(f"none of {len(found)} clips below {source} is wanted; one is {min(found)}")
    return root, wanted, entries


def _export(
    root: Path, name: str, entry: ManifestEntry | None, out: Path, to: str, body: ExportBody, *, feasible_only: bool
) -> ExportedClip:  # fmt: skip
    form = FORMATS[to]
    try:
        clip = read_clip(clip_path(root, name), sha256=entry.clip_sha256 if entry else None)
        if feasible_only and clip.verdict == "infeasible":
            rules = ", ".join(str(reason.get("rule")) for reason in clip.reasons)
            raise ClipError(f"it is infeasible ({rules})")
        data = form.write(clip, body)
    except ClipError as error:
        return ExportedClip(clip=name, status="refused", reason=str(error))
    file = PurePosixPath(name).with_suffix(form.ending).as_posix()
    try:
        write_atomically(out / file, data)
    except OSError as error:
        raise OutputError(f"cannot write {out / file}: {error.strerror or error}") from error
    notes = (
        ("the clip has tracked fingers, which were left out",) if clip.hands == "tracked" and not body.fingers else ()
    )
    return ExportedClip(
        clip=name,
        file=file,
        sha256=hashlib.sha256(data).hexdigest(),
        status="ok",
        notes=notes,
        clip_sha256=entry.clip_sha256 if entry else hashlib.sha256((root / name).read_bytes()).hexdigest(),
        source=clip.source,
        licence=clip.licence,
        verdict=clip.verdict,
        nframe=clip.nframe,
    )


def _earlier(out: Path, *, to: str, fingers: bool) -> dict[str, dict[str, Any]]:
    """Entries of earlier runs into this folder, by clip."""
    path = out / RECORD
    if not path.is_file():
        return {}
    try:
        stored = read_json_object(path)
        check_fields(stored, {"format": str, "to": str, "fingers": bool, "clips": list}, where="it")
        for clip in stored["clips"]:
            check_fields(clip if isinstance(clip, dict) else {}, {"clip": str, "status": str}, where="a clip of it")
    except FileError as error:
        raise SettingsError(f"{path} is damaged ({error}); choose another folder, or remove it") from error
    same, kind = stored["format"] == RECORD_FORMAT, (stored["to"], stored["fingers"])
    clips = {clip["clip"]: clip for clip in stored["clips"]}
    if not same or kind != (to, fingers):
        told = f"{kind[0]} with{'' if kind[1] else 'out'} fingers"
        raise SettingsError(f"{out} holds exports to {told}; choose another folder")
    return clips


def _write_record(out: Path, clips: dict[str, dict[str, Any]], *, to: str, fingers: bool) -> None:
    head = {"format": RECORD_FORMAT, "version": RECORD_VERSION, "musclemap": musclemap.__version__, "to": to,
            "fingers": fingers}  # fmt: skip
    lines = ",\n".join(f"  {strict_json(clips[name])}" for name in sorted(clips))
    text = f'{strict_json(head)[:-1]}, "clips": [\n{lines}\n]}}\n'
    try:
        write_atomically(out / RECORD, text.encode())
    except OSError as error:
        raise OutputError(f"cannot write {out / RECORD}: {error.strerror or error}") from error
