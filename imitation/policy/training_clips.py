"""Clips that a policy was trained on, as recorded in its file, to tell held-out clips from training clips."""

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.manifest import strict_json
from musclemap.errors import FileError
from musclemap.files import MAX_INTEGER, shown

MAX_EARLIER = 16
"""Largest number of earlier runs whose facts a policy file keeps, nested in each other; it names all their clips."""


def dataset_facts(clips: Sequence[tuple[str, Clip]]) -> dict[str, Any]:
    """Facts about training clips that are stored in a policy file, as plain values.

    Args:
        clips: Names and clips.

    Returns:
        `nclip`, `nframe`, `seconds`, `licences` (number of clips per licence), and `clips`, a sorted list of
        [source, SHA-256 of the source]. The hash is empty for generated motions.
    """
    return {
        "nclip": len(clips),
        "nframe": sum(clip.nframe for _, clip in clips),
        "seconds": sum(clip.duration for _, clip in clips),
        "licences": dict(Counter(clip.licence or "unknown" for _, clip in clips)),
        "clips": sorted([clip.source, clip.source_sha256] for _, clip in clips),
    }


def clip_facts(clips: Sequence[tuple[str, Clip]]) -> dict[str, dict[str, str]]:
    """Facts that a run records about its clips to detect edits: source and `motion_sha256` by name."""
    return {
        name: {"source": clip.source_sha256 or clip.source, "motion_sha256": motion_sha256(clip)}
        for name, clip in clips
    }


def motion_sha256(clip: Clip) -> str:
    """SHA-256 of everything in a clip that a policy learns from.

    Verdict, metrics and licence are excluded: validating a clip again does not change the hash unless it changes the
    activations.
    """
    names = {"joint_names": clip.joint_names, "landmark_names": clip.landmark_names}
    facts = {"fps": clip.fps, "model": clip.model, "model_sha256": clip.model_sha256, **names}
    digest = hashlib.sha256(strict_json(facts).encode())
    for key in ("qpos", "qvel", "landmark_pos", "contact", "activation", "base_motion"):
        array = getattr(clip, key)
        if array is not None:
            array = np.ascontiguousarray(array, np.uint8 if key == "contact" else "<f4")  # as stored in the file
            digest.update(f"{key} {array.shape}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def check_dataset(facts: Mapping[str, Any], *, where: str) -> None:
    """Check the types of values from `dataset_facts` and `with_earlier`; every key is optional.

    Raises:
        FileError: If a value has the wrong type or is negative.
    """
    for _ in range(MAX_EARLIER + 1):
        for name in ("nclip", "nframe", "seconds"):
            value = facts.get(name, 0)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= MAX_INTEGER:
                raise FileError(f"{where}: {name} is {shown(value)}, not a number of at least 0")
        licences = facts.get("licences", {})
        if not isinstance(licences, Mapping) or not all(type(count) is int for count in licences.values()):
            raise FileError(f"{where}: licences is {shown(licences)}, not a table of numbers of clips")
        rows = facts.get("clips", [])
        if not isinstance(rows, list) or not all(_is_pair(row) for row in rows):
            raise FileError(f"{where}: clips is {shown(rows)}, not a list of [source, hash] pairs")
        facts = facts.get("earlier", {})
        if not isinstance(facts, Mapping):
            raise FileError(f"{where}: earlier is {shown(facts)}, not an object")
        if not facts:
            return
    raise FileError(f"{where}: it lists more than {MAX_EARLIER} earlier runs")


def _is_pair(row: object) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(part, str) for part in row)


def with_earlier(facts: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the facts of a run with those of the policy that it started from, so that all training clips are known.

    Args:
        facts: From `dataset_facts`, for the clips of this run.
        earlier: Facts in the file of the initial policy. They are stored under `earlier`, except for their clips, which
            are added to `clips`. Beyond `MAX_EARLIER` runs the oldest ones are dropped.
    """
    clips = {tuple(row) for row in [*facts["clips"], *earlier.get("clips", [])]}
    rest = {name: value for name, value in earlier.items() if name != "clips"}
    return {**facts, "clips": sorted(map(list, clips)), "earlier": _truncate(rest, MAX_EARLIER - 1)}


def _truncate(facts: Mapping[str, Any], runs: int) -> dict[str, Any]:
    """Keep at most `runs` nested earlier runs."""
    rest = {name: value for name, value in facts.items() if name != "earlier"}
    earlier = facts.get("earlier")
    return rest | {"earlier": _truncate(earlier, runs - 1)} if earlier and runs else rest


class TrainingClips:
    """Sources that a policy was trained on.

    Args:
        facts: From `dataset_facts`; if `clips` is missing or malformed, the sources are unknown.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        rows: Any = facts.get("clips")
        self.known = isinstance(rows, list) and all(isinstance(row, list) and len(row) == 2 for row in rows)
        pairs = [(str(source), str(sha256)) for source, sha256 in rows] if self.known else []
        self._hashes = {sha256 for _, sha256 in pairs if sha256}
        self._sources = {source for source, _ in pairs}

    def contains(self, clip: Clip) -> bool | None:
        """Whether the policy was trained on a clip's source; None if unknown.

        The same motion may have several names, and a name may have been reused for another motion. Hashes therefore
        take precedence over names.
        """
        if not self.known:
            return None
        if clip.source_sha256 and self._hashes:
            return clip.source_sha256 in self._hashes
        return clip.source in self._sources
