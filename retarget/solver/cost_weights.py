"""Weights of the differences between frames, from the settings and the body."""

import jax
import jax.numpy as jnp
import numpy as np

from musclemap.retarget.config import WeightConfig
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import forward
from musclemap.skeletons.precision import precise

from .objective import Objective
from .terms import FrameTargets, frame_terms
from .window_solver import Smoothness


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
        normal = Objective(tree, frame_terms(body, config)).normal(q, targets)
        return jnp.diagonal(normal.hessian[..., 0])

    return np.asarray(jax.jit(precise(diagonal))(q), dtype=np.float64)
