"""Record of the files that an export has written into a folder: which clip each is of, and its hash."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import musclemap
from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.downloads.transport import sha256_of
from musclemap.datasets.manifest import strict_json
from musclemap.datasets.output_folder import OutputError, clip_path
from musclemap.errors import FileError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.files import check_fields, parse_json, read_bytes, read_json_object
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant, facts_of, make_variant

RECORD = "export.json"
JOURNAL = "export.json.partial"
"""Records of files that are written or about to be, one per line. A record is valid if its hash is that of the file."""
MAX_JOURNAL = 2**28
"""Largest journal that is read [B]; a line has about half a kilobyte."""
RECORD_FORMAT, RECORD_VERSION = "musclemap-export", 1


@dataclass(frozen=True, kw_only=True)
class ExportKind:
    """What a folder holds: one format, with or without fingers, of clips or of tracked motions.

    `variant` is what alters the bodies of the tracked motions beyond the clips' own variants.
    """

    to: str
    fingers: bool
    tracked: bool
    variant: BodyVariant = UNALTERED

    def __str__(self) -> str:
        altered = f" by a body with {self.variant.text}" if self.variant else ""
        return f"{self.to} with{'' if self.fingers else 'out'} fingers{', tracked' * self.tracked}{altered}"


@dataclass(frozen=True, kw_only=True)
class ExportedClip:
    """Export result of one clip.

    Attributes:
        clip: POSIX path below the source folder.
        file: POSIX path below the output folder, or None if there is none.
        sha256: Hash of the file, or None.
        companions: Hash of each further file, by its path below the output folder.
        status: "ok" or "refused".
        reason: Why there is no file, or an empty string.
        notes: Data of the clip that the file does not contain.
        clip_sha256: Hash of the clip, or None if it cannot be read.
        source: Source of the clip.
        licence: Licence of the source, if known.
        verdict: Verdict of the clip.
        nframe: Number of frames.
    """

    clip: str
    file: str | None = None
    sha256: str | None = None
    companions: Mapping[str, str] = field(default_factory=dict)
    status: str
    reason: str = ""
    notes: tuple[str, ...] = ()
    clip_sha256: str | None = None
    source: str = ""
    licence: str = ""
    verdict: str | None = None
    nframe: int = 0


def read_record(out: Path, kind: ExportKind) -> dict[str, dict[str, Any]]:
    """Records of earlier runs into this folder, by clip, including those of an interrupted run.

    Raises:
        SettingsError: If the record is damaged or the folder holds another format.
    """
    path = out / RECORD
    clips: dict[str, dict[str, Any]] = {}
    if path.is_file():
        try:
            stored = read_json_object(path)
            check_fields(stored, {"format": str, "to": str, "fingers": bool, "clips": list}, where="it")
            for clip in stored["clips"]:
                check_fields(clip if isinstance(clip, dict) else {}, {"clip": str, "status": str}, where="a clip of it")
        except FileError as error:
            raise SettingsError(f"{path} is damaged ({error}); choose another folder, or remove it") from error
        is_export = stored["format"] == RECORD_FORMAT
        altered = attempt(lambda: make_variant(**stored.get("variant", {})))
        if isinstance(altered, Failure):
            raise SettingsError(f"{path} is damaged ({altered.message}); choose another folder, or remove it")
        there = ExportKind(
            to=stored["to"], fingers=stored["fingers"], tracked=stored.get("tracked") is True, variant=altered
        )
        clips = {clip["clip"]: clip for clip in stored["clips"]}
        if not is_export or there != kind:
            raise SettingsError(f"{out} holds exports to {there}; choose another folder")
    return clips | _read_journal(out)


def _read_journal(out: Path) -> dict[str, dict[str, Any]]:
    """Records of an interrupted run, limited to those that match the files on disk."""
    path = out / JOURNAL
    records: dict[str, dict[str, Any]] = {}
    for line in read_bytes(path, limit=MAX_JOURNAL).splitlines() if path.is_file() else ():
        entry = attempt(lambda line=line: ExportedClip(**parse_json(line)))
        if not isinstance(entry, ExportedClip) or not isinstance(entry.clip, str) or not _is_texts(entry.companions):
            continue
        expected = {str(entry.file): entry.sha256} | dict(entry.companions)
        if all(attempt(lambda file=file: sha256_of(clip_path(out, file))) == hash_ for file, hash_ in expected.items()):
            records[entry.clip] = asdict(entry)
    return records


def _is_texts(value: object) -> bool:
    return isinstance(value, dict) and all(isinstance(text, str) for pair in value.items() for text in pair)


def write_record(out: Path, clips: dict[str, dict[str, Any]], kind: ExportKind) -> None:
    """Write the records of a folder.

    Raises:
        OutputError: If they cannot be written.
    """
    head = {"format": RECORD_FORMAT, "version": RECORD_VERSION, "musclemap": musclemap.__version__, "to": kind.to,
            "fingers": kind.fingers, **({"tracked": True} if kind.tracked else {}),
            **({"variant": facts_of(kind.variant)} if kind.variant else {})}  # fmt: skip
    lines = ",\n".join(f"  {strict_json(clips[name])}" for name in sorted(clips))
    text = f'{strict_json(head)[:-1]}, "clips": [\n{lines}\n]}}\n'
    try:
        write_atomically(out / RECORD, text.encode())
    except OSError as error:
        raise OutputError(f"cannot write {out / RECORD}: {error.strerror or error}") from error
