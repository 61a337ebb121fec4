"""Weights of the differences between frames, from the settings and the stiffness of the landmark terms."""

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
    """Weights of differences between frames, proportional to the stiffness of the landmark terms in each joint.

    First and second differences shrink with the frame rate and its square. Their weights grow with its square and
    fourth power, so that the same settings smooth a motion equally at any frame rate.

    Args:
        body: Target body.
        config: Weights.
        fps: Frame rate [Hz].
    """
    reduced = body.reduced
    stiffness = joint_stiffness(body, config)
    velocity = config.velocity * stiffness
    acceleration = config.acceleration * stiffness
    for name, factor in body.fit.smoothing.items():
        velocity[6 + reduced.index(name)] *= getattr(config, factor)
        acceleration[6 + reduced.index(name)] *= getattr(config, factor)
    velocity[:6] = 0.0
    acceleration[:6] = config.root_acceleration * stiffness[:6]
    rate = fps / 100.0
    return Smoothness(velocity=velocity * rate**2, acceleration=acceleration * rate**4)


def joint_stiffness(body: TargetBody, config: WeightConfig) -> np.ndarray:
    """Diagonal of the Hessian of the landmark terms in a configuration with bent joints.

    Args:
        body: Target body.
        config: Weights.

    Returns:
        Stiffness of each degree of freedom, shape (ndof,) [1/m^2 or 1/rad^2].
    """
    reduced, tree, nfitted = body.reduced, body.tree, len(body.fitted)
    joints = reduced.rest.copy()
    for name, value in body.fit.bent.items():
        joints[reduced.index(name)] = value
    q = np.concatenate([np.zeros(3), [1.0], np.zeros(3), joints])[:, None].astype(np.float32)

    def diagonal(q: jax.Array) -> jax.Array:
        kinematics = forward(tree, q)
        targets = FrameTargets(
            pos=kinematics.point_pos[:nfitted],
            rot=kinematics.point_rot[body.oriented_points],
            anchor=kinematics.point_pos[nfitted : nfitted + body.ncontact],
            contact=jnp.zeros((body.ncontact, 1)),
            floor=jnp.full((2, 1), -10.0),
        )
        normal = Objective(tree, frame_terms(body, config)).normal(q, targets)
        return jnp.diagonal(normal.hessian[..., 0])

    return np.asarray(jax.jit(precise(diagonal))(q), dtype=np.float64)
