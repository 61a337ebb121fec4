"""Import of trajectories that others fitted to this body, as clips.

Joints are matched by name; joints that the file lacks (fingers, or the legs in bimanual files) stay at rest. Couplings
are enforced: independent joints keep their values and driven joints get those of their polynomials, from which the
published files deviate by up to 0.48 rad. Velocities, landmarks and contacts are computed again, and imported clips
pass the same checks as all others.
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
from musclemap.pipelines.convert.conversion import Announce, ConversionResult, stop_if_disk_full, write_clip_entry
from musclemap.pipelines.convert.prepare import entry_without_clip, stale_reason
from musclemap.pipelines.convert.progress import Progress, Tracker
from musclemap.pipelines.convert.run_recorder import RunRecorder
from musclemap.reason_codes import ReasonCode
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.retarget.checks.physics_engines import choose_physics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.config import RetargetConfig
from musclemap.retarget.retargeter import MIN_FRAMES
from musclemap.retarget.software import software_versions
from musclemap.retarget.targets.contacts import detect_contacts
from musclemap.retarget.velocities import velocities
from musclemap.settings import to_dict
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody

TARGETS = "the landmarks themselves: the file holds configurations, and not what they were fitted to"


@dataclass(frozen=True, kw_only=True)
class TrajectorySource:
    """Provenance of a trajectory.

    Attributes:
        path: Local file.
        name: POSIX path that identifies the trajectory in the manifest.
        clip: POSIX path of its clip below the output folder.
        collection: Collection that the file belongs to: a repository of the hub, or another name.
        file: Path within the collection.
        revision: Commit of the collection, or None.
        licence: Licence of the collection, or "unknown".
        sha256: Published hash of the file, so that it need not be present to be identified; or None.
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
    """Converts trajectories to clips.

    Args:
        config: Settings; only `body`, `default_fps`, `joint_limits`, `contact` and `validation` are used.
        device: JAX device for the checks; None for JAX's choice.
    """

    def __init__(self, config: RetargetConfig, *, device: Any = None) -> None:
        device = device if device is not None else jax.devices()[0]
        self._device = device
        self.config = config
        self.body = load_body(
            limits=config.joint_limits, published=config.body.published, variant=config.body.variant
        )  # fmt: skip
        self._software = software_versions(device.platform)
        self._validator = Validator(self.body, config.validation, physics=choose_physics(self.body, device))

    def provenance(self, source: TrajectorySource) -> dict[str, Any]:
        """Attributes that decide whether a clip is up to date."""
        import_facts = {
            "collection": source.collection, "file": source.file, "revision": source.revision,
            "licence": source.licence, "targets": TARGETS, "subject_scale": "not known, told as 1",
        }  # fmt: skip
        used = {
            "body": to_dict(self.config.body), "joint_limits": self.config.joint_limits,
            "contact": asdict(self.config.contact),
            "default_fps": self.config.default_fps, "validation": asdict(self.config.validation),
        }  # fmt: skip
        return {
            "config": {"import": import_facts, **used},
            "software": self._software,
            "model_sha256": self.body.sha256,
            "licence": source.licence,
        }

    def make_clip(self, trajectory: Trajectory, source: TrajectorySource) -> Clip:
        """Convert a trajectory to a clip with its verdict.

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
            raise SourceError(ReasonCode.NO_FRAME_RATE, "the file has no frequency; set one with --set default_fps=100")
        if len(trajectory.qpos) < MIN_FRAMES:
            raise SourceError(
                ReasonCode.TOO_SHORT, f"the file holds {len(trajectory.qpos)} frames; {MIN_FRAMES} are needed"
            )
        projected, changes = project(self.body, trajectory)
        if self.body.model.joint(0).name not in trajectory.joint_names:
            # There is no root in the file, so the resting body is placed on the floor.
            projected[:, 2] -= evaluate_clip(self.body, projected[:1]).clearance.min()
        qpos, qvel = projected.astype(np.float32), velocities(projected, fps).astype(np.float32)
        evaluation = evaluate_clip(self.body, qpos)
        contact, floor = detect_contacts(
            evaluation.contact_pos, qpos[:, 2].astype(np.float64), fps, self.config.contact
        )
        fingers = set(self.body.finger_joints) & set(trajectory.joint_names)
        unchecked = Clip(
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
            variant=self.body.variant,
            source=source.name,
            source_sha256=trajectory.sha256,
            source_fps=trajectory.frequency,
            fps_source="frequency" if trajectory.frequency else "assumed",
            body_model="not known",
            subject_scale=1.0,
            hands="tracked" if fingers else "locked",
            metrics={**changes, "targets": "landmarks", "floor_m": floor},
            verdict="warn",
            reasons=(),
            **self.provenance(source),
        )
        with jax.default_device(self._device):
            muscles = self.config.validation.muscles
            return self._validator.validate(unchecked, evaluation=evaluation, muscles=muscles)


def project(body: TargetBody, trajectory: Trajectory) -> tuple[np.ndarray, dict[str, Any]]:
    """Reorder a trajectory's joints to the body's order, and project its driven joints onto their couplings.

    Args:
        body: Target body.
        trajectory: Trajectory with some or all joints of the body.

    Returns:
        Configurations, shape (nframe, nq), float64, with every independent joint as in the file; and the changes: the
        number of joints at rest because the file lacks them, the largest change of a driven joint [rad] and the name of
        that joint, and the largest deviation of a root quaternion from unit length.

    Raises:
        SourceError: With code unknown_joint, bad_joints or bad_quaternion.
    """
    model, columns = body.model, joint_columns(trajectory)
    names = body.joint_names
    unknown = [name for name in trajectory.joint_names if name not in names]
    if unknown:
        more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
        raise SourceError(ReasonCode.UNKNOWN_JOINT, f"{body.name} has no joint {', '.join(unknown[:5])}{more}")
    reduced = body.reduced_hands
    original = np.tile(reduced.base, (len(trajectory.qpos), 1))
    for joint, name in enumerate(names):
        if name in columns:
            column = columns[name]
            width = column.stop - column.start
            if width != (7 if joint == 0 else 1):
                raise SourceError(
                    ReasonCode.UNKNOWN_JOINT, f"{name} has {width} columns, unlike the joint of {body.name}"
                )
            first = model.jnt_qposadr[joint]
            original[:, first : first + width] = trajectory.qpos[:, column]
    norm = np.linalg.norm(original[:, 3:7], axis=1)
    if not (norm > 0.5).all():
        raise SourceError(ReasonCode.BAD_QUATERNION, f"the root's quaternion has length {norm.min():.3g} in some frame")
    original[:, 3:7] /= norm[:, None]
    projected = reduced.expand(reduced.reduce(original))
    in_file = np.array([joint for joint, name in enumerate(names) if joint and name in columns])
    change = np.abs(projected - original)[:, model.jnt_qposadr[in_file]].max(axis=0, initial=0.0)
    largest = int(change.argmax()) if change.size else -1
    return projected, {
        "joints_at_rest": len(names) - len(columns),
        "import_coupling_change_rad": float(change.max(initial=0.0)),
        "import_coupling_change_name": names[in_file[largest]] if largest >= 0 and change[largest] > 0 else "",
        "import_quaternion_error": float(np.abs(norm - 1.0).max()),
    }


def joint_columns(trajectory: Trajectory) -> dict[str, slice]:
    """Columns of each joint in `qpos`, by name.

    If the file does not describe joint types, surplus columns mean that the first joint is a free joint.

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
        raise SourceError(ReasonCode.BAD_JOINTS, f"qpos has {nq} columns, which do not match {len(names)} joints")
    starts = [0, *stops[:-1].tolist()]
    return {name: slice(start, stop) for name, start, stop in zip(names, starts, stops.tolist(), strict=True)}


def import_trajectories(
    sources: Sequence[TrajectorySource],
    out: Path,
    importer: TrajectoryImporter,
    *,
    unavailable: Mapping[str, str] | None = None,
    overwrite: bool = False,
    progress: Callable[[ManifestEntry, int, int], None] | None = None,
) -> Summary:
    """Import trajectories as clips. Each gets its manifest line; clips that are up to date are kept.

    A clip of an earlier run keeps its line if its file is unavailable now.

    Args:
        sources: The trajectories.
        out: Output folder.
        importer: Makes the clips.
        unavailable: Reasons of files that could not be obtained, by name; each gets its manifest line, too.
        overwrite: Import trajectories whose clips are up to date, too.
        progress: Called after each file with its manifest line, the number of finished files, and the total.

    Raises:
        OutputError: If the folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    unavailable_items = {name: Selected(path=Path(), name=name, clip="") for name in unavailable or {}}
    items = {source.name: Selected(path=source.path, name=source.name, clip=source.clip) for source in sources}
    with open_output(out) as folder:
        selected = [*unavailable_items.values(), *items.values()]
        run = RunRecorder(folder, selected, track=Tracker(selected, report=_progress_callback(progress)))

        def results() -> Iterator[ConversionResult]:
            for name, reason in (unavailable or {}).items():
                item = unavailable_items[name]
                entry = entry_without_clip(item, status="failed", code=ReasonCode.DOWNLOAD, message=reason)
                yield ConversionResult(item=item, entry=entry)
            for source in sources:
                item, known = items[source.name], folder.entries.get(source.name)
                if known is not None and not overwrite and up_to_date(importer, source, out, known):
                    yield ConversionResult(item=item, entry=known, kept=True)
                    continue
                entry = _import(importer, source, item, folder.root, folder.announce)
                yield ConversionResult(item=item, entry=entry)
                stop_if_disk_full(entry, folder.root)

        run.record_all(results())
        folder.write_manifest()
    return Summary(
        out=out,
        entries=tuple(sorted(run.recorded.values(), key=lambda entry: entry.source)),
        kept=frozenset(run.kept),
        problems=folder.problems,
        seconds=time.perf_counter() - started,
        stopped=run.stopped,
    )


def _progress_callback(
    progress: Callable[[ManifestEntry, int, int], None] | None,
) -> Callable[[Progress], None] | None:
    """Adapt a callback that takes manifest line, count and total to `Tracker`."""
    if progress is None:
        return None
    return lambda now: progress(now.entry, now.nclip, now.total) if now.entry is not None else None


def _import(
    importer: TrajectoryImporter, source: TrajectorySource, item: Selected, root: Path, announce: Announce
) -> ManifestEntry:
    """Import one trajectory; return its manifest line."""
    trajectory = attempt(lambda: read_trajectory(source.path), code=ReasonCode.IMPORT_CRASH)
    if isinstance(trajectory, Failure):
        return _failure_entry(item, trajectory)
    clip = attempt(lambda: importer.make_clip(trajectory, source), code=ReasonCode.IMPORT_CRASH)
    if isinstance(clip, Failure):
        entry = _failure_entry(item, clip)
    else:
        entry = write_clip_entry(item, clip, root, announce=announce, failure_entry=partial(entry_without_clip, item))
    return replace(entry, source_sha256=trajectory.sha256)


def _failure_entry(item: Selected, failure: Failure) -> ManifestEntry:
    code = ReasonCode.BAD_CLIP if isinstance(failure.error, ClipError) else failure.code
    status = "rejected" if isinstance(failure.error, SourceError) else "failed"
    return entry_without_clip(item, status=status, code=code, message=failure.message)


def up_to_date(importer: TrajectoryImporter, source: TrajectorySource, out: Path, known: ManifestEntry) -> bool:
    """Whether a clip is intact and was made from the same bytes, with the same settings and software."""

    def reason() -> str:
        source_sha256 = source.sha256 or sha256_of(source.path)
        if (known.status, known.clip, known.source_sha256) != ("ok", source.clip, source_sha256):
            return "made from another file"
        return stale_reason(out / source.clip, sha256=known.clip_sha256, requested=importer.provenance(source))

    return attempt(reason) == ""
