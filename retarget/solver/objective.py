"""Cost of single frames: a list of terms and their combined normal equations."""

from collections.abc import Sequence
from dataclasses import dataclass

from jax import Array

from musclemap.skeletons.kinematics import forward
from musclemap.skeletons.tree import Tree

from .normal_equations import Normal, assemble
from .terms import FrameTargets, SpatialTerm, Term


@dataclass(frozen=True, eq=False)
class Objective:
    """Sum of cost terms.

    The rows of all spatial terms are summed over bodies in one pass; every other term adds its own normal equations.

    Attributes:
        tree: Tree of the terms. Its points are the landmarks, contact points and foot spheres, then those of further
            terms.
        terms: Cost terms.
    """

    tree: Tree
    terms: Sequence[Term]

    def normal(self, q: Array, targets: FrameTargets) -> Normal:
        """Gauss-Newton model of every frame.

        Args:
            q: Reduced configurations, shape (7 + njoint, nframe).
            targets: Targets of the frames.
        """
        kinematics = forward(self.tree, q)
        spatial = [term for term in self.terms if isinstance(term, SpatialTerm)]
        model = assemble(self.tree, kinematics.screw, [term.rows(kinematics, targets) for term in spatial])
        for term in self.terms:
            if not isinstance(term, SpatialTerm):
                model = model + term.normal(kinematics, targets)
        return model
