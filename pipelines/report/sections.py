"""What is drawn of a clip: landmark errors, feet, joint angles with their limits, muscles where there are any."""

from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.clip_schema import CONTACTS
from musclemap.failures import Failure, attempt
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.skeletons.bodies import BODIES, load_body
from musclemap.skeletons.body import TargetBody

from .encoding import Line, Panel, Section
from .muscle_groups import OTHER, muscle_groups
from .sides import SIDE_WORD, side_of

_body = cache(load_body)
_groups = cache(muscle_groups)


def clip_sections(clip: Clip, path: Path | None = None) -> tuple[list[Section], list[str]]:
    """Choose the curves of a clip.

    Args:
        clip: The clip.
        path: Its file, where activations are in that and not in `clip`.

    Returns:
        The curves, and a sentence for everything that cannot be drawn or may be wrong.
    """
    sections = [_landmark_error(clip)]
    body = _body(clip.model, limits=str(clip.config.get("joint_limits", "effective"))) if _is_known_body(clip) else None
    if body is None:
        notes = [f"the clip is of {clip.model} {clip.model_version}, whose joints and feet are not known here"]
    else:
        other = clip.model_version != body.version
        notes = [f"made for {clip.model} {clip.model_version}, measured on {body.version} here"] * other
        sections += [_feet(clip, body), *_joints(clip, body)]
        result = clip if path is None else attempt(lambda: read_clip(path))
        muscles, problems = ([], [result.message]) if isinstance(result, Failure) else _muscles(result, body)
        sections += muscles
        notes += problems
    return [*sections, _each_landmark(clip)], notes


def _is_known_body(clip: Clip) -> bool:
    """Whether the clip's configurations can be put on a body that is known here."""
    if clip.model not in BODIES or clip.config.get("joint_limits", "effective") not in ("effective", "declared"):
        return False
    body = _body(clip.model, limits="effective")
    return clip.joint_names == body.joint_names and clip.qpos.shape[1] == body.model.nq


def _error_mm(clip: Clip) -> np.ndarray:
    """Distance of every landmark from its target [mm], shape (nframe, nlandmark)."""
    return np.linalg.norm(clip.landmark_pos - clip.target_pos, axis=2) * 1e3


def _landmark_error(clip: Clip) -> Section:
    error = _error_mm(clip)
    lines = (Line(name="mean", values=error.mean(axis=1)), Line(name="largest", values=error.max(axis=1), dashed=True))
    panel = Panel(title="Landmarks from their targets", unit="mm", lines=lines, wide=True)
    return Section(title="Landmark error", panels=(panel,))


def _each_landmark(clip: Clip) -> Section:
    error = _error_mm(clip)
    lines = {name: Line(name=name, values=error[:, k]) for k, name in enumerate(clip.landmark_names)}
    return Section(title="Error of each landmark", panels=_paired(lines, unit="mm"), shown=False)


def _feet(clip: Clip, body: TargetBody) -> Section:
    """Heights of heels and toes over z = 0, and where the clip says that they touch the ground."""
    height = evaluate_clip(body, clip.qpos).contact_pos[..., 2] * 100.0
    names = [(name, name[0]) for name in CONTACTS]  # "left heel", "l"
    lines = tuple(
        Line(name=name, side=side, values=height[:, k], dashed="toe" in name) for k, (name, side) in enumerate(names)
    )
    bars = tuple((name, side, clip.contact[:, k]) for k, (name, side) in enumerate(names))
    panel = Panel(title="Heels and toes over z = 0; bars: contact", unit="cm", lines=lines, bars=bars, wide=True)
    return Section(title="Feet", panels=(panel,))


def _joints(clip: Clip, body: TargetBody) -> list[Section]:
    """Independent joints with the ranges that the fit keeps; fingers, apart, only where they were tracked."""
    tracked = clip.hands == "tracked"
    reduced = body.reduced_hands if tracked else body.reduced
    values = clip.qpos[:, reduced.qposadr]
    hinge = reduced.model.jnt_type[reduced.joint_ids] == mujoco.mjtJoint.mjJNT_HINGE
    lines: dict[tuple[bool, str], dict[str, Line]] = {}
    for k, name in enumerate(reduced.joint_names):
        unit, scale = ("deg", float(np.degrees(1.0))) if hinge[k] else ("cm", 100.0)
        lower, upper = float(reduced.lower[k]) * scale, float(reduced.upper[k]) * scale
        line = Line(name=name, values=values[:, k] * scale, lower=lower, upper=upper)
        lines.setdefault((name in body.finger_joints, unit), {})[name] = line
    panels = {key: _paired(result, unit=key[1]) for key, result in lines.items()}
    body_panels, finger_panels = (
        tuple(panel for (finger, _), result in panels.items() if finger == requested for panel in result)
        for requested in (False, True)
    )
    sections = [Section(title=f"Joints, with their {body.limits} limits", panels=body_panels)]
    return sections + [Section(title="Fingers", panels=finger_panels, shown=False)] * tracked


def _muscles(clip: Clip, body: TargetBody) -> tuple[list[Section], list[str]]:
    """Activations and the torques they leave unmet, where the clip has them for this body."""
    notes: list[str] = []
    sections = []
    for key in ("activation", "activation_residual"):
        values = getattr(clip, key)
        if values is None:
            continue
        values = values.astype(np.float64)
        reduced = next((r for r in (body.reduced, body.reduced_hands) if r.njoint == values.shape[1]), None)
        if key == "activation" and values.shape[1] == body.model.nu:
            sections.append(_activation(values, body))
        elif key == "activation_residual" and reduced is not None:
            lines = {name: Line(name=name, values=values[:, k]) for k, name in enumerate(reduced.joint_names)}
            panels = _paired(lines, unit="Nm")
            sections.append(Section(title="Torque that the muscles leave unmet", panels=panels, shown=False))
        else:
            notes.append(f"/{key} of shape {values.shape} does not go with this body and is not drawn")
    return sections, notes


def _activation(activation: np.ndarray, body: TargetBody) -> Section:
    """Mean activation of the muscles that turn each joint either way, dashed where they make its angle smaller."""
    panels: dict[str, list[Line]] = {}
    for group in _groups(body):
        stem, side = side_of(group.joint)
        way = "" if group.joint == OTHER else "↑" if group.up else "↓"
        line = Line(
            name=f"{SIDE_WORD.get(side, '')} {way}".strip() or "mean", side=side, dashed=not group.up,
            values=activation[:, list(group.muscles)].mean(axis=1),
        )  # fmt: skip
        panels.setdefault(stem, []).append(line)
    return Section(
        title="Mean activation of the muscles that turn each joint (↑ its angle up, ↓ down)",
        panels=tuple(Panel(title=k, unit="0 to 1", lines=tuple(lines), least=0.1) for k, lines in panels.items()),
    )


def _paired(lines: dict[str, Line], *, unit: str) -> tuple[Panel, ...]:
    """One panel for each name, right and left together."""
    panels: dict[str, list[Line]] = {}
    for name, line in lines.items():
        stem, side = side_of(name)
        whole = SIDE_WORD.get(side, name)
        panels.setdefault(stem, []).append(
            Line(name=whole, side=side, values=line.values, lower=line.lower, upper=line.upper)
        )
    return tuple(Panel(title=stem, unit=unit, lines=tuple(result)) for stem, result in panels.items())
