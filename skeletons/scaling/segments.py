"""Segments of the human body that are scaled as a whole: their bones, reference lengths and shares of mass."""

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from musclemap.errors import TargetError

SEXES = ("female", "male")


@dataclass(frozen=True, kw_only=True)
class LimbShape:
    """Where the mass of a limb's segment is: a body of revolution about the line from its joint to the next one.

    Attributes:
        bones: Bodies of the model that have this shape, one of them at each side's joint; others of the segment, such
            as the patella, keep their own.
        end: Bodies whose origin is the next joint.
        centre: Distance of the centre of mass from the joint, in lengths of the segment: of a woman, of a man.
        across: Radius of gyration about the centre of mass, about an axis across the segment, in its lengths.
        along: The same about the segment's own axis.
    """

    bones: tuple[str, ...]
    end: tuple[str, ...]
    centre: tuple[float, float]
    across: tuple[float, float]
    along: tuple[float, float]


@dataclass(frozen=True, kw_only=True)
class Segment:
    """A part of the body, the same on both sides, that has one scale factor.

    Attributes:
        name: Name, as in options and files.
        bodies: Bodies of the model; their descendants belong to the segment too, unless another one claims them.
        released: Mass of its bodies in the released whole body, of both sides, without links [kg].
        mass: Share of body mass, of both sides: of a woman, of a man.
        length: Distance on the released body that `measured` describes [m]; 0 if the segment follows another one.
        measured: What is measured.
        height: Share of the released body's height when it stands upright [m].
        joint_region: Distance from the segment's joint within which the objects that muscles wrap belong to the joint,
            and are scaled like the bone on its other side [m].
        follows: Name of the segment whose factor this one takes, or "" if it has its own.
        shape: Where its mass is if masses are those of a regression; None keeps the places of the released body.
    """

    name: str
    bodies: tuple[str, ...]
    released: float
    mass: tuple[float, float]
    length: float = 0.0
    measured: str = ""
    height: float = 0.0
    joint_region: float = 0.0
    follows: str = ""
    shape: LimbShape | None = None


@dataclass(frozen=True, kw_only=True)
class ScalableBody:
    """What scaling needs to know of a released body.

    Attributes:
        segments: Its segments, also those that a model of a part of the body lacks.
        links: Mass of the released whole body's links, bodies without substance of 1 g each [kg].
    """

    segments: tuple[Segment, ...]
    links: float

    @property
    def mass(self) -> float:
        """Mass of the released whole body [kg]."""
        return self.links + sum(segment.released for segment in self.segments)

    @property
    def height(self) -> float:
        """Height of the released whole body [m]."""
        return sum(segment.height for segment in self.segments)

    @property
    def scaled(self) -> tuple[Segment, ...]:
        """Segments with a factor of their own."""
        return tuple(segment for segment in self.segments if not segment.follows)

    def segment(self, name: str) -> Segment:
        """The segment of a name among those with a factor of their own.

        Raises:
            TargetError: If there is none; the message lists them.
        """
        for segment in self.scaled:
            if segment.name == name:
                return segment
        known = ", ".join(segment.name for segment in self.scaled)
        raise TargetError(f"there is no segment {name!r}; the segments are: {known}")


def segment_of_bodies(model: mujoco.MjModel, segments: Sequence[Segment]) -> np.ndarray:
    """Index of the segment of each body, -1 for the world, shape (nbody,).

    Segments whose bodies a model lacks are empty, so that one table serves a whole body and a part of it.

    Raises:
        TargetError: If a body belongs to no segment.
    """
    claimed = {name: k for k, segment in enumerate(segments) for name in segment.bodies}
    index = np.full(model.nbody, -1)
    for body in range(1, model.nbody):
        index[body] = claimed.get(model.body(body).name, index[model.body_parentid[body]])
        if index[body] < 0:
            raise TargetError(f"body {model.body(body).name!r} belongs to none of the segments that can be scaled")
    return index
