"""How well models of the body predict its motion: with computed forces ("rigid"), with computed muscles ("grey"), and
with networks only ("plain").

    python benchmarks/world_model.py                                       the built-in walk, some 15 minutes
    python benchmarks/world_model.py --dataset out/demo/clips --include '*walk*'
    python benchmarks/world_model.py --steps 20000 --fits 3000             fewer transitions, fewer gradient steps
    python benchmarks/world_model.py --variants rigid --batch 64 --sequence 4 --fits 1000

Worlds of MyoFullBody start at random frames of the clips, and the clips' own activations with noise drive them until
they fall. A tenth of the worlds is held out; errors are those of open-loop predictions of these worlds, with the
recorded excitations. All models have the same hidden layers, transitions and number of gradient steps.
"""

import argparse
import math
import tempfile
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

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
from musclemap.imitation.world_model.coordinates import ModelState
from musclemap.imitation.world_model.replay import ReplayBuffer, Window, sample_windows
from musclemap.imitation.world_model.tendon_files import load_or_fit
from musclemap.imitation.world_model.tendons import TendonConfig, Tendons
from musclemap.imitation.world_model.world_config import Variant, WorldModelConfig
from musclemap.imitation.world_model.world_learner import WorldLearnerState, WorldModelLearner
from musclemap.imitation.world_model.world_model import ModelConfig, WorldModel
from musclemap.imitation.world_model.world_trainer import WorldTrainer, WorldTrainState
from musclemap.pipelines.archive import convert_archive
from musclemap.pipelines.device import enable_compilation_cache, private_folder
from musclemap.pipelines.train.dataset import select_clips
from musclemap.retarget.config import RetargetConfig

HORIZONS = (1, 8, 32)
"""Horizons at which errors are reported [control steps]."""

WINDOWS = 512
"""Number of windows that errors are averaged over."""

FIT_CALLS = 8
"""Number of calls that the gradient steps are divided into."""


class ActivationDrivenTrainer(WorldTrainer):
    """Collects motion driven by the clips' own activations with noise instead of a policy."""

    def _sample_excitations(self, learner: WorldLearnerState, worlds: Any, noise: Array) -> tuple[Array, Array, Array]:
        noise, _, _ = super()._sample_excitations(learner, worlds, noise)
        rows = self.reference.rows(worlds.task.clip, worlds.task.frame + 1)
        action = self.task.action(rows.act + noise)
        return noise, self.task.excitation(action), action


def collect(
    clips: list[tuple[str, Clip]], body: SimulationBody, *, nworld: int, steps: int
) -> tuple[ReplayBuffer, int]:
    """Collect simulated motion; returns it and the number of worlds held out."""
    task = Task(body)
    library = make_library(clips, body, resting=task.config.resting_excitation)
    config = WorldModelConfig(
        buffer_size=steps, sweep_fraction=0.0, hidden=(16,), dynamics=ModelConfig(variant="plain", hidden=(16,))
    )
    model = WorldModel(body, config.dynamics, None)
    trainer = ActivationDrivenTrainer(make_engine(body, nworld), task, library, model, config)
    state: WorldTrainState = trainer.init(0)
    for _ in range(math.ceil(steps / trainer.steps_per_iteration)):
        state, _ = trainer.collect(state)
    assert state.replay is not None
    return state.replay, max(nworld // 10, 1)


def fit_model(
    body: SimulationBody, replay: ReplayBuffer, held_out: int, *, config: WorldModelConfig, tendons: Tendons | None
) -> tuple[WorldModelLearner, WorldLearnerState, float]:  # fmt: skip
    """Fit a model to all but the held-out worlds; returns its learner, the learner's state, and the time [s]."""
    learner = WorldModelLearner(Task(body), WorldModel(body, config.dynamics, tendons), config)
    state = learner.init(jax.random.PRNGKey(0))
    steps = replay.steps
    flat = lambda array: array.reshape(-1, array.shape[-1])  # noqa: E731
    start = ModelState(flat(steps.q), flat(steps.velocity), flat(steps.act))
    after = ModelState(flat(steps.next_q), flat(steps.next_velocity), start.act)
    valid = steps.valid.ravel().astype(jnp.float32)
    seen = jax.jit(learner.model.update_normalisers)(state.dynamics, start, flat(steps.ctrl), after, valid)
    state = state._replace(dynamics=seen)
    fit = jax.jit(learner.fit_model, static_argnames=("window", "held_out"))
    started = time.perf_counter()
    for k in range(FIT_CALLS):
        key, window = jax.random.PRNGKey(k), config.dynamics.sequence_length
        state, _ = fit(state, replay, key, window=window, held_out=held_out)
    jax.block_until_ready(state)
    return learner, state, time.perf_counter() - started


def errors(model: WorldModel, result: ModelState, window: Window) -> dict[str, list[float]]:
    """Root mean square errors at `HORIZONS`: landmarks [mm], joints [deg], their velocities [deg/s], root [m/s]."""
    coordinates = model.coordinates
    result_errors = {"landmarks": [], "joints": [], "joint_velocities": [], "root_velocity": []}
    for k in HORIZONS:
        predicted, true = (ModelState(*(part[k - 1] for part in state)) for state in (result, window.true))
        rms = partial(_rms, valid=np.asarray(window.valid[k - 1]) > 0)
        landmarks = [coordinates.landmarks(s.q, s.velocity).xpos for s in (predicted, true)]
        result_errors["landmarks"].append(1000.0 * math.sqrt(3.0) * rms(landmarks[0] - landmarks[1]))
        result_errors["joints"].append(math.degrees(rms(coordinates.joints(predicted.q) - coordinates.joints(true.q))))
        rates = coordinates.joint_velocities(predicted.velocity) - coordinates.joint_velocities(true.velocity)
        result_errors["joint_velocities"].append(math.degrees(rms(rates)))
        result_errors["root_velocity"].append(math.sqrt(3.0) * rms(predicted.velocity[:, :3] - true.velocity[:, :3]))
    return result_errors


def _rms(error: Array, valid: np.ndarray) -> float:
    """Root mean square over valid rows."""
    return float(np.sqrt(np.mean(np.square(np.asarray(error)[valid]))))


def constant_velocity(model: WorldModel, window: Window) -> ModelState:
    """Predict with constant velocities."""

    def step(state: ModelState, _: Array) -> tuple[ModelState, ModelState]:
        integrated = state._replace(q=model.coordinates.integrate(state.q, state.velocity, state.velocity))
        return integrated, integrated

    return jax.lax.scan(step, window.start, window.ctrl)[1]


def clips_of(options: argparse.Namespace, folder: Path) -> list[tuple[str, Clip]]:
    """Clips of the data set, or of the built-in walk."""
    if options.dataset:
        return list(select_clips(options.dataset, include=options.include or ()).clips)
    write_motion(folder / "in" / "walk_1.2_poses.npz", synthesise("walk_1.2"))
    config = RetargetConfig()
    config = replace(config, validation=replace(config.validation, muscles=True))
    convert_archive(folder / "in", folder / "out", config=config)
    return list(select_clips(folder / "out").clips)


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--dataset", type=Path, help="folder of clips (default: the built-in walk)")
    parser.add_argument("--include", nargs="+", help="globs of the clips")
    parser.add_argument("--steps", type=int, default=40_000, help="number of control steps to collect")
    parser.add_argument("--worlds", type=int, default=20)
    parser.add_argument("--fits", type=int, default=3_000, help="gradient steps of each model")
    parser.add_argument("--hidden", type=int, nargs="+", default=[256, 256, 256])
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--sequence", type=int, default=8, help="control steps predicted open-loop in the fit")
    parser.add_argument("--variants", nargs="+", choices=get_args(Variant), default=get_args(Variant))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    enable_compilation_cache()
    results: dict[str, Any] = {"machine": machine.describe(), "models": {}}
    print(machine.message(results["machine"]), flush=True)
    body = load_simulation_body("MyoFullBody")
    tendons = load_or_fit(body, TendonConfig(), *filter(None, [private_folder("fitted")]), on_message=print)
    length, arm = 1000.0 * tendons.error.length, 1000.0 * tendons.error.arm
    results["tendons"] = {
        "torque_error": tendons.torque_error,
        "muscles": tendons.error.by_muscle(body.muscle_names),
    }
    worst = np.argsort(length)[::-1][:5]
    print(
        f"muscles: length to {np.median(length):.3f} mm (median), {np.quantile(length, 0.9):.2f} (90 %), moment "
        f"arms {np.median(arm):.2f} and {np.quantile(arm, 0.9):.2f} mm, torques {100 * tendons.torque_error:.1f} %; "
        "worst: " + ", ".join(f"{body.muscle_names[m]} {length[m]:.1f} mm" for m in worst),
        flush=True,
    )
    with tempfile.TemporaryDirectory() as folder:
        clips = clips_of(options, Path(folder))
    started = time.perf_counter()
    replay, held_out = collect(clips, body, nworld=options.worlds, steps=options.steps)
    count, seconds = int(replay.filled) * options.worlds, round(time.perf_counter() - started)
    results["collected"] = {"steps": count, "seconds": seconds}
    print(f"{count:,} control steps collected in {seconds} s", flush=True)
    lines = []
    for k, variant in enumerate(options.variants):
        dynamics = ModelConfig(
            variant=variant, hidden=tuple(options.hidden), batch_size=options.batch,
            sequence_length=options.sequence, gradient_steps=options.fits // FIT_CALLS,
        )  # fmt: skip
        muscle_fits = None if variant == "plain" else tendons
        config = WorldModelConfig(dynamics=dynamics)
        learner, state, seconds = fit_model(body, replay, held_out, config=config, tendons=muscle_fits)
        key, length = jax.random.PRNGKey(99), max(HORIZONS)
        window = sample_windows(replay, key, WINDOWS, length, max_failure_share=0.5, held_out=-held_out)
        result = jax.jit(learner.model.predict)(state.dynamics, window.start, window.ctrl)
        if k == 0:
            constant = constant_velocity(learner.model, window)
            results["models"]["velocity stays"] = errors(learner.model, constant, window)
            lines.append(_line("velocity stays", results["models"]["velocity stays"], 0.0))
        results["models"][variant] = {**errors(learner.model, result, window), "seconds": round(seconds)}
        lines.append(_line(variant, results["models"][variant], seconds))
    headings = ("model", "steps", "landmarks [mm]", "joints [deg]", "their velocities [deg/s]", "root [m/s]", "fit [s]")
    print("\n" + table(headings, [row for rows in lines for row in rows]))
    machine.save(options.json, results)


def _line(name: str, result: dict[str, Any], seconds: float) -> list[list[str]]:
    return [
        [
            name, str(k), f"{result['landmarks'][i]:.2f}", f"{result['joints'][i]:.2f}",
            f"{result['joint_velocities'][i]:.1f}", f"{result['root_velocity'][i]:.3f}",
            f"{seconds:.0f}" if seconds else "-",
        ]
        for i, k in enumerate(HORIZONS)
    ]  # fmt: skip


if __name__ == "__main__":
    main()
