"""The Gymnasium environment: it meets Gymnasium's interface, and its task is that of the policies."""

import os
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from musclemap.datasets.clip import write_clip
from musclemap.errors import SettingsError
from musclemap.imitation.eval.evaluation import evaluate
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task_config import TaskConfig

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium comes with the extra [gym]")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from musclemap.api.gym.environment import TrackingEnv  # noqa: E402
from musclemap.gymnasium_hook import ENV_ID  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def env() -> TrackingEnv:
    return TrackingEnv(arm_clips(2, 0.6, seed=1))


def test_it_passes_gymnasiums_checker() -> None:
    env = gymnasium.make(ENV_ID, dataset=arm_clips(2, 0.6))
    with warnings.catch_warnings():
        # Recommendations that do not apply: actions are inputs of a sigmoid, and observations are not normalised.
        warnings.filterwarnings("ignore", message=".*Box observation space (minimum|maximum) value is.*infinity")
        warnings.filterwarnings("ignore", message=".*we recommend using a symmetric and normalized space")
        check_env(env.unwrapped)


@pytest.mark.parametrize("modules", ["gymnasium, musclemap", "musclemap, gymnasium"])
def test_it_is_registered_by_importing_musclemap(modules: str) -> None:
    """In either order, without importing JAX, and without leaving a finder behind."""
    program = (
        "import sys\n"
        "finders = len(sys.meta_path)\n"
        f"import {modules}\n"
        f"assert gymnasium.spec({ENV_ID!r}).entry_point == 'musclemap.api.gym.environment:TrackingEnv'\n"
        "assert len(sys.meta_path) == finders\n"
        "assert 'jax' not in sys.modules\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    process = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr


def _episode(env: TrackingEnv, seed: int) -> tuple[list[np.ndarray], list[float], dict]:
    obs, info = env.reset(seed=seed)
    observations, rewards = [obs], []
    rng = np.random.default_rng(0)
    for _ in range(20):
        obs, reward, terminated, truncated, info = env.step(rng.normal(size=6).astype(np.float32))
        observations.append(obs)
        rewards.append(reward)
        if terminated or truncated:
            break
    return observations, rewards, info


def test_a_seed_gives_the_same_episode(env: TrackingEnv) -> None:
    first, second, third = _episode(env, 3), _episode(env, 3), _episode(env, 4)
    np.testing.assert_array_equal(first[0], second[0])
    assert first[1:] == second[1:]
    assert not np.array_equal(first[0][0], third[0][0])


def test_a_complete_clip_gives_the_metrics_of_evaluation(env: TrackingEnv) -> None:
    """The same excitations give the same published rewards and errors."""
    clips = arm_clips(2, 0.6, seed=1)
    body = load_simulation_body("SmallArm")
    library = make_library(clips, body, resting=TaskConfig().resting_excitation)
    evaluations = {first.score.name: first for first in evaluate(
        MujocoEngine(body, 2), TaskConfig(), library, lambda obs: np.full((2, 6), 0.1, np.float32), keep=env.clip_names
    )}  # fmt: skip
    recording = evaluations["arm_001"].recording
    assert recording is not None
    env.reset(seed=0, options={"clip": "arm_001", "frame": 0})
    step, terminated, truncated = -1, False, False
    while not (terminated or truncated):
        step += 1
        _, _, terminated, truncated, info = env.step(np.zeros(6, np.float32))
        assert info["published"] == pytest.approx(recording.step_metrics.published[step], abs=1e-4)
        assert info["landmark_error"] == pytest.approx(recording.step_metrics.relative_landmark_error[step], abs=1e-4)
        assert (info["clip"], info["frame"]) == ("arm_001", step + 1)
    assert truncated == (step == 59 and not terminated)


def test_the_end_of_a_clip_truncates_and_tracking_failure_terminates() -> None:
    clips = arm_clips(1, 0.6, seed=1)
    wide = TrackingEnv(clips, task=TaskConfig(max_landmark_error=10.0, max_root_error=10.0))
    _, info = wide.reset(seed=0, options={"frame": 58})
    assert info["frame"] == 58
    assert wide.step(np.zeros(6, np.float32))[2:4] == (False, False)
    assert wide.step(np.zeros(6, np.float32))[2:4] == (False, True)
    narrow = TrackingEnv(clips, task=TaskConfig(max_landmark_error=1e-6))
    narrow.reset(seed=0, options={"frame": 3})
    _, reward, terminated, truncated, _ = narrow.step(np.full(6, 10.0, np.float32))
    assert (reward, terminated, truncated) == (0.0, True, False)


def test_clips_are_read_from_a_folder(tmp_path: Path) -> None:
    write_clip(tmp_path / "a" / "b.h5", arm_clips(1, 0.6)[0][1])
    env = TrackingEnv(tmp_path)
    assert env.clip_names == ("a/b.h5",)
    assert TrackingEnv(str(tmp_path / "a" / "b.h5")).clip_names == ("b.h5",)
    with pytest.raises(SettingsError, match="no folder"):
        TrackingEnv(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(SettingsError, match="no clip"):
        TrackingEnv(tmp_path / "empty")


def test_pictures_show_the_state(tmp_path: Path) -> None:
    """The body moves in the picture, and a film of an episode has a picture for every step."""
    env = gymnasium.make(ENV_ID, dataset=arm_clips(1, 0.6, seed=1), render_mode="rgb_array")
    env.reset(seed=0, options={"frame": 0})
    first = env.render()
    assert isinstance(first, np.ndarray)
    assert (first.shape, first.dtype) == ((480, 480, 3), np.uint8)
    np.testing.assert_array_equal(first, env.render())
    for _ in range(5):
        env.step(np.full(6, 2.0, np.float32))
    assert (first != env.render()).any(axis=2).mean() > 0.005
    env.close()


def test_an_episode_can_be_recorded(tmp_path: Path) -> None:
    pytest.importorskip("moviepy", reason="moviepy comes with the extra [gym]")
    made = gymnasium.make(ENV_ID, dataset=arm_clips(1, 0.6, seed=1), render_mode="rgb_array")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of moviepy and of Gymnasium, about folders and forks
        env = gymnasium.wrappers.RecordVideo(made, str(tmp_path), episode_trigger=lambda _: True)
        env.reset(seed=0, options={"frame": 50})
        done = False
        while not done:
            *_, terminated, truncated, _ = env.step(np.zeros(6, np.float32))
            done = terminated or truncated
        env.close()
    (film,) = tmp_path.glob("*.mp4")
    assert film.stat().st_size > 1000


def test_unknown_render_modes_are_rejected() -> None:
    with pytest.raises(SettingsError, match="render mode 'human'"):
        TrackingEnv(arm_clips(1, 0.6), render_mode="human")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": "x"}, "no clip 'x'; there are arm_000"),
        ({"frame": 60}, "0 to 59"),
        ({"speed": 1}, "no option 'speed'"),
    ],
)
def test_invalid_reset_options_are_rejected(env: TrackingEnv, options: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        env.reset(options=options)


def test_a_step_needs_an_episode() -> None:
    with pytest.raises(SettingsError, match="call reset first"):
        TrackingEnv(arm_clips(1, 0.6)).step(np.zeros(6, np.float32))
