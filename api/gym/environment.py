"""The tracking task as a Gymnasium environment: one body, NumPy in and out.

    import gymnasium
    import musclemap

    env = gymnasium.make("musclemap/Tracking-v0", dataset="OUT", render_mode="rgb_array")
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from musclemap.api.dataset import Dataset
from musclemap.api.loading import open as open_dataset
from musclemap.datasets.clip import Clip, read_clip
from musclemap.errors import SettingsError
from musclemap.imitation.physics.bodies import load_simulation_body, physics_for_clips
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task import StepResult, Task, TaskState
from musclemap.imitation.task.task_config import TaskConfig

from .view import EpisodeView

MAX_ACTION = 10.0
"""Bound on actions; with a resting excitation of 0.1, excitations then range from 5e-6 to 0.9996."""

Source = Dataset | Path | str | Sequence[tuple[str, Clip]] | None
_State = tuple[PhysicsState, SensorData, TaskState]


class TrackingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A muscle-driven body that tracks clips, simulated in MuJoCo C.

    Observations are those of this package's policies, not normalised (`task.observation.layout`). Actions are the input
    of a sigmoid: zero gives the resting excitation. An episode terminates when the body strays too far from the
    reference or its physics is bad; it is truncated at the end of the clip or the episode's time limit.

    `reset` starts at a random frame of a random clip unless `options` specifies them: `{"clip": NAME, "frame":
    NUMBER}`, both optional. `info` contains the clip, the frame, `landmark_error` and `root_error` [m], `published`
    (the published reward), `bad` and `overflow`.

    Args:
        dataset: Data set of `mm.open`, its folder, "builtin-walk" or "builtin-arm", the file of a clip (.h5), or names
            and clips; None for generated motions of the small arm.
        physics: Settings of the simulation.
        task: Settings of the task.
        render_mode: "rgb_array" for pictures of the body, shape (480, 480, 3) uint8, by `render()`; None for none.

    Raises:
        SettingsError: If there is no clip, or no such render mode.
        TrainingError: If no clip can be tracked, or if a clip belongs to another body than the first.
        ClipError: If a clip is damaged.
    """

    metadata: dict[str, Any] = {"render_modes": ["rgb_array"], "render_fps": 100}  # noqa: RUF012 as Gymnasium does

    def __init__(
        self, dataset: Source = None, *, physics: PhysicsConfig | None = None, task: TaskConfig | None = None,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        if render_mode not in (None, "rgb_array"):
            raise SettingsError(f"there is no render mode {render_mode!r}; there is 'rgb_array', and None")
        self.render_mode = render_mode
        loaded, config = _load_clips(dataset), task or TaskConfig()
        physics = physics_for_clips(loaded[:1], physics or PhysicsConfig())
        body = load_simulation_body(loaded[0][1].model, physics)
        self._device = jax.devices("cpu")[0]  # transfers to another device would cost more than they save for one world
        with jax.default_device(self._device):
            library = make_library(loaded, body, resting=config.resting_excitation, look_ahead=max(config.future_steps))
            self._task, self._engine = Task(body, config), MujocoEngine(body, 1)
            self._reference = library.reference
            self._reset, self._apply_action, self._finish_step = (
                jax.jit(partial(f, self._task)) for f in (_reset, _apply_action, _finish_step)
            )
        self.clip_names = library.names
        self._clips, self._view = dict(loaded) if render_mode else {}, EpisodeView(body) if render_mode else None
        self._length = np.asarray(library.reference.length)
        self._state: _State | None = None
        self.action_space = spaces.Box(-MAX_ACTION, MAX_ACTION, (body.model.nu,), np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self._task.nobs,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Start an episode; see the class.

        Raises:
            SettingsError: If the clip or frame does not exist.
        """
        super().reset(seed=seed)
        clip, frame = self._choose_start(options or {})
        with jax.default_device(self._device):
            key = self._key()
            self._state, obs = self._reset(self._reference, np.array([clip]), np.array([frame]), key)
        if self._view is not None:
            reference = self._clips[self.clip_names[clip]]
            self._view.start(reference.qpos, fps=reference.fps)
        return np.asarray(obs[0]), {"clip": self.clip_names[clip], "frame": frame}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one control step.

        Raises:
            SettingsError: If no episode was started.
        """
        if self._state is None:
            raise SettingsError("step needs an episode; call reset first")
        with jax.default_device(self._device):
            ctrl, pushed, task = self._apply_action(self._state, np.asarray(action, np.float32)[None], self._key())
            physics, sensors = self._engine.step(pushed, ctrl, self._task.base(self._reference, task))
            prev_excitation = self._state[2].excitation
            state = (physics, sensors, task)
            self._state, obs, step_result = self._finish_step(self._reference, state, prev_excitation)
            result: StepResult = jax.device_get(jax.tree.map(lambda array: array[0], step_result))
            clip, frame, overflow = int(task.clip[0]), int(task.frame[0]) + 1, bool(sensors.overflow[0])
        info = {
            "clip": self.clip_names[clip],
            "frame": frame,
            "landmark_error": float(result.landmark_error),
            "root_error": float(result.root_error),
            "published": float(result.published),
            "bad": bool(sensors.bad[0]),
            "overflow": overflow,
        }
        return np.asarray(obs[0]), float(result.reward), bool(result.terminated), bool(result.truncated), info

    def render(self) -> np.ndarray | None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Draw the body with its muscles, pale at rest and red when active.

        Returns:
            Picture, shape (480, 480, 3) uint8; None without a render mode.

        Raises:
            SettingsError: If no episode was started.
        """
        if self._view is None:
            return None
        if self._state is None:
            raise SettingsError("render needs an episode; call reset first")
        physics, _, task = self._state
        frame = min(int(task.frame[0]), len(self._clips[self.clip_names[int(task.clip[0])]].qpos) - 1)
        return self._view.picture(frame, np.asarray(physics.qpos[0]), np.asarray(physics.act[0]))

    def close(self) -> None:
        """Free the resources of the drawing."""
        if self._view is not None:
            self._view.close()

    def _choose_start(self, options: Mapping[str, Any]) -> tuple[int, int]:
        unknown = set(options) - {"clip", "frame"}
        if unknown:
            raise SettingsError(f"reset has no option {min(unknown)!r}; it has clip and frame")
        name = options.get("clip")
        if name is not None and name not in self.clip_names:
            raise SettingsError(f"no clip {name!r}; there are {', '.join(self.clip_names[:5])}")
        clip = int(self.np_random.integers(len(self._length))) if name is None else self.clip_names.index(name)
        last_start = int(self._length[clip]) - 2  # leaves one frame to track
        frame = options.get("frame")
        if frame is None:
            return clip, int(self.np_random.integers(last_start + 1))
        if not 0 <= int(frame) <= last_start:
            limits = f"{self.clip_names[clip]} allows 0 to {last_start}"
            raise SettingsError(f"an episode cannot start at frame {frame}; {limits}")
        return clip, int(frame)

    def _key(self) -> jax.Array:
        return jax.random.PRNGKey(int(self.np_random.integers(2**31)))


def _load_clips(dataset: Source) -> Sequence[tuple[str, Clip]]:
    if dataset is None:
        return arm_clips(4, 4.0)
    if isinstance(dataset, str | Path):
        path = Path(dataset)
        dataset = [(path.name, read_clip(path))] if path.is_file() else open_dataset(dataset)
    clips = list(dataset.items()) if isinstance(dataset, Dataset) else dataset
    if not clips:
        raise SettingsError("there is no clip to track; pass a folder with clips, or names and clips")
    return clips


def _reset(task: Task, reference: Any, clip: jax.Array, frame: jax.Array, key: jax.Array) -> tuple[_State, jax.Array]:
    physics, state = task.reset(reference, clip, frame, key)
    sensors = task.initial_sensors(reference, state)
    return (physics, sensors, state), task.observe(reference, physics, sensors, state)


def _apply_action(
    task: Task, state: _State, action: jax.Array, key: jax.Array
) -> tuple[jax.Array, PhysicsState, TaskState]:  # fmt: skip
    """Return the excitations that reach the muscles, the possibly pushed body, and the new episode state."""
    physics, _, task_state = state
    ctrl, task_state = task.apply_latency(task_state, task.excitation(action))
    return ctrl, task.push(physics, key), task_state


def _finish_step(
    task: Task, reference: Any, state: _State, prev_excitation: jax.Array
) -> tuple[_State, jax.Array, StepResult]:  # fmt: skip
    physics, sensors, task_state = state
    task_state = task.advance(task_state)
    step_result = task.evaluate_step(reference, physics, sensors, task_state, prev_excitation)
    obs = jax.numpy.nan_to_num(task.observe(reference, physics, sensors, task_state))
    return (physics, sensors, task_state), obs, step_result
