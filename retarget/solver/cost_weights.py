"""Weights of the fit as arrays, from the settings and the body."""

import jax
import jax.numpy as jnp
import numpy as np

from musclemap.retarget.config import WeightConfig
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import forward
from musclemap.skeletons.precision import precise
from musclemap.skeletons.reduced import NROOT

from .objective import FrameTargets, Weights, normal_equations
from .window_solver import Smoothness


def frame_weights(body: TargetBody, config: WeightConfig) -> Weights:
    """Arrange the weights of single frames by landmark."""
    fit, names = body.fit, body.landmark_names
    rotation = [fit.rotation_weights.get(names[k], "limb_rotation") for k in body.oriented]
    return Weights(
        pos=np.array([getattr(config, fit.position_weights[name]) for name in names]),
        rot=np.array([getattr(config, name) for name in rotation]),
        oriented=body.oriented,
        contact=config.contact,
        floor=config.floor,
        prior=np.full(body.reduced.njoint, config.prior),
        radius=body.sole.radius,
    )


def smoothness(body: TargetBody, config: WeightConfig, fps: float) -> Smoothness:
    """Weights of differences between frames, in proportion to how stiffly landmarks hold each degree of freedom.

    Differences shrink with the frame rate, so their weights grow with its square and fourth power: the settings mean
    the same motion at any rate.
    """
    reduced = body.reduced
    stiff = joint_stiffness(body, config)
    velocity = config.velocity * stiff
    acceleration = config.acceleration * stiff
    for name, factor in body.fit.smoothing.items():
        velocity[6 + reduced.index(name)] *= getattr(config, factor)
        acceleration[6 + reduced.index(name)] *= getattr(config, factor)
    velocity[:6] = 0.0
    acceleration[:6] = config.root_acceleration * stiff[:6]
    rate = fps / 100.0
    return Smoothness(velocity=velocity * rate**2, acceleration=acceleration * rate**4)


def joint_stiffness(body: TargetBody, config: WeightConfig) -> np.ndarray:
    """Diagonal of the landmarks' Hessian in a bent configuration, shape (ndof,) [1/m^2 or 1/rad^2]."""
    reduced, tree = body.reduced, body.tree
    joints = reduced.rest.copy()
    for name, value in body.fit.bent.items():
        joints[reduced.index(name)] = value
    q = np.concatenate([np.zeros(3), [1.0], np.zeros(3), joints])[:, None].astype(np.float32)

    def diagonal(q: jax.Array) -> jax.Array:
        kinematics = forward(tree, q)
        targets = FrameTargets(
            pos=kinematics.point_pos[: body.nlandmark],
            rot=kinematics.point_rot[body.oriented],
            anchor=kinematics.point_pos[body.nlandmark : body.nlandmark + body.ncontact],
            contact=jnp.zeros((body.ncontact, 1)),
            floor=jnp.full((2, 1), -10.0),
        )
        normal = normal_equations(tree, kinematics, q[NROOT:], targets, frame_weights(body, config))
        return jnp.diagonal(normal.hessian[..., 0])

    return np.asarray(jax.jit(precise(diagonal))(q), dtype=np.float64)
