"""Linear model of one control step of a muscle-driven body in contact.

MuJoCo's constraint cost is piecewise quadratic. While its active rows J (equalities, and contacts and limits with
`J qacc - aref < 0`) stay the same, the acceleration is affine in the forces on the body:

    (M + J' D J) qacc = tau + J' D aref,      aref = -b J qvel - k (pos - margin)

A control step consists of several physics steps, over which `aref` and the force-velocity slope of the muscles follow
the motion. The model carries both through the physics steps exactly, for the rows active at the beginning, and gives
the velocities at the end as an affine function of the activations at the end. Mass matrix, moment arms and Jacobians
stay those of the beginning.
"""

from dataclasses import dataclass

import mujoco
import numpy as np
from scipy.linalg import cho_factor, cho_solve

_SPEED_STEP = 1e-3
"""Difference of muscle velocities for the slope of the force-velocity curve [m/s]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StepResponse:
    """Velocities of selected dofs at the end of a control step: `velocity + start @ act_before + end @ act_after`.

    Attributes:
        velocity: Velocities without active muscle forces, shape (n,) [rad/s or m/s].
        start: Change per unit activation at the start of the step, shape (n, nu).
        end: Change per unit activation at the end of the step, shape (n, nu).
        inertia: Diagonal of the mass matrix, shape (n,).
        torque: Generalised force of the muscles without activation, shape (nv,) [Nm or N].
        torque_gain: Change per unit activation, shape (nv, nu).
    """

    velocity: np.ndarray
    start: np.ndarray
    end: np.ndarray
    inertia: np.ndarray
    torque: np.ndarray
    torque_gain: np.ndarray


class StepModel:
    """Response of a body's velocities to its muscles over one control step.

    Args:
        model: Simulated model.
        nsubstep: Physics steps per control step.
        dofs: Degrees of freedom whose velocities are needed, shape (n,).
        horizon: Physics steps after which the velocities are predicted, at least `nsubstep`. Activations change
            linearly over the control step and then stay. With a horizon of one control step, a programme that inverts
            the response is unstable: what remains of the old activations weighs more than the new ones.
    """

    def __init__(self, model: mujoco.MjModel, nsubstep: int, dofs: np.ndarray, *, horizon: int) -> None:
        self.model, self.nsubstep, self.dofs, self.horizon = model, nsubstep, dofs, horizon
        self._sparse = bool(mujoco.mj_isSparse(model))

    def response(self, data: mujoco.MjData, authority: np.ndarray | None = None) -> StepResponse:
        """Response at a state.

        Args:
            data: Data after `mj_forward`; unchanged on return.
            authority: Part of the torque of active muscles that counts at each dof, shape (nv,); all of it if None.
        """
        m, n, h = self.model, len(self.dofs), self.model.opt.timestep
        mass = np.zeros((m.nv, m.nv))
        mujoco.mj_fullM(m, data, mass)
        jacobian, weight, damping, stiffness, target = self._active_rows(data)
        moment, passive_force, force_gain, slope = self._muscles(data)
        stiff_rows = weight[:, None] * jacobian
        lever = jacobian.T @ stiff_rows
        factor = cho_factor(mass + lever, lower=True, check_finite=False)
        # MuJoCo's Euler integrator treats joint damping implicitly, and the force-velocity curve explicitly, which is
        # unstable for a light limb with stiff muscles until the curve flattens. The model treats both implicitly.
        viscous = -moment.T @ (slope[:, None] * moment) + np.diag(m.dof_damping)
        damped = cho_factor(mass + h * viscous, lower=True, check_finite=False)
        mobility = cho_solve(factor, mass @ cho_solve(damped, np.eye(m.nv), check_finite=False), check_finite=False)
        # Change of acceleration per change of velocity and of displacement since the beginning of the step.
        per_velocity = jacobian.T @ (damping[:, None] * stiff_rows) + viscous
        per_displacement = jacobian.T @ (stiffness[:, None] * stiff_rows)
        # Adjoint recursion: sensitivity of the selected final velocities to a generalised force in each physics step.
        change = np.concatenate([per_velocity, per_displacement]) @ (h * mobility)
        by_velocity, by_displacement = np.zeros((m.nv, n)), np.zeros((m.nv, n))
        by_velocity[self.dofs, np.arange(n)] = 1.0
        everything, late = np.zeros((m.nv, n)), np.zeros((m.nv, n))
        for k in reversed(range(self.horizon)):
            total = by_velocity + h * by_displacement  # the displacement follows the new velocity
            everything += total
            late += min(1.0, k / self.nsubstep) * total  # activations change linearly over the control step
            moved = change @ total
            by_velocity, by_displacement = total - moved[: m.nv], by_displacement - moved[m.nv :]
        by_force, ramp = h * mobility @ everything, h * mobility @ late
        constant = data.qfrc_passive - data.qfrc_bias + moment.T @ passive_force + stiff_rows.T @ target
        if np.any(data.xfrc_applied):  # forces of a moving base
            constant += data.qfrc_smooth - data.qfrc_actuator - data.qfrc_passive + data.qfrc_bias
        constant += per_velocity @ data.qvel  # the sensitivities refer to velocities, not to their changes
        active = moment * force_gain[:, None]
        if authority is not None:
            active = active * authority
        velocity = by_velocity.T @ data.qvel + by_force.T @ constant
        start, end = (active @ (by_force - ramp)).T, (active @ ramp).T
        return StepResponse(
            velocity=velocity,
            start=start,
            end=end,
            inertia=np.diag(mass)[self.dofs].copy(),
            torque=moment.T @ passive_force,
            torque_gain=active.T,
        )

    def _active_rows(self, data: mujoco.MjData) -> tuple[np.ndarray, ...]:
        """Jacobian (nrow, nv), weight D, damping b, stiffness k and `aref`, each (nrow,), of the active rows."""
        m, ne = self.model, data.nefc
        if self._sparse:
            jacobian = np.zeros((ne, m.nv))
            mujoco.mju_sparse2dense(jacobian, data.efc_J, data.efc_J_rownnz, data.efc_J_rowadr, data.efc_J_colind)
        else:
            jacobian = np.array(data.efc_J).reshape(-1)[: ne * m.nv].reshape(ne, m.nv)
        kbip = np.array(data.efc_KBIP).reshape(-1, 4)[:ne]
        equality = data.efc_type[:ne] == mujoco.mjtConstraint.mjCNSTR_EQUALITY
        active = equality | (jacobian @ data.qacc - data.efc_aref[:ne] < 0)
        return (
            jacobian[active],
            data.efc_D[:ne][active],
            kbip[active, 1],
            kbip[active, 0] * kbip[active, 2],
            data.efc_aref[:ne][active],
        )

    def _muscles(self, data: mujoco.MjData) -> tuple[np.ndarray, ...]:
        """Moment arms (nu, nv), force at zero activation, its gain by activation, and its slope by velocity, (nu,)."""
        m = self.model
        moment = np.zeros((m.nu, m.nv))
        mujoco.mju_sparse2dense(
            moment, data.actuator_moment, data.moment_rownnz, data.moment_rowadr, data.moment_colind
        )
        act, velocity = data.act.copy(), data.actuator_velocity.copy()
        force, generalised = data.actuator_force.copy(), data.qfrc_actuator.copy()

        def forces(activation: np.ndarray | float, speed: np.ndarray) -> np.ndarray:
            data.act[:], data.actuator_velocity[:] = activation, speed
            mujoco.mj_fwdActuation(m, data)
            return data.actuator_force.copy()

        passive = forces(0.0, velocity)
        gain = forces(1.0, velocity) - passive
        slope = (forces(act, velocity + _SPEED_STEP) - force) / _SPEED_STEP
        data.act[:], data.actuator_velocity[:] = act, velocity
        data.actuator_force[:], data.qfrc_actuator[:] = force, generalised
        return moment, passive, gain, slope
