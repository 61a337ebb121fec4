"""Checks of finished clips: of a conversion's folder, or of any clips.

Clips that a manifest lists get their new verdict, in their file and in the manifest; others are only told of, as their
files may hold more than this version knows.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jax

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.manifest import VERDICTS, ManifestEntry
from musclemap.datasets.output_folder import OutputFolder, has_lines, open_output, write_listed
from musclemap.errors import ClipError, SettingsError
from musclemap.failures import Failure, attempt
from musclemap.pipelines.convert.conversion import is_full
from musclemap.pipelines.convert.prepare import converted
from musclemap.retarget.checks.physics_engines import choose_physics
from musclemap.retarget.checks.validator import Validator
from musclemap.retarget.config import RetargetConfig
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What was found in one clip.

    Attributes:
        clip: POSIX path below the folder.
        verdict: "feasible", "warn" or "infeasible"; None where it could not be checked.
        problem: Why it could not be checked, or its verdict not be kept; or empty.
        reasons: Rules that it breaks.
        metrics: Figures by name.
        nframe: Frames.
    """

    clip: str
    verdict: str | None
    problem: str = ""
    reasons: tuple[Any, ...] = ()
    metrics: dict[str, Any] | None = None
    nframe: int = 0


@dataclass(frozen=True, kw_only=True)
class Validation:
    """Result of a run: one entry a clip, the time it took [s], and whether the folder's manifest was written."""

    clips: tuple[Checked, ...]
    seconds: float
    written: bool

    @property
    def counts(self) -> dict[str, int]:
        """Number of clips of each verdict, and of those that could not be checked."""
        counted = {verdict: sum(c.verdict == verdict for c in self.clips) for verdict in VERDICTS}
        return counted | {"unchecked": sum(c.verdict is None for c in self.clips)}

    @property
    def nframe(self) -> int:
        """Frames that were checked."""
        return sum(c.nframe for c in self.clips)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        plain = {"counts": self.counts, "nframe": self.nframe, "seconds": self.seconds}
        return plain | {"clips": [asdict(clip) for clip in self.clips]}


def validate_clips(
    source: Path,
    *,
    config: RetargetConfig,
    muscles: bool = False,
    write: bool = True,
    device: Any = None,
    progress: Callable[[Checked], None] | None = None,
) -> Validation:
    """Check every clip below a folder, or one file.

    Args:
        source: Folder of clips (.h5), or one.
        config: Its part `validation` is used, and `limits`.
        muscles: Look for activations too; they are stored with clips that are written.
        write: Put verdicts into the clips of a manifest and into the manifest.
        device: JAX device; a GPU runs the checks in MuJoCo Warp.
        progress: Called after each clip.

    Raises:
        SettingsError: There is no clip.
        OutputError: The folder cannot be written to, or another run is writing to it.
    """
    started = time.perf_counter()
    root = source if source.is_dir() else source.parent
    paths = sorted(source.rglob("*.h5")) if source.is_dir() else [source]
    if not paths:
        raise SettingsError(f"there is no clip (.h5) below {source}")
    body = load_body(limits=config.joint_limits)
    validator = Validator(body, config.validation, physics=choose_physics(body, device))
    result: list[Checked] = []
    full = ""
    with ExitStack() as stack:
        stack.enter_context(jax.default_device(device))
        requested = write and source.is_dir() and has_lines(root)
        folder = stack.enter_context(open_output(root)) if requested else None
        listed = {entry.clip: entry for entry in folder.entries.values()} if folder is not None else {}
        for path in paths:
            name = path.relative_to(root).as_posix()
            entry = listed.get(name)
            if full:
                checked = Checked(clip=name, verdict=None, problem=full)
            else:
                checked, full = _check(path, root, validator, entry, folder, muscles=muscles)
            result.append(checked)
            if progress is not None:
                progress(checked)
        if folder is not None:
            folder.write_manifest()
    return Validation(clips=tuple(result), seconds=time.perf_counter() - started, written=folder is not None)


def _check(
    path: Path, root: Path, validator: Validator, entry: ManifestEntry | None, folder: OutputFolder | None,
    *, muscles: bool,
) -> tuple[Checked, str]:  # fmt: skip
    """What was found, and why the rest cannot be done, or ""."""
    name = path.relative_to(root).as_posix()

    def judge() -> Clip:
        clip = read_clip(path, sha256=entry.clip_sha256 if entry else None)
        _refuse_strangers(clip, validator.body)
        return validator.validate(clip, muscles=muscles)

    checked = attempt(judge)
    if isinstance(checked, Failure):
        problem = checked.message if checked.expected else f"the checks failed: {checked.message}"
        return Checked(clip=name, verdict=None, problem=problem), ""
    if folder is not None and entry is not None:
        kept = attempt(lambda: _keep(path, checked, folder, entry, name))
        if isinstance(kept, Failure):
            full = f"not checked: the disk of {root} is full" if is_full(kept.error) else ""
            return Checked(clip=name, verdict=None, problem=f"its verdict cannot be written: {kept.message}"), full
    return Checked(
        clip=name,
        verdict=checked.verdict,
        reasons=checked.reasons,
        metrics=dict(checked.metrics),
        nframe=checked.nframe,
    ), ""


def _keep(path: Path, checked: Clip, folder: OutputFolder, entry: ManifestEntry, name: str) -> None:
    """Put a verdict into the clip and into its line."""
    folder.record(
        write_listed(
            path, checked, announce=folder.announce,
            line=lambda sha256: converted(entry, checked, path=name, sha256=sha256),
        )
    )  # fmt: skip


def _refuse_strangers(clip: Clip, body: TargetBody) -> None:
    """Raise ClipError for a clip of another body, or of another version of this one."""
    model = body.model
    if clip.qpos.shape[1] != model.nq or clip.qvel.shape[1] != model.nv:
        raise ClipError(f"{clip.model} has {clip.qpos.shape[1]} positions, not the {model.nq} of {body.name}")
    if clip.model_sha256 != body.sha256:
        raise ClipError(
            f"it was made for {clip.model} {clip.model_version} ({clip.model_sha256[:12]}), this is {body.version} "
            f"({body.sha256[:12]}): convert its source again"
        )
    absent = [name for name in body.landmark_names if name not in clip.landmark_names]
    if absent:
        raise ClipError(f"it has no landmark {', '.join(absent)}")
