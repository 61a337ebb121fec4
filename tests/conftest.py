"""Fixtures that many tests share, compiled once per session."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import jax
import mujoco
import pytest

from musclemap.datasets.clip import Clip
from musclemap.datasets.synthetic.synthesis import synthesise
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.warp_engine import WarpEngine
from musclemap.retarget.retargeter import Retargeter
from musclemap.skeletons.bodies import load_body
from musclemap.skeletons.body import TargetBody

from .support.engine_states import NWORLD

ONE_THREAD = {
    "NPROC": "1", "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1",
    "XLA_FLAGS": "--xla_cpu_multi_thread_eigen=false",
}  # fmt: skip
"""Environment of parallel test processes: one thread each, so that they do not compete for cores."""


def pytest_configure(config: pytest.Config) -> None:
    """Set one thread per parallel process, and a compilation cache for the suite, its subprocesses and later runs."""
    if getattr(config.option, "numprocesses", None):
        for name, value in ONE_THREAD.items():
            os.environ.setdefault(name, value)
    if getattr(config, "cache", None) is not None and "JAX_COMPILATION_CACHE_DIR" not in os.environ:
        folder = Path(config.cache.mkdir("compiled"))  # pyright: ignore[reportOptionalMemberAccess]
        os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
        jax.config.update("jax_compilation_cache_dir", str(folder))
        jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)


LONG_FILES = (
    "test_rigid_model",
    "test_world_training", "test_dagger", "test_imagination", "test_kills", "test_engines", "test_learning",
    "test_training", "test_retarget", "test_own_skeleton", "test_validate", "test_cluster_faults", "test_cluster",
    "test_chaos", "test_shown", "test_viewer", "test_download", "test_main_job", "test_eval", "test_training_faults",
    "test_hostile_clips", "test_fuzz", "test_bvh_reader", "test_gpu_benchmark",
)  # fmt: skip
"""Files that take more than half a minute, the longest first."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Start with the longest files, so that no process waits for another at the end."""
    order = {name: k for k, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@contextmanager
def optimised(on: bool = True) -> Iterator[None]:
    """Compile with or without XLA's optimisations; without, programs compile in half the time and run slower."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", not on)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


@pytest.fixture(scope="session", autouse=True)
def no_log_file() -> Iterator[None]:
    """Keep MuJoCo from writing warnings, which some tests provoke, to a file in the working directory."""
    mujoco.set_mju_user_warning(lambda text: None)
    yield
    mujoco.set_mju_user_warning(None)


@pytest.fixture(scope="session")
def body() -> TargetBody:
    """MyoFullBody with locked fingers and effective limits."""
    return load_body()


@pytest.fixture(scope="session")
def retargeter() -> Retargeter:
    """Retargeter with default settings."""
    return Retargeter()


@pytest.fixture(scope="session")
def walk_clip(retargeter: Retargeter) -> Clip:
    """Four seconds of walking at 1.2 m/s on MyoFullBody. Do not modify it."""
    with optimised():
        clip = retargeter.retarget([synthesise("walk_1.2", seconds=4.0)])[0].clip
    assert clip is not None
    return clip


@pytest.fixture(scope="session")
def arm() -> SimulationBody:
    """Simulation body of the small arm."""
    return load_simulation_body("SmallArm")


@pytest.fixture(scope="session")
def human() -> SimulationBody:
    """Simulation body of MyoFullBody, with locked fingers."""
    return load_simulation_body("MyoFullBody")


@pytest.fixture(scope="session")
def arm_warp(arm: SimulationBody) -> WarpEngine:
    """MuJoCo Warp on the CPU with worlds of the small arm; takes a minute to compile the first time."""
    return WarpEngine(arm, NWORLD, device="cpu")


@pytest.fixture(scope="session")
def human_warp(human: SimulationBody) -> WarpEngine:
    """MuJoCo Warp on the CPU with worlds of MyoFullBody; takes minutes to compile the first time."""
    return WarpEngine(human, NWORLD, device="cpu")
