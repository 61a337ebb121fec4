"""Proportions: the source skeleton with the target's bones, and the target's T-pose that it corresponds to.

One small least-squares problem, solved to convergence: the target's configuration and the source's bone lengths (or,
with a body model, its shape coefficients and size) are moved together until the landmarks coincide in the T-pose. What
is left goes into the fitted skeleton and constant offsets, so that in the T-pose every target is met exactly.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from musclemap.skeletons.body import SIDES, TargetBody
from musclemap.skeletons.reduced import NROOT
from musclemap.skeletons.smpl.body_model import BodyModel
from musclemap.skeletons.smpl.joints import BODY_NAMES, BODY_PARENTS

_TIED = ("hip", "knee", "ankle", "foot", "collar", "shoulder", "elbow", "wrist")
_LIMB = frozenset(f"{side}_{part}" for side in ("left", "right") for part in _TIED if part != "collar")
_JOINT = {name: k for k, name in enumerate(BODY_NAMES)}
_FORWARD, _DOWN = np.array([0.0, -1.0, 0.0]), np.array([0.0, 0.0, -1.0])


@dataclass(frozen=True, kw_only=True)
class Proportions:
    """How a source skeleton carries the target's landmarks. Vectors are in the source's rest frame.

    Attributes:
        joints: Fitted source skeleton, shape (22, 3) [m], with the target's limb bones.
        landmark_offset: Each landmark from its carrier joint, shape (nlandmark, 3) [m].
        landmark_rot: Orientation of each landmark's body in the T-pose, shape (nlandmark, 3, 3).
        contact_offset: Heel from the ankle joint, toe from the foot joint, shape (4, 3) [m], in the order of the
            contact parts.
        t_pose: Target configuration in the T-pose, shape (7 + njoint,).
        rms: Root mean square distance of the landmarks before offsets took up the rest [m].
        iterations: Evaluations the fit took.
        optimality: Norm of the scaled gradient at the end; small where the fit converged.
        betas: Fitted shape coefficients, shape (nbeta,), or None without a body model.
    """

    joints: np.ndarray
    landmark_offset: np.ndarray
    landmark_rot: np.ndarray
    contact_offset: np.ndarray
    t_pose: np.ndarray
    rms: float
    iterations: int
    optimality: float
    betas: np.ndarray | None


class _TPose:
    """Poses the (symmetric) target in C MuJoCo and reads what the fit compares."""

    def __init__(self, body: TargetBody) -> None:
        self.body = body
        self.model = model = body.symmetric_model
        self.data = mujoco.MjData(model)
        self.hand = {s: [model.body(f"{name}_{s}").id for name in ("lunate", "secondmc", "fifthmc")] for s in SIDES}
        self.elbow = {s: (model.joint(f"elbow_flex_{s}").id, model.body(f"lunate_{s}").id) for s in SIDES}

    def place(self, q: np.ndarray) -> None:
        self.data.qpos[:] = self.body.reduced.expand(q[None])[0]
        mujoco.mj_kinematics(self.model, self.data)

    def landmarks(self) -> np.ndarray:
        return self.data.xpos[self.body.landmark_ids]

    def landmark_rot(self) -> np.ndarray:
        return self.data.xmat[self.body.landmark_ids].reshape(-1, 3, 3)

    def contacts(self) -> np.ndarray:
        xpos, xmat = self.data.xpos, self.data.xmat
        first = self.body.nlandmark
        points = self.body.points[first : first + self.body.ncontact]
        return np.array([xpos[p.body] + xmat[p.body].reshape(3, 3) @ np.asarray(p.offset) for p in points])

    def pose_cues(self) -> np.ndarray:
        """Zero where elbows would bend forward, palms look down and soles lie flat, shape (14,)."""
        cues = []
        for side in SIDES:
            joint, wrist = self.elbow[side]
            swing = np.cross(self.data.xaxis[joint], self.data.xpos[wrist] - self.data.xanchor[joint])
            cues.append(swing / np.linalg.norm(swing) - _FORWARD)
            lunate, second, fifth = (self.data.xpos[b] for b in self.hand[side])
            palm = np.cross(second - lunate, fifth - lunate) * (1.0 if side == "r" else -1.0)
            cues.append(palm / np.linalg.norm(palm) - _DOWN)
        z = self.contacts()[:, 2]
        return np.concatenate([*cues, [z[0] - z[1], z[2] - z[3]]])


def _bone_groups() -> tuple[np.ndarray, int]:
    """Number the bones of the source so that left and right share one length; the spine shares one."""
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
        body: Target.
        source_joints: The subject's rest joints, shape (22, 3) [m]; only directions matter without a body model.
        body_model: Shape space to fit in, or None for free bone lengths.

    Returns:
        Fitted skeleton, offsets and the quality of the fit.
    """
    reduced, pose = body.reduced, _TPose(body)
    turn = body.source_to_target
    group, ngroup = _bone_groups()
    nbeta = 0 if body_model is None else body_model.joint_dirs.shape[2]
    ntree = ngroup if body_model is None else 1 + nbeta
    follows = np.array([_JOINT[landmark.joint] for landmark in body.landmarks])

    def skeleton(shape: np.ndarray) -> np.ndarray:
        if body_model is not None:  # linear in size and size * betas
            joints = shape[0] * body_model.joint_template[:22] + body_model.joint_dirs[:22] @ shape[1:]
        else:
            joints = np.zeros((22, 3))
            for joint, parent in enumerate(BODY_PARENTS[1:], start=1):
                joints[joint] = joints[parent] + shape[group[joint]] * (source_joints[joint] - source_joints[parent])
        return (joints - joints[0]) @ turn.T

    def unpack(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        quat = Rotation.from_rotvec(x[3:6]).as_quat(scalar_first=True)
        return np.concatenate([x[:3], quat, x[6 : reduced.ndof]]), x[reduced.ndof :]

    start = reduced.rest.copy()
    for side in SIDES:
        start[reduced.index(f"shoulder_elv_{side}")] = np.pi / 2
    near = start.copy()  # the configuration that small priors lead to where landmarks say nothing
    trust = np.full(reduced.njoint, 0.02)
    trust[[reduced.index(name) for name in ("flex_extension", "lat_bending", "axial_rotation")]] = 1.0  # stand upright
    weight = np.ones(body.nlandmark)
    weight[[body.landmark_names.index(name) for name in ("pelvis", "lumbar1", "head")]] = 0.2

    def residual(x: np.ndarray) -> np.ndarray:
        q, shape = unpack(x)
        pose.place(q)
        gap = weight[:, None] * (pose.landmarks() - skeleton(shape)[follows])
        prior_shape = shape - 1.0 if body_model is None else np.concatenate([shape[:1] - 1.0, shape[1:]]) * 0.3
        return np.concatenate(
            [
                gap.ravel(),
                0.3 * pose.pose_cues(),
                trust * (x[6 : reduced.ndof] - near),
                0.1 * x[3:6],
                0.01 * prior_shape,
            ]
        )

    shape0 = np.ones(ntree) if body_model is None else np.concatenate([[1.0], np.zeros(nbeta)])
    x0 = np.concatenate([np.zeros(6), np.clip(start, reduced.lower, reduced.upper), shape0])
    free = np.full(6, np.inf), np.full(ntree, np.inf)
    lower = np.concatenate([-free[0], reduced.lower, -free[1]])
    upper = np.concatenate([free[0], reduced.upper, free[1]])
    fit = least_squares(residual, x0, bounds=(lower - 1e-9, upper + 1e-9), xtol=1e-10, ftol=1e-10, gtol=1e-10)
    q, shape = unpack(fit.x)
    q[NROOT:] = np.clip(q[NROOT:], reduced.lower, reduced.upper)
    pose.place(q)
    return _finish(pose, q, skeleton(shape), fit, body_model, shape)


def _finish(pose: _TPose, q: np.ndarray, fitted: np.ndarray, fit, body_model, shape) -> Proportions:
    """Let the target's own landmarks be the limb joints, and everything else an offset from its carrier."""
    body = pose.body
    landmarks = pose.landmarks().copy()
    joints = fitted.copy()
    gap = landmarks - fitted[[_JOINT[landmark.joint] for landmark in body.landmarks]]
    for k, landmark in enumerate(body.landmarks):
        if landmark.joint in _LIMB:
            joints[_JOINT[landmark.joint]] = landmarks[k]
    carrier = joints[[_JOINT[landmark.carrier] for landmark in body.landmarks]]
    contact_carrier = joints[[_JOINT[name] for name in ("left_ankle", "left_foot", "right_ankle", "right_foot")]]
    back = body.source_to_target  # row vectors times the matrix apply its transpose
    return Proportions(
        joints=joints @ back,
        landmark_offset=(landmarks - carrier) @ back,
        landmark_rot=np.einsum("ji,kjl->kil", body.source_to_target, pose.landmark_rot()),
        contact_offset=(pose.contacts() - contact_carrier) @ back,
        t_pose=q,
        rms=float(np.sqrt(np.mean(np.sum(gap**2, axis=1)))),
        iterations=int(fit.nfev),
        optimality=float(fit.optimality),
        betas=None if body_model is None else shape[1:] / shape[0],
    )


def leg_length(joints: np.ndarray) -> float:
    """Hip to knee to ankle of a rest skeleton, mean of both sides [m]; joints (22, 3)."""
    bones = [
        (f"{side}_{a}", f"{side}_{b}") for side in ("left", "right") for a, b in (("hip", "knee"), ("knee", "ankle"))
    ]
    return 0.5 * sum(float(np.linalg.norm(joints[_JOINT[a]] - joints[_JOINT[b]])) for a, b in bones)
