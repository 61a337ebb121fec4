"""A first table of a body of one's own, guessed from the names in its model."""

from pathlib import Path
from typing import NamedTuple

import mujoco

from musclemap.errors import TargetError
from musclemap.skeletons.body import SIDE_WORD
from musclemap.skeletons.couplings import couplings
from musclemap.skeletons.soles import colliding_geoms
from musclemap.toml_text import toml_lines

from .anatomy import FEET, JOINTS, TRACKING
from .body_table import BodyTable
from .myofullbody import FINGER_JOINTS
from .own_body import load_model, make_own_body

_USUAL: dict[str, tuple[str, ...]] = {
    "pelvis": ("pelvis",),
    "spine2": ("lumbar1", "torso", "thorax"),
    "head": ("head", "skull"),
    "shoulder": ("humerus", "upper_arm", "upperarm"),
    "elbow": ("ulna", "forearm", "lower_arm"),
    "wrist": ("lunate", "hand"),
    "hip": ("femur", "thigh"),
    "knee": ("tibia", "shank"),
    "ankle": ("talus",),
    "foot": ("toes",),
    "heel": ("calcn", "foot"),
    "toe": ("toes",),
}
"""Usual names of the bodies that start at a joint or touch the ground, without side: those of OpenSim's models (Delp et
al. 2007, IEEE Trans Biomed Eng 54) first."""

_TRUNK = ("torso", "thorax", "trunk", "abdomen")


class BodyTemplate(NamedTuple):
    """A first table.

    Attributes:
        text: TOML, with comments on what has to be checked.
        missing: What was not found in the model, as sentences; empty if the table is complete.
    """

    text: str
    missing: tuple[str, ...]


def body_template(model_path: Path, root: Path) -> BodyTemplate:
    """Guess the table of a body.

    Args:
        model_path: Its MJCF model.
        root: Folder that the table will be saved in, and that holds all files of the model.

    Raises:
        TargetError: If the model cannot be used at all: it is not in the folder, faulty, or names other files.
    """
    _, model = load_model(model_path, root)
    names = {model.body(b).name for b in range(1, model.nbody)}
    landmarks, feet, missing = {}, {}, []
    for joint in TRACKING:
        body = _find(names, joint)
        if body is None:
            missing.append(f"no body for {joint} (usual names: {', '.join(_candidates(joint))})")
        elif joint != "pelvis" and _fixed(model, body, landmarks.get("pelvis")):
            missing.append(f"{joint}: no joint moves {body} against the pelvis")
        else:
            landmarks[joint] = body
    for part in FEET:
        body = _find(names, part)
        if body is None:
            missing.append(f"no body for {part} (usual names: {', '.join(_candidates(part))})")
        else:
            feet[part] = body
    joints = {model.joint(j).name for j in range(model.njnt)}
    driven = {model.joint(c.driven).name for c in couplings(model)}
    fingers = [name for name in FINGER_JOINTS if name in joints]
    absent = [name for name in JOINTS if name not in joints]
    known = {*JOINTS, *FINGER_JOINTS, *driven}
    others = [model.joint(j).name for j in range(1, model.njnt) if model.joint(j).name not in known]
    if absent:
        missing.append(f"no joints named {', '.join(absent)}")
    if absent and others:
        missing.append(f"these may be among {', '.join(others[:40])}: name them in [joints]")
    values = {
        "name": _name(model_path),
        "model": model_path.resolve().relative_to(root.resolve()).as_posix(),
        "version": "",
        "trunk": [name for name in _TRUNK if name in names and colliding_geoms(model, name)],
        "finger_joints": fingers,
        "landmarks": landmarks,
        "feet": feet,
        "joints": {},
    }
    try:
        make_own_body(BodyTable(**{**values, "trunk": tuple(values["trunk"]), "finger_joints": tuple(fingers)}),
                      root / "table.toml")  # fmt: skip
    except TargetError as error:
        missing.append(f"not usable yet: {str(error).partition(': ')[2] or error}")
    head = ["# Body for --body. docs/own-body.md explains the keys. Save this file in", f"# {root.resolve()}"]
    head += [f"# CHECK: {sentence}" for sentence in missing]
    return BodyTemplate(text="\n".join([*head, "", *toml_lines(values)]) + "\n", missing=tuple(missing))


def _candidates(key: str) -> list[str]:
    """Names that a body may have, for a source joint or a part of a foot."""
    word, _, part = key.partition("_")
    side = {word: f"_{letter}" for letter, word in SIDE_WORD.items()}.get(word)
    return [*_USUAL[key]] if side is None else [f"{name}{side}" for name in _USUAL[part]]


def _find(names: set[str], key: str) -> str | None:
    lower = {name.lower(): name for name in sorted(names)}
    return next((lower[name] for name in _candidates(key) if name in lower), None)


def _fixed(model: mujoco.MjModel, body: str, pelvis: str | None) -> bool:
    """Whether no joint is between a body and the pelvis."""
    if pelvis is None:
        return False
    return model.body_weldid[model.body(body).id] == model.body_weldid[model.body(pelvis).id]


def _name(path: Path) -> str:
    """Name of the body from that of its file."""
    kept = "".join(c if c.isascii() and c.isalnum() else "_" for c in path.stem).strip("_")
    return kept[:60] or "Body"
