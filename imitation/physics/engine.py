"""Interface of all physics engines: many worlds of one body, advanced together by one control step per call.

Arrays are JAX arrays, float32, with worlds on the first axis. An engine holds no state between calls that could
change a result: stepping the same state with the same controls gives the same result.
"""

from typing import Any, NamedTuple, Protocol

from jax import Array

from .bodies import SimulationBody


class PhysicsState(NamedTuple):
    """State that, together with the controls, determines the next step.

    Attributes:
        qpos: Configurations, shape (nworld, nq).
        qvel: Velocities, shape (nworld, nv).
        act: Muscle activations, shape (nworld, nu).
        warmstart: Accelerations from which the constraint solver starts, shape (nworld, nv).
    """

    qpos: Array
    qvel: Array
    act: Array
    warmstart: Array


class SensorData(NamedTuple):
    """Landmark kinematics, foot contacts and fault flags of a state.

    Attributes:
        xpos: Landmark positions [m], world, shape (nworld, nlandmark, 3).
        xquat: Landmark orientations wxyz, shape (nworld, nlandmark, 4).
        linvel: Velocities of the landmark points [m/s], world axes, shape (nworld, nlandmark, 3).
        angvel: Angular velocities [rad/s], world axes, shape (nworld, nlandmark, 3).
        contact: 1 for each foot part that touches the floor, shape (nworld, 4), in the order of a clip's contacts;
            zeros for a body without feet.
        overflow: Worlds in which contacts or constraints overflowed their buffers, shape (nworld,) bool.
        bad: Worlds whose state is not finite, or faster than `MAX_SPEED`, shape (nworld,) bool.
    """

    xpos: Array
    xquat: Array
    linvel: Array
    angvel: Array
    contact: Array
    overflow: Array
    bad: Array


MAX_SPEED = 1000.0
"""Highest plausible joint speed [rad/s or m/s]."""


class Engine(Protocol):
    """Physics of many worlds."""

    body: SimulationBody
    nworld: int
    device: Any
    """JAX device that holds the arrays; None leaves the choice to JAX."""

    def step(self, state: PhysicsState, ctrl: Array, base: Array | None = None) -> tuple[PhysicsState, SensorData]:
        """Advance all worlds by one control step: `body.nsubstep` physics steps with constant excitations.

        Args:
            state: State of every world.
            ctrl: Muscle excitations, 0 to 1, shape (nworld, nu).
            base: Motion of the base of each world during the step, rows as in a clip's `base_motion`, shape (nworld, 4,
                3); None for a free body, and for a base at rest.

        Returns:
            State after the step, and the sensor data of that state.
        """
        ...

    def read(self, state: PhysicsState) -> SensorData:
        """Compute the sensor data of a state without stepping: kinematics and contacts only."""
        ...
