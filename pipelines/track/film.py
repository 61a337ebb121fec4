"""Video of tracks: the clip on the left, the tracked body on the right."""

from collections.abc import Callable, Sequence
from pathlib import Path

from musclemap.datasets.track_file import StoredTrack
from musclemap.errors import TrackError
from musclemap.failures import Failure, attempt
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.pipelines.rendering.policy_film import SimulatedClip, save_simulated_film
from musclemap.pipelines.train.dataset import ListedClip, read_listed
from musclemap.skeletons.variants.variant import UNALTERED, BodyVariant

from .plan import requested_name
from .replaying import body_of_track
from .track_folder import find_track, read_track_list


def save_track_film(
    path: Path,
    root: Path,
    listed: Sequence[ListedClip],
    *,
    longest: float,
    variant: BodyVariant = UNALTERED,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> float:
    """Write a video of the tracks of clips, one after the other.

    Args:
        path: File to write, ending in .mp4.
        root: Folder of the data set, or one clip.
        listed: Clips; those without a track, and those of another body than the first, are left out.
        longest: Longest video [s].
        variant: What alters the simulated body beyond the clips' own variants.
        progress: Called after each picture with the number done and the total.

    Returns:
        Duration of the video [s].

    Raises:
        TrackError: If no clip has a track.
        RenderError: If the video cannot be written.
    """
    folder = root if root.is_dir() else root.parent
    lines = read_track_list(folder)
    body: SimulationBody | None = None
    clips: list[SimulatedClip] = []
    duration = 0.0
    for item in listed:
        if duration >= longest:
            break
        name = attempt(lambda item=item: requested_name(root, item, variant))
        stored = name if isinstance(name, Failure) else find_track(folder, item.path, lines, variant=name)
        if not isinstance(stored, StoredTrack):
            continue
        body = body or body_of_track(stored)
        stored_body = (stored.model, stored.muscle_names, stored.variant)
        if stored_body == (body.name, body.muscle_names, body.target.variant):
            clips.append(_simulated(root, item, stored, body))
            duration += stored.nstep / stored.fps
    if body is None:
        raise TrackError("no clip has a track to show in a video")
    return save_simulated_film(path, clips, body, longest=longest, progress=progress)


def _simulated(root: Path, item: ListedClip, stored: StoredTrack, body: SimulationBody) -> SimulatedClip:
    reached = stored.metrics.get("frames")
    failed = None if stored.tracked else reached - 1 if isinstance(reached, int) else stored.nstep
    return SimulatedClip(
        name=item.path, clip=read_listed(root, item).frames(slice(stored.start, None)),
        qpos=stored.tracked_qpos[:, body.clip_qpos], act=stored.tracked_act, failed=failed, title="tracked",
    )  # fmt: skip
