"""Weights of the fit as arrays, from the settings and the body."""

import jax
import jax.numpy as jnp
import numpy as np

from musclemap.skeletons.kinematics import forward
from musclemap.skeletons.myofullbody import LANDMARK_NAMES, MyoFullBody
from musclemap.skeletons.precision import precise
from musclemap.skeletons.reduced import NROOT

from .config import WeightConfig
from .objective import NCONTACT, NLANDMARK, FrameTargets, Weights, normal_equations
from .targets import ORIENTED
from .window_solver import Smoothness

_GROUP = {
    "pelvis": "pelvis", "lumbar1": "trunk", "head": "trunk", "humerus": "arm", "ulna": "arm", "lunate": "arm",
    "femur": "leg", "tibia": "leg", "talus": "foot", "toes": "foot",
}  # fmt: skip
_ROTATION = {"pelvis": "pelvis_rotation", "lumbar1": "trunk_rotation"}
_BENT = {"knee_angle": 0.5, "elbow_flex": 0.5, "shoulder_elv": 0.5, "hip_flexion": 0.3}
"""A posture in which no joint is singular [rad]; the stiffness of the joints is read there."""


def frame_weights(body: MyoFullBody, config: WeightConfig) -> Weights:
    """Arrange the weights of single frames by landmark; both sides get the same."""
    stems = [name.removesuffix("_r").removesuffix("_l") for name in LANDMARK_NAMES]
    return Weights(
        pos=np.array([getattr(config, _GROUP[stem]) for stem in stems]),
        rot=np.array([getattr(config, _ROTATION.get(stems[k], "limb_rotation")) for k in ORIENTED]),
        oriented=ORIENTED,
        contact=config.contact,
        floor=config.floor,
        prior=np.full(body.reduced.njoint, config.prior),
        radius=body.sole.radius,
    )


def smoothness(body: MyoFullBody, config: WeightConfig, fps: float) -> Smoothness:
    """Weights of differences between frames, in proportion to how stiffly landmarks hold each degree of freedom.

    Differences shrink with the frame rate, so their weights grow with its square and fourth power: the settings mean
    the same motion at any rate.
    """
    reduced = body.reduced
    stiff = joint_stiffness(body, config)
    velocity = config.velocity * stiff
    acceleration = config.acceleration * stiff
    for name in ("elv_angle_r", "elv_angle_l", "shoulder_rot_r", "shoulder_rot_l"):
        velocity[6 + reduced.index(name)] *= config.twist
        acceleration[6 + reduced.index(name)] *= config.twist
    for name in ("mtp_angle_r", "mtp_angle_l"):
        velocity[6 + reduced.index(name)] *= config.toes
        acceleration[6 + reduced.index(name)] *= config.toes
    velocity[:6] = 0.0
    acceleration[:6] = config.root_acceleration * stiff[:6]
    rate = fps / 100.0
    return Smoothness(velocity=velocity * rate**2, acceleration=acceleration * rate**4)


def joint_stiffness(body: MyoFullBody, config: WeightConfig) -> np.ndarray:
    """Diagonal of the landmarks' Hessian in a bent posture, shape (ndof,) [1/m^2 or 1/rad^2]."""
    reduced, tree = body.reduced, body.tree
    joints = reduced.rest.copy()
    for name, angle in _BENT.items():
        for side in "rl":
            joints[reduced.index(f"{name}_{side}")] = angle
    posture = np.concatenate([np.zeros(3), [1.0], np.zeros(3), joints])[:, None].astype(np.float32)

    def diagonal(posture: jax.Array) -> jax.Array:
        kinematics = forward(tree, posture)
        targets = FrameTargets(
            pos=kinematics.point_pos[:NLANDMARK],
            rot=kinematics.point_rot[ORIENTED],
            anchor=kinematics.point_pos[NLANDMARK : NLANDMARK + NCONTACT],
            contact=jnp.zeros((NCONTACT, 1)),
            floor=jnp.full((2, 1), -10.0),
        )
        normal = normal_equations(tree, kinematics, posture[NROOT:], targets, frame_weights(body, config))
        return jnp.diagonal(normal.hessian[..., 0])

    return np.asarray(jax.jit(precise(diagonal))(posture), dtype=np.float64)
