"""Feedback controller: the excitations of one control step from a state and a frame of the reference.

Each controlled degree of freedom asks for an acceleration, that of the reference plus a damped pull towards it; so do
the position and orientation of each swinging foot and the centre of mass. A swinging foot aims where the body will
need it: its landing point moves with the error of the divergent component of motion, centre of mass plus velocity
over the pendulum's frequency (Hof 2008; Englsberger et al. 2015), which grows until the foot lands. A quadratic
programme over the activations that the muscles can reach within the step comes closest to all of these.
"""

import math

import mujoco
import numpy as np

from musclemap.datasets.clip import Clip
from musclemap.imitation.physics.bodies import SimulationBody

from .activation import ActivationDynamics, Choice, Decision, decided
from .config import TrackingConfig
from .dofs import ControlledDofs, find_controlled_dofs
from .programme import ProgrammeRows, Solution, solve_programme
from .reference import ReferenceMotion, base_at, make_reference
from .step_model import StepModel
from .track import compute_forces

_SLOW = 0.3
"""Speed below which the phase of the reference hardly moves [m/s]."""

_START_ACTIVATION = 0.05
_START_PASSES = 3
_LANDING = 0.03
"""Parts of the swing phase at both ends in which clearance is not fed forward."""


class FeedbackController:
    """Excitations by which a simulated body follows a reference from any state near it; holds no state of its own.

    Args:
        body: Simulated body.
        dofs: Its controlled degrees of freedom.
        reference: Motion to follow.
        config: Gains.
    """

    def __init__(
        self, body: SimulationBody, dofs: ControlledDofs, reference: ReferenceMotion, config: TrackingConfig
    ) -> None:
        self.body, self.dofs, self.reference, self.config = body, dofs, reference, config
        self._steps = StepModel(body.model, body.nsubstep, dofs.index, horizon=config.horizon)
        self._activation = ActivationDynamics(body.model, body.nsubstep)
        self._span = config.horizon * body.model.opt.timestep
        gain, damping, weight = (np.empty(dofs.ndof) for _ in range(3))
        root, turn = slice(0, min(3, dofs.nroot)), slice(min(3, dofs.nroot), dofs.nroot)
        gain[:], damping[:], weight[:] = config.joint_gain, config.joint_damping, 1.0
        gain[root], gain[turn] = config.root_gain, config.root_rotation_gain
        damping[: dofs.nroot] = config.root_damping
        weight[root], weight[turn] = config.root_weight, config.root_rotation_weight
        weight[dofs.ndof - dofs.nsoft :] = config.trunk_weight
        self._gain, self._rate, self._weight = gain, 2 * np.sqrt(gain) * damping, weight
        height = float(reference.com[:, 2].mean()) if reference.nframe else 1.0
        gravity = float(np.linalg.norm(body.model.opt.gravity))
        self._body_weight = gravity * float(body.model.body_mass.sum())
        self._frequency = math.sqrt(gravity / max(height, 0.1))

    @classmethod
    def for_clip(cls, body: SimulationBody, clip: Clip, config: TrackingConfig) -> "FeedbackController":
        """Controller that follows a clip.

        Raises:
            TrackingError: If the clip belongs to another body, has another frame rate or fewer than 3 frames.
        """
        dofs = find_controlled_dofs(body)
        return cls(body, dofs, make_reference(body, dofs, clip, contact_depth=config.contact_depth), config)

    def start_activation(self, data: mujoco.MjData, frame: int) -> np.ndarray:
        """Activations that would hold the reference's acceleration if they had been there before, shape (nu,).

        Args:
            data: State; its activations are overwritten.
            frame: Frame of the reference.
        """
        nu = self.body.model.nu
        data.act[:] = _START_ACTIVATION
        for _ in range(_START_PASSES):
            compute_forces(self.body, data, base=base_at(self.reference, frame))
            response = self._steps.response(data)
            rows = ProgrammeRows(
                response, data.qvel[self.dofs.index], np.zeros(nu), response.start + response.end, self._span
            )
            self._dof_rows(rows, data, frame, np.zeros(2), None, None)
            solution = self._solve(*rows.programme(), self._feedforward(frame), np.zeros(nu), np.ones(nu), None)
            data.act[:] = solution.x
        return data.act.copy()

    def decide(
        self, data: mujoco.MjData, frame: int, *, offset: np.ndarray | None = None, start: np.ndarray | None = None
    ) -> Decision:
        """Choose the excitations of the control step that begins at a state.

        Args:
            data: State after `compute_forces`.
            frame: Frame of the reference that the state belongs to.
            offset: Change of the targets of the controlled dofs, shape (ndof,); none if None.
            start: `Decision.active` of the previous step, which saves time and does not change the result.
        """
        act = data.act.copy()
        choice = self.choose(data, frame, self._activation.reachable(act), offset=offset, start=start)
        return decided(choice, act, self._activation)

    def choose(
        self, data: mujoco.MjData, frame: int, reachable: tuple[np.ndarray, np.ndarray], *,
        offset: np.ndarray | None = None, start: np.ndarray | None = None,
    ) -> Choice:  # fmt: skip
        """Choose the activations at the end of the control step that begins at a state.

        Args:
            data: State, see `decide`.
            frame: Frame, see `decide`.
            reachable: Bounds of the activations, from `ActivationDynamics.reachable`.
            offset: See `decide`.
            start: See `decide`.
        """
        frame = min(frame, self.reference.nframe - 1)
        mujoco.mj_subtreeVel(self.body.model, data)
        response = self._steps.response(data)
        act = data.act.copy()
        rows = ProgrammeRows(response, data.qvel[self.dofs.index], act, response.end, self._span)
        frame = self._matching_frame(data, frame)
        anchor = self._anchor(data, frame)
        moves = self._foot_moves(data, frame, anchor)
        lean = anchor * self.config.return_rate  # the body leans back towards the reference, and its steps follow
        lean *= min(1.0, self.config.max_return / max(float(np.linalg.norm(lean)), 1e-9))
        self._dof_rows(rows, data, frame, anchor - lean, offset, moves)
        tangent = self.dofs.tangent(data.qpos)
        if moves is not None:
            self._swing_rows(rows, data, frame, tangent, anchor, *moves)
        if self.config.moment_weight:
            self._moment_rows(rows, data, frame, tangent, anchor)
        if self.config.com_weight:
            self._com_rows(rows, data, frame, tangent, anchor - lean)
        matrix, rhs = rows.programme()
        effort, change = self.config.effort, self.config.change
        centre = (effort * self._feedforward(frame) + change * act) / (effort + change)
        solution = self._solve(matrix, rhs, centre, *reachable, start)
        return Choice(activation=solution.x, active=solution.active, matrix=matrix, residual=solution.residual)

    def _feedforward(self, frame: int) -> np.ndarray:
        """Activations that cost no effort, shape (nu,)."""
        if self.reference.activation is None:
            return np.zeros(self.body.model.nu)
        return self.config.feedforward * self.reference.activation[frame]

    def _solve(
        self,
        matrix: np.ndarray,
        rhs: np.ndarray,
        centre: np.ndarray,
        lower: np.ndarray,
        upper: np.ndarray,
        start: np.ndarray | None,
    ) -> Solution:
        regulariser = self.config.effort + self.config.change
        return solve_programme(
            matrix, rhs, regulariser=regulariser, centre=centre, lower=lower, upper=upper, start=start
        )

    def _dof_rows(
        self,
        rows: ProgrammeRows,
        data: mujoco.MjData,
        frame: int,
        anchor: np.ndarray,
        offset: np.ndarray | None,
        moves: tuple[np.ndarray, np.ndarray] | None,
    ) -> None:
        """Rows of the controlled dofs."""
        model, dofs, reference = self.body.model, self.dofs, self.reference
        goal, speed = reference.qpos[frame], reference.qvel[frame][dofs.index].copy()
        step = np.zeros(dofs.ndof) if offset is None else offset.copy()
        if dofs.nroot:
            step[:2] += anchor
        if moves is not None and reference.feet is not None:
            for leg, change, move, rate in zip(dofs.legs, reference.feet.joint_change, *moves, strict=True):
                step[leg] += change[frame] @ move
                speed[leg] += change[frame] @ rate
        if step.any():
            whole, goal = np.zeros(model.nv), goal.copy()
            whole[dofs.index] = step
            mujoco.mj_integratePos(model, goal, whole, 1.0)
        error = np.zeros(model.nv)
        mujoco.mj_differentiatePos(model, error, 1.0, data.qpos, goal)
        wanted = self._gain * error[dofs.index] + self._rate * (speed - rows.velocity)
        if dofs.nroot:
            horizontal = float(np.hypot(wanted[0], wanted[1]))
            wanted[:2] *= min(1.0, self.config.max_root_acceleration / max(horizontal, 1e-9))
        wanted += reference.acceleration[min(frame + 1, reference.nframe - 1)]
        weight = self._weight * np.sqrt(rows.response.inertia + self.config.added_inertia)
        if reference.feet is not None:
            for k in np.flatnonzero(~reference.feet.swing[frame]):
                weight[dofs.toe_joints[k]] *= self.config.toe_weight
        rows.add_dofs(wanted, weight)

    def _matching_frame(self, data: mujoco.MjData, frame: int) -> int:
        """Frame near the given one at which the reference is as far over its standing feet as the body is.

        A body that walks ahead of the reference, or behind it, must set its feet down earlier or later.
        """
        reference, config = self.reference, self.config
        if reference.feet is None or not config.phase_shift:
            return frame
        speed = reference.com_velocity[frame, :2]
        ahead = self._divergent(data, frame) - self._anchor(data, frame)
        shift = config.phase_shift * float(ahead @ speed) / (float(speed @ speed) + _SLOW**2)
        shift = min(max(shift, -config.max_phase_shift), config.max_phase_shift)
        return min(max(frame + round(shift * self.body.control_fps), 0), reference.nframe - 1)

    def _divergent(self, data: mujoco.MjData, frame: int) -> np.ndarray:
        """Horizontal error of the divergent component of motion, shape (2,) [m]."""
        position = data.subtree_com[self.dofs.root] - self.reference.com[frame]
        velocity = data.subtree_linvel[self.dofs.root] - self.reference.com_velocity[frame]
        return (position + velocity / self._frequency)[:2]

    def _anchor(self, data: mujoco.MjData, frame: int) -> np.ndarray:
        """Horizontal displacement of the reference that puts its standing feet where the body's are, shape (2,) [m].

        A body that has drifted must stay above its feet; the next steps lead it back. In flight the reference moves
        with the centre of mass.
        """
        feet, dofs = self.reference.feet, self.dofs
        if feet is None:
            return np.zeros(2)
        load = feet.load[frame]
        if not load.any():
            return (data.subtree_com[dofs.root] - self.reference.com[frame])[:2]
        return load @ (data.xpos[list(dofs.feet)] - feet.position[frame])[:, :2]

    def _foot_moves(self, data: mujoco.MjData, frame: int, anchor: np.ndarray) -> tuple[np.ndarray, np.ndarray] | None:
        """Displacement [m] and velocity [m/s] added to each foot's displaced reference, shape (nfoot, 3) each."""
        feet, config = self.reference.feet, self.config
        if feet is None:
            return None
        move, rate = np.zeros((len(self.dofs.feet), 3)), np.zeros((len(self.dofs.feet), 3))
        divergent = self._divergent(data, frame) - anchor
        for k in np.flatnonzero(feet.swing[frame]):
            phase, remaining = feet.phase[frame, k], feet.time_to_landing[frame, k]
            part = min(1.0, phase / config.placement_lead)
            outwards = feet.outwards[frame, k]
            shift = config.placement * divergent
            shift += (config.lateral_placement - config.placement) * float(divergent @ outwards) * outwards
            shift *= math.exp(config.placement_rate * remaining)
            shift *= min(1.0, config.max_placement / max(float(np.linalg.norm(shift)), 1e-9))
            inwards = -float(shift @ outwards)
            shift += max(0.0, inwards - config.max_inwards) * outwards  # not into the other leg
            move[k, :2] += part * part * (3 - 2 * part) * shift
            lift = np.append(config.clearance_outwards * outwards, config.clearance)
            move[k] += lift * math.sin(math.pi * phase)
            if _LANDING < phase < 1 - _LANDING:
                duration = max(remaining / (1 - phase), 0.2)
                rate[k] += lift * math.cos(math.pi * phase) * math.pi / duration
        return move, rate

    def _swing_rows(
        self,
        rows: ProgrammeRows,
        data: mujoco.MjData,
        frame: int,
        tangent: np.ndarray,
        anchor: np.ndarray,
        move: np.ndarray,
        rate: np.ndarray,
    ) -> None:
        """Rows of the position and orientation of each swinging foot, and of the height of one that is late to land."""
        feet, config = self.reference.feet, self.config
        assert feet is not None
        following = min(frame + 1, self.reference.nframe - 1)
        damping = 2 * math.sqrt(config.foot_gain)
        jacobian, turn = np.zeros((3, self.body.model.nv)), np.zeros((3, self.body.model.nv))
        for k in np.flatnonzero(feet.swing[frame]):
            foot = self.dofs.feet[k]
            mujoco.mj_jacBody(self.body.model, data, jacobian, turn, foot)
            error = feet.position[frame, k] + move[k] - data.xpos[foot]
            error[:2] += anchor
            slip = feet.velocity[frame, k] + rate[k] - jacobian @ data.qvel
            wanted = feet.acceleration[following, k] + config.foot_gain * error + damping * slip
            rows.add(jacobian @ tangent, wanted, config.foot_weight)
            tilt = _rotation_between(data.xmat[foot].reshape(3, 3), feet.rotation[frame, k])
            spin = feet.angular_velocity[frame, k] - turn @ data.qvel
            wanted = feet.angular_acceleration[following, k] + config.foot_gain * tilt + damping * spin
            rows.add(turn @ tangent, wanted, config.foot_rotation_weight)
        for k in np.flatnonzero(
            ~feet.swing[frame] & ~self.body.parts_on_floor(data).reshape(-1, 2).any(axis=1)
        ):  # late to land
            foot = self.dofs.feet[k]
            mujoco.mj_jacBody(self.body.model, data, jacobian, None, foot)
            error = feet.position[frame, k, 2] - config.landing_depth - data.xpos[foot, 2]
            slip = feet.velocity[frame, k, 2] - jacobian[2] @ data.qvel
            wanted = np.array([config.foot_gain * error + damping * slip])
            rows.add(jacobian[2:] @ tangent, wanted, config.foot_weight)

    def _moment_rows(
        self, rows: ProgrammeRows, data: mujoco.MjData, frame: int, tangent: np.ndarray, anchor: np.ndarray
    ) -> None:
        """Rows of the legs' joint moments between two steps: accelerations leave open how the feet share the load.

        A foot's load differs from the clip's where the body is not over its feet as the reference is: the centre of
        pressure moves with the error of the divergent component of motion.
        """
        reference, dofs, feet = self.reference, self.dofs, self.reference.feet
        if reference.moment is None or feet is None:
            return
        shared = 2.0 * float(feet.load[frame].min() * feet.stepping[frame])
        if not shared:
            return
        legs = np.concatenate(dofs.legs) if dofs.legs else np.zeros(0, int)
        moment = tangent[:, legs].T
        wanted = reference.moment[frame][legs - dofs.nroot]
        if self.config.pressure_gain and len(dofs.feet) == 2:
            wanted = wanted + self._pressure_moment(data, frame, tangent, anchor)[legs]
        weight = self.config.moment_weight * shared
        rows.add_linear(
            weight * (moment @ rows.response.torque_gain), weight * (wanted - moment @ rows.response.torque)
        )

    def _pressure_moment(self, data: mujoco.MjData, frame: int, tangent: np.ndarray, anchor: np.ndarray) -> np.ndarray:
        """Change of the joint moments that moves the centre of pressure after the body, shape (ndof,) [Nm].

        Load goes from one foot to the other, and the pressure moves within each foot.
        """
        feet, dofs, model = self.reference.feet, self.dofs, self.body.model
        assert feet is not None
        foot, load = list(dofs.feet), feet.load[frame]
        point = data.xpos[foot] + np.einsum("kij,kj->ki", data.xmat[foot].reshape(-1, 3, 3), feet.pressure[frame])
        apart = (point[1] - point[0])[:2]
        shift = self.config.pressure_gain * (self._divergent(data, frame) - anchor)
        part = float(shift @ apart) / max(float(apart @ apart), 1e-4)
        part = min(max(part, -load[1]), load[0])
        within = shift - part * apart
        within *= min(1.0, self.config.max_pressure_shift / max(float(np.linalg.norm(within)), 1e-9))
        result, jacobian, turn = np.zeros(dofs.ndof), np.zeros((3, model.nv)), np.zeros((3, model.nv))
        for k, added in ((0, -part), (1, part)):
            mujoco.mj_jac(model, data, jacobian, turn, point[k], foot[k])
            force = (load[k] + added) * self._body_weight
            couple = force * np.array([within[1], -within[0], 0.0])
            result -= added * self._body_weight * (jacobian[2] @ tangent) + couple @ (turn @ tangent)
        return result

    def _com_rows(
        self, rows: ProgrammeRows, data: mujoco.MjData, frame: int, tangent: np.ndarray, anchor: np.ndarray
    ) -> None:
        """Rows of the centre of mass."""
        reference, gain = self.reference, self.config.com_gain
        jacobian = np.zeros((3, self.body.model.nv))
        mujoco.mj_jacSubtreeCom(self.body.model, data, jacobian, self.dofs.root)
        error = reference.com[frame] - data.subtree_com[self.dofs.root]
        error[:2] += anchor
        slip = reference.com_velocity[frame] - data.subtree_linvel[self.dofs.root]
        wanted = reference.com_acceleration[min(frame + 1, reference.nframe - 1)]
        wanted = wanted + gain * error + 2 * math.sqrt(gain) * slip
        rows.add(jacobian @ tangent, wanted, self.config.com_weight)


def _rotation_between(start: np.ndarray, goal: np.ndarray) -> np.ndarray:
    """Rotation from one orientation to another in world axes, exact for small angles, shape (3,) [rad]."""
    turn = goal @ start.T
    return 0.5 * np.array([turn[2, 1] - turn[1, 2], turn[0, 2] - turn[2, 0], turn[1, 0] - turn[0, 1]])
