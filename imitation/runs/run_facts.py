"""Description of a run, stored in its folder as run.json: a run resumes only if settings, body and clips match."""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from musclemap.errors import FileError, SettingsError
from musclemap.files import check_fields, read_json_object, shown
from musclemap.imitation.errors import TrainingError
from musclemap.settings import from_dict

from .train_config import TrainConfig

FACTS = "run.json"
"""Name of the file in the run's folder."""

_FIELDS = {"algorithm": str, "body": dict, "clips": dict, "config": dict, "engine": str}
_CLIP = {"source": str, "motion_sha256": str}

MAX_LISTED = 5
"""Largest number of differences listed in a message."""


@dataclass(frozen=True, kw_only=True)
class RecordedRun:
    """What a run was started with, as far as needed to resume it.

    Attributes:
        algorithm: Training algorithm.
        engine: Physics engine.
        config: Settings.
        clips: Names of its clips: their paths in the data set.
        episodes: Folder of recorded episodes; None for none.
        tracks: Hashes of the motions of the tracks that its teacher holds to, by clip.
    """

    algorithm: str
    engine: str
    config: TrainConfig
    clips: tuple[str, ...]
    episodes: Path | None
    tracks: Mapping[str, str]


def read_recorded_run(root: Path) -> RecordedRun:
    """Read from a run's folder what it was started with.

    Raises:
        TrainingError: If there is no run in the folder, its description is damaged, or it has settings that this
            version does not have.
    """
    if not os.path.lexists(root / FACTS):
        raise TrainingError(f"there is no run in {root} to resume: it has no {FACTS}")
    facts = read_facts(root / FACTS)
    try:
        config = from_dict(TrainConfig, facts["config"])
    except SettingsError as error:
        raise TrainingError(f"the run in {root} cannot be resumed by this version: {error}") from error
    folder = facts.get("episodes", {}).get("folder")
    return RecordedRun(
        algorithm=facts["algorithm"],
        engine=facts["engine"],
        config=config,
        clips=tuple(facts["clips"]),
        episodes=None if folder is None else Path(folder),
        tracks=facts.get("tracks", {}),
    )


def read_facts(path: Path) -> dict[str, Any]:
    """Read the description of a run.

    Args:
        path: Its run.json. In files of version 0.1.0 each clip is only its source, or the hash of the source.

    Raises:
        TrainingError: If the file is damaged.
    """
    try:
        facts = read_json_object(path)
        check_fields(facts, _FIELDS, where=str(path))
        if "episodes" in facts:
            check_fields(facts, {"episodes": dict}, where=str(path))
            check_fields(facts["episodes"], {"folder": str, "files": dict}, where=f"{path}: episodes")
        if "tracks" in facts:
            check_fields(facts, {"tracks": dict}, where=str(path))
            check_fields(facts["tracks"], dict.fromkeys(facts["tracks"], str), where=f"{path}: tracks")
        for name, clip in facts["clips"].items():
            if isinstance(clip, dict):
                check_fields(clip, _CLIP, where=f"{path}: clip {shown(name)}")
            elif not isinstance(clip, str):
                raise FileError(f"{path}: clip {shown(name)} is {shown(clip)}, neither a source nor an object")
    except FileError as error:
        raise TrainingError(f"the run cannot be resumed because its description cannot be read: {error}") from error
    return facts


def check_same_run(root: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Compare a run with its description when resumed.

    Args:
        root: Folder of the run, for messages.
        old: From `read_facts`.
        new: Description of the run to resume; every clip is an object.

    Returns:
        Messages for the user about facts that could not be compared.

    Raises:
        TrainingError: If they differ; the message lists the differences.
    """
    old_values, new_values = (_settings(facts) for facts in (old, new))
    names = [name for name in sorted({*old_values, *new_values}) if old_values.get(name) != new_values.get(name)]
    if names:
        changes = [f"{name} was {shown(old_values.get(name))}, is {shown(new_values.get(name))}" for name in names]
        raise TrainingError(
            f"{root} holds a run with other settings: {_join(changes)}. Use the same settings or another --run"
        )
    changed = _changed_clips(old["clips"], new["clips"])
    if changed:
        raise TrainingError(
            f"{root} holds a run with other clips: {_join(changed)}. Use the same clips, as --resume does without "
            f"options that select clips, or start another --run with --from {root}"
        )
    old_tracks, tracks = old.get("tracks", {}), new.get("tracks", {})
    changed = [shown(name) for name in sorted({*old_tracks, *tracks}) if old_tracks.get(name) != tracks.get(name)]
    if changed:
        raise TrainingError(
            f"the teacher of the run in {root} held to other tracks of {_join(changed)}: restore them, or start "
            f"another run with --from {root}"
        )
    unknown = [name for name, clip in old["clips"].items() if isinstance(clip, str)]
    if unknown:
        return [
            f"an older version started the run and did not record hashes of its {len(unknown)} clips, so earlier edits "
            "cannot be detected. The hashes are recorded from now on"
        ]
    return []


def _settings(facts: Mapping[str, Any]) -> dict[str, Any]:
    """All facts of a run except its clips, their tracks and the folder of its episodes, by dotted name."""
    leaves = dict(_leaves({key: value for key, value in facts.items() if key not in ("clips", "tracks")}))
    return {name: value for name, value in leaves.items() if name != "episodes.folder"}


def _changed_clips(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Differences between the clips, one message each."""
    differences = []
    for name in sorted({*old, *new}):
        if name not in old:
            differences.append(f"{shown(name)} is new")
        elif name not in new:
            differences.append(f"{shown(name)} is missing")
        else:
            old_clip, clip = old[name], new[name]
            source = old_clip if isinstance(old_clip, str) else old_clip["source"]
            if source != clip["source"]:
                differences.append(f"{shown(name)} has another source")
            elif not isinstance(old_clip, str) and old_clip["motion_sha256"] != clip["motion_sha256"]:
                differences.append(f"{shown(name)} was edited since training began: motion or activations differ")
    return differences


def _join(parts: list[str]) -> str:
    suffix = f"; and {len(parts) - MAX_LISTED} more" if len(parts) > MAX_LISTED else ""
    return "; ".join(parts[:MAX_LISTED]) + suffix


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree
