"""Trajectories that others fitted to this body, as clips of ours.

Joints are matched by name; what the file does not have (fingers, or the legs in files of both arms) rests. Couplings
are projected: independent joints stay as they are and driven ones get what their polynomials say, by which the
published files are up to 0.48 rad off. Velocities, landmarks and contacts are found anew, and the checks are those of
every clip.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.datasets.downloads.transport import sha256_of
from musclemap.datasets.formats.locomujoco import Trajectory, read_trajectory
from musclemap.datasets.manifest import ManifestEntry
from musclemap.datasets.output_folder import open_output
from musclemap.datasets.selection import Selected
from musclemap.datasets.summary import Summary
from musclemap.errors import ClipError, SourceError
from musclemap.failures import Failure, attempt
from musclemap.pipelines.convert.conversion import Announce, ConversionResult, stop_if_full, write_line
from musclemap.pipelines.convert.prepare import clip_fault, unconverted
from musclemap.pipelines.convert.progress import Progress, Tracker
from musclemap.pipelines.convert.run_recorder import RunRecorder
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.checks.physics_engines import choose_physics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import MIN_FRAMES, software_versions
from musclemap.retarget.targets.contacts import detect_contacts
from musclemap.retarget.velocities import velocities
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody

TARGETS = "the landmarks themselves: the file holds configurations, and not what they were fitted to"


@dataclass(frozen=True, kw_only=True)
class Origin:
    """Where a trajectory is from.

    Attributes:
        path: The file here.
        name: POSIX path by which the manifest knows it.
        clip: POSIX path of its clip below the output folder.
        collection: What it was part of: a repository of the hub, or another name.
        file: Its path there.
        revision: Commit of the collection, or None.
        licence: Licence of the collection, or "unknown".
        sha256: Hash of the file as its publisher tells it, so that it need not be here to be known; or None.
    """

    path: Path
    name: str
    clip: str
    collection: str
    file: str
    revision: str | None
    licence: str
    sha256: str | None = None


class TrajectoryImporter:
    """Makes clips of trajectories.

    Args:
        config: `default_fps`, `limits`, `contact` and `validation` are used.
        device: JAX device of the checks; None for JAX's own choice.
    """

    def __init__(self, config: RetargetConfig, *, device: Any = None) -> None:
        device = device if device is not None else jax.devices()[0]
        self._device = device
        self.config = config
        self.body = load_body(limits=config.joint_limits)
        self._software = software_versions(device.platform)
        self._validator = Validator(self.body, config.validation, physics=choose_physics(self.body, device))

    def provenance(self, origin: Origin) -> dict[str, Any]:
        """Attributes that decide whether a clip is up to date."""
        message = {
            "collection": origin.collection, "file": origin.file, "revision": origin.revision,
            "licence": origin.licence, "targets": TARGETS, "subject_scale": "not known, told as 1",
        }  # fmt: skip
        used = {
            "joint_limits": self.config.joint_limits, "contact": asdict(self.config.contact),
            "default_fps": self.config.default_fps, "validation": asdict(self.config.validation),
        }  # fmt: skip
        return {
            "config": {"import": message, **used},
            "software": self._software,
            "model_sha256": self.body.sha256,
            "licence": origin.licence,
        }

    def clip(self, trajectory: Trajectory, origin: Origin) -> Clip:
        """The clip of a trajectory, judged.

        Raises:
            SourceError: With one of these codes: several_motions, unknown_joint, bad_joints,
                bad_quaternion, no_frame_rate, too_short.
        """
        if trajectory.nmotion != 1:
            raise SourceError(
                ReasonCode.SEVERAL_MOTIONS, f"the file holds {trajectory.nmotion} motions; split it first"
            )
        fps = trajectory.frequency or self.config.default_fps
        if not fps:
            raise SourceError(ReasonCode.NO_FRAME_RATE, "the file has no frequency; --set default_fps=100 tells one")
        if len(trajectory.qpos) < MIN_FRAMES:
            raise SourceError(
                ReasonCode.TOO_SHORT, f"the file holds {len(trajectory.qpos)} frames; {MIN_FRAMES} are needed"
            )
        full, changes = project(self.body, trajectory)
        if self.body.model.joint(0).name not in trajectory.joint_names:
            full[:, 2] -= evaluate_clip(self.body, full[:1]).clearance.min()  # the body at rest stands on the floor
        qpos, qvel = full.astype(np.float32), velocities(full, fps).astype(np.float32)
        evaluation = evaluate_clip(self.body, qpos)
        contact, floor = detect_contacts(
            evaluation.contact_pos, qpos[:, 2].astype(np.float64), fps, self.config.contact
        )
        fingers = set(self.body.finger_joints) & set(trajectory.joint_names)
        unjudged = Clip(
            qpos=qpos,
            qvel=qvel,
            landmark_pos=evaluation.landmark_pos,
            target_pos=evaluation.landmark_pos,
            contact=contact.astype(np.uint8),
            fps=fps,
            joint_names=self.body.joint_names,
            landmark_names=self.body.landmark_names,
            model=self.body.name,
            model_version=self.body.version,
            source=origin.name,
            source_sha256=trajectory.sha256,
            source_fps=trajectory.frequency,
            fps_source="frequency" if trajectory.frequency else "assumed",
            body_model="not known",
            subject_scale=1.0,
            hands="tracked" if fingers else "locked",
            metrics={**changes, "targets": "landmarks", "floor_m": floor},
            verdict="warn",
            reasons=(),
            **self.provenance(origin),
        )
        with jax.default_device(self._device):
            muscles = self.config.validation.muscles
            return self._validator.validate(unjudged, evaluation=evaluation, muscles=muscles)


def project(body: TargetBody, trajectory: Trajectory) -> tuple[np.ndarray, dict[str, Any]]:
    """Put a trajectory's joints into the body's order, and its driven joints onto their couplings.

    Args:
        body: Target.
        trajectory: With joints of the body, or some of them.

    Returns:
        Configurations, shape (nframe, nq), float64, every independent joint as in the file; and what was changed: how
        many joints rest because the file does not have them, how far and which driven joint was moved most, and how far
        root quaternions were from unit length.

    Raises:
        SourceError: With code unknown_joint, bad_joints or bad_quaternion.
    """
    model, columns = body.model, joint_columns(trajectory)
    names = body.joint_names
    strangers = [name for name in trajectory.joint_names if name not in names]
    if strangers:
        more = f" and {len(strangers) - 5} more" if len(strangers) > 5 else ""
        raise SourceError(ReasonCode.UNKNOWN_JOINT, f"{body.name} has no joint {', '.join(strangers[:5])}{more}")
    reduced = body.reduced_hands
    given = np.tile(reduced.base, (len(trajectory.qpos), 1))
    for joint, name in enumerate(names):
        if name in columns:
            column = columns[name]
            width = column.stop - column.start
            if width != (7 if joint == 0 else 1):
                raise SourceError(
                    ReasonCode.UNKNOWN_JOINT, f"{name} has {width} columns, which is not the joint of {body.name}"
                )
            first = model.jnt_qposadr[joint]
            given[:, first : first + width] = trajectory.qpos[:, column]
    norm = np.linalg.norm(given[:, 3:7], axis=1)
    if not (norm > 0.5).all():
        raise SourceError(ReasonCode.BAD_QUATERNION, f"the root's quaternion has length {norm.min():.3g} in some frame")
    given[:, 3:7] /= norm[:, None]
    full = reduced.expand(reduced.reduce(given))
    stated = np.array([joint for joint, name in enumerate(names) if joint and name in columns])
    moved = np.abs(full - given)[:, model.jnt_qposadr[stated]].max(axis=0, initial=0.0)
    most = int(moved.argmax()) if moved.size else -1
    return full, {
        "joints_at_rest": len(names) - len(columns),
        "import_coupling_change_rad": float(moved.max(initial=0.0)),
        "import_coupling_change_name": names[stated[most]] if most >= 0 and moved[most] > 0 else "",
        "import_quaternion_error": float(np.abs(norm - 1.0).max()),
    }


def joint_columns(trajectory: Trajectory) -> dict[str, slice]:
    """Where each joint is in `qpos`. Without types a free joint shows in the number of columns, and is the first.

    Raises:
        SourceError: With code bad_joints.
    """
    names, nq = trajectory.joint_names, trajectory.qpos.shape[1]
    if trajectory.jnt_type is not None:
        free = trajectory.jnt_type == mujoco.mjtJoint.mjJNT_FREE
    else:
        free = (np.arange(len(names)) == 0) & (nq > len(names))
    stops = np.cumsum(np.where(free, 7, 1))
    if not len(names) or stops[-1] != nq:
        raise SourceError(ReasonCode.BAD_JOINTS, f"qpos has {nq} columns, which {len(names)} joints do not have")
    starts = [0, *stops[:-1].tolist()]
    return {name: slice(start, stop) for name, start, stop in zip(names, starts, stops.tolist(), strict=True)}


def import_trajectories(
    origins: Sequence[Origin],
    out: Path,
    importer: TrajectoryImporter,
    *,
    unavailable: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Callable[[ManifestEntry, int, int], None] | None = None,
) -> Summary:
    """Make clips of trajectories; each gets its line in the manifest, and those up to date are kept.

    A clip of an earlier run whose file could not be had now keeps its line.

    Args:
        origins: The files.
        out: Output folder.
        importer: Makes the clips.
        unavailable: Reasons of files that could not be had, by name; they get their lines too.
        overwrite: Make again what is up to date.
        progress: Called after each file with its line, the number done, and that of all.

    Raises:
        OutputError: The folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    lost = {name: Selected(path=Path(), name=name, clip="") for name in unavailable or {}}
    items = {origin.name: Selected(path=origin.path, name=origin.name, clip=origin.clip) for origin in origins}
    with open_output(out) as folder:
        requested = [*lost.values(), *items.values()]
        run = RunRecorder(folder, requested, track=Tracker(requested, report=_teller(progress)))

        def lines() -> Iterator[ConversionResult]:
            for name, reason in (unavailable or {}).items():
                entry = unconverted(lost[name], status="failed", code=ReasonCode.DOWNLOAD, message=reason)
                yield ConversionResult(item=lost[name], entry=entry)
            for origin in origins:
                item, known = items[origin.name], folder.entries.get(origin.name)
                if known is not None and not overwrite and up_to_date(importer, origin, out, known):
                    yield ConversionResult(item=item, entry=known, kept=True)
                    continue
                entry = _import(importer, origin, item, folder.root, folder.announce)
                yield ConversionResult(item=item, entry=entry)
                stop_if_full(entry, folder.root)

        run.take(lines())
        folder.write_manifest()
    return Summary(
        out=out,
        entries=tuple(sorted(run.recorded.values(), key=lambda entry: entry.source)),
        kept=frozenset(run.kept),
        problems=folder.problems,
        seconds=time.perf_counter() - started,
        stopped=run.stopped,
    )


def _teller(progress: Callable[[ManifestEntry, int, int], None] | None) -> Callable[[Progress], None] | None:
    if progress is None:
        return None
    return lambda now: progress(now.entry, now.nclip, now.total) if now.entry is not None else None


def _import(
    importer: TrajectoryImporter, origin: Origin, item: Selected, root: Path, announce: Announce
) -> ManifestEntry:
    """Make and write one clip; returns its line."""
    trajectory = attempt(lambda: read_trajectory(origin.path), code=ReasonCode.IMPORT_CRASH)
    if isinstance(trajectory, Failure):
        return _lost(item, trajectory)
    clip = attempt(lambda: importer.clip(trajectory, origin), code=ReasonCode.IMPORT_CRASH)
    if isinstance(clip, Failure):
        entry = _lost(item, clip)
    else:
        entry = write_line(item, clip, root, announce=announce, lost=partial(unconverted, item))
    return replace(entry, source_sha256=trajectory.sha256)


def _lost(item: Selected, failure: Failure) -> ManifestEntry:
    code = ReasonCode.BAD_CLIP if isinstance(failure.error, ClipError) else failure.code
    status = "rejected" if isinstance(failure.error, SourceError) else "failed"
    return unconverted(item, status=status, code=code, message=failure.message)


def up_to_date(importer: TrajectoryImporter, origin: Origin, out: Path, known: ManifestEntry) -> bool:
    """Whether a clip is whole and was made of the same bytes, in the same way, by the same software."""

    def fault() -> str:
        source_sha256 = origin.sha256 or sha256_of(origin.path)
        if (known.status, known.clip, known.source_sha256) != ("ok", origin.clip, source_sha256):
            return "made of another file"
        return clip_fault(out / origin.clip, sha256=known.clip_sha256, requested=importer.provenance(origin))

    return attempt(fault) == ""
