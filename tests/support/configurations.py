"""Random configurations of a body, and targets that given configurations meet exactly."""

import jax.numpy as jnp
import numpy as np
from jax import Array
from scipy.spatial.transform import Rotation

from musclemap.retarget.forces.required_forces import required_forces
from musclemap.retarget.solver.terms import FrameTargets
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.kinematics import Kinematics
from musclemap.skeletons.reduced import ReducedCoordinates

from .target_facts import NCONTACT, NLANDMARK, ORIENTED

DEEP_FLOOR = -10.0
"""Height of a floor that no body part reaches [m]."""


def random_configurations(reduced: ReducedCoordinates, nframe: int, *, seed: int, spread: float = 1.0) -> np.ndarray:
    """Draw random configurations: root within 4 m with any orientation, joints around the middle of their ranges.

    Args:
        reduced: Reduced coordinates.
        nframe: Number of configurations.
        seed: Seed of the generator.
        spread: Fraction of each joint range to use; 1 for the full range.

    Returns:
        Shape (nframe, 7 + njoint).
    """
    rng = np.random.default_rng(seed)
    centre, half = (reduced.upper + reduced.lower) / 2, (reduced.upper - reduced.lower) / 2
    joints = centre + spread * half * rng.uniform(-1.0, 1.0, (nframe, reduced.njoint))
    quat = Rotation.random(nframe, rng=rng).as_quat(scalar_first=True)
    return np.concatenate([rng.uniform(-4.0, 4.0, (nframe, 3)), quat, joints], axis=1)


def standing(reduced: ReducedCoordinates) -> np.ndarray:
    """Rest configuration with slightly bent knees, elbows, shoulders and hips, shape (7 + njoint,)."""
    joints = reduced.rest.copy()
    for name, angle in (("knee_angle", 0.3), ("elbow_flex", 0.5), ("shoulder_elv", 0.6), ("hip_flexion", 0.2)):
        for side in "rl":
            joints[reduced.index(f"{name}_{side}")] = angle
    return np.concatenate([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0], joints])


def on_the_ground(body: TargetBody, q: np.ndarray) -> np.ndarray:
    """Full configurations whose lowest support point touches the ground, from reduced ones (nframe, nq)."""
    qpos = body.reduced.expand(q)
    lowest = required_forces(body, np.repeat(qpos[:1], 3, axis=0), 100.0).points[0, :, 2].min()
    qpos[:, 2] -= lowest
    return qpos


def met_targets(kinematics: Kinematics, *, contact: float = 0.0, floor: float = DEEP_FLOOR) -> FrameTargets:
    """Targets that given configurations meet exactly.

    Args:
        kinematics: Kinematics of the configurations, with points in the solver's order and frames last.
        contact: Weight of every contact point.
        floor: Height of the floor under both feet [m].
    """
    pos, dtype = kinematics.point_pos, kinematics.point_pos.dtype
    nframe = pos.shape[-1]
    return FrameTargets(
        pos=pos[:NLANDMARK],
        rot=kinematics.point_rot[ORIENTED],
        anchor=pos[NLANDMARK : NLANDMARK + NCONTACT],
        contact=jnp.full((NCONTACT, nframe), contact, dtype),
        floor=jnp.full((2, nframe), floor, dtype),
    )


def frames_last(q: np.ndarray, dtype: type = np.float32) -> Array:
    """Transpose configurations, shape (nframe, 7 + njoint), to the frames-last layout of the kinematics."""
    return jnp.asarray(q.T, dtype)
