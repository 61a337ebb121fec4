"""Reference solver on the same targets: mink, frame by frame, in the two-stage loop of General Motion Retargeting.

The loop is that of GMR (Araujo et al. 2025, `GeneralMotionRetargeting.retarget`): each stage repeats while a step
lowers the norm of the task errors by more than 1e-3, at most 1 + 10 times. It uses daqp, damping 0.5,
Levenberg-Marquardt damping 1 and joint limits, and starts every frame from the previous one. It is set up as
efficiently as we know: all couplings in one equality task (one task for each of the 51 makes the loop twenty times
slower), no geoms, sites, tendons, muscles or finger joints, and our weights.

    python benchmarks/mink_reference.py TARGETS.npz RESULT.npz

`solver_race` runs this command in a process with one thread for linear algebra. More threads gain nothing with matrices
this small; under any other load they wait for each other and make the loop ten times slower.
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

MISSING = "mink, daqp or qpsolvers is not installed; install them with: pip install 'musclemap[bench]'"

ORIENTED = [k for k, landmark in enumerate(LANDMARKS) if landmark.orientation is not None]
"""Indices of landmarks with an orientation target."""

FIRST_STAGE = ("pelvis", *FIT.along_foot)
"""Landmarks with a position task in the first stage, which also has all orientation tasks."""

SCALE = 100.0
"""Factor on the square roots of our weights that gives costs like those in GMR's tables; only their ratio to the
dampings matters."""

COUPLING_COST = 1000.0
DAMPING, LM_DAMPING = 0.5, 1.0
MIN_DECREASE, MAX_EXTRA_STEPS = 1e-3, 10


def available() -> bool:
    """Return whether the packages of the reference solver are installed."""
    return all(find_spec(name) is not None for name in ("mink", "daqp", "qpsolvers"))


@dataclass(frozen=True, kw_only=True)
class Solution:
    """Result of the reference solver.

    Attributes:
        landmark_pos: Landmark positions, shape (nframe, 17, 3) [m].
        coupling: Largest deviation of a driven joint from its coupling, shape (nframe,) [rad or m].
        steps: Number of quadratic programs solved, shape (nframe,).
    """

    landmark_pos: np.ndarray
    coupling: np.ndarray
    steps: np.ndarray


class MinkReference:
    """GMR's loop on MyoFullBody.

    Args:
        body: Target body.
        weights: Weights of our fit.
        released: Whether to use the model as released, with fingers, geoms, tendons and muscles.
    """

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
        """Solve the first frame of a clip with many steps, from rest at the pelvis target.

        Args:
            pos: Landmark positions, shape (17, 3) [m].
            rot: Orientations of the oriented landmarks, shape (noriented, 3, 3).
        """
        quat = np.empty(4)
        mujoco.mju_mat2Quat(quat, rot[ORIENTED.index(0)].astype(np.float64).ravel())
        configuration = self._mink.Configuration(self.model, q=np.concatenate([pos[0], quat, self._rest]))
        self._set_targets(pos, rot)
        for _ in range(10):
            for stage in self._stages:
                self._run(configuration, stage)
        return configuration

    def solve(self, configuration: Any, pos: np.ndarray, rot: np.ndarray) -> Solution:
        """Solve the frames of a clip one after the other.

        Args:
            configuration: From `start`; modified.
            pos: Landmark positions, shape (nframe, 17, 3) [m].
            rot: Orientations of the oriented landmarks, shape (nframe, noriented, 3, 3).
        """
        reached, coupling, steps = np.empty_like(pos), np.empty(len(pos)), np.zeros(len(pos), int)
        for t in range(len(pos)):
            self._set_targets(pos[t], rot[t])
            steps[t] = sum(self._run(configuration, stage) for stage in self._stages)
            reached[t] = configuration.data.xpos[self.ids]
            coupling[t] = np.abs(self._couplings.compute_error(configuration)).max()
        return Solution(landmark_pos=reached, coupling=coupling, steps=steps)

    def _set_targets(self, pos: np.ndarray, rot: np.ndarray) -> None:
        orientations = dict(zip(ORIENTED, rot.astype(np.float64), strict=True))
        for k in self._stages[1]:
            rotation = self._mink.SO3.from_matrix(orientations[k]) if k in orientations else self._mink.SO3.identity()
            target = self._mink.SE3.from_rotation_and_translation(rotation, pos[k])
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

        current, steps = error(), 0
        while steps <= MAX_EXTRA_STEPS:
            velocity = self._mink.solve_ik(
                configuration, [*tasks, self._couplings], dt, "daqp", DAMPING, limits=self._limits
            )
            configuration.integrate_inplace(velocity, dt)
            steps, before, current = steps + 1, current, error()
            if before - current <= MIN_DECREASE:
                break
        return steps


def _rows(task: Any) -> int:
    """Number of a task's rows: 3 without an orientation target, whose rows mink puts last."""
    return 6 if task.cost[3:].any() else 3


def _without_fingers() -> mujoco.MjModel:
    return bare_tree(load_model(), without=frozenset(FINGER_JOINTS))


def main() -> None:
    """Solve the clips of a file (`pos_k`, `rot_k`); the time excludes the model and the first frame of each clip."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("targets", type=Path)
    parser.add_argument("result", type=Path)
    parser.add_argument("--released", action="store_true", help="use the complete model as released")
    options = parser.parse_args()
    config = RetargetConfig()
    reference = MinkReference(load_body(limits=config.joint_limits), config.weights, released=options.released)
    with np.load(options.targets, allow_pickle=False) as file:
        clips = [(file[f"pos_{k}"], file[f"rot_{k}"]) for k in range(len(file.files) // 2)]
    starts = [reference.start(pos[0], rot[0]) for pos, rot in clips]
    started = time.perf_counter()
    parts = [reference.solve(start, pos, rot) for start, (pos, rot) in zip(starts, clips, strict=True)]
    seconds = time.perf_counter() - started
    arrays = {f.name: np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Solution)}
    np.savez(options.result, seconds=seconds, allow_pickle=False, **arrays)


if __name__ == "__main__":
    main()
