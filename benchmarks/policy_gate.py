"""Disturbed starts from which a policy reaches the end of a clip, in one engine or both.

    python benchmarks/policy_gate.py POLICY CLIP [--starts 20] [--seed 5] [--frame 0] [--engines mujoco warp]

Start 0 is undisturbed; the others have velocity errors of 0.05 m/s (root, each axis) and 0.1 rad/s (its rotation, and
joints), as standard deviations. A start fails at the published limits: 0.3 m relative landmark error, 0.5 m root error.
The engines get the same starts.
"""

import argparse
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from musclemap.datasets.clip import read_clip
from musclemap.imitation.dagger.starts import StartNoise
from musclemap.imitation.eval.evaluation import evaluation_config
from musclemap.imitation.physics.bodies import SimulationBody
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.engines import make_engine
from musclemap.imitation.policy.policy import Policy, compile_policy
from musclemap.imitation.policy.policy_file import body_of, load_policy
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.imitation.task.task import StepResult, Task, TaskState
from musclemap.pipelines.train.physics_setup import buffer_arguments

ROOT_SPEED, JOINT_SPEED = 0.05, 0.1


def run(
    policy: Policy, body: SimulationBody, library: Library, kind: str, options: argparse.Namespace
) -> tuple[np.ndarray, np.ndarray]:
    """Frame at which each start fails, -1 if it reaches the end, and its normalised return."""
    count, reference = options.starts, library.reference
    engine = make_engine(body, count, kind=kind, **buffer_arguments(body, reference, policy.physics, kind=kind))
    task, act = Task(body, evaluation_config(policy.task)), compile_policy(policy)
    frames = int(reference.length[0]) - 1 - options.frame
    key, noise_key = jax.random.split(jax.random.PRNGKey(options.seed))
    clip = jnp.zeros(count, jnp.int32)
    physics, state = task.reset(reference, clip, clip + options.frame, key)
    noise = StartNoise(body, root=ROOT_SPEED, joint=JOINT_SPEED)(noise_key, physics.qpos)
    physics = physics._replace(qvel=physics.qvel + noise.at[0].set(0.0))
    observe = jax.jit(lambda *now: jnp.nan_to_num(task.observe(reference, *now)))

    @jax.jit
    def score(
        state: TaskState, physics: PhysicsState, sensors: SensorData, ctrl: jax.Array
    ) -> tuple[TaskState, StepResult]:
        advanced = task.advance(state._replace(excitation=ctrl))
        return advanced, task.evaluate_step(reference, physics, sensors, advanced, state.excitation)

    lost, total = np.full(count, -1), np.zeros(count)
    sensors = engine.read(physics)
    for step in range(frames):
        ctrl = act(observe(physics, sensors, state))
        physics, sensors = engine.step(physics, ctrl)
        state, result = score(state, physics, sensors, ctrl)
        lost[(lost < 0) & np.asarray(result.terminated)] = options.frame + step + 1
        total += np.where(lost < 0, np.asarray(result.published), 0.0)
        if (lost >= 0).all():
            break
    return lost, total / (MAX_PUBLISHED_REWARD * frames)


def main() -> None:
    """Print a line per engine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("policy", type=Path)
    parser.add_argument("clip", type=Path)
    parser.add_argument("--starts", type=int, default=20)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--frame", type=int, default=0)
    parser.add_argument("--engines", nargs="+", choices=("mujoco", "warp"), default=["mujoco"])
    options = parser.parse_args()
    policy = load_policy(options.policy)
    body = body_of(policy)
    library = make_library(
        [(options.clip.stem, read_clip(options.clip))], body, resting=policy.task.resting_excitation
    )
    for kind in options.engines:
        began = time.perf_counter()
        lost, normalised = run(policy, body, library, kind, options)
        failures = ", ".join(str(frame) for frame in lost if frame >= 0)
        print(
            f"{kind}: {int((lost < 0).sum())} of {options.starts} starts reach the end, return {normalised.mean():.3f} "
            f"(undisturbed {normalised[0]:.3f}), {time.perf_counter() - began:.0f} s"
            + (f"; lost at frames {failures}" if failures else ""),
            flush=True,
        )


if __name__ == "__main__":
    main()
