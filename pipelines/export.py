"""Export of clips to other programs' formats, with a record of the result for each clip."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from functools import lru_cache, partial
from pathlib import Path, PurePosixPath
from typing import Any

from musclemap.datasets.atomic_file import remove_leftovers, write_atomically
from musclemap.datasets.clip import Clip, read_clip
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
from musclemap.errors import ClipError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.pipelines.clip_bodies import clips_of_body
from musclemap.pipelines.convert.conversion import is_disk_full
from musclemap.pipelines.track.track_folder import ListedTrack, read_track_list
from musclemap.pipelines.track.tracked_motions import track_of
from musclemap.skeletons.bodies import MAX_VARIANTS, load_clip_body
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .export_formats import FORMATS, Format
from .export_record import JOURNAL, RECORD, ExportedClip, ExportKind, read_record, write_record


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
    exclude: Sequence[str] = (),
    limit: int | None = None,
    body: str | None = None,
    feasible_only: bool = False,
    tracked: bool = False,
    variant: BodyVariant = UNALTERED,
    progress: Callable[[ExportedClip, int, int], None] | None = None,
) -> ExportResult:
    """Export every clip below a folder, or one clip, to another format.

    Args:
        source: Folder of clips (.h5), or one clip.
        out: Folder for the files; each file has its clip's path with another extension.
        to: One of `FORMATS`.
        fingers: Export the finger joints, if the format supports them.
        include: Globs; a clip is exported if one matches its path or its file name.
        exclude: Globs of clips that are not exported.
        limit: Largest number of clips, the first ones by name; None for all.
        body: Only clips of this body, a key of `BODY_OPTIONS`.
        feasible_only: Refuse clips whose verdict is "infeasible".
        tracked: Export the tracked motion of each clip, with its excitations and activations if the format has tables.
        variant: With `tracked`, what alters the simulated body beyond the clips' own variants.
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
    root, names, entries = _clips(source, include, exclude)
    names = names[:limit]
    if body is not None:
        kept = set(clips_of_body([root / name for name in names], body))
        names = [name for name in names if root / name in kept]
    kind = ExportKind(to=to, fingers=fingers, tracked=tracked, variant=variant)
    read_record(out, kind)
    lines = read_track_list(root) if tracked else None
    make_body = lru_cache(maxsize=MAX_VARIANTS)(partial(ExportBody, fingers=fingers))

    def body_of(clip: Clip) -> ExportBody:
        return make_body(load_clip_body(clip.model, clip.model_sha256, variant=clip.variant))

    done: list[ExportedClip] = []
    with _open_folder(out) as journal:
        earlier = read_record(out, kind)
        if not (out / RECORD).is_file():
            write_record(out, earlier, kind)  # reserves the folder for this format
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
                variant=variant,
            )
            done.append(exported)
            if progress is not None:
                progress(exported, len(done), len(names))
        write_record(out, earlier | {clip.clip: asdict(clip) for clip in done}, kind)
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


def _clips(
    source: Path, include: Sequence[str], exclude: Sequence[str]
) -> tuple[Path, list[str], dict[str, ManifestEntry]]:
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
    selected = [name for name in sorted(clips) if matches_globs(name, include=include, exclude=exclude)]
    if not clips:
        raise SettingsError(f"there is no clip (.h5) below {source}")
    if not selected:
        raise SettingsError(f"none of {len(clips)} clips below {source} matches; one is {min(clips)}")
    return root, selected, entries


def _export(
    root: Path, name: str, entry: ManifestEntry | None, out: Path, to: str,
    body_of: Callable[[Clip], ExportBody], journal: Journal, owners: Mapping[str, str], *, feasible_only: bool,
    tracks: Mapping[str, list[ListedTrack]] | None, variant: BodyVariant,
) -> ExportedClip:  # fmt: skip
    """Export one clip.

    Args:
        owners: Clip of each file that a clip of the folder has; no companion of another clip may take its name.
        tracks: From `read_track_list` to export tracked motions, or None.
        variant: What alters the bodies that tracked them.

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
        track = None if tracks is None else track_of(root, name, clip, tracks, variant=variant)
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
