"""Open-loop replay of stored tracks: the same excitations give the same motion."""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from musclemap.datasets.track_file import StoredTrack
from musclemap.errors import SettingsError, TrackError
from musclemap.failures import Failure, attempt
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.tracking.storage import Replay, processor, replay_track
from musclemap.pipelines.train.dataset import ListedClip
from musclemap.settings import from_dict
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .plan import load_tracked_body, requested_name
from .track_folder import find_track, read_track_list


@dataclass(frozen=True, kw_only=True)
class ReplayedTrack:
    """Result of a replay.

    Attributes:
        clip: POSIX path of the clip below the data set.
        steps: Control steps.
        identical: Whether the motion is the stored one, bit for bit.
        difference: Largest difference of a coordinate [m, rad]; None if the track cannot be replayed.
        problem: Why it cannot be replayed, or what may explain a difference; otherwise empty.
    """

    clip: str
    steps: int = 0
    identical: bool = False
    difference: float | None = None
    problem: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        return asdict(self)


def replay_tracks(
    root: Path,
    listed: Sequence[ListedClip],
    *,
    variant: BodyVariant = UNALTERED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[ReplayedTrack]:
    """Replay the tracks of clips.

    Args:
        root: Folder of the data set, or one clip.
        listed: Clips; those without a track are left out.
        variant: What alters the simulated body beyond the clips' own variants.
        progress: Called after each clip with the number of finished clips and the total.

    Raises:
        SettingsError: If no clip has a track.
    """
    folder = root if root.is_dir() else root.parent
    lines = read_track_list(folder)
    results = []
    for done, item in enumerate(listed, start=1):
        name = attempt(lambda item=item: requested_name(root, item, variant))
        stored = name if isinstance(name, Failure) else find_track(folder, item.path, lines, variant=name)
        if isinstance(stored, Failure):
            results.append(ReplayedTrack(clip=item.path, problem=stored.message))
        elif stored is not None:
            results.append(_replay(stored))
        progress(done, len(listed))
    if not results:
        raise SettingsError(f"none of {len(listed)} clips of {root} has a track; mm-track {root} makes them")
    return results


def body_of_track(stored: StoredTrack) -> SimulationBody:
    """Body with the physics that a track was made with.

    Raises:
        TrackError: If the track names no valid physics.
        TargetError: If the body is not installed.
    """
    try:
        physics = from_dict(PhysicsConfig, stored.config.get("physics"), name="physics")
    except SettingsError as error:
        raise TrackError(f"the track of {stored.clip} has invalid settings: {error}") from error
    return load_tracked_body(stored.model, physics)


def _replay(stored: StoredTrack) -> ReplayedTrack:
    result = attempt(lambda: replay_track(body_of_track(stored), stored))
    if not isinstance(result, Replay):
        return ReplayedTrack(clip=stored.clip, steps=stored.nstep, problem=result.message)
    made_on = stored.software.get("processor")
    elsewhere = not result.identical and made_on != processor()
    return ReplayedTrack(
        clip=stored.clip, steps=stored.nstep, identical=result.identical, difference=result.difference,
        problem=f"made on another processor: {made_on}" if elsewhere else "",
    )  # fmt: skip
