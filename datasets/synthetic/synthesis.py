"""Built-in motions in AMASS's form, generated from published figures, for trying everything without a download.

They represent no recorded person. Walks come from tables of normal gait, the others from minimum-jerk movements. All
fit the mean skeleton, whose feet on the ground do not move, with the floor at z = 0.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np

from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.formats.npz import npz_bytes
from musclemap.datasets.motion import UNKNOWN_LICENCE, SourceMotion
from musclemap.errors import SettingsError, SourceError
from musclemap.reason_codes import ReasonCode

from . import exercises as exercises
from . import jump as synthetic_jump
from .walk import walk

LICENCE = "CC0-1.0"
"""Licence of the built-in motions, as an SPDX identifier."""

NBETA = 16
NHAND_JOINT = 30

_Motion = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]


def _walk(time: np.ndarray, *, speed: float) -> tuple[np.ndarray, np.ndarray]:
    return walk(speed, time=time)


_CATALOGUE: dict[str, tuple[str, float, _Motion]] = {
    **{f"walk_{speed}": ("walk", 6.0, partial(_walk, speed=speed)) for speed in (0.8, 1.2, 1.6)},
    "squat": ("exercise", 4.0, exercises.squat),
    "arm_raise": ("exercise", 6.7, exercises.arm_raise),
    "reach": ("exercise", 5.6, exercises.reach),
    "turn": ("exercise", exercises.TURN_DURATION, exercises.turn_around),
    "jump": ("exercise", synthetic_jump.STANDING + 0.4, synthetic_jump.jump),
}
"""Folder, duration [s] and function of each motion."""


def motion_names() -> tuple[str, ...]:
    """Names of the built-in motions; the number after "walk" is the speed [m/s]."""
    return tuple(_CATALOGUE)


def synthesise(name: str, *, fps: float = 120.0, seconds: float | None = None) -> SourceMotion:
    """Generate a built-in motion.

    Args:
        name: One of `motion_names()`.
        fps: Frame rate [Hz].
        seconds: Duration; by default the motion's own. A walk lasts as long as requested; the others, which start and
            end in standing, are repeated or cut.

    Raises:
        SettingsError: If the name is unknown (the message lists the known ones), or if rate and duration give fewer
            than two frames.
    """
    if name not in _CATALOGUE:
        raise SettingsError(f"there is no built-in motion {name!r}; the motions are {', '.join(motion_names())}")
    folder, duration, motion = _CATALOGUE[name]
    time = _instants(fps=fps, seconds=duration if seconds is None else seconds)
    rotvec, trans = motion(time if folder == "walk" else time % duration)
    return _source_motion(f"builtin/{folder}/{name}_poses.npz", rotvec, trans, fps=fps)


def long_motion(seconds: float, *, speed: float = 1.2, radius: float = 50.0, fps: float = 120.0) -> SourceMotion:
    """Generate a walk in a large circle of any duration, for measuring time and memory; an hour takes under a minute.

    Args:
        seconds: Duration.
        speed: Walking speed [m/s].
        radius: Radius of the circle [m]; feet slip by about speed * 0.4 m / radius, 1 cm/s by default.
        fps: Frame rate [Hz].
    """
    rotvec, trans = walk(speed, time=_instants(fps=fps, seconds=seconds), radius=radius)
    return _source_motion(f"builtin/walk/long_{seconds:g}s_poses.npz", rotvec, trans, fps=fps)


def write_motion(path: Path, motion: SourceMotion) -> None:
    """Write a motion in the layout of AMASS's SMPL-H files, plus `licence`. The same motion gives the same bytes.

    Raises:
        SourceError: If the motion is not of the family SMPL-H, because readers assume SMPL-H betas, or has a skeleton
            of its own, which the layout cannot hold ("bad_shape").
    """
    if motion.family != "smplh" or motion.rest_joints is not None:
        own = "" if motion.rest_joints is None else " with its own skeleton"
        raise SourceError(
            ReasonCode.BAD_SHAPE, f"{motion.name} is of family {motion.family}{own}; only smplh without is written"
        )
    nframe = motion.nframe
    hands = np.zeros((nframe, NHAND_JOINT, 3)) if motion.hand_rotvec is None else motion.hand_rotvec
    betas = np.zeros(NBETA)
    betas[: len(motion.betas)] = motion.betas
    arrays = {
        "poses": np.concatenate([motion.rotvec.reshape(nframe, -1), hands.reshape(nframe, -1)], axis=1),
        "trans": motion.trans,
        "betas": betas,
        "gender": np.array(motion.gender),
        "mocap_framerate": np.array(float(motion.fps)),
    }
    if motion.licence != UNKNOWN_LICENCE:
        arrays["licence"] = np.array(motion.licence)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, npz_bytes(arrays))


def write_archive(folder: Path, names: Sequence[str] | None = None, seconds: float | None = None) -> tuple[Path, ...]:
    """Write built-in motions as a small archive, in the folders given by their names.

    Args:
        folder: Root of the archive.
        names: Motions to write; by default all.
        seconds: Duration of each; by default its own.

    Returns:
        Paths of the files, such as folder/builtin/walk/walk_1.2_poses.npz.
    """
    paths = []
    for name in motion_names() if names is None else names:
        motion = synthesise(name, seconds=seconds)
        paths.append(Path(folder, *PurePosixPath(motion.name).parts))
        write_motion(paths[-1], motion)
    return tuple(paths)


def _instants(*, fps: float, seconds: float) -> np.ndarray:
    if not (fps > 0.0 and seconds * fps >= 1.0):
        raise SettingsError(f"{seconds} s at {fps} Hz give fewer than two frames")
    return np.arange(int(np.floor(seconds * fps + 1e-9)) + 1) / fps


def _source_motion(name: str, rotvec: np.ndarray, trans: np.ndarray, *, fps: float) -> SourceMotion:
    return SourceMotion(
        name=name,
        rotvec=rotvec,
        hand_rotvec=np.broadcast_to(0.0, (len(rotvec), NHAND_JOINT, 3)),  # flat hands, without allocating memory
        trans=trans,
        betas=np.zeros(NBETA),
        gender="neutral",
        family="smplh",
        fps=fps,
        fps_source="synthetic",
        source_fps=fps,
        sha256="",
        licence=LICENCE,
    )
