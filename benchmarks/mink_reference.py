"""Another solver on the same targets: mink, frame by frame, in the two-stage loop of General Motion Retargeting.

The loop is that of GMR (Araujo et al. 2025, `GeneralMotionRetargeting.retarget`): each stage repeats while a step
lowers the norm of the task errors by more than 1e-3, at most 1 + 10 times; daqp, damping 0.5, Levenberg-Marquardt
damping 1, joint limits, every frame started from the one before. Set up as well as we know how: couplings in one
equality task (one for each of the 51 makes the loop twenty times slower), no geoms, sites, tendons and muscles, no
finger joints, our weights.

    python benchmarks/mink_reference.py TARGETS.npz RESULT.npz

is how `solver_race` runs it, in a process with one thread for linear algebra. More gain nothing with matrices this
small, and beside any other load they wait for each other until the loop is ten times slower.
"""

import argparse
import time
from dataclasses import dataclass, fields
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import mujoco
import numpy as np

from musclemap.retarget.config import RetargetConfig, WeightConfig
from musclemap.retarget.solver.terms import OrientationTerm, PositionTerm, frame_terms
from musclemap.skeletons.bare_tree import bare_tree
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.bodies.myofullbody import FINGER_JOINTS, FIT, LANDMARK_NAMES, LANDMARKS, load_model
from musclemap.skeletons.body import TargetBody

MISSING = "mink, daqp or qpsolvers is missing; they come with: pip install 'musclemap[bench]'"

ORIENTED = [k for k, landmark in enumerate(LANDMARKS) if landmark.orientation is not None]
"""Landmarks that have an orientation target."""

FIRST_STAGE = ("pelvis", *FIT.along_foot)
"""Landmarks whose position counts in the first stage, next to all orientations."""

SCALE = 100.0
"""Costs are this times the roots of our weights, as in GMR's tables; only their ratio to the dampings matters."""

COUPLING_COST = 1000.0
DAMPING, LM_DAMPING = 0.5, 1.0
LEAST_GAIN, MORE_STEPS = 1e-3, 10


def available() -> bool:
    """Whether everything that the reference needs is installed."""
    return all(find_spec(name) is not None for name in ("mink", "daqp", "qpsolvers"))


@dataclass(frozen=True, kw_only=True)
class Solution:
    """What the loop reached.

    Attributes:
        landmark_pos: Shape (nframe, 17, 3) [m].
        coupling: Largest deviation of a driven joint from its polynomial, shape (nframe,) [rad or m].
        steps: Quadratic programs solved, shape (nframe,).
    """

    landmark_pos: np.ndarray
    coupling: np.ndarray
    steps: np.ndarray


class MinkReference:
    """The loop on MyoFullBody without fingers."""

    def __init__(self, body: TargetBody, weights: WeightConfig, *, released: bool = False) -> None:
        import mink  # pyright: ignore[reportMissingImports] of the extra [bench]

        self._mink: Any = mink
        self.model = load_model() if released else _without_fingers()
        self.ids = np.array([self.model.body(name).id for name in LANDMARK_NAMES])
        self._rest = body.reduced.base[
            [body.model.joint(self.model.joint(j).name).qposadr[0] for j in range(1, self.model.njnt)]
        ]
        self._couplings = mink.EqualityConstraintTask(self.model, cost=COUPLING_COST)
        self._limits = [mink.ConfigurationLimit(self.model)]
        terms = frame_terms(body, weights)
        position = next(term.landmark for term in terms if isinstance(term, PositionTerm))
        rotation = next(term.weight for term in terms if isinstance(term, OrientationTerm))
        rot = dict(zip(ORIENTED, rotation, strict=True))
        first = [w if name in FIRST_STAGE else 0.0 for name, w in zip(LANDMARK_NAMES, position, strict=True)]
        self._stages = [
            {k: self._task(k, pos[k], rot.get(k, 0.0)) for k in range(len(pos)) if pos[k] or k in rot}
            for pos in (first, position)
        ]

    def _task(self, landmark: int, pos: float, rot: float) -> Any:
        return self._mink.FrameTask(
            frame_name=LANDMARK_NAMES[landmark],
            frame_type="body",
            position_cost=SCALE * np.sqrt(pos),
            orientation_cost=SCALE * np.sqrt(rot),
            lm_damping=LM_DAMPING,
        )

    def start(self, pos: np.ndarray, rot: np.ndarray) -> Any:
        """Solve a first frame thoroughly, from rest under the pelvis's target; shapes as in `solve`, without frames."""
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, rot[ORIENTED.index(0)].astype(np.float64).ravel())
        configuration = self._mink.Configuration(self.model, q=np.concatenate([pos[0], quat, self._rest]))
        self._aim(pos, rot)
        for _ in range(10):
            for stage in self._stages:
                self._run(configuration, stage)
        return configuration

    def solve(self, configuration: Any, pos: np.ndarray, rot: np.ndarray) -> Solution:
        """Follow targets frame by frame.

        Args:
            configuration: From `start`; moved along.
            pos: Landmark positions, shape (nframe, 17, 3) [m].
            rot: Orientations of the oriented landmarks, shape (nframe, noriented, 3, 3).
        """
        reached, coupling, steps = np.empty_like(pos), np.empty(len(pos)), np.zeros(len(pos), int)
        for t in range(len(pos)):
            self._aim(pos[t], rot[t])
            steps[t] = sum(self._run(configuration, stage) for stage in self._stages)
            reached[t] = configuration.data.xpos[self.ids]
            coupling[t] = np.abs(self._couplings.compute_error(configuration)).max()
        return Solution(landmark_pos=reached, coupling=coupling, steps=steps)

    def _aim(self, pos: np.ndarray, rot: np.ndarray) -> None:
        place = dict(zip(ORIENTED, rot.astype(np.float64), strict=True))
        for k in self._stages[1]:
            turn = self._mink.SO3.from_matrix(place[k]) if k in place else self._mink.SO3.identity()
            target = self._mink.SE3.from_rotation_and_translation(turn, pos[k])
            for stage in self._stages:
                if k in stage:
                    stage[k].set_target(target)

    def _run(self, configuration: Any, stage: dict[int, Any]) -> int:
        tasks = list(stage.values())
        dt = self.model.opt.timestep

        def error() -> float:
            return float(
                np.linalg.norm(np.concatenate([task.compute_error(configuration)[: _rows(task)] for task in tasks]))
            )

        now, steps = error(), 0
        while steps <= MORE_STEPS:
            velocity = self._mink.solve_ik(
                configuration, [*tasks, self._couplings], dt, "daqp", DAMPING, limits=self._limits
            )
            configuration.integrate_inplace(velocity, dt)
            steps, before, now = steps + 1, now, error()
            if before - now <= LEAST_GAIN:
                break
        return steps


def _rows(task: Any) -> int:
    """Position alone where a body has no wanted orientation, which mink orders last."""
    return 6 if task.cost[3:].any() else 3


def _without_fingers() -> mujoco.MjModel:
    return bare_tree(load_model(), without=frozenset(FINGER_JOINTS))


def main() -> None:
    """Solve the clips of a file (`pos_k`, `rot_k`) and time it, building and each clip's first start left out."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--released", action="store_true", help="on the body as it is released, nothing taken away")
    options = parser.parse_args()
    config = RetargetConfig()
    reference = MinkReference(load_body(limits=config.joint_limits), config.weights, released=options.released)
    with np.load(options.targets, allow_pickle=False) as file:
        clips = [(file[f"pos_{k}"], file[f"rot_{k}"]) for k in range(len(file.files) // 2)]
    starts = [reference.start(pos[0], rot[0]) for pos, rot in clips]
    started = time.perf_counter()
    parts = [reference.solve(start, pos, rot) for start, (pos, rot) in zip(starts, clips, strict=True)]
    seconds = time.perf_counter() - started
    whole = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Solution)}
    np.savez(options.result, seconds=seconds, allow_pickle=False, **whole)


if __name__ == "__main__":
    main()
