"""Between a track in memory and its file, and the open-loop replay of a stored track."""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from musclemap import __version__
from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.imitation.errors import TrackingError
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.policy.training_clips import motion_sha256

from .metrics import first_failure, track_metrics
from .track import Track, simulate


def software_versions() -> dict[str, str]:
    """Versions of the packages that compute a track."""
    return {"musclemap": __version__, **{name: version(name) for name in ("mujoco", "numpy", "scipy")}}


def processor() -> str:
    """Name of this machine's processor; results are equal bit for bit only on the same one."""
    lines = Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines() if Path("/proc/cpuinfo").is_file() else []
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0][:200] if models else platform.processor() or platform.machine()


def stored_track(
    body: SimulationBody, clip: Clip, track: Track, *, name: str, config: Mapping[str, Any], clip_sha256: str = ""
) -> StoredTrack:
    """Convert a track to the form that its file has.

    States after the first one that is not finite are dropped.

    Args:
        body: Body that was tracked.
        clip: Its clip.
        track: Track.
        name: POSIX path of the clip below the folder of its data set.
        config: Settings of the run, as plain values.
        clip_sha256: Hash of the clip's file, if known.
    """
    track = _finite(track)
    failure, _ = first_failure(track, clip)
    rows = slice(track.start, track.start + track.nstep + 1)
    qpos, qvel = clip.qpos[rows].astype(np.float64), clip.qvel[rows].astype(np.float64)
    qpos[:, body.clip_qpos], qvel[:, body.clip_qvel] = track.qpos, track.qvel
    return StoredTrack(
        excitation=track.excitation,
        tracked_qpos=qpos,
        tracked_qvel=qvel,
        tracked_act=track.act,
        landmark_error=track.relative_error,
        root_error=track.root_error,
        start_qpos=track.qpos[0],
        start_qvel=track.qvel[0],
        start_act=track.act[0],
        start_warmstart=track.warmstart,
        base_motion=track.base,
        clip=name,
        clip_sha256=clip_sha256,
        clip_motion_sha256=motion_sha256(clip),
        qpos_sha256=_sha256(track.qpos),
        source=clip.source,
        licence=clip.licence,
        model=clip.model,
        model_version=body.target.version,
        model_sha256=body.sha256,
        variant=body.target.variant,
        verdict="lost" if failure else "tracked",
        failure=failure,
        config=config,
        software={**software_versions(), "processor": processor()},
        metrics=track_metrics(body, clip, track),
        joint_names=clip.joint_names,
        muscle_names=body.muscle_names,
        fps=clip.fps,
        start=track.start,
        clip_frames=clip.nframe,
        seconds=track.seconds,
        control_steps=track.control_steps,
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Replay:
    """Result of an open-loop replay.

    Attributes:
        track: The replayed motion, with all states in float64.
        identical: Whether the configurations are those of the stored track, bit for bit.
        difference: Largest difference of a coordinate from the stored one, which is float32 [m, rad]; 0 if identical.
    """

    track: Track
    identical: bool
    difference: float


def replay_track(body: SimulationBody, stored: StoredTrack) -> Replay:
    """Simulate the excitations of a stored track from its start, without feedback.

    Args:
        body: Body that was tracked, with the same physics.
        stored: Track.

    Raises:
        TrackingError: If the track was made with another body or other muscles.
    """
    check_track(body, stored)
    start = (stored.start_qpos, stored.start_qvel, stored.start_act, stored.start_warmstart)
    qpos, qvel, act = simulate(body, *start, excitation=stored.excitation, base=stored.base_motion)
    identical = _sha256(qpos) == stored.qpos_sha256
    difference = 0.0 if identical else float(np.abs(qpos - stored.tracked_qpos[:, body.clip_qpos]).max())
    track = Track(
        start=stored.start, qpos=qpos, qvel=qvel, act=act, excitation=stored.excitation,
        warmstart=stored.start_warmstart, base=stored.base_motion, failure=stored.failure,
        relative_error=stored.landmark_error, root_error=stored.root_error, seconds=stored.seconds,
        control_steps=stored.control_steps,
    )  # fmt: skip
    return Replay(track=track, identical=identical, difference=difference)


def check_track(body: SimulationBody, stored: StoredTrack) -> None:
    """Check that a track is of this body, with these muscles.

    Raises:
        TrackingError: If it is not.
    """
    if stored.model != body.name or stored.model_sha256 != body.sha256:
        raise TrackingError(
            f"it is a track of {stored.model} {stored.model_version} ({stored.model_sha256[:12]}), not of this "
            f"{body.name} ({body.sha256[:12]}); track its clip again"
        )
    fits = stored.start_qpos.shape == (body.model.nq,) and stored.start_qvel.shape == (body.model.nv,)
    if stored.muscle_names != body.muscle_names or not fits:
        raise TrackingError(
            f"it has {len(stored.muscle_names)} muscles and {len(stored.start_qpos)} coordinates; the simulated body "
            f"has {body.model.nu} and {body.model.nq}"
        )
    columns = (stored.tracked_qpos.shape[1], stored.tracked_qvel.shape[1])
    if columns != (body.target.model.nq, body.target.model.nv):
        raise TrackingError(f"its motion has {columns[0]} coordinates; {body.name} has {body.target.model.nq}")


def _finite(track: Track) -> Track:
    """The track up to the last control step whose states are finite and plausible."""
    with np.errstate(invalid="ignore"):
        good = [np.abs(array[1:]).max(axis=1, initial=0.0) <= 1e6 for array in (track.qpos, track.qvel)]
    good += [np.isfinite(track.act[1:]).all(axis=1), np.isfinite(track.relative_error), np.isfinite(track.root_error)]
    bad = np.flatnonzero(~np.logical_and.reduce(good))
    if not bad.size:
        return track
    n = int(bad[0])
    return replace(
        track, qpos=track.qpos[: n + 1], qvel=track.qvel[: n + 1], act=track.act[: n + 1],
        excitation=track.excitation[:n], relative_error=track.relative_error[:n], root_error=track.root_error[:n],
        base=None if track.base is None else track.base[:n], failure="physics",
    )  # fmt: skip


def _sha256(qpos: np.ndarray) -> str:
    """Hash of configurations."""
    return hashlib.sha256(np.ascontiguousarray(qpos, "<f8").data).hexdigest()
