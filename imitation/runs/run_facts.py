"""What a run is, kept in its folder as run.json: a run resumes only where settings, body and clips are the same."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from musclemap.errors import FileError
from musclemap.files import check_fields, read_json_object, shown
from musclemap.imitation.errors import TrainingError

_FIELDS = {"algorithm": str, "body": dict, "clips": dict, "config": dict, "engine": str}
_CLIP = {"source": str, "motion_sha256": str}

NAMED = 5
"""Differences that are named one by one."""


def read_facts(path: Path) -> dict[str, Any]:
    """Read what a run is.

    Args:
        path: Its run.json. In files of version 0.1.0 a clip is but its source, or the hash of it.

    Raises:
        TrainingError: The file is damaged.
    """
    try:
        facts = read_json_object(path)
        check_fields(facts, _FIELDS, where=str(path))
        for name, clip in facts["clips"].items():
            if isinstance(clip, dict):
                check_fields(clip, _CLIP, where=f"{path}: clip {shown(name)}")
            elif not isinstance(clip, str):
                raise FileError(f"{path}: clip {shown(name)} is {shown(clip)}, neither a source nor an object")
    except FileError as error:
        raise TrainingError(f"the run cannot be resumed, as what it is cannot be read: {error}") from error
    return facts


def check_same(root: Path, old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """Compare a run with the one that is to resume it.

    Args:
        root: Folder of the run, for messages.
        old: From `read_facts`.
        new: What is to resume it; every clip an object.

    Returns:
        Sentences for the user about what could not be compared.

    Raises:
        TrainingError: They differ; the message names in what.
    """
    before, now = (dict(_leaves({k: v for k, v in facts.items() if k != "clips"})) for facts in (old, new))
    other = [name for name in sorted({*before, *now}) if before.get(name) != now.get(name)]
    if other:
        message = _listed([f"{name} was {shown(before.get(name))}, is {shown(now.get(name))}" for name in other])
        raise TrainingError(f"{root} holds a run of other settings: {message}. Give the same, or another --run")
    changed = _changed_clips(old["clips"], new["clips"])
    if changed:
        raise TrainingError(
            f"{root} holds a run of other clips: {_listed(changed)}. Give the same, or begin another --run with --from "
            f"{root}"
        )
    unknown = [name for name, clip in old["clips"].items() if isinstance(clip, str)]
    if unknown:
        return [
            f"the run was begun by an older version, which did not note what its {len(unknown)} clips hold: whether "
            "one was edited since cannot be checked. It is noted from now on"
        ]
    return []


def _changed_clips(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What differs between clips, a sentence each."""
    message = []
    for name in sorted({*old, *new}):
        if name not in old:
            message.append(f"{shown(name)} was not among them")
        elif name not in new:
            message.append(f"{shown(name)} is missing")
        else:
            was, clip = old[name], new[name]
            source = was if isinstance(was, str) else was["source"]
            if source != clip["source"]:
                message.append(f"{shown(name)} is of another source")
            elif not isinstance(was, str) and was["motion_sha256"] != clip["motion_sha256"]:
                message.append(f"{shown(name)} was edited since training began: its motion or its activations differ")
    return message


def _listed(parts: list[str]) -> str:
    more = f"; and {len(parts) - NAMED} more" if len(parts) > NAMED else ""
    return "; ".join(parts[:NAMED]) + more


def _leaves(tree: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            yield from _leaves(value, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, tree
