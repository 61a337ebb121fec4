"""Refinement of a fitted clip so that forces of the ground explain its motion.

The fit follows the source frame by frame, so its accelerations are only as good as the source's. The ground can push at
the parts that bear, and nowhere else, inside friction cones. What remains of the wrench that the motion requires at the
unactuated root is a residual, which no person has. Here the whole clip is moved a little until the residual vanishes:
in flight its centre of mass falls freely, and in stance the centre of pressure stays under the parts that bear. The
residual reduction of OpenSim (Delp et al. 2007) and the dynamics pass of AddBiomechanics (Werling et al. 2023) serve
the same purpose.

One nonlinear least-squares problem over the clip, solved by Gauss-Newton steps with a block-pentadiagonal Cholesky
factorisation:

- tracking: the Gauss-Newton Hessian of the fit's own terms (landmarks, orientations, contacts, floor, prior) measures
  the deviation from the fit;
- residual: the required wrench minus that of the contact forces. The forces are eliminated: for each frame they are the
  solution of a bounded least-squares problem, and the Hessian of the residual is projected on the wrenches that the
  pressed points cannot supply (variable projection, Golub & Pereyra 1973);
- floor: no support point of any part sinks below the floor (see `floor`);
- smoothness: second differences of the deviation from the fit without its roughness (see `roughness`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from scipy.ndimage import binary_opening, uniform_filter1d
from scipy.spatial.transform import Rotation

from musclemap.retarget.config import DynamicsConfig
from musclemap.retarget.forces.bearing import detect_bearing
from musclemap.retarget.forces.contact_forces import (
    TORQUE_LENGTH,
    ContactForceSolver,
    ContactWrench,
    load_sharing,
)
from musclemap.retarget.forces.measured import KnownForces
from musclemap.retarget.forces.required_forces import RequiredForces, required_forces
from musclemap.retarget.forces.roll_over import RollOver, roll_over
from musclemap.retarget.ramps import smoothstep
from musclemap.retarget.source_filter import impact_weight
from musclemap.skeletons.body import TargetBody
from musclemap.skeletons.reduced import NROOT

from .banded import BandedSystem
from .floor import Floor, floor_cost
from .roughness import roughness

SEGMENT, OVERLAP = 1024, 96
"""Frames of a long clip that are refined together, which bounds the memory, and frames shared by two segments, over
which one fades into the other."""

UNSUPPORTED = 0.3
"""A residual above this is not a fault of the motion but a missing support: a chair, a handrail [body weights]. Such
frames are left as they are. A moment counts as the force that has it at `TORQUE_LENGTH`: feet ahead of a body that sits
on air can bear its weight, but not without a moment."""

UNSUPPORTED_SECONDS = 0.3
"""A shorter lack of support is a fault of the motion: take-off and landing blur in recordings [s]."""

IMPACT_SMOOTHNESS = 0.1
"""Factor on the smoothness around free fall and landing, where accelerations change within a few frames."""

LEAST_DECREASE = 0.08
"""A clip whose squared residual a step lowers by less than this fraction takes no further step."""

SINKING, FLOOR_ROUNDS = 0.0005, 2
"""Depth to which a step may press a lifted point into the floor [m], and how often it is solved again where it would
press deeper."""

FADE_SECONDS = 0.1
"""Time over which the residual's weight fades near unsupported frames [s]."""


@dataclass(frozen=True, kw_only=True)
class Refinement:
    """Refined configurations of one clip.

    Attributes:
        q: Refined configurations, shape (nframe, 7 + njoint).
        fitted: Configurations of the fit, same shape.
        moved: Mean distance that the body's support points, spread over all its parts, moved from the fit, shape
            (nframe,) [m].
        residual_before: Residual force and moment of every frame of the fit, shape (nframe, 2) [N, Nm].
        residual_after: The same of the refined motion.
        bearing: Whether each part bears, shape (nframe, npart) bool.
    """

    q: np.ndarray
    fitted: np.ndarray
    moved: np.ndarray
    residual_before: np.ndarray
    residual_after: np.ndarray
    bearing: np.ndarray


@dataclass(frozen=True, kw_only=True)
class _State:
    """Forces at one iterate."""

    required: RequiredForces
    forces: ContactWrench
    root: np.ndarray

    @property
    def residual(self) -> np.ndarray:
        return self.required.wrench - self.forces.wrench

    @property
    def magnitude(self) -> np.ndarray:
        """Norms of residual force and moment, shape (nframe, 2) [N, Nm]."""
        residual = self.residual
        return np.stack([np.linalg.norm(residual[:, :3], axis=1), np.linalg.norm(residual[:, 3:], axis=1)], axis=1)


def refinement_metrics(refinement: Refinement) -> dict[str, float]:
    """Metrics of a clip: how far its posture moved from the fit, and the residuals before and after."""
    joints = np.degrees(np.abs(refinement.q - refinement.fitted)[:, NROOT:])
    shift = 1e3 * np.linalg.norm(refinement.q[:, :3] - refinement.fitted[:, :3], axis=1)
    return {
        "dynamics_moved_mm": 1e3 * float(refinement.moved.mean()),
        "dynamics_root_moved_mm": float(shift.mean()),
        "dynamics_root_moved_max_mm": float(shift.max()),
        "dynamics_joints_moved_deg": float(joints.mean()),
        "dynamics_joints_moved_max_deg": float(joints.max(initial=0.0)),
        "dynamics_residual_force_before_n": float(refinement.residual_before[:, 0].mean()),
        "dynamics_residual_moment_before_nm": float(refinement.residual_before[:, 1].mean()),
    }


class Refiner:
    """Refines fits of one body.

    Args:
        body: Target body with a free root and support parts.
        config: Settings.
        friction: Coefficient of friction.
        force_weight: Weight of the squared residual against the squared contact forces, both in body weights.
        smoothness: Weight of the second differences of each degree of freedom's deviation, shape (ndof,).
        floor: Weight of a support point's squared depth below the floor [1/m^2].
    """

    def __init__(
        self,
        body: TargetBody,
        config: DynamicsConfig,
        *,
        friction: float,
        force_weight: float,
        smoothness: np.ndarray,
        floor: float,
    ) -> None:
        self.body, self.config, self._smoothness, self._floor = body, config, smoothness, floor
        self._solver = ContactForceSolver(body, friction=friction, residual_weight=force_weight)
        self._scale = np.array([1.0, 1.0, 1.0, *[1.0 / TORQUE_LENGTH] * 3]) / self._solver.weight

    def refine(
        self,
        q: np.ndarray,
        stiffness: Callable[[slice], np.ndarray],
        held: np.ndarray,
        fps: float,
        *,
        ground: np.ndarray | None = None,
        known: KnownForces | None = None,
    ) -> Refinement:
        """Refine a clip.

        Args:
            q: Configurations of the fit, ground at z = 0, shape (nframe, 7 + njoint).
            stiffness: Returns the Hessian of the fit's terms in a slice of frames, shape (n, ndof, ndof).
            held: Whether each foot, left and right, is held still, shape (nframe, 2) bool.
            fps: Frame rate [Hz].
            ground: Height of the ground under each foot, left and right, shape (nframe, 2) [m]; 0 by default.
            known: Measured forces on the feet, in the frame of `q`; the motion is moved to agree with them.
        """
        nframe = len(q)
        floor = self._ground(np.zeros((nframe, 2)) if ground is None else ground)
        out, bearing = np.array(q, np.float64), np.zeros((nframe, len(self.body.support_parts)), bool)
        before, after, moved = np.zeros((nframe, 2)), np.zeros((nframe, 2)), np.zeros(nframe)
        step = SEGMENT - OVERLAP
        starts = range(0, max(nframe - OVERLAP, 1), step)
        for low in starts:
            part = slice(low, min(low + SEGMENT, nframe))
            measured = None if known is None else known[part]
            result = self._segment(q[part], stiffness(part), held[part], floor[part], fps, measured)
            if low:
                _fade(out[part], result.q)
            else:
                out[part] = result.q
            inner = slice(low if not low else low + OVERLAP // 2, part.stop)
            for target, source in (
                (bearing, result.bearing),
                (moved, result.moved),
                (before, result.residual_before),
                (after, result.residual_after),
            ):
                target[inner] = source[inner.start - low :]
        return Refinement(q=out, fitted=q, moved=moved, residual_before=before, residual_after=after, bearing=bearing)

    def _ground(self, feet: np.ndarray) -> np.ndarray:
        """Height of the ground under every support point, shape (nframe, npoint) [m]: the lower one but for feet."""
        part = self.body.support.part
        ground = np.repeat(feet.min(axis=1, keepdims=True), len(part), axis=1)
        for foot in range(2):
            ground[:, part == foot] = feet[:, foot, None]
        return ground

    def _segment(
        self, q: np.ndarray, stiffness: np.ndarray, held: np.ndarray, floor: np.ndarray, fps: float,
        known: KnownForces | None,
    ) -> Refinement:  # fmt: skip
        required = self._required(q, fps, momentum=True)
        vertical = required.wrench[:, 2] / self._solver.weight
        bearing = detect_bearing(self.body.support, required.points, vertical, required.com, fps, held=held)
        if known is not None:
            bearing = known.bears(bearing)
        load = load_sharing(bearing, fps)
        if known is not None:
            load[:, :2] *= ~known.known
        rolling = roll_over(self.body.support, required.points, bearing, required.com, fps)
        state = first = best = self._state(q, required, load, rolling, known)
        floor = np.minimum(floor, required.points[..., 2])  # what the fit leaves below the ground may stay there
        trusted = self._trusted(first, fps)
        lowest = self._cost(first, trusted, floor)
        current = best_q = np.array(q, np.float64)
        deviation = np.zeros((len(q), self.body.reduced.ndof))
        impact = impact_weight(q[:, 2], fps)
        rough = roughness(q, impact, fps, self.config.cutoff)
        smoothness = self._smoothness * (1.0 - (1.0 - IMPACT_SMOOTHNESS) * impact[1:-1, None])
        for iteration in range(1, self.config.iterations + 1):
            height = state.required.points[..., 2] - floor
            under = Floor(self.body, current, state.required, height, self._floor)
            try:
                step = self._step(
                    state, deviation, stiffness, trusted, fps,
                    bend=(smoothness, deviation + rough), floor=under, bounds=self._bounds(current),
                )  # fmt: skip
            except np.linalg.LinAlgError:  # rounding made the system indefinite: the best iterate so far remains
                break
            current, moved = self._move(current, step)
            deviation += moved
            required = self._required(current, fps, momentum=iteration < self.config.iterations)
            state = self._state(current, required, load, rolling, known, state.forces.dual)
            cost = self._cost(state, trusted, floor)
            if cost >= lowest:
                continue
            converged = cost > (1.0 - LEAST_DECREASE) * lowest
            best, best_q, lowest = state, current, cost
            if converged:
                break
        moved = np.linalg.norm(best.required.points - first.required.points, axis=2).mean(axis=1)
        return Refinement(
            q=best_q,
            fitted=q,
            moved=moved,
            residual_before=first.magnitude,
            residual_after=best.magnitude,
            bearing=bearing,
        )

    def _required(self, q: np.ndarray, fps: float, *, momentum: bool) -> RequiredForces:
        return required_forces(self.body, self.body.reduced.expand(q), fps, momentum=momentum)

    def _state(
        self,
        q: np.ndarray,
        required: RequiredForces,
        load: np.ndarray,
        rolling: RollOver,
        known: KnownForces | None,
        start: np.ndarray | None = None,
    ) -> _State:
        supplied = np.zeros_like(required.wrench) if known is None else known.wrench(q[:, :3]).sum(axis=1)
        forces = self._solver.wrench(required.wrench - supplied, required.points, q[:, :3], load, rolling, start=start)
        forces = replace(forces, wrench=forces.wrench + supplied)
        return _State(required=required, forces=forces, root=q[:, :3])

    def _cost(self, state: _State, trusted: np.ndarray, floor: np.ndarray) -> float:
        """Squared residual, and the cost of what lies below the floor in its units."""
        residual = np.sum(trusted[:, None] * (state.residual * self._scale) ** 2)
        depth = floor_cost(state.required.points[..., 2] - floor, self._floor).sum()
        return float(residual + 2.0 * depth / self.config.residual_weight)

    def _trusted(self, state: _State, fps: float) -> np.ndarray:
        """Weight of every frame's residual, shape (nframe,): 0 at the ends and where a support is missing."""
        missing = np.linalg.norm(state.residual * self._scale, axis=1) > UNSUPPORTED
        missing = np.asarray(binary_opening(missing, np.ones(max(1, round(UNSUPPORTED_SECONDS * fps)))), bool)
        width = 2 * max(1, round(FADE_SECONDS * fps)) + 1
        trusted = np.clip(1.0 - 2.0 * uniform_filter1d(missing.astype(float), width, mode="nearest"), 0.0, 1.0)
        trusted = np.where(missing, 0.0, trusted)
        trusted[0] = trusted[-1] = 0.0
        return trusted

    def _step(
        self, state: _State, deviation: np.ndarray, stiffness: np.ndarray, trusted: np.ndarray, fps: float,
        *, bend: tuple[np.ndarray, np.ndarray], floor: Floor,
        bounds: tuple[np.ndarray, np.ndarray],
    ) -> np.ndarray:  # fmt: skip
        """Gauss-Newton step of the whole segment, shape (nframe, ndof).

        `bend` has the weights of the second differences, (nframe - 2, ndof), and the values that they belong to.
        """
        nframe, ndof = deviation.shape
        system = BandedSystem(nframe, ndof)
        system.add_frames(stiffness, np.einsum("tij,tj->ti", stiffness, deviation))
        system.blocks[0][:, np.arange(ndof), np.arange(ndof)] += 1e-6 + 1e-3 * stiffness.diagonal(0, 1, 2).mean(axis=0)
        system.add_second_differences(*bend)
        weight = self.config.residual_weight
        projected = np.linalg.inv(np.eye(6) / weight + state.forces.reach)
        system.add_rows(self._jacobian(state, fps), trusted[:, None, None] * projected, state.residual * self._scale)
        active = floor.height < 0.0
        hessian, gradient = floor.model(active)
        system.add_frames(hessian, gradient)
        step = system.solve(*bounds)
        for _ in range(FLOOR_ROUNDS):
            height = floor.after(step)
            if not ((height < -SINKING) & ~active).any():
                break
            active = height < 0.0
            system.add_frames(-hessian, -gradient)
            hessian, gradient = floor.model(active)
            system.add_frames(hessian, gradient)
            step = system.solve(*bounds)
        return step

    def _jacobian(self, state: _State, fps: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Derivative of the scaled residual by the previous, the same and the next frame, each (nframe, 6, ndof).

        The rate of change of momentum about a fixed point is the difference of the momenta on either side of a frame,
        which the momentum matrices of the neighbouring frames give. Moving a frame also moves its mass relative to the
        force of gravity and inertia.
        """
        momentum, required = state.required.momentum, state.required
        assert momentum is not None
        rate = fps**2
        about = lambda frames, origin: _shifted(momentum[frames], state.root[frames] - state.root[origin])  # noqa: E731
        frames = np.arange(len(momentum))
        before, after = np.maximum(frames - 1, 0), np.minimum(frames + 1, len(frames) - 1)
        same = -2.0 * rate * momentum
        com_rate = momentum[:, :3] / self.body.mass  # velocity of the centre of mass per unit rate
        same[:, 3:] -= _cross_matrix(required.wrench[:, :3]) @ com_rate
        parts = (rate * about(before, frames), same, rate * about(after, frames))
        previous, middle, following = (self._scale[:, None] * part for part in parts)
        return previous, middle, following

    def _bounds(self, q: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Steps to the joint limits, each (nframe, ndof); the root has none."""
        free = np.full((len(q), 6), np.inf)
        lower, upper = self.body.reduced.lower - q[:, NROOT:], self.body.reduced.upper - q[:, NROOT:]
        return np.concatenate([-free, np.minimum(lower, 0.0)], axis=1), np.concatenate(
            [free, np.maximum(upper, 0.0)], axis=1
        )

    def _move(self, q: np.ndarray, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Move configurations along steps within the joint limits; returns them and the steps made."""
        new = q.copy()
        new[:, :3] += step[:, :3]
        turned = Rotation.from_rotvec(step[:, 3:6]) * Rotation.from_quat(q[:, 3:NROOT], scalar_first=True)
        new[:, 3:NROOT] = turned.as_quat(scalar_first=True)
        joints = np.clip(q[:, NROOT:] + step[:, 6:], self.body.reduced.lower, self.body.reduced.upper)
        made = step.copy()
        made[:, 6:] = joints - q[:, NROOT:]
        new[:, NROOT:] = joints
        return new, made


def _shifted(momentum: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Momentum matrices about points that lie `offset` (nframe, 3) before their own origin."""
    out = momentum.copy()
    out[:, 3:] += _cross_matrix(offset) @ momentum[:, :3]
    return out


def _cross_matrix(vector: np.ndarray) -> np.ndarray:
    """Matrices of the cross product with vectors, (n, 3) -> (n, 3, 3)."""
    x, y, z = vector.T
    zero = np.zeros_like(x)
    return np.stack([np.stack([zero, -z, y], 1), np.stack([z, zero, -x], 1), np.stack([-y, x, zero], 1)], 1)


def _fade(earlier: np.ndarray, later: np.ndarray) -> None:
    """Let the start of `later` take over from the end of `earlier`, in place, over `OVERLAP` frames."""
    n = min(OVERLAP, len(later))
    blend = smoothstep(np.linspace(0.0, 1.0, n))[:, None]
    turn = Rotation.from_quat(earlier[:n, 3:NROOT], scalar_first=True)
    other = Rotation.from_quat(later[:n, 3:NROOT], scalar_first=True)
    quat = (Rotation.from_rotvec(blend * (other * turn.inv()).as_rotvec()) * turn).as_quat(scalar_first=True)
    mixed = (1.0 - blend) * earlier[:n] + blend * later[:n]
    mixed[:, 3:NROOT] = quat
    earlier[:n] = mixed
    earlier[n:] = later[n:]
