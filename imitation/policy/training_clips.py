"""Which clips a policy has learned from, as its file tells it, so that clips it has never seen are told apart."""

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
"""Runs before this one that a policy's file tells about, one inside the other; their clips it names all."""


def dataset_facts(clips: Sequence[tuple[str, Clip]]) -> dict[str, Any]:
    """What a policy's file says about its training clips: plain values.

    Args:
        clips: Name and clip.

    Returns:
        `nclip`, `nframe`, `seconds`, `licences` (licence to number of clips), and `clips`, one
        [source, SHA-256 of the source] each, sorted. The hash is empty where a motion was made and not read.
    """
    return {
        "nclip": len(clips),
        "nframe": sum(clip.nframe for _, clip in clips),
        "seconds": sum(clip.duration for _, clip in clips),
        "licences": dict(Counter(clip.licence or "unknown" for _, clip in clips)),
        "clips": sorted([clip.source, clip.source_sha256] for _, clip in clips),
    }


def clip_facts(clips: Sequence[tuple[str, Clip]]) -> dict[str, dict[str, str]]:
    """What a run notes about its clips, to notice when one is edited: source and `motion_sha256` by name."""
    return {
        name: {"source": clip.source_sha256 or clip.source, "motion_sha256": motion_sha256(clip)}
        for name, clip in clips
    }


def motion_sha256(clip: Clip) -> str:
    """SHA-256 of all that a policy learns from in a clip.

    Verdict, metrics and licence are not among it: a clip that was checked once more is still the same, unless it got
    other activations.
    """
    names = {"joint_names": clip.joint_names, "landmark_names": clip.landmark_names}
    facts = {"fps": clip.fps, "model": clip.model, "model_sha256": clip.model_sha256, **names}
    digest = hashlib.sha256(strict_json(facts).encode())
    for key in ("qpos", "qvel", "landmark_pos", "contact", "activation"):
        array = getattr(clip, key)
        if array is not None:
            array = np.ascontiguousarray(array, np.uint8 if key == "contact" else "<f4")  # as it is stored
            digest.update(f"{key} {array.shape}".encode())
            digest.update(array.data)
    return digest.hexdigest()


def check_dataset(facts: Mapping[str, Any], *, where: str) -> None:
    """Check the types of what `dataset_facts` and `with_earlier` give; what is not there is not missed.

    Raises:
        FileError: Something is of another type, or below 0.
    """
    for _ in range(MAX_EARLIER + 1):
        for name in ("nclip", "nframe", "seconds"):
            value = facts.get(name, 0)
            number = isinstance(value, int | float) and not isinstance(value, bool)
            if not number or not 0 <= value <= MAX_INTEGER:
                raise FileError(f"{where}: {name} is {shown(value)}, not a number from 0")
        licences = facts.get("licences", {})
        if not isinstance(licences, Mapping) or not all(type(count) is int for count in licences.values()):
            raise FileError(f"{where}: licences is {shown(licences)}, not a number of clips for each")
        rows = facts.get("clips", [])
        if not isinstance(rows, list) or not all(_is_pair(row) for row in rows):
            raise FileError(f"{where}: clips is {shown(rows)}, not a list of a source and its hash each")
        facts = facts.get("earlier", {})
        if not isinstance(facts, Mapping):
            raise FileError(f"{where}: earlier is {shown(facts)}, not an object")
        if not facts:
            return
    raise FileError(f"{where}: it tells of more than {MAX_EARLIER} earlier runs")


def _is_pair(row: object) -> bool:
    return isinstance(row, list) and len(row) == 2 and all(isinstance(part, str) for part in row)


def with_earlier(facts: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a policy that had learned from other clips before: all clips are known to it.

    Args:
        facts: From `dataset_facts`, of the clips that it learned from last.
        earlier: What its file told before. Goes under `earlier`, but for its clips, which join `clips`. Of more than
            `MAX_EARLIER` runs the first ones are left out.
    """
    clips = {tuple(row) for row in [*facts["clips"], *earlier.get("clips", [])]}
    kept = {name: value for name, value in earlier.items() if name != "clips"}
    return {**facts, "clips": sorted(map(list, clips)), "earlier": _cut(kept, MAX_EARLIER - 1)}


def _cut(facts: Mapping[str, Any], runs: int) -> dict[str, Any]:
    """Facts with so many earlier ones inside."""
    kept = {name: value for name, value in facts.items() if name != "earlier"}
    earlier = facts.get("earlier")
    return kept | {"earlier": _cut(earlier, runs - 1)} if earlier and runs else kept


class TrainingClips:
    """The sources that a policy has learned from.

    Args:
        facts: From `dataset_facts`; where `clips` is missing or no list, nothing is known.
    """

    def __init__(self, facts: Mapping[str, Any]) -> None:
        rows: Any = facts.get("clips")
        self.known = isinstance(rows, list) and all(isinstance(row, list) and len(row) == 2 for row in rows)
        pairs = [(str(source), str(sha256)) for source, sha256 in rows] if self.known else []
        self._hashes = {sha256 for _, sha256 in pairs if sha256}
        self._sources = {source for source, _ in pairs}

    def holds(self, clip: Clip) -> bool | None:
        """Whether a clip's source was learned from; None where that is not known.

        One motion may lie under several names, and another may have come under the same: hashes decide where there are
        any, names where there are none.
        """
        if not self.known:
            return None
        if clip.source_sha256 and self._hashes:
            return clip.source_sha256 in self._hashes
        return clip.source in self._sources
