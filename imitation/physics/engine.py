"""What every physics engine does: many worlds of one body, state in and state out, one control step at a time.

Arrays are JAX arrays, float32, worlds first. An engine keeps no state of its own between calls that a caller could
miss: stepping the same state with the same controls gives the same result.
"""

from typing import Any, NamedTuple, Protocol

from jax import Array

from .bodies import SimulationBody


class PhysicsState(NamedTuple):
    """All that the next step depends on, besides the controls.

    Attributes:
        qpos: Configurations, shape (nworld, nq).
        qvel: Velocities, shape (nworld, nv).
        act: Muscle activations, shape (nworld, nu).
        warmstart: Accelerations that the constraint solver starts from, shape (nworld, nv).
    """

    qpos: Array
    qvel: Array
    act: Array
    warmstart: Array


class SensorData(NamedTuple):
    """What is seen of a state.

    Attributes:
        xpos: Landmarks [m], world, shape (nworld, nlandmark, 3).
        xquat: Their orientations wxyz, shape (nworld, nlandmark, 4).
        linvel: Their velocities [m/s], world axes, at the landmark itself, shape (nworld, nlandmark, 3).
        angvel: Their angular velocities [rad/s], world axes, shape (nworld, nlandmark, 3).
        contact: 1 where a part of a foot touches the floor, shape (nworld, 4), in the order of a clip's contacts; zeros
            for a body without feet.
        overflow: Worlds in which contacts or constraints found no room, shape (nworld,) bool.
        bad: Worlds whose state is not finite, or faster than anything real, shape (nworld,) bool.
    """

    xpos: Array
    xquat: Array
    linvel: Array
    angvel: Array
    contact: Array
    overflow: Array
    bad: Array


FASTEST = 1000.0
"""Largest speed of a joint [rad/s or m/s] that is believed."""


class Engine(Protocol):
    """Physics of many worlds."""

    body: SimulationBody
    nworld: int
    device: Any
    """JAX device that its arrays lie on, or None: JAX may lay them where it likes."""

    def step(self, state: PhysicsState, ctrl: Array) -> tuple[PhysicsState, SensorData]:
        """Go one control step further: `body.nsubstep` physics steps with excitations held.

        Args:
            state: Of every world.
            ctrl: Muscle excitations, 0 to 1, shape (nworld, nu).

        Returns:
            State after the step and its reading, both of the same moment.
        """
        ...

    def read(self, state: PhysicsState) -> SensorData:
        """See a state without stepping: kinematics and contacts alone."""
        ...
