"""BVH: the landmark bodies as a skeleton for animation programs; centimetres, y up, z forward at rest.

The rest pose is the model's qpos0. Every joint also has position channels, which replace its offset: shoulder girdle,
lumbar spine and knees also translate, so the landmarks are exact.
"""

import warnings

import numpy as np
from scipy.spatial.transform import Rotation

from musclemap.datasets.clip import Clip

from .export_body import ExportBody

WORLD_TO_BVH = np.array([[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, -1.0, 0.0]])
CHANNELS = "6 Xposition Yposition Zposition Zrotation Xrotation Yrotation"
CENTIMETRES = 100.0

END_SHARE = 0.5
"""Length of an end site relative to the bone before it; it only makes the last bone visible."""


def bvh_bytes(clip: Clip, body: ExportBody) -> bytes:
    """Encode a clip as BVH.

    Raises:
        ClipError: If the clip is of another body.
    """
    qpos, qvel = body.state(clip)
    rest, motion = body.motion(body.model.qpos0[None], np.zeros((1, body.model.nv))), body.motion(qpos, qvel)
    parents = _parents(body)
    rows = [f"Frames: {clip.nframe}", f"Frame Time: {1.0 / clip.fps:.9g}"]
    rest_xmat = rest.xmat.reshape(-1, 3, 3)
    turned = WORLD_TO_BVH @ motion.xmat.reshape(clip.nframe, -1, 3, 3) @ rest_xmat.swapaxes(1, 2) @ WORLD_TO_BVH.T
    xpos, rest_xpos = (CENTIMETRES * array @ WORLD_TO_BVH.T for array in (motion.xpos, rest.xpos[0]))
    columns, lines = [], ["HIERARCHY"]
    for child in _depth_first(parents):
        parent = parents[child]
        if parent < 0:
            columns += [xpos[:, child], _euler(turned[:, child])]
        else:
            inverse = turned[:, parent].swapaxes(1, 2)
            relative = inverse @ (xpos[:, child] - xpos[:, parent])[..., None]
            columns += [relative[..., 0], _euler(inverse @ turned[:, child])]
    lines += _joint(_depth_first(parents)[0], parents, rest_xpos, body, depth=0)
    values = np.concatenate(columns, axis=1)
    rows += [" ".join(["%.6f"] * values.shape[1]) % tuple(row) for row in values.tolist()]
    return "\n".join([*lines, "MOTION", *rows, ""]).encode()


def _parents(body: ExportBody) -> dict[int, int]:
    """Nearest landmark body above each landmark body; -1 for the first landmark, to which all others are attached."""
    ids = {body.body_names.index(name) for name in body.target.landmark_names}
    root = body.body_names.index(body.target.landmark_names[0])
    parents = {}
    for b in sorted(ids):
        ancestor = int(body.model.body_parentid[b])
        while ancestor > 0 and ancestor not in ids:
            ancestor = int(body.model.body_parentid[ancestor])
        parents[b] = -1 if b == root else ancestor or root
    return parents


def _depth_first(parents: dict[int, int]) -> list[int]:
    order = []
    pending = [b for b, parent in parents.items() if parent < 0]
    while pending:
        b = pending.pop()
        order.append(b)
        pending += sorted((child for child, parent in parents.items() if parent == b), reverse=True)
    return order


def _joint(b: int, parents: dict[int, int], xpos: np.ndarray, body: ExportBody, *, depth: int) -> list[str]:
    """Lines of a joint and all joints below it."""
    parent, pad = parents[b], "\t" * depth
    offset = xpos[b] - xpos[parent] if parent >= 0 else np.zeros(3)
    kind = "JOINT" if parent >= 0 else "ROOT"
    lines = [
        f"{pad}{kind} {body.body_names[b]}",
        f"{pad}{{",
        f"{pad}\t{_offset(offset)}",
        f"{pad}\tCHANNELS {CHANNELS}",
    ]
    children = sorted(child for child, parent in parents.items() if parent == b)
    for child in children:
        lines += _joint(child, parents, xpos, body, depth=depth + 1)
    if not children:
        lines += [f"{pad}\tEnd Site", f"{pad}\t{{", f"{pad}\t\t{_offset(END_SHARE * offset)}", f"{pad}\t}}"]
    return [*lines, f"{pad}}}"]


def _offset(offset: np.ndarray) -> str:
    return "OFFSET " + " ".join(f"{value:.6f}" for value in offset + 0.0)


def _euler(matrices: np.ndarray) -> np.ndarray:
    """Rotations about z, then x, then y of the body [deg], without jumps."""
    with warnings.catch_warnings():  # in gimbal lock any split between the two angles is correct
        warnings.simplefilter("ignore", UserWarning)
        return np.degrees(np.unwrap(Rotation.from_matrix(matrices).as_euler("ZXY"), axis=0))
