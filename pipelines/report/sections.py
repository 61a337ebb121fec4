"""Charts of a clip: landmark errors, feet, joint angles with their limits, and muscles if present."""

from functools import cache
from pathlib import Path

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip, read_clip
from musclemap.datasets.clip_schema import CONTACTS
from musclemap.failures import Failure, attempt
from musclemap.retarget.checks.evaluation import evaluate_clip
from musclemap.skeletons.bodies import BODIES, load_body, load_body_version
from musclemap.skeletons.body import TargetBody

from .encoding import Chart, Curve, Section
from .muscle_groups import OTHER, muscle_groups
from .sides import SIDE_WORD, side_of

_groups = cache(muscle_groups)


def clip_sections(clip: Clip, path: Path | None = None) -> tuple[list[Section], list[str]]:
    """Collect the charts of a clip.

    Args:
        clip: The clip.
        path: File to read activations from; if None, they are taken from `clip`.

    Returns:
        Sections with charts, and a note for everything that cannot be drawn or may be wrong.
    """
    sections = [_landmark_error(clip)]
    body = _body_of(clip) if _is_known_body(clip) else None
    if body is None:
        notes = [f"no charts of joints and feet: {clip.model} {clip.model_version} is not a known body"]
    else:
        version_differs = clip.model_version != body.version
        notes = [f"made for {clip.model} {clip.model_version}, measured with {body.version}"] * version_differs
        sections += [_feet(clip, body), *_joints(clip, body)]
        with_muscles = clip if path is None else attempt(lambda: read_clip(path))
        failed = isinstance(with_muscles, Failure)
        muscles, problems = ([], [with_muscles.message]) if failed else _muscles(with_muscles, body)
        sections += muscles
        notes += problems
    return [*sections, _each_landmark(clip)], notes


def _body_of(clip: Clip) -> TargetBody:
    limits = str(clip.config.get("joint_limits", "effective"))
    return load_body_version(clip.model, clip.model_sha256, limits=limits, variant=clip.variant)


def _is_known_body(clip: Clip) -> bool:
    """Whether a known body fits the configurations of the clip."""
    if clip.model not in BODIES or clip.config.get("joint_limits", "effective") not in ("effective", "declared"):
        return False
    body = load_body(clip.model)
    return clip.joint_names == body.joint_names and clip.qpos.shape[1] == body.model.nq


def _error_mm(clip: Clip) -> np.ndarray:
    """Distance of every landmark from its target [mm], shape (nframe, nlandmark)."""
    return np.linalg.norm(clip.landmark_pos - clip.target_pos, axis=2) * 1e3


def _landmark_error(clip: Clip) -> Section:
    error = _error_mm(clip)
    curves = (
        Curve(name="mean", values=error.mean(axis=1)),
        Curve(name="largest", values=error.max(axis=1), dashed=True),
    )
    chart = Chart(title="Distance of landmarks from their targets", unit="mm", curves=curves, wide=True)
    return Section(title="Landmark error", charts=(chart,))


def _each_landmark(clip: Clip) -> Section:
    error = _error_mm(clip)
    curves = {name: Curve(name=name, values=error[:, k]) for k, name in enumerate(clip.landmark_names)}
    return Section(title="Error of each landmark", charts=_paired(curves, unit="mm"), shown=False)


def _feet(clip: Clip, body: TargetBody) -> Section:
    """Heights of heels and toes above z = 0, with the contacts of the clip as bars."""
    height = evaluate_clip(body, clip.qpos).contact_pos[..., 2] * 100.0
    names = [(name, name[0]) for name in CONTACTS]  # "left heel", "l"
    curves = tuple(
        Curve(name=name, side=side, values=height[:, k], dashed="toe" in name) for k, (name, side) in enumerate(names)
    )
    bars = tuple((name, side, clip.contact[:, k]) for k, (name, side) in enumerate(names))
    chart = Chart(title="Heels and toes above z = 0; bars: contact", unit="cm", curves=curves, bars=bars, wide=True)
    return Section(title="Feet", charts=(chart,))


def _joints(clip: Clip, body: TargetBody) -> list[Section]:
    """Independent joints with the limits of the fit; fingers in a section of their own, if they were tracked."""
    tracked = clip.hands == "tracked"
    reduced = body.reduced_hands if tracked else body.reduced
    values = clip.qpos[:, reduced.qposadr]
    hinge = reduced.model.jnt_type[reduced.joint_ids] == mujoco.mjtJoint.mjJNT_HINGE
    curves: dict[tuple[bool, str], dict[str, Curve]] = {}
    for k, name in enumerate(reduced.joint_names):
        unit, scale = ("deg", float(np.degrees(1.0))) if hinge[k] else ("cm", 100.0)
        lower, upper = float(reduced.lower[k]) * scale, float(reduced.upper[k]) * scale
        curve = Curve(name=name, values=values[:, k] * scale, lower=lower, upper=upper)
        curves.setdefault((name in body.finger_joints, unit), {})[name] = curve
    charts = {key: _paired(group, unit=key[1]) for key, group in curves.items()}
    body_charts, finger_charts = (
        tuple(chart for (is_finger, _), group in charts.items() if is_finger == fingers for chart in group)
        for fingers in (False, True)
    )
    sections = [Section(title=f"Joints, with their {body.limits} limits", charts=body_charts)]
    return sections + [Section(title="Fingers", charts=finger_charts, shown=False)] * tracked


def _muscles(clip: Clip, body: TargetBody) -> tuple[list[Section], list[str]]:
    """Activations and residual torques, if the clip has them for this body, and notes."""
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
            curves = {name: Curve(name=name, values=values[:, k]) for k, name in enumerate(reduced.joint_names)}
            charts = _paired(curves, unit="Nm")
            sections.append(Section(title="Residual torque of the muscles", charts=charts, shown=False))
        else:
            notes.append(f"/{key} of shape {values.shape} does not fit this body and is not drawn")
    return sections, notes


def _activation(activation: np.ndarray, body: TargetBody) -> Section:
    """Mean activation of the muscles per joint and direction, dashed for those that decrease the angle."""
    charts: dict[str, list[Curve]] = {}
    for group in _groups(body):
        stem, side = side_of(group.joint)
        arrow = "" if group.joint == OTHER else "↑" if group.up else "↓"
        curve = Curve(
            name=f"{SIDE_WORD.get(side, '')} {arrow}".strip() or "mean", side=side, dashed=not group.up,
            values=activation[:, list(group.muscles)].mean(axis=1),
        )  # fmt: skip
        charts.setdefault(stem, []).append(curve)
    return Section(
        title="Mean activation of the muscles of each joint (↑ increase its angle, ↓ decrease it)",
        charts=tuple(Chart(title=k, unit="0 to 1", curves=tuple(curves), least=0.1) for k, curves in charts.items()),
    )


def _paired(curves: dict[str, Curve], *, unit: str) -> tuple[Chart, ...]:
    """One chart per joint or landmark, with right and left together."""
    charts: dict[str, list[Curve]] = {}
    for name, curve in curves.items():
        stem, side = side_of(name)
        label = SIDE_WORD.get(side, name)
        charts.setdefault(stem, []).append(
            Curve(name=label, side=side, values=curve.values, lower=curve.lower, upper=curve.upper)
        )
    return tuple(Chart(title=stem, unit=unit, curves=tuple(group)) for stem, group in charts.items())
