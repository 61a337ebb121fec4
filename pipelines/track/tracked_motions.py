"""The tracked motions of a folder as clips, for the viewer, drawings and exports."""

import glob
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.track_file import StoredTrack, read_track, track_path
from musclemap.errors import SettingsError, TrackError
from musclemap.failures import Failure, attempt
from musclemap.imitation.physics.ground_forces import ground_forces
from musclemap.imitation.tracking.tracked_clip import tracked_clip
from musclemap.pipelines.viewer.clips import ClipFolder
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.variants.assignments import option_text
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant, facts_of, make_variant

from .plan import variant_name
from .replaying import body_of_track
from .track_folder import ListedTrack, find_track, read_track_list


def with_tracks(clips: ClipFolder, *, variant: BodyVariant = UNALTERED) -> ClipFolder:
    """The clips of a folder that have a track.

    Args:
        clips: The folder.
        variant: What alters the simulated body beyond the clips' own variants.

    Raises:
        SettingsError: If none has one; the message says what makes or shows one.
    """
    names = tuple(name for name in clips.names if _has_track(clips.root, name, variant))
    if not names:
        altered = next((name for name in clips.names if _variants_of(clips.root, name)), clips.names[0])
        raise SettingsError(str(missing_track(clips.root, altered, variant, whole=len(clips.names) > 1)))
    return replace(clips, names=names)


def read_tracked(root: Path, name: str, *, variant: BodyVariant = UNALTERED) -> Clip:
    """Read a clip with the tracked motion in place of its own, and the ground forces of the simulation.

    Args:
        root: Folder of the data set.
        name: POSIX path of the clip below it.
        variant: What alters the simulated body beyond the clip's own variant.

    Raises:
        ClipError: If the clip cannot be read.
        TrackError: If it has no track, or one that cannot be read or belongs to another clip.
    """
    clip = read_clip(root / name)
    track = track_of(root, name, clip, read_track_list(root), variant=variant)
    return _with_ground_forces(tracked_clip(clip, track), track)


def track_of(
    root: Path, name: str, clip: Clip, lines: Mapping[str, list[ListedTrack]], *, variant: BodyVariant = UNALTERED
) -> StoredTrack:
    """Track of a clip.

    Args:
        root: Folder of the data set.
        name: POSIX path of the clip below it.
        clip: The clip.
        lines: From `read_track_list`.
        variant: What alters the simulated body beyond the clip's own variant.

    Raises:
        TrackError: If there is none that can be used; the message says what makes or shows one.
    """
    track = find_track(root, name, lines, variant=variant_name(clip, clip.variant.altered_by(variant)))
    if track is None:
        raise missing_track(root, name, variant)
    if isinstance(track, Failure):
        raise TrackError(track.message)
    return track


def missing_track(root: Path, name: str, variant: BodyVariant, *, whole: bool = False) -> TrackError:
    """Why a clip has no track by a body, the command that makes it, and the options that show one by another body.

    Args:
        root: Folder of the data set.
        name: POSIX path of the clip below it.
        variant: What alters the simulated body beyond the clip's own variant.
        whole: Whether no clip of the folder has such a track.
    """
    clip = read_clip(root / name)
    body = load_body(clip.model)
    typed = lambda facts: option_text(facts, body.model, body.muscle_groups)  # noqa: E731
    stem = name.removesuffix(".h5")
    options = typed(variant)
    subject = f"no clip in {root} has a track" if whole else f"{name} has no track"
    by_body = f" by a body with {variant.text}" if variant else ""
    command = " ".join(filter(None, (f"mm-track {root}", "" if whole else stem, options)))
    text = f"{subject}{by_body}; {command} makes {'them' if whole else 'it'}"
    others = [other for other in _variants_of(root, name) if other != clip.variant.altered_by(variant)]
    if others:
        beyond = _beyond(others[0], clip.variant)
        which = f"that of {stem}" if whole else "that"
        text += f", and {typed(beyond)} shows {which} by a body with {beyond.text}"
    return TrackError(text)


def _beyond(variant: BodyVariant, own: BodyVariant) -> BodyVariant:
    """The facts of a variant that are not those of the clip's own."""
    known = facts_of(own)
    return make_variant(**{
        kind: {part: value for part, value in facts.items() if known.get(kind, {}).get(part) != value}
        for kind, facts in facts_of(variant).items()
    })  # fmt: skip


def _has_track(root: Path, name: str, variant: BodyVariant) -> bool:
    if not variant:
        return track_path(root, name).is_file()
    clip = attempt(lambda: read_clip(root / name)) if _variant_files(root, name) else None
    if not isinstance(clip, Clip):
        return False
    return track_path(root, name, variant=variant_name(clip, clip.variant.altered_by(variant))).is_file()


def _variant_files(root: Path, name: str) -> list[Path]:
    """Files of a clip's tracks by altered bodies."""
    path = track_path(root, name)
    return sorted(path.parent.glob(f"{glob.escape(path.stem)}.variant-*{path.suffix}"))


def _variants_of(root: Path, name: str) -> list[BodyVariant]:
    """Variants of the altered bodies that have tracked a clip; tracks that cannot be read are left out."""
    tracks = [attempt(lambda path=path: read_track(path)) for path in _variant_files(root, name)]
    return [track.variant for track in tracks if isinstance(track, StoredTrack) and track.clip == name]


def _with_ground_forces(clip: Clip, track: StoredTrack) -> Clip:
    body = body_of_track(track)
    if not body.target.support_parts:
        return clip
    qpos, qvel = track.tracked_qpos[:, body.clip_qpos], track.tracked_qvel[:, body.clip_qvel]
    ground = ground_forces(body, qpos, qvel, track.tracked_act)
    return replace(
        clip, support_names=tuple(part.name for part in body.target.support_parts), ground_force=ground.force,
        centre_of_pressure=ground.centre, bearing=(ground.force[..., 2] > 0).astype(np.uint8),
    )  # fmt: skip
