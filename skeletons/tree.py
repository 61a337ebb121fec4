"""The part of a body's kinematic tree that moves a set of points, arranged in levels for batched kinematics."""

from dataclasses import dataclass
from typing import NamedTuple

import mujoco
import numpy as np

from musclemap.errors import TargetError

from .reduced import ReducedCoordinates


class BodyPoint(NamedTuple):
    """A point fixed to a body: body id and offset in the body's frame [m]."""

    body: int
    offset: tuple[float, float, float] = (0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True, eq=False)
class Tree:
    """Joints as links with one degree of freedom each, `nlevel` deep and `width` wide; unused slots are padding.

    A link's frame has its origin at the joint's anchor and rotates with the joint. The slot of a link (level, lane) is
    `level * width + lane`; slot `nlevel * width` is the root body.

    Attributes:
        reduced: Reduced coordinates that drive the tree.
        parent_lane: Lane of the parent in the level above, shape (nlevel, width); at level 0 every parent is the root.
        offset: Anchor in the parent link's frame [m], shape (nlevel, width, 3).
        rot: Rest orientation of the link's frame in its parent's, shape (nlevel, width, 3, 3).
        axis: Joint axis in the link's frame, shape (nlevel, width, 3); zero for padding.
        slide: 1 for a slide, 0 for a hinge, shape (nlevel, width).
        driver: Independent joint that moves the link (0 if `coef` is zero), shape (nlevel, width).
        coef: Polynomial of the driver's deviation from qpos0, shape (nlevel, width, 5).
        point_slot: Slot that carries each point, shape (npoint,).
        point_offset: Point in that slot's frame [m], shape (npoint, 3).
        point_rot: Rotation of the point's body in that slot's frame, shape (npoint, 3, 3).
        point_mask: Whether a degree of freedom moves a point, shape (npoint, ndof).
        ancestor: ancestor[d, e] is True if d is e or lies between e and the root, shape (ndof, ndof).
    """

    reduced: ReducedCoordinates
    parent_lane: np.ndarray
    offset: np.ndarray
    rot: np.ndarray
    axis: np.ndarray
    slide: np.ndarray
    driver: np.ndarray
    coef: np.ndarray
    point_slot: np.ndarray
    point_offset: np.ndarray
    point_rot: np.ndarray
    point_mask: np.ndarray
    ancestor: np.ndarray


def _matrix(quat: np.ndarray) -> np.ndarray:
    out = np.empty(9)
    mujoco.mju_quat2Mat(out, np.asarray(quat, dtype=np.float64))
    return out.reshape(3, 3)


class _Link(NamedTuple):
    joint: int
    parent: int  # index into the list of links, -1 for the root
    offset: np.ndarray
    rot: np.ndarray


def _links(
    reduced: ReducedCoordinates, bodies: set[int]
) -> tuple[list[_Link], dict[int, tuple[int, np.ndarray, np.ndarray]]]:
    """List the links above `bodies`, and for every body its link and its pose in that link's frame."""
    model = reduced.model
    root = int(model.jnt_bodyid[0]) if reduced.free else 0
    required: set[int] = set()
    for body in bodies:
        while body != root:
            if body == 0:
                raise TargetError("a point is on a body that does not descend from the free root")
            required.add(body)
            body = int(model.body_parentid[body])
    links: list[_Link] = []
    carrier: dict[int, tuple[int, np.ndarray, np.ndarray]] = {root: (-1, np.zeros(3), np.eye(3))}
    for body in sorted(required):
        link, pos, rot = carrier[int(model.body_parentid[body])]
        pos = pos + rot @ model.body_pos[body]
        rot = rot @ _matrix(model.body_quat[body])
        for joint in range(model.body_jntadr[body], model.body_jntadr[body] + model.body_jntnum[body]):
            if reduced.driver[joint] < 0:  # held or locked: part of the fixed transform
                pos, rot = _apply_locked(reduced, joint, pos, rot)
                continue
            anchor = pos + rot @ model.jnt_pos[joint]
            links.append(_Link(joint, link, anchor, rot))
            link, pos, rot = len(links) - 1, -model.jnt_pos[joint], np.eye(3)
        carrier[body] = (link, pos, rot)
    return links, carrier


def _apply_locked(
    reduced: ReducedCoordinates, joint: int, pos: np.ndarray, rot: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Pose after a joint at its constant value."""
    model, adr = reduced.model, reduced.model.jnt_qposadr[joint]
    value, axis = reduced.base[adr] - model.qpos0[adr], model.jnt_axis[joint]
    if model.jnt_type[joint] == mujoco.mjtJoint.mjJNT_SLIDE:
        return pos + rot @ axis * value, rot
    quat = np.empty(4)
    mujoco.mju_axisAngle2Quat(quat, axis, value)
    anchor, turned = pos + rot @ model.jnt_pos[joint], rot @ _matrix(quat)
    return anchor - turned @ model.jnt_pos[joint], turned


def build_tree(reduced: ReducedCoordinates, points: list[BodyPoint]) -> Tree:
    """Build the kinematic tree of the joints that move some points.

    Args:
        reduced: Independent coordinates of the body.
        points: Points to track.

    Raises:
        TargetError: If a point is not on the floating body, or one driver's joints are partly above and partly below a
            point, so that no single Jacobian column describes them.
    """
    links, carrier = _links(reduced, {p.body for p in points})
    depth: list[int] = []
    for link in links:
        depth.append(0 if link.parent < 0 else depth[link.parent] + 1)
    nlevel = max(depth, default=-1) + 1
    lanes = [[k for k in range(len(links)) if depth[k] == level] for level in range(nlevel)]
    width = max((len(lane) for lane in lanes), default=1)
    lane_of = {k: lane.index(k) for lane in lanes for k in lane}
    slot = {k: depth[k] * width + lane_of[k] for k in range(len(links))} | {-1: nlevel * width}

    shape = (nlevel, width)
    parent_lane, slide, driver = np.zeros(shape, np.int32), np.zeros(shape), np.zeros(shape, np.int32)
    offset, axis, coef = np.zeros((*shape, 3)), np.zeros((*shape, 3)), np.zeros((*shape, 5))
    rot = np.tile(np.eye(3), (*shape, 1, 1))
    model = reduced.model
    for k, link in enumerate(links):
        index = (depth[k], lane_of[k])
        parent_lane[index] = 0 if link.parent < 0 else lane_of[link.parent]
        offset[index], rot[index], axis[index] = link.offset, link.rot, model.jnt_axis[link.joint]
        slide[index] = model.jnt_type[link.joint] == mujoco.mjtJoint.mjJNT_SLIDE
        driver[index], coef[index] = reduced.driver[link.joint], reduced.coef[link.joint]

    point_mask = _point_mask(reduced, links, [(p.body, carrier[p.body][0]) for p in points])
    return Tree(
        reduced=reduced,
        parent_lane=parent_lane,
        offset=offset,
        rot=rot,
        axis=axis,
        slide=slide,
        driver=driver,
        coef=coef,
        point_slot=np.array([slot[carrier[p.body][0]] for p in points], np.int32),
        point_offset=np.array([carrier[p.body][1] + carrier[p.body][2] @ np.asarray(p.offset) for p in points]),
        point_rot=np.array([carrier[p.body][2] for p in points]),
        point_mask=point_mask,
        ancestor=_ancestors(point_mask),
    )


def _point_mask(reduced: ReducedCoordinates, links: list[_Link], points: list[tuple[int, int]]) -> np.ndarray:
    """Find the degrees of freedom that move each point, given by its body and link; shape (npoint, ndof)."""
    above = _above(links)
    mask = np.zeros((len(points), reduced.ndof), bool)
    mask[:, :6] = True
    for p, (body, link) in enumerate(points):
        path = above[link]
        for d in range(reduced.njoint):
            group = {k for k, link in enumerate(links) if reduced.driver[link.joint] == d}
            if group & path and group - path:
                name, body_name = reduced.joint_names[d], reduced.model.body(body).name
                raise TargetError(f"joints driven by {name} are both above and below body {body_name}")
            mask[p, 6 + d] = bool(group & path)
    return mask


def _above(links: list[_Link]) -> dict[int, set[int]]:
    """For every link the set of links on its path to the root, including itself."""
    above: dict[int, set[int]] = {-1: set()}
    for k, link in enumerate(links):
        above[k] = above[link.parent] | {k}
    return above


def _ancestors(point_mask: np.ndarray) -> np.ndarray:
    """Order degrees of freedom by the points they move: d is above e if d moves every point that e moves.

    Two that move the same points keep their given order, which makes the relation triangular.
    """
    ndof = point_mask.shape[1]
    covers: np.ndarray = np.all(point_mask[:, None, :] <= point_mask[:, :, None], axis=0)
    moves: np.ndarray = np.any(point_mask, axis=0)
    same = covers & covers.T
    order = np.arange(ndof)
    related = covers & (~same | (order[:, None] <= order[None, :]))
    return related & moves[:, None] & moves[None, :]
