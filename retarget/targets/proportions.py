"""Proportions: the source skeleton with the target's bone lengths, and the target's T-pose that corresponds to it.

One small least-squares problem, solved to convergence: it fits the target's configuration and the source's bone lengths
(or, with a body model, its shape coefficients and size) together, so that the landmarks coincide in the T-pose. The
fitted skeleton and constant offsets absorb the remaining error, so that every target is met exactly in the T-pose.

The T-pose is the source's neutral pose, with straight legs (`neutral_pose.py`): the rest pose of a body model, from
which the rotations of its files start, bends knees sideways, which the target's hinges cannot. The result is turned
from the T-pose to the rest pose, segment by segment.
"""

from collections.abc import Callable
from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.smpl.body_model import BodyModel
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS
from musclemap.skeletons.smpl.neutral_pose import neutral_turns, turn_segments

_MATCHED_PARTS = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_LIMB_JOINTS = frozenset(f"{side}_{part}" for side in ("left", "right") for part in _MATCHED_PARTS if part != "collar")
_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}

NEUTRAL_WEIGHT = 3.0
"""Weight of the joints that are zero in the T-pose and of the pelvis's rotation [m/rad]. On a walk with known angles,
hip flexion is off by 8 degrees with 0.1 for the pelvis, and hip rotation by 5 with 0.02 for the hips."""

_FORWARD, _DOWN = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """Fitted source skeleton, and offsets of the target's landmarks from its joints, in the source's rest pose.

    Attributes:
        joints: Fitted source skeleton with the target's limb bones, in the rest pose, shape (22, 3) [m].
        turns: Rotation of each joint's segment from the T-pose to the rest pose, shape (22, 3, 3).
        landmark_offset: Offset of each landmark from its carrier joint, shape (nlandmark, 3) [m].
        landmark_rot: Orientation of each landmark's body in the rest pose, shape (nlandmark, 3, 3).
        contact_offset: Offsets of the heels from the ankle joints and of the toes from the foot joints, in the order of
            the contact parts, shape (4, 3) [m].
        support_bone: Source joint whose segment carries each of the body's support points, shape (npoint,).
        support_offset: Centre of each relative to this joint, shape (npoint, 3) [m].
        support_rot: Orientation of its axes, shape (npoint, 3, 3).
        t_pose: Target configuration in the T-pose, shape (7 + njoint,).
        rms: Root mean square misfit of limb bones and of the trunk's landmarks, before the offsets [m].
        iterations: Function evaluations of the fit.
        optimality: Norm of the scaled gradient at the solution; small if the fit converged.
        betas: Fitted shape coefficients, shape (nbeta,), or None without a body model.
    """

    joints: np.ndarray
    turns: np.ndarray
    landmark_offset: np.ndarray
    landmark_rot: np.ndarray
    contact_offset: np.ndarray
    support_bone: np.ndarray
    support_offset: np.ndarray
    support_rot: np.ndarray
    t_pose: np.ndarray
    rms: float
    iterations: int
    optimality: float
    betas: np.ndarray | None


class _TPose:
    """Kinematics of the symmetric target in MuJoCo C, with the quantities that the fit compares."""

    def __init__(self, body: TargetBody) -> None:
        self.body = body
        self.model = model = body.symmetric_model
        self.data = mujoco.MjData(model)
        self.arms = [
            (model.joint(arm.elbow).id, [model.body(name).id for name in (arm.wrist, arm.index, arm.little)], arm.side)
            for arm in body.fit.arms
        ]

    def set_configuration(self, q: np.ndarray) -> None:
        self.data.qpos[:] = self.body.reduced.expand(q[None])[0]
        mujoco.mj_kinematics(self.model, self.data)

    def landmarks(self) -> np.ndarray:
        return self.data.xpos[self.body.landmark_ids]

    def landmark_rot(self) -> np.ndarray:
        return self.data.xmat[self.body.landmark_ids].reshape(-1, 3, 3)

    def contacts(self) -> np.ndarray:
        xpos, xmat = self.data.xpos, self.data.xmat
        first = len(self.body.fitted)
        points = self.body.points[first : first + self.body.ncontact]
        return np.array([xpos[p.body] + xmat[p.body].reshape(3, 3) @ np.asarray(p.offset) for p in points])

    def support(self) -> tuple[np.ndarray, np.ndarray]:
        """Centres of the body's support points, shape (npoint, 3), and orientations of their axes (npoint, 3, 3)."""
        support, xmat = self.body.support, self.data.xmat.reshape(-1, 3, 3)
        rot = xmat[support.body]
        return self.data.xpos[support.body] + (rot @ support.offset[..., None])[..., 0], rot @ support.rot

    def pose_cues(self) -> np.ndarray:
        """Residuals, shape (6 narm + 2,): 0 if elbows flex forward, palms face down and soles are level."""
        cues = []
        for elbow, hand, side in self.arms:
            lunate, second, fifth = (self.data.xpos[b] for b in hand)
            swing = np.cross(self.data.xaxis[elbow], lunate - self.data.xanchor[elbow])
            cues.append(swing / np.linalg.norm(swing) - _FORWARD)
            palm = np.cross(second - lunate, fifth - lunate) * (1.0 if side == "r" else -1.0)
            cues.append(palm / np.linalg.norm(palm) - _DOWN)
        z = self.contacts()[:, 2]
        return np.concatenate([*cues, [z[0] - z[1], z[2] - z[3]]])


def _bone_groups() -> tuple[np.ndarray, int]:
    """Assign the source's bones to groups of one length: one group for each left-right pair and one for the spine.

    Returns:
        Group of each joint's bone, shape (22,), -1 for the root; and the number of groups.
    """
    names: list[str] = []
    group = np.zeros(22, int)
    for joint, name in enumerate(BODY_NAMES):
        key = "spine" if "_" not in name else name.split("_")[1]
        if joint and key not in names:
            names.append(key)
        group[joint] = names.index(key) if joint else -1
    return group, len(names)


def fit_proportions(body: TargetBody, source_joints: np.ndarray, *, body_model: BodyModel | None = None) -> Proportions:
    """Fit the source skeleton and the target's T-pose to each other.

    Args:
        body: Target body.
        source_joints: The subject's rest joints, shape (22, 3) [m]; without a body model only their directions matter.
        body_model: Body model whose shape space to fit in, or None for free bone lengths.

    Returns:
        Fitted skeleton, offsets and the quality of the fit.
    """
    reduced, pose = body.reduced, _TPose(body)
    rest_joints, shape0 = _shape_space(source_joints, body_model)
    followed_joint = np.array([_JOINT[landmark.joint] for landmark in body.landmarks])

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        quat = Rotation.from_rotvec(x[3:6]).as_quat(scalar_first=True)
        return np.concatenate([x[:3], quat, x[6 : reduced.ndof]]), x[reduced.ndof :]

    initial_joints = reduced.rest.copy()
    for name, value in body.fit.t_pose.items():
        initial_joints[reduced.index(name)] = value
    prior_joints = initial_joints.copy()  # small priors decide joints that the landmarks do not measure
    prior_weight = np.full(reduced.njoint, 0.02)
    prior_weight[[reduced.index(name) for name in body.fit.neutral]] = NEUTRAL_WEIGHT
    weight = np.ones(body.nlandmark)
    weight[[k for k, landmark in enumerate(body.landmarks) if landmark.joint not in _LIMB_JOINTS]] = 0.2

    def skeleton(shape: np.ndarray) -> np.ndarray:
        """Joints of the T-pose in target axes, shape (22, 3) [m]."""
        joints = rest_joints(shape)
        return turn_segments(joints, np.swapaxes(neutral_turns(joints), 1, 2)) @ body.source_to_target.T

    def residual(x: np.ndarray) -> np.ndarray:
        q, shape = unpack(x)
        pose.set_configuration(q)
        error = weight[:, None] * _bone_errors(body, pose.landmarks() - skeleton(shape)[followed_joint])
        prior_shape = shape - 1.0 if body_model is None else np.concatenate([shape[:1] - 1.0, shape[1:]]) * 0.3
        return np.concatenate(
            [
                error.ravel(),
                0.3 * pose.pose_cues(),
                prior_weight * (x[6 : reduced.ndof] - prior_joints),
                NEUTRAL_WEIGHT * x[3:6],
                0.01 * prior_shape,
            ]
        )

    x0 = np.concatenate([np.zeros(6), np.clip(initial_joints, reduced.lower, reduced.upper), shape0])
    unbounded = np.full(6, np.inf), np.full(len(shape0), np.inf)
    lower = np.concatenate([-unbounded[0], reduced.lower, -unbounded[1]])
    upper = np.concatenate([unbounded[0], reduced.upper, unbounded[1]])
    fit = least_squares(residual, x0, bounds=(lower - 1e-9, upper + 1e-9), xtol=1e-12, ftol=1e-12, gtol=1e-12)
    q, shape = unpack(fit.x)
    q[NROOT:] = np.clip(q[NROOT:], reduced.lower, reduced.upper)
    pose.set_configuration(q)
    return _make_proportions(pose, q, skeleton(shape), rest_joints(shape), fit, body_model, shape)


def _bone_errors(body: TargetBody, error: np.ndarray) -> np.ndarray:
    """Errors of limb bones from those of landmarks, shape (nlandmark, 3) [m]; hips, shoulders and trunk keep theirs.

    Limbs are compared bone by bone, so that a shoulder that is further back does not turn the arm forwards.
    """
    names = [landmark.joint for landmark in body.landmarks]
    relative = error.copy()
    for k, name in enumerate(names):
        parent = BODY_NAMES[BODY_PARENTS[_JOINT[name]]]
        if name in _LIMB_JOINTS and parent in _LIMB_JOINTS and parent in names:
            relative[k] -= error[names.index(parent)]
    return relative


def _shape_space(
    source_joints: np.ndarray, body_model: BodyModel | None
) -> tuple[Callable[[np.ndarray], np.ndarray], np.ndarray]:
    """Return a function from shape parameters to rest joints, shape (22, 3) [m], and initial parameters.

    The parameters are the factors of the bone lengths, or the size and size * betas of a body model. The root is at the
    origin.
    """
    group, ngroup = _bone_groups()

    def rest_joints(shape: np.ndarray) -> np.ndarray:
        if body_model is not None:
            joints = shape[0] * body_model.joint_template[:22] + body_model.joint_dirs[:22] @ shape[1:]
        else:
            joints = np.zeros((22, 3))
            for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
                joints[joint] = joints[parent] + shape[group[joint]] * (source_joints[joint] - source_joints[parent])
        return joints - joints[0]

    if body_model is None:
        return rest_joints, np.ones(ngroup)
    return rest_joints, np.concatenate([[1.0], np.zeros(body_model.joint_dirs.shape[2])])


def _make_proportions(
    pose: _TPose, q: np.ndarray, fitted: np.ndarray, rest: np.ndarray, fit, body_model, shape
) -> Proportions:  # fmt: skip
    """Replace the fitted limb joints by the target's landmarks, express all points as offsets, and turn to the rest."""
    body = pose.body
    landmarks = pose.landmarks().copy()
    joints = fitted.copy()
    error = landmarks - fitted[[_JOINT[landmark.joint] for landmark in body.landmarks]]
    for k, landmark in enumerate(body.landmarks):
        if landmark.joint in _LIMB_JOINTS:
            joints[_JOINT[landmark.joint]] = landmarks[k]
    turns = neutral_turns(rest, joints @ body.source_to_target)  # its bones then have the rest pose's directions
    carrier = [_JOINT[landmark.carrier] for landmark in body.landmarks]
    oriented = [_JOINT[landmark.orientation or landmark.carrier] for landmark in body.landmarks]
    contact_carrier = [_JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")]
    to_source = body.source_to_target  # multiplied from the right, it applies its transpose to row vectors
    turned = lambda by, vectors: np.einsum("kij,kj->ki", turns[by], vectors @ to_source)  # noqa: E731
    bone = np.array([_JOINT[name] for part in body.support_parts for name in part.carriers], int)[body.support.carrier]
    centre, rot = pose.support()
    return Proportions(
        joints=turn_segments(joints @ to_source, turns),
        turns=turns,
        landmark_offset=turned(carrier, landmarks - joints[carrier]),
        landmark_rot=np.einsum("kij,lj,klm->kim", turns[oriented], to_source, pose.landmark_rot()),
        contact_offset=turned(contact_carrier, pose.contacts() - joints[contact_carrier]),
        support_bone=bone,
        support_offset=turned(bone, centre - joints[bone]),
        support_rot=np.einsum("kij,lj,klm->kim", turns[bone], to_source, rot),
        t_pose=q,
        rms=float(np.sqrt(np.mean(np.sum(_bone_errors(body, error) ** 2, axis=1)))),
        iterations=int(fit.nfev),
        optimality=float(fit.optimality),
        betas=None if body_model is None else shape[1:] / shape[0],
    )
