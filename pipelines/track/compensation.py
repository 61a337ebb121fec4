"""How the muscles of an altered body differ from those of the clip's own body while both follow the same clip."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from musclemap.datasets.track_file import StoredTrack
from musclemap.failures import Failure
from musclemap.imitation.tracking.metrics import SATURATED
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.variants.groups import grouped

from .plan import ClipOutcome
from .track_folder import find_track, read_track_list

LISTED = 6
"""Most muscles of a list."""

MIN_SECONDS = 0.05
"""A muscle counts as saturated from this time in total on [s]."""

MIN_RISE = 0.01
"""Smallest rise of mean activation that is listed."""


@dataclass(frozen=True, kw_only=True)
class SaturatedMuscle:
    """A muscle at its limit.

    Attributes:
        muscle: Its name.
        first: Time of its first saturated control step, from the start of the track [s].
        seconds: Total time [s].
        seconds_before: Total time in the track of the clip's own body [s]; None without that track.
    """

    muscle: str
    first: float
    seconds: float
    seconds_before: float | None


@dataclass(frozen=True, kw_only=True)
class Compensation:
    """Differences of a track from that of the clip's own body.

    Attributes:
        variant: What alters the body.
        saturated: Muscles that are at their limit longer than in the other track, the first one first.
        risen: Muscles whose mean activation rises most, with the rise; None without the other track.
        groups: Groups of muscles on one side whose mean activation rises most, with the rise; None likewise.
        seconds: Time that both tracks last, over which activations are compared [s].
    """

    variant: str
    saturated: tuple[SaturatedMuscle, ...]
    risen: tuple[tuple[str, float], ...] | None
    groups: tuple[tuple[str, float], ...] | None
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def compensation_of(root: Path, outcome: ClipOutcome) -> Compensation | None:
    """Compare the track of an altered body with that of the clip's own body.

    Args:
        root: Folder of the data set.
        outcome: Outcome of the clip.

    Returns:
        The differences; None if the track is of the clip's own body, or there is none.
    """
    if not outcome.variant or outcome.track is None:
        return None
    lines = read_track_list(root)
    altered = find_track(root, outcome.clip, lines, variant=outcome.variant)
    own = find_track(root, outcome.clip, lines)
    if altered is None or isinstance(altered, Failure):
        return None
    return compare_tracks(altered, own if isinstance(own, StoredTrack) else None)


def compare_tracks(altered: StoredTrack, own: StoredTrack | None) -> Compensation:
    """Compare two tracks of one clip, over the time that both last.

    Args:
        altered: Track of the altered body.
        own: Track of the clip's own body; None if there is none, and then saturation alone is listed.
    """
    steps = altered.nstep if own is None else min(altered.nstep, own.nstep)
    saturated = altered.excitation[:steps] >= SATURATED
    before = _shared(own, altered.muscle_names, own.excitation[:steps] >= SATURATED) if own is not None else None
    total, earlier = saturated.sum(axis=0) / altered.fps, None if before is None else before.sum(axis=0) / altered.fps
    longer = total >= MIN_SECONDS if earlier is None else total >= np.maximum(2.0 * earlier, MIN_SECONDS)
    order = sorted(np.flatnonzero(longer).tolist(), key=lambda k: (int(saturated[:, k].argmax()), -total[k]))
    muscles = tuple(
        SaturatedMuscle(
            muscle=altered.muscle_names[k], first=float(saturated[:, k].argmax() / altered.fps),
            seconds=float(total[k]), seconds_before=None if earlier is None else float(earlier[k]),
        )
        for k in order[:LISTED]
    )  # fmt: skip
    risen = groups = None
    if own is not None:
        mean = altered.tracked_act[1 : steps + 1].mean(axis=0)
        own_mean = _shared(own, altered.muscle_names, own.tracked_act[1 : steps + 1]).mean(axis=0)
        rise = dict(zip(altered.muscle_names, (mean - own_mean).tolist(), strict=True))
        risen, groups = _most(rise), _most(_by_group(altered, rise))
    return Compensation(
        variant=altered.variant.text, saturated=muscles, risen=risen, groups=groups, seconds=steps / altered.fps
    )


def _shared(track: StoredTrack, names: Sequence[str], columns: np.ndarray) -> np.ndarray:
    """Columns of a track in the order of some muscles; zeros for those that it lacks."""
    index = {name: k for k, name in enumerate(track.muscle_names)}
    result = np.zeros((len(columns), len(names)), columns.dtype)
    for k, name in enumerate(names):
        if name in index:
            result[:, k] = columns[:, index[name]]
    return result


def _by_group(track: StoredTrack, rise: Mapping[str, float]) -> dict[str, float]:
    """Mean rise of each group of muscles on one side."""
    groups = grouped(rise, load_body(track.model).muscle_groups)
    return {
        name: float(np.mean([rise[muscle] for muscle in members]))
        for name, members in groups.items() if name[-2:] in ("_r", "_l")
    }  # fmt: skip


def _most(rise: Mapping[str, float]) -> tuple[tuple[str, float], ...]:
    ordered = sorted(rise.items(), key=lambda item: (-item[1], item[0]))
    return tuple((name, value) for name, value in ordered[:LISTED] if value >= MIN_RISE)
