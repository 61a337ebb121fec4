"""How well models of the body predict its motion: with computed muscles ("grey"), and with networks only ("plain").

    python benchmarks/world_model.py                                       the built-in walk, some 15 minutes
    python benchmarks/world_model.py --dataset out/demo/clips --include '*walk*'
    python benchmarks/world_model.py --steps 20000 --fits 3000             fewer transitions, fewer gradient steps

Worlds of MyoFullBody begin at random frames of the clips and are driven by the clips' own activations with noise, until
they fall. A tenth of the worlds is held out; errors are of these, open-loop, with the excitations that were used. Both
models see the same transitions in the same number of gradient steps, and have the same hidden layers.
"""

import argparse
import math
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import machine
import numpy as np
from jax import Array
from tables import table

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.synthesis import synthesise, write_motion
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.engines import make_engine
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task import Task
from musclemap.imitation.world_model.replay import ReplayBuffer, Window, sample_windows
from musclemap.imitation.world_model.tendon_files import load_or_fit
from musclemap.imitation.world_model.tendons import TendonConfig, Tendons
from musclemap.imitation.world_model.world_config import WorldModelConfig
from musclemap.imitation.world_model.world_learner import WorldLearnerState, WorldModelLearner
from musclemap.imitation.world_model.world_model import ModelConfig, ModelState, Variant, WorldModel
from musclemap.imitation.world_model.world_trainer import WorldTrainer, WorldTrainState
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.device import keep_compilations, private_folder
from musclemap.pipelines.train.dataset import choose_clips
from musclemap.retarget.config import RetargetConfig

AT = (1, 8, 32)
"""Control steps after which errors are told."""

WINDOWS = 512
FRESH = 8


class Driven(WorldTrainer):
    """Collects motion that the clips' own activations make, with noise, instead of a policy's."""

    def _sample_excitations(self, learner: WorldLearnerState, worlds: Any, noise: Array) -> tuple[Array, Array, Array]:
        noise, _, _ = super()._sample_excitations(learner, worlds, noise)
        rows = self.reference.rows(worlds.task.clip, worlds.task.frame + 1)
        action = self.task.action(rows.act + noise)
        return noise, self.task.excitation(action), action


def collect(
    clips: list[tuple[str, Clip]], body: SimulationBody, *, nworld: int, steps: int
) -> tuple[ReplayBuffer, int]:
    """Real motion, and the number of worlds held out."""
    task = Task(body)
    library = make_library(clips, body, resting=task.config.resting_excitation)
    config = WorldModelConfig(
        buffer_size=steps, sweep_fraction=0.0, hidden=(16,), dynamics=ModelConfig(variant="plain", hidden=(16,))
    )
    trainer = Driven(make_engine(body, nworld), task, library, WorldModel(body, config.dynamics, None), config)
    state: WorldTrainState = trainer.init(0)
    for _ in range(math.ceil(steps / trainer.steps_per_iteration)):
        state, _ = trainer.collect(state)
    assert state.replay is not None
    return state.replay, max(nworld // 10, 1)


def fitted(
    body: SimulationBody, replay: ReplayBuffer, held: int, *, config: WorldModelConfig, tendons: Tendons | None
) -> tuple[WorldModelLearner, WorldLearnerState, float]:  # fmt: skip
    """A model fitted to all but the held-out worlds, and the seconds that took."""
    learning = WorldModelLearner(Task(body), WorldModel(body, config.dynamics, tendons), config)
    learner = learning.init(jax.random.PRNGKey(0))
    steps = replay.steps
    flat = lambda array: array.reshape(-1, array.shape[-1])  # noqa: E731
    start = ModelState(flat(steps.q), flat(steps.velocity), flat(steps.act))
    after = ModelState(flat(steps.next_q), flat(steps.next_velocity), start.act)
    valid = steps.valid.ravel().astype(jnp.float32)
    seen = jax.jit(learning.model.update_normalisers)(learner.dynamics, start, flat(steps.ctrl), after, valid)
    learner = learner._replace(dynamics=seen)
    fit = jax.jit(learning.fit_model, static_argnames=("window", "held_out"))
    started = time.perf_counter()
    for k in range(FRESH):
        learner, _ = fit(learner, replay, jax.random.PRNGKey(k), window=config.dynamics.sequence_length, held_out=held)
    jax.block_until_ready(learner)
    return learning, learner, time.perf_counter() - started


def errors(model: WorldModel, result: ModelState, window: Window) -> dict[str, list[float]]:
    """Root mean squares at each of `AT`: landmarks [mm], joints [deg], their velocities [deg/s], the root's [m/s]."""
    at, message = model.coordinates, {"landmarks": [], "joints": [], "joint_velocities": [], "root_velocity": []}
    for k in AT:
        ours, true = (ModelState(*(part[k - 1] for part in state)) for state in (result, window.true))
        size = partial(_size, valid=np.asarray(window.valid[k - 1]) > 0)
        places = [at.landmarks(s.q, s.velocity).xpos for s in (ours, true)]
        message["landmarks"].append(1000.0 * math.sqrt(3.0) * size(places[0] - places[1]))
        message["joints"].append(math.degrees(size(at.joints(ours.q) - at.joints(true.q))))
        rates = at.joint_velocities(ours.velocity) - at.joint_velocities(true.velocity)
        message["joint_velocities"].append(math.degrees(size(rates)))
        message["root_velocity"].append(math.sqrt(3.0) * size(ours.velocity[:, :3] - true.velocity[:, :3]))
    return message


def _size(error: Array, valid: np.ndarray) -> float:
    """Root mean square over valid rows."""
    return float(np.sqrt(np.mean(np.square(np.asarray(error)[valid]))))


def coasting(model: WorldModel, window: Window) -> ModelState:
    """What comes of velocities that stay as they are."""

    def one(state: ModelState, _: Array) -> tuple[ModelState, ModelState]:
        moved = state._replace(q=model.coordinates.integrate(state.q, state.velocity, state.velocity))
        return moved, moved

    return jax.lax.scan(one, window.start, window.ctrl)[1]


def clips_of(given: argparse.Namespace, folder: Path) -> list[tuple[str, Clip]]:
    """The data set's, or the built-in walk's."""
    if given.dataset:
        return list(choose_clips(given.dataset, include=given.include or ()).clips)
    write_motion(folder / "in" / "walk_1.2_poses.npz", synthesise("walk_1.2"))
    config = RetargetConfig()
    config = replace(config, validation=replace(config.validation, muscles=True))
    convert_archive(folder / "in", folder / "out", config=config)
    return list(choose_clips(folder / "out").clips)


def main() -> None:
    """Run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="folder of a conversion; else the built-in walk is converted")
    parser.add_argument("--include", nargs="+", help="globs of its clips")
    parser.add_argument("--steps", type=int, default=40_000, help="control steps that are collected")
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--fits", type=int, default=3_000, help="gradient steps of each model")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--json", type=Path)
    given = parser.parse_args()
    keep_compilations()
    kept: dict[str, Any] = {"machine": machine.describe(), "models": {}}
    print(machine.message(kept["machine"]), flush=True)
    body = load_simulation_body("MyoFullBody")
    tendons = load_or_fit(body, TendonConfig(), *filter(None, [private_folder("fitted")]), on_message=print)
    length, arm = 1000.0 * tendons.error.length, 1000.0 * tendons.error.arm
    kept["tendons"] = {
        "torque_error": tendons.torque_error,
        "muscles": tendons.error.by_muscle(body.muscle_names),
    }
    worst = np.argsort(length)[::-1][:5]
    print(
        f"muscles: length to {np.median(length):.3f} mm (median), {np.quantile(length, 0.9):.2f} (nine of ten), moment "
        f"arms {np.median(arm):.2f} and {np.quantile(arm, 0.9):.2f} mm, torques {100 * tendons.torque_error:.1f} %; "
        "worst: " + ", ".join(f"{body.muscle_names[m]} {length[m]:.1f} mm" for m in worst),
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        clips = clips_of(given, Path(folder))
    started = time.perf_counter()
    replay, held = collect(clips, body, nworld=given.worlds, steps=given.steps)
    kept["collected"] = {"steps": int(replay.filled) * given.worlds, "seconds": round(time.perf_counter() - started)}
    print(f"{kept['collected']['steps']:,} control steps collected in {kept['collected']['seconds']} s", flush=True)
    lines = []
    variants: tuple[tuple[Variant, Tendons | None], ...] = (("grey", tendons), ("plain", None))
    for variant, own in variants:
        dynamics = ModelConfig(
            variant=variant, hidden=tuple(given.hidden), batch_size=given.batch, gradient_steps=given.fits // FRESH
        )  # fmt: skip
        learning, learner, took = fitted(body, replay, held, config=WorldModelConfig(dynamics=dynamics), tendons=own)
        window = sample_windows(replay, jax.random.PRNGKey(99), WINDOWS, max(AT), max_failure_share=0.5, held_out=-held)
        result = jax.jit(learning.model.predict)(learner.dynamics, window.start, window.ctrl)
        if variant == "grey":
            for name, still in (("velocity stays", coasting(learning.model, window)),):
                kept["models"][name] = errors(learning.model, still, window)
                lines.append(_line(name, kept["models"][name], 0.0))
        kept["models"][variant] = {**errors(learning.model, result, window), "seconds": round(took)}
        lines.append(_line(variant, kept["models"][variant], took))
    headings = ("model", "steps", "landmarks [mm]", "joints [deg]", "their velocities [deg/s]", "root [m/s]", "fit [s]")
    print("\n" + table(headings, [row for rows in lines for row in rows]))
    machine.keep(given.json, kept)


def _line(name: str, result: dict[str, Any], took: float) -> list[list[str]]:
    return [
        [
            name, str(k), f"{result['landmarks'][i]:.2f}", f"{result['joints'][i]:.2f}",
            f"{result['joint_velocities'][i]:.1f}", f"{result['root_velocity'][i]:.3f}", f"{took:.0f}" if took else "-",
        ]
        for i, k in enumerate(AT)
    ]  # fmt: skip


if __name__ == "__main__":
    main()
