"""Which clips a policy has learned from, as its file tells it, so that clips it has never seen are told apart."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from musclemap.datasets.clip import Clip


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


def with_earlier(facts: Mapping[str, Any], earlier: Mapping[str, Any]) -> dict[str, Any]:
    """Facts of a policy that had learned from other clips before: all clips are known to it.

    Args:
        facts: From `dataset_facts`, of the clips that it learned from last.
        earlier: What its file told before. Goes under `earlier`, but for its clips, which join `clips`.
    """
    clips = {tuple(row) for row in [*facts["clips"], *earlier.get("clips", [])]}
    kept = {name: value for name, value in earlier.items() if name != "clips"}
    return {**facts, "clips": sorted(map(list, clips)), "earlier": kept}


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
