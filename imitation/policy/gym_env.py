"""The tracking task as a Gymnasium environment: one body, NumPy in and out. Importing this module registers it.

    gymnasium.make("musclemap.imitation.policy.gym_env:musclemap/Tracking-v0", clips="OUT")

The text before the colon is imported first. Gymnasium 1 has no entry point for plugins any more, so an import it is.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import jax
import numpy as np
from gymnasium import spaces

from musclemap.datasets.clip import Clip, read_clip
from musclemap.errors import SettingsError
from musclemap.imitation.physics.bodies import load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.physics.engine import PhysicsState, SensorData
from musclemap.imitation.physics.mujoco_engine import MujocoEngine
from musclemap.imitation.task.arm_motions import arm_clips
from musclemap.imitation.task.reference import make_library
from musclemap.imitation.task.task import Outcome, Task, TaskConfig, TaskState

ENV_ID = "musclemap/Tracking-v0"

FARTHEST_ACTION = 10.0
"""Actions are within this; with a resting excitation of 0.1 excitations then reach from 5e-6 to 0.9996."""

Clips = Path | str | Sequence[tuple[str, Clip]] | None
_State = tuple[PhysicsState, SensorData, TaskState]


class TrackingEnv(gymnasium.Env[np.ndarray, np.ndarray]):
    """A muscle-driven body that tracks clips, in MuJoCo C.

    Observations are those that policies of this package see, not normalised (`task.observation.layout`).
    Actions come before the sigmoid: zero gives the resting excitation. An episode is terminated where the body has left
    the reference or its physics went bad, and truncated where the clip or the episode's time is over.

    `reset` begins at a random frame of a random clip, or where `options` says: `{"clip": NAME, "frame": NUMBER}`, of
    which either may be left out. `info` holds the clip, the frame, `landmark_error` and `root_error` [m], `published`
    (the published reward), `bad` and `overflow`.

    Args:
        clips: Folder of clips (.h5), one clip, or names and clips; None for motions of the small arm, made on the spot.
        physics: Settings of the simulation.
        task: Settings of the task.
        render_mode: There is none; `mm-view` and `mm-eval --video` draw.

    Raises:
        SettingsError: There is no clip.
        TrainingError: No clip can be tracked, or they are of another body than their first.
        ClipError: A clip is damaged.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012 as Gymnasium declares it

    def __init__(
        self, clips: Clips = None, *, physics: PhysicsConfig | None = None, task: TaskConfig | None = None,
        render_mode: str | None = None,
    ) -> None:  # fmt: skip
        self.render_mode = render_mode
        result, config = _read(clips), task or TaskConfig()
        body = load_simulation_body(result[0][1].model, physics)
        self._device = jax.devices("cpu")[0]  # one world: to go to another device and back takes longer
        with jax.default_device(self._device):
            library = make_library(result, body, resting=config.resting_excitation, look_ahead=max(config.future_steps))
            self._task, self._engine = Task(body, config), MujocoEngine(body, 1)
            self._reference = library.reference
            self._begin, self._command, self._settle = (
                jax.jit(partial(f, self._task)) for f in (_begin, _command, _settle)
            )
        self.clip_names = library.names
        self._length = np.asarray(library.reference.length)
        self._state: _State | None = None
        self.action_space = spaces.Box(-FARTHEST_ACTION, FARTHEST_ACTION, (body.model.nu,), np.float32)
        self.observation_space = spaces.Box(-np.inf, np.inf, (self._task.nobs,), np.float32)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begin an episode; see the class.

        Raises:
            SettingsError: There is no such clip or frame.
        """
        super().reset(seed=seed)
        clip, frame = self._start(options or {})
        with jax.default_device(self._device):
            key = self._key()
            self._state, obs = self._begin(self._reference, np.array([clip]), np.array([frame]), key)
        return np.asarray(obs[0]), {"clip": self.clip_names[clip], "frame": frame}

    def step(self, action: np.ndarray) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Make one control step.

        Raises:
            SettingsError: No episode was begun.
        """
        if self._state is None:
            raise SettingsError("reset begins an episode; step goes on with one")
        with jax.default_device(self._device):
            ctrl, pushed, task = self._command(self._state, np.asarray(action, np.float32)[None], self._key())
            physics, reading = self._engine.step(pushed, ctrl)
            before = self._state[2].excitation
            self._state, obs, outcome = self._settle(self._reference, (physics, reading, task), before)
            message: Outcome = jax.device_get(jax.tree.map(lambda array: array[0], outcome))
            clip, frame, overflow = int(task.clip[0]), int(task.frame[0]) + 1, bool(reading.overflow[0])
        info = {
            "clip": self.clip_names[clip],
            "frame": frame,
            "landmark_error": float(message.landmark_error),
            "root_error": float(message.root_error),
            "published": float(message.published),
            "bad": bool(reading.bad[0]),
            "overflow": overflow,
        }
        return np.asarray(obs[0]), float(message.reward), bool(message.failed), bool(message.cut), info

    def _start(self, options: Mapping[str, Any]) -> tuple[int, int]:
        unknown = set(options) - {"clip", "frame"}
        if unknown:
            raise SettingsError(f"reset has no option {min(unknown)!r}; it has clip and frame")
        name = options.get("clip")
        if name is not None and name not in self.clip_names:
            raise SettingsError(f"no clip {name!r}; there are {', '.join(self.clip_names[:5])}")
        clip = int(self.np_random.integers(len(self._length))) if name is None else self.clip_names.index(name)
        last = int(self._length[clip]) - 2  # a frame to go on to
        frame = options.get("frame")
        if frame is None:
            return clip, int(self.np_random.integers(last + 1))
        if not 0 <= int(frame) <= last:
            raise SettingsError(f"frame {frame} cannot be begun at; {self.clip_names[clip]} has 0 to {last}")
        return clip, int(frame)

    def _key(self) -> jax.Array:
        return jax.random.PRNGKey(int(self.np_random.integers(2**31)))


def _read(clips: Clips) -> Sequence[tuple[str, Clip]]:
    if clips is None:
        return arm_clips(4, 4.0)
    if isinstance(clips, str | Path):
        root = Path(clips)
        paths = [root] if root.is_file() else sorted(root.rglob("*.h5"))
        base = root.parent if root.is_file() else root
        clips = [(path.relative_to(base).as_posix(), read_clip(path)) for path in paths]
    if not clips:
        raise SettingsError("there is no clip (.h5) to track; give a folder of them, or names and clips")
    return clips


def _begin(task: Task, reference: Any, clip: jax.Array, frame: jax.Array, key: jax.Array) -> tuple[_State, jax.Array]:
    physics, state = task.begin(reference, clip, frame, key)
    reading = task.first_reading(reference, state)
    return (physics, reading, state), task.observe(reference, physics, reading, state)


def _command(
    task: Task, state: _State, action: jax.Array, key: jax.Array
) -> tuple[jax.Array, PhysicsState, TaskState]:  # fmt: skip
    """What arrives at the muscles, the body that may have been pushed, and what is under way."""
    physics, _, before = state
    ctrl, after = task.delayed(before, task.excitation(action))
    return ctrl, task.push(physics, key), after


def _settle(
    task: Task, reference: Any, state: _State, before: jax.Array
) -> tuple[_State, jax.Array, Outcome]:  # fmt: skip
    physics, reading, now = state
    now = task.advance(now)
    outcome = task.judge(reference, physics, reading, now, before)
    obs = jax.numpy.nan_to_num(task.observe(reference, physics, reading, now))
    return (physics, reading, now), obs, outcome


gymnasium.register(id=ENV_ID, entry_point=f"{__name__}:TrackingEnv")
