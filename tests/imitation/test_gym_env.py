"""The Gymnasium environment: it keeps Gymnasium's contract, and is the task that policies are trained for."""

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
from musclemap.imitation.task.task import TaskConfig

gymnasium = pytest.importorskip("gymnasium", reason="gymnasium comes with the extra [gym]")

from gymnasium.utils.env_checker import check_env  # noqa: E402

from musclemap.imitation.policy.gym_env import ENV_ID, TrackingEnv  # noqa: E402

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def env() -> TrackingEnv:
    return TrackingEnv(arm_clips(2, 0.6, seed=1))


def test_it_keeps_the_contract_of_gymnasium() -> None:
    made = gymnasium.make(ENV_ID, clips=arm_clips(2, 0.6))
    with warnings.catch_warnings():
        # Advice, not rules: actions come before a sigmoid and observations are not normalised, as policies have them.
        warnings.filterwarnings("ignore", message=".*Box observation space (minimum|maximum) value is.*infinity")
        warnings.filterwarnings("ignore", message=".*we recommend using a symmetric and normalized space")
        check_env(made.unwrapped)


def test_it_is_registered_by_its_own_import_alone(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.h5", arm_clips(1, 0.6)[0][1])
    program = (
        "import gymnasium, musclemap, musclemap.imitation.task.task\n"
        f"assert {ENV_ID!r} not in gymnasium.registry\n"
        f"env = gymnasium.make('musclemap.imitation.policy.gym_env:{ENV_ID}', clips={str(tmp_path)!r})\n"
        f"assert {ENV_ID!r} in gymnasium.registry\n"
        "assert env.reset(seed=0)[0].shape == env.observation_space.shape\n"
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    done = subprocess.run([sys.executable, "-c", program], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr


def _episode(env: TrackingEnv, seed: int) -> tuple[list[np.ndarray], list[float], dict]:
    obs, info = env.reset(seed=seed)
    seen, earned = [obs], []
    rng = np.random.default_rng(0)
    for _ in range(20):
        obs, reward, terminated, truncated, info = env.step(rng.normal(size=6).astype(np.float32))
        seen.append(obs)
        earned.append(reward)
        if terminated or truncated:
            break
    return seen, earned, info


def test_a_seed_gives_the_same_episode(env: TrackingEnv) -> None:
    one, other, third = _episode(env, 3), _episode(env, 3), _episode(env, 4)
    np.testing.assert_array_equal(one[0], other[0])
    assert one[1:] == other[1:]
    assert not np.array_equal(one[0][0], third[0][0])


def test_a_clip_from_its_start_is_what_evaluation_sees(env: TrackingEnv) -> None:
    """The same excitations earn the same published rewards and errors."""
    clips = arm_clips(2, 0.6, seed=1)
    body = load_simulation_body("SmallArm")
    library = make_library(clips, body, resting=TaskConfig().resting_excitation)
    result = {one.score.name: one for one in evaluate(
        MujocoEngine(body, 2), TaskConfig(), library, lambda obs: np.full((2, 6), 0.1, np.float32), keep=env.clip_names
    )}  # fmt: skip
    recording = result["arm_001"].recording
    assert recording is not None
    env.reset(seed=0, options={"clip": "arm_001", "frame": 0})
    step, terminated, truncated = -1, False, False
    while not (terminated or truncated):
        step += 1
        _, _, terminated, truncated, info = env.step(np.zeros(6, np.float32))
        assert info["published"] == pytest.approx(recording.curves.published[step], abs=1e-4)
        assert info["landmark_error"] == pytest.approx(recording.curves.relative_landmark_error[step], abs=1e-4)
        assert (info["clip"], info["frame"]) == ("arm_001", step + 1)
    assert truncated == (step == 59 and not terminated)


def test_the_end_of_a_clip_truncates_and_a_loss_terminates() -> None:
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


def test_clips_come_from_a_folder(tmp_path: Path) -> None:
    write_clip(tmp_path / "a" / "b.h5", arm_clips(1, 0.6)[0][1])
    env = TrackingEnv(tmp_path)
    assert env.clip_names == ("a/b.h5",)
    assert TrackingEnv(str(tmp_path / "a" / "b.h5")).clip_names == ("b.h5",)
    with pytest.raises(SettingsError, match="no clip"):
        TrackingEnv(tmp_path / "none")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip": "x"}, "no clip 'x'; there are arm_000"),
        ({"frame": 60}, "0 to 59"),
        ({"speed": 1}, "no option 'speed'"),
    ],
)
def test_what_cannot_be_begun_is_told(env: TrackingEnv, options: dict, message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        env.reset(options=options)


def test_a_step_needs_an_episode() -> None:
    with pytest.raises(SettingsError, match="reset begins"):
        TrackingEnv(arm_clips(1, 0.6)).step(np.zeros(6, np.float32))
