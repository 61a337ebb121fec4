"""Forces on a body whose base moves: gravity's direction, and the forces of a frame that accelerates and turns.

The model stays fixed to its world, which moves with the base. A bone of mass m and inertia I, with its centre at r from
the base's origin, that moves at v and turns at w in the model's world, feels beyond the model's gravity g0

    force   m (g - g0 - a - alpha x r - omega x (omega x r) - 2 omega x v)
    torque  -(I alpha + I (omega x w) + omega x I (omega + w) + w x I omega)

for a base that accelerates by a, turns at omega and accelerates its turning by alpha. At every instant this is exact:
joints accelerate as on a root that is moved that way. Over a physics step the forces are constant, as MuJoCo's Coriolis
forces are in its Euler integrator, and over a control step the motion of the base is.
"""

import mujoco
import numpy as np

from musclemap.skeletons.base_motion import STILL


class BaseForces:
    """Forces of a moving base, for MuJoCo C.

    Args:
        model: Simulated model of a fixed body.
    """

    def __init__(self, model: mujoco.MjModel) -> None:
        self._bodies = np.flatnonzero(model.body_weldid != 0)
        self._origin = model.body_pos[1].copy()

    def apply(self, model: mujoco.MjModel, data: mujoco.MjData, motion: np.ndarray) -> None:
        """Set the external forces on all bodies.

        Args:
            model: The model, whose masses may have changed.
            data: Data with positions and velocities computed; `xfrc_applied` is overwritten.
            motion: Motion of the base, rows as in a clip, shape (4, 3).
        """
        bodies = self._bodies
        gravity, acceleration, omega, alpha = motion
        xipos, turning = data.xipos[bodies], data.cvel[bodies, :3]
        centre = data.subtree_com[model.body_rootid[bodies]]
        velocity = data.cvel[bodies, 3:] + _cross(turning, xipos - centre)
        r = xipos - self._origin
        across, turned = _skew(omega), _skew(alpha) + _skew(omega) @ _skew(omega)
        lift = gravity - model.opt.gravity - acceleration - r @ turned.T - 2.0 * (velocity @ across.T)
        rot, diagonal = data.ximat[bodies].reshape(-1, 3, 3), model.body_inertia[bodies]
        inertia = (rot * diagonal[:, None]) @ np.swapaxes(rot, 1, 2)
        times = lambda vectors: (inertia @ vectors[..., None])[..., 0]  # noqa: E731
        torque = times(alpha + turning @ across.T) + times(omega + turning) @ across.T
        torque += _cross(turning, inertia @ omega)
        data.xfrc_applied[bodies, :3] = model.body_mass[bodies, None] * lift
        data.xfrc_applied[bodies, 3:] = -torque

    def step(self, model: mujoco.MjModel, data: mujoco.MjData, motion: np.ndarray, *, nstep: int) -> None:
        """Simulate physics steps on a base whose motion is constant; leaves no external forces behind.

        Args:
            model: The model.
            data: State, changed in place.
            motion: Motion of the base, shape (4, 3).
            nstep: Number of physics steps.
        """
        for _ in range(nstep):
            mujoco.mj_step1(model, data)
            self.apply(model, data, motion)
            mujoco.mj_step2(model, data)
        data.xfrc_applied[:] = 0.0

    def forward(self, model: mujoco.MjModel, data: mujoco.MjData, motion: np.ndarray) -> None:
        """`mj_forward` on a moving base; the external forces stay in `data`."""
        mujoco.mj_fwdPosition(model, data)
        mujoco.mj_fwdVelocity(model, data)
        self.apply(model, data, motion)
        mujoco.mj_forward(model, data)


def _skew(vector: np.ndarray) -> np.ndarray:
    """Matrix of the cross product from the left with a vector, shape (3, 3)."""
    x, y, z = vector
    return np.array([[0.0, -z, y], [z, 0.0, -x], [-y, x, 0.0]])


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross products of rows, shape (n, 3); several times as fast as NumPy's for a body's few bones."""
    x, y, z = a.T
    u, v, w = b.T
    return np.stack([y * w - z * v, z * u - x * w, x * v - y * u], axis=1)


def step_motion(base_motion: np.ndarray) -> np.ndarray:
    """Motion of a base during each control step, the mean of its frames before and after, float32.

    Args:
        base_motion: Motion by frame, shape (nframe, 4, 3).

    Returns:
        Shape (nframe - 1, 4, 3).
    """
    frames = np.asarray(base_motion, np.float64)
    return (0.5 * (frames[1:] + frames[:-1])).astype(np.float32)


def is_moving(base_motion: np.ndarray) -> bool:
    """Whether a base does anything but stand upright at rest."""
    return bool(np.abs(base_motion - STILL).max(initial=0.0) > 0)
