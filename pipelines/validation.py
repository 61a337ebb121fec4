"""Validation of existing clips.

Clips that a manifest lists get their new verdict, in their file and in the manifest. Other clips are only reported,
because their files may hold data that this version does not know.
"""

import time
from collections.abc import Callable, Collection
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.manifest import VERDICTS, ManifestEntry
from musclemap.datasets.output_folder import OutputFolder, clip_files, has_lines, open_output, write_listed
from musclemap.errors import ClipError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.pipelines.clip_bodies import clips_of_body
from musclemap.pipelines.convert.conversion import is_disk_full
from musclemap.pipelines.convert.prepare import entry_with_clip
from musclemap.retarget.checks.physics_engines import choose_physics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.checks.verdict import rules_with
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.bodies import load_clip_body
from musclemap.skeletons.body import TargetBody

MAX_BODIES = 8
"""Most validators that are kept; a folder's clips may be of any number of variants."""


@dataclass(frozen=True, kw_only=True)
class CheckedClip:
    """Validation result of one clip.

    Attributes:
        clip: POSIX path below the folder.
        verdict: "feasible", "warn" or "infeasible"; None if the clip could not be checked.
        problem: Why the clip could not be checked or its verdict not be written, or an empty string.
        reasons: Rules that the clip breaks.
        metrics: Metrics by name.
        nframe: Number of frames.
        fps: Frame rate [Hz].
    """

    clip: str
    verdict: str | None
    problem: str = ""
    reasons: tuple[Any, ...] = ()
    metrics: dict[str, Any] | None = None
    nframe: int = 0
    fps: float = 100.0


@dataclass(frozen=True, kw_only=True, repr=False)
class ValidationResult:
    """Result of a validation: one entry per clip, the duration [s], and whether the folder's manifest was written."""

    clips: tuple[CheckedClip, ...]
    seconds: float
    written: bool

    def __repr__(self) -> str:
        counts = ", ".join(f"{count} {name}" for name, count in self.counts.items() if count)
        return f"<ValidationResult: {counts}, {self.seconds:.0f} s>"

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips per verdict, and of clips that could not be checked."""
        counts = {verdict: sum(c.verdict == verdict for c in self.clips) for verdict in VERDICTS}
        return counts | {"unchecked": sum(c.verdict is None for c in self.clips)}

    @property
    def nframe(self) -> int:
        """Number of frames that were checked."""
        return sum(c.nframe for c in self.clips)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        facts = {"counts": self.counts, "nframe": self.nframe, "seconds": self.seconds}
        return facts | {"clips": [asdict(clip) for clip in self.clips]}


def validate_clips(
    source: Path,
    *,
    config: RetargetConfig,
    muscles: bool = False,
    write: bool = True,
    body: str | None = None,
    device: Any = None,
    names: Collection[str] | None = None,
    progress: Callable[[CheckedClip], None] | None = None,
) -> ValidationResult:
    """Check every clip below a folder, or one file.

    Args:
        source: Folder of clips (.h5), or one clip.
        config: Settings; only `validation` and `joint_limits` are used.
        muscles: Compute activations, too; they are stored with clips that are written.
        write: Write verdicts to the clips that a manifest lists and to the manifest.
        body: Only clips of this body, a key of `BODY_OPTIONS`.
        device: JAX device; a GPU runs the checks in MuJoCo Warp.
        names: Paths below the folder of the clips to check; None for all.
        progress: Called after each clip with its result.

    Raises:
        SettingsError: If there is no clip, or none of the body.
        OutputError: If the folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    root = source if source.is_dir() else source.parent
    paths = clip_files(source) if source.is_dir() else [source]
    if names is not None:
        paths = [path for path in paths if path.relative_to(root).as_posix() in names]
    if not paths:
        raise SettingsError(f"there is no clip (.h5) below {source}")
    paths = clips_of_body(paths, body)
    validators = _Validators(config, device)
    results: list[CheckedClip] = []
    disk_full = ""
    with ExitStack() as stack:
        stack.enter_context(jax.default_device(device))
        writes = write and source.is_dir() and has_lines(root)
        folder = stack.enter_context(open_output(root)) if writes else None
        listed = {entry.clip: entry for entry in folder.entries.values()} if folder is not None else {}
        for path in paths:
            name = path.relative_to(root).as_posix()
            entry = listed.get(name)
            if disk_full:
                checked = CheckedClip(clip=name, verdict=None, problem=disk_full)
            else:
                checked, disk_full = _check(path, root, validators, entry, folder, muscles=muscles)
            results.append(checked)
            if progress is not None:
                progress(checked)
        if folder is not None:
            folder.write_manifest()
    return ValidationResult(clips=tuple(results), seconds=time.perf_counter() - started, written=folder is not None)


def validate_clip(clip: Clip, *, config: RetargetConfig, muscles: bool = False, device: Any = None) -> Clip:
    """Check one clip in memory.

    Args:
        clip: The clip.
        config: Settings; only `validation` and `joint_limits` are used.
        muscles: Compute activations, too.
        device: JAX device; a GPU runs the checks in MuJoCo Warp.

    Returns:
        The clip with its verdict, reasons and metrics, forces and, if requested, activations.

    Raises:
        ClipError: If the clip is of a version that is not installed.
        TargetError: If its body is not known.
    """
    with jax.default_device(device):
        return _Validators(config, device).validator_of(clip).validate(clip, muscles=muscles)


class _Validators:
    """Validator of each version of the body, created for its first clip."""

    def __init__(self, config: RetargetConfig, device: Any) -> None:
        rules_with(config.validation.thresholds)  # raises SettingsError before any clip is read
        self._config, self._device = config, device
        self._validators: dict[str, Validator] = {}

    def validator_of(self, clip: Clip) -> Validator:
        """Validator of the version that a clip was made for.

        Raises:
            ClipError: If the clip is of a version that is not installed.
            TargetError: If its body is not known.
        """
        limits = self._config.joint_limits
        body = load_clip_body(clip.model, clip.model_sha256, limits=limits, variant=clip.variant)
        _check_body(clip, body)
        if body.sha256 not in self._validators:
            if len(self._validators) >= MAX_BODIES:
                self._validators.clear()
            physics = choose_physics(body, self._device)
            self._validators[body.sha256] = Validator(body, self._config.validation, physics=physics)
        return self._validators[body.sha256]


def _check(
    path: Path, root: Path, validators: "_Validators", entry: ManifestEntry | None, folder: OutputFolder | None,
    *, muscles: bool,
) -> tuple[CheckedClip, str]:  # fmt: skip
    """Result of one clip, and why the remaining clips cannot be checked, or an empty string."""
    name = path.relative_to(root).as_posix()

    def validate() -> Clip:
        clip = read_clip(path, sha256=entry.clip_sha256 if entry else None)
        return validators.validator_of(clip).validate(clip, muscles=muscles)

    checked = attempt(validate)
    if isinstance(checked, Failure):
        problem = checked.message if checked.expected else f"the checks failed: {checked.message}"
        return CheckedClip(clip=name, verdict=None, problem=problem), ""
    if folder is not None and entry is not None:
        written = attempt(lambda: _write_verdict(path, checked, folder, entry, name))
        if isinstance(written, Failure):
            disk_full = f"not checked: the disk of {root} is full" if is_disk_full(written.error) else ""
            problem = f"its verdict cannot be written: {written.message}"
            return CheckedClip(clip=name, verdict=None, problem=problem), disk_full
    return CheckedClip(
        clip=name,
        verdict=checked.verdict,
        reasons=checked.reasons,
        metrics=dict(checked.metrics),
        nframe=checked.nframe,
        fps=checked.fps,
    ), ""


def _write_verdict(path: Path, checked: Clip, folder: OutputFolder, entry: ManifestEntry, name: str) -> None:
    """Write a verdict to the clip and to its manifest line."""
    folder.record(
        write_listed(
            path, checked, announce=folder.announce,
            line=lambda sha256: entry_with_clip(entry, checked, path=name, sha256=sha256),
        )
    )  # fmt: skip


def _check_body(clip: Clip, body: TargetBody) -> None:
    """Raise ClipError if a clip is of another body or of another version of this body."""
    model = body.model
    if clip.qpos.shape[1] != model.nq or clip.qvel.shape[1] != model.nv:
        raise ClipError(f"{clip.model} has {clip.qpos.shape[1]} position coordinates; {body.name} has {model.nq}")
    if clip.model_sha256 != body.sha256:
        raise ClipError(
            f"it was made for {clip.model} {clip.model_version} ({clip.model_sha256[:12]}), but the installed version "
            f"is {body.version} ({body.sha256[:12]}); convert its source again"
        )
    missing = [name for name in body.landmark_names if name not in clip.landmark_names]
    if missing:
        raise ClipError(f"it lacks the landmarks {', '.join(missing)}")
