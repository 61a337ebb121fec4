"""Export of clips to other programs' formats, with a record of the result for each clip."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

import musclemap
from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.downloads.transport import sha256_of
from musclemap.datasets.folder_lock import locked
from musclemap.datasets.formats.export_body import ExportBody
from musclemap.datasets.globs import matches_globs
from musclemap.datasets.journal import Journal
from musclemap.datasets.manifest import ManifestEntry, strict_json
from musclemap.datasets.output_folder import (
    OutputError,
    clip_files,
    clip_path,
    has_lines,
    read_entries,
    read_manifest,
    refuse_own_source,
)
from musclemap.datasets.track_file import StoredTrack
from musclemap.errors import ClipError, FileError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.files import check_fields, parse_json, read_bytes, read_json_object
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.pipelines.clip_bodies import clips_of_body
from musclemap.pipelines.convert.conversion import is_disk_full
from musclemap.pipelines.track.track_folder import ListedTrack, find_track, read_track_list
from musclemap.skeletons.bodies import BODY_OPTIONS, DEFAULT_BODY, MAX_VARIANTS, load_body_version

from .export_formats import FORMATS, Format

RECORD = "export.json"
JOURNAL = "export.json.partial"
"""Records of files that are written or about to be, one per line. A record is valid if its hash is that of the file."""
MAX_JOURNAL = 2**28
"""Largest journal that is read [B]; a line has about half a kilobyte."""
RECORD_FORMAT, RECORD_VERSION = "musclemap-export", 1


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """What a folder holds: one format, with or without fingers, of clips or of tracked motions."""

    to: str
    fingers: bool
    tracked: bool

    def __str__(self) -> str:
        return f"{self.to} with{'' if self.fingers else 'out'} fingers{', tracked' * self.tracked}"


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


@dataclass(frozen=True, kw_only=True)
class ExportResult:
    """Result of an export: one entry per clip, and sentences about damaged manifest lines."""

    out: Path
    to: str
    clips: tuple[ExportedClip, ...]
    problems: tuple[str, ...] = ()

    @property
    def refused(self) -> tuple[ExportedClip, ...]:
        """Clips without a file."""
        return tuple(clip for clip in self.clips if clip.status != "ok")

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        counts = {"ok": len(self.clips) - len(self.refused), "refused": len(self.refused)}
        facts = {"out": str(self.out), "to": self.to, "counts": counts, "problems": list(self.problems)}
        return facts | {"clips": [asdict(clip) for clip in self.clips]}


def export_clips(
    source: Path,
    out: Path,
    *,
    to: str,
    fingers: bool = False,
    include: Sequence[str] = (),
    body: str | None = None,
    feasible_only: bool = False,
    tracked: bool = False,
    progress: Callable[[ExportedClip, int, int], None] | None = None,
) -> ExportResult:
    """Export every clip below a folder, or one clip, to another format.

    Args:
        source: Folder of clips (.h5), or one clip.
        out: Folder for the files; each file has its clip's path with another extension.
        to: One of `FORMATS`.
        fingers: Export the finger joints, if the format supports them.
        include: Globs; a clip is exported if one matches its path or its file name.
        body: Only clips of this body, a key of `BODY_OPTIONS`.
        feasible_only: Refuse clips whose verdict is "infeasible".
        tracked: Export the tracked motion of each clip, with its excitations and activations if the format has tables.
        progress: Called after each clip with its result, the number of finished clips, and the total.

    Raises:
        SettingsError: If there is no clip or no such format, or `out` holds another format or is the clips' own folder.
        OutputError: If the folder cannot be written to, its disk is full, or another run is writing to it.
    """
    if to not in FORMATS:
        raise SettingsError(f"unknown format {to!r}; known formats: {', '.join(FORMATS)}")
    if fingers and not FORMATS[to].fingers:
        supported = ", ".join(name for name, form in FORMATS.items() if form.fingers)
        raise SettingsError(f"{to} does not support fingers; formats that do: {supported}")
    refuse_own_source(source, out)
    root, names, entries = _clips(source, include)
    if body is not None:
        kept = set(clips_of_body([root / name for name in names], body))
        names = [name for name in names if root / name in kept]
    kind = _Kind(to=to, fingers=fingers, tracked=tracked)
    _read_record(out, kind)
    lines = read_track_list(root) if tracked else None
    make_body = lru_cache(maxsize=MAX_VARIANTS)(partial(ExportBody, fingers=fingers))

    def body_of(clip: Clip) -> ExportBody:
        name = clip.model if clip.model in BODY_OPTIONS.values() else DEFAULT_BODY
        return make_body(load_body_version(name, clip.model_sha256, variant=clip.variant))

    done: list[ExportedClip] = []
    with _open_folder(out) as journal:
        earlier = _read_record(out, kind)
        if not (out / RECORD).is_file():
            _write_record(out, earlier, kind)  # reserves the folder for this format
        owners = {_file_of(name, to): name for name in (*earlier, *names)}
        for name in names:
            exported = _export(
                root,
                name,
                entries.get(name),
                out,
                to,
                body_of,
                journal,
                owners,
                feasible_only=feasible_only,
                tracks=lines,
            )
            done.append(exported)
            if progress is not None:
                progress(exported, len(done), len(names))
        _write_record(out, earlier | {clip.clip: asdict(clip) for clip in done}, kind)
        journal.path.unlink(missing_ok=True)
    return ExportResult(out=out, to=to, clips=tuple(done), problems=read_manifest(root).problems)


@contextmanager
def _open_folder(out: Path) -> Iterator[Journal]:
    """Create and lock the folder, and remove temporary files of a run that died.

    Raises:
        OutputError: If the folder cannot be written to, or another run is writing to it.
    """
    with ExitStack() as stack:
        try:
            stack.enter_context(locked(out))
        except BlockingIOError as error:
            raise OutputError(f"another run is writing to {out}; wait for it, or choose another folder") from error
        except OSError as error:
            raise OutputError(f"cannot write to {out}: {error.strerror or error}") from error
        remove_leftovers(out)
        yield stack.enter_context(Journal(out / JOURNAL))


def _clips(source: Path, include: Sequence[str]) -> tuple[Path, list[str], dict[str, ManifestEntry]]:
    """Find the clips to export.

    Returns:
        The clips' folder, the selected clips, including those that are only in the manifest, and the manifest lines by
        clip.
    """
    root = source if source.is_dir() else source.parent
    clips = {path.relative_to(root).as_posix() for path in (clip_files(root) if source.is_dir() else [source])}
    entries = {e.clip: e for e in read_entries(root).values() if e.clip} if has_lines(root) else {}
    if source.is_dir():
        clips |= entries.keys()
    selected = [name for name in sorted(clips) if matches_globs(name, include=include)]
    if not clips:
        raise SettingsError(f"there is no clip (.h5) below {source}")
    if not selected:
        raise SettingsError(f"none of {len(clips)} clips below {source} matches; one is {min(clips)}")
    return root, selected, entries


def _export(
    root: Path, name: str, entry: ManifestEntry | None, out: Path, to: str,
    body_of: Callable[[Clip], ExportBody], journal: Journal, owners: Mapping[str, str], *, feasible_only: bool,
    tracks: Mapping[str, list[ListedTrack]] | None,
) -> ExportedClip:  # fmt: skip
    """Export one clip.

    Args:
        owners: Clip of each file that a clip of the folder has; no companion of another clip may take its name.
        tracks: From `read_track_list` to export tracked motions, or None.

    Raises:
        OutputError: If the disk is full.
    """
    form = FORMATS[to]

    def encode() -> tuple[Clip, dict[str, bytes], str, StoredTrack | None]:
        path = clip_path(root, name)
        clip = read_clip(path, sha256=entry.clip_sha256 if entry else None)
        if feasible_only and clip.verdict == "infeasible":
            raise ClipError(f"it is infeasible ({clip.broken_rules})")
        sha256 = (entry.clip_sha256 if entry else None) or hashlib.sha256(path.read_bytes()).hexdigest()
        track = None if tracks is None else _track_of(root, name, tracks)
        clip = clip if track is None else tracked_clip(clip, track)
        return clip, _encode(form, name, clip, body_of(clip), owners, track), sha256, track

    encoded = attempt(encode)
    if isinstance(encoded, Failure):
        return ExportedClip(clip=name, status="refused", reason=encoded.message)
    clip, files, clip_sha256, track = encoded
    (file, sha256), *companions = ((path, hashlib.sha256(data).hexdigest()) for path, data in files.items())
    exported = ExportedClip(
        clip=name,
        file=file,
        sha256=sha256,
        companions=dict(companions),
        status="ok",
        notes=_notes(form, clip, body_of(clip), track),
        clip_sha256=clip_sha256,
        source=clip.source,
        licence=clip.licence,
        verdict=clip.verdict,
        nframe=clip.nframe,
    )
    try:
        _write_files(out, exported, files, journal)
    except OSError as error:
        if is_disk_full(error):
            raise OutputError(f"cannot write {out / str(exported.file)}: {error.strerror or error}") from error
        return ExportedClip(clip=name, status="refused", reason=f"cannot write it: {error.strerror or error}")
    return exported


def _file_of(name: str, to: str) -> str:
    """File of a clip below the output folder."""
    return PurePosixPath(name).with_suffix(FORMATS[to].extension).as_posix()


def _track_of(root: Path, name: str, tracks: Mapping[str, list[ListedTrack]]) -> StoredTrack:
    """Track of a clip.

    Raises:
        ClipError: If it has none that can be read.
    """
    track = find_track(root, name, tracks)
    if isinstance(track, Failure):
        raise ClipError(track.message)
    if track is None:
        raise ClipError(f"it has no track: mm-track {root} makes it")
    return track


def _encode(
    form: Format, name: str, clip: Clip, body: ExportBody, owners: Mapping[str, str], track: StoredTrack | None
) -> dict[str, bytes]:
    """Bytes of a clip's files by their paths below the output folder; the main file comes first.

    Raises:
        ClipError: If the clip cannot be written in this format, or a companion has the name of another clip's file.
    """
    stem = PurePosixPath(name).with_suffix("").as_posix()
    if track is None:
        main, companions = form.write(clip, body), form.companions(clip, body)
    else:
        main, companions = (form.write_tracked or form.write)(clip, body), form.tracks(clip, track)
    files = {f"{stem}{form.extension}": main} | {f"{stem}{end}": data for end, data in companions.items()}
    for file in list(files)[1:]:
        if file in owners:
            raise ClipError(f"its file {file} is also that of {owners[file]}: rename one of the clips")
    return files


def _notes(form: Format, clip: Clip, body: ExportBody, track: StoredTrack | None) -> tuple[str, ...]:
    """Data of the clip that its files do not contain."""
    notes = []
    if clip.hands == "tracked" and not body.fingers:
        notes.append("the clip has tracked fingers, which were not exported")
    if track is not None and not track.tracked:
        notes.append(f"its track ends early ({track.failure}), after {track.nstep / track.fps:.2f} s")
    if track is None and form.activations and (clip.activation is None or not clip.muscle_names):
        notes.append("the clip has no named muscle activations: mm-validate --muscles adds them")
    return tuple(notes)


def _write_files(out: Path, exported: ExportedClip, files: Mapping[str, bytes], journal: Journal) -> None:
    """Write a clip's files; their record is in the journal before the main one, the last, takes its name."""
    line = f"{strict_json(asdict(exported))}\n".encode()
    for file in exported.companions:
        write_atomically(out / file, files[file])
    main = str(exported.file)
    write_atomically(out / main, files[main], before_rename=lambda: journal.append(line))


def _read_record(out: Path, kind: _Kind) -> dict[str, dict[str, Any]]:
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
        there = _Kind(to=stored["to"], fingers=stored["fingers"], tracked=stored.get("tracked") is True)
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


def _write_record(out: Path, clips: dict[str, dict[str, Any]], kind: _Kind) -> None:
    head = {"format": RECORD_FORMAT, "version": RECORD_VERSION, "musclemap": musclemap.__version__, "to": kind.to,
            "fingers": kind.fingers, **({"tracked": True} if kind.tracked else {})}  # fmt: skip
    lines = ",\n".join(f"  {strict_json(clips[name])}" for name in sorted(clips))
    text = f'{strict_json(head)[:-1]}, "clips": [\n{lines}\n]}}\n'
    try:
        write_atomically(out / RECORD, text.encode())
    except OSError as error:
        raise OutputError(f"cannot write {out / RECORD}: {error.strerror or error}") from error
