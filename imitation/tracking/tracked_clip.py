"""A tracked motion as a clip, for everything that draws or exports clips."""

from dataclasses import replace

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.track_file import StoredTrack
from musclemap.errors import TrackError
from musclemap.skeletons.bodies import load_body_version


def tracked_clip(clip: Clip, track: StoredTrack) -> Clip:
    """Replace the motion of a clip by the tracked one.

    The result is a clip of the simulated body, which may be a variant of the clip's. Targets are the landmarks of the
    clip, and contacts are the clip's. Forces are left out, because they belong to the clip's motion. Muscles that the
    simulated body lacks have activation 0.

    Args:
        clip: Clip that was tracked.
        track: Its track.

    Returns:
        Clip with the frames of the track.

    Raises:
        TrackError: If the track does not belong to the clip.
        TargetError: If the body is not installed.
    """
    body = load_body_version(track.model, track.model_sha256, variant=track.variant)
    columns = (clip.qpos.shape[1], clip.qvel.shape[1])
    stored = (track.tracked_qpos.shape[1], track.tracked_qvel.shape[1])
    same = body.sha256 if track.variant != clip.variant else clip.model_sha256
    if (track.model, track.model_sha256) != (clip.model, same) or columns != stored:
        raise TrackError(f"the track is of {track.model} ({track.model_sha256[:12]}), the clip of {clip.model}")
    if track.start + track.nstep + 1 > clip.nframe:
        raise TrackError(f"the track has {track.start + track.nstep + 1} frames, the clip has {clip.nframe}")
    reference = clip.frames(slice(track.start, track.start + track.nstep + 1))
    model = body.model
    names = tuple(model.actuator(i).name for i in range(model.nu))
    unknown = set(track.muscle_names) - set(names)
    if unknown or columns != (model.nq, model.nv):
        raise TrackError(f"the track is of another body than {body.name}" + f": muscle {min(unknown)}" * bool(unknown))
    activation = np.zeros((len(track.tracked_act), model.nu), np.float32)
    activation[:, [names.index(name) for name in track.muscle_names]] = track.tracked_act
    return replace(
        reference, model_version=track.model_version, model_sha256=track.model_sha256, variant=track.variant,
        qpos=track.tracked_qpos, qvel=track.tracked_qvel, target_pos=reference.landmark_pos,
        landmark_pos=_landmarks(model, track.tracked_qpos, clip.landmark_names), activation=activation,
        muscle_names=names, activation_residual=None, support_names=(), bearing=None, ground_force=None,
        centre_of_pressure=None, moment_names=(), joint_moment=None, measured=None, estimated_force=None,
        plate_names=(), plate_force=None, plate_centre=None, plate_free_moment=None, plate_foot=None, force_source="",
    )  # fmt: skip


def _landmarks(model: mujoco.MjModel, qpos: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Positions of bodies [m], world frame, shape (nframe, nlandmark, 3)."""
    known = {model.body(b).name: b for b in range(model.nbody)}
    missing = [name for name in names if name not in known]
    if missing:
        raise TrackError(f"the body has no landmark {missing[0]}")
    ids, data = [known[name] for name in names], mujoco.MjData(model)
    result = np.empty((len(qpos), len(ids), 3), np.float32)
    for frame, row in enumerate(qpos):
        data.qpos[:] = row
        mujoco.mj_kinematics(model, data)
        result[frame] = data.xpos[ids]
    return result
