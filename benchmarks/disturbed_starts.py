"""Episodes of a policy from starts with errors in the velocities, for benchmarks."""

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
from musclemap.imitation.task.reference import Library, make_library
from musclemap.imitation.task.reward import MAX_PUBLISHED_REWARD
from musclemap.imitation.task.task import StepResult, Task, TaskState
from musclemap.pipelines.train.physics_setup import buffer_arguments

ROOT_SPEED, JOINT_SPEED = 0.05, 0.1
"""Standard deviations of the errors: root, each axis [m/s]; its rotation and the joints [rad/s]."""


def clip_library(policy: Policy, body: SimulationBody, clip: Path) -> Library:
    """The clip as the reference that the policy follows."""
    return make_library([(clip.stem, read_clip(clip))], body, resting=policy.task.resting_excitation)


def run(
    policy: Policy,
    body: SimulationBody,
    library: Library,
    *,
    starts: int,
    seed: int,
    frame: int = 0,
    kind: str = "mujoco",
) -> tuple[np.ndarray, np.ndarray]:
    """Run the policy to the end of the first clip or to its failure at the published limits.

    Args:
        policy: The policy.
        body: Its body.
        library: The clip.
        starts: Number of starts; the first is undisturbed. All engines get the same.
        seed: Seed of the disturbances.
        frame: Frame of the clip at which all start.
        kind: "mujoco" or "warp".

    Returns:
        Frame at which each start fails, -1 if it reaches the end, and its normalised return, each shape (starts,).
    """
    reference = library.reference
    engine = make_engine(body, starts, kind=kind, **buffer_arguments(body, reference, policy.physics, kind=kind))
    task, act = Task(body, evaluation_config(policy.task)), compile_policy(policy)
    frames = int(reference.length[0]) - 1 - frame
    key, noise_key = jax.random.split(jax.random.PRNGKey(seed))
    clip = jnp.zeros(starts, jnp.int32)
    physics, state = task.reset(reference, clip, clip + frame, key)
    noise = StartNoise(body, root=ROOT_SPEED, joint=JOINT_SPEED)(noise_key, physics.qpos)
    physics = physics._replace(qvel=physics.qvel + noise.at[0].set(0.0))
    observe = jax.jit(lambda *now: jnp.nan_to_num(task.observe(reference, *now)))

    @jax.jit
    def score(
        state: TaskState, physics: PhysicsState, sensors: SensorData, ctrl: jax.Array
    ) -> tuple[TaskState, StepResult]:
        advanced = task.advance(state._replace(excitation=ctrl))
        return advanced, task.evaluate_step(reference, physics, sensors, advanced, state.excitation)

    lost, total = np.full(starts, -1), np.zeros(starts)
    sensors = engine.read(physics)
    for step in range(frames):
        ctrl = act(observe(physics, sensors, state))
        physics, sensors = engine.step(physics, ctrl)
        state, result = score(state, physics, sensors, ctrl)
        lost[(lost < 0) & np.asarray(result.terminated)] = frame + step + 1
        total += np.where(lost < 0, np.asarray(result.published), 0.0)
        if (lost >= 0).all():
            break
    return lost, total / (MAX_PUBLISHED_REWARD * frames)
