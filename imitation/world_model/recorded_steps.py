"""Conversion of recorded episodes to rows of a replay buffer."""

from collections.abc import Mapping, Sequence

import jax.numpy as jnp
import numpy as np

from musclemap.imitation.errors import TrainingError
from musclemap.imitation.task.reference import Library

from .episode_files import Episodes
from .replay import Transitions
from .world_model import WorldModel


def recorded_transitions(
    episodes: Sequence[Episodes], model: WorldModel, library: Library, *, nworld: int, nrow: int, multiple: int
) -> Transitions:
    """Arrange the steps of recorded episodes as rows of a replay buffer.

    The episodes are concatenated and cut into one sequence per world. Steps of other clips are left out, and so are
    the last ones if there are more than the buffer holds.

    Args:
        episodes: Recorded episodes of the model's body.
        model: World model, for its coordinates.
        library: Clips of the run.
        nworld: Worlds of the replay buffer.
        nrow: Largest number of rows.
        multiple: The number of rows is a multiple of this.

    Returns:
        Transitions as NumPy arrays that lead with (nstep, nworld).

    Raises:
        TrainingError: If there are too few steps of the run's clips.
    """
    clips = {name: index for index, name in enumerate(library.names)}
    length = np.asarray(library.reference.length)
    parts = [_flat_steps(item, clips, length) for item in episodes]
    steps = {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}
    count = len(steps["clip"])
    rows = min(nrow, count // nworld) // multiple * multiple
    if not rows:
        raise TrainingError(
            f"the recorded episodes have {count:,} steps of this run's clips; {nworld} worlds need at least "
            f"{nworld * multiple:,}"
        )
    used = {name: array[: rows * nworld] for name, array in steps.items()}
    q, velocity = model.coordinates.reduce(jnp.asarray(used.pop("qpos")), jnp.asarray(used.pop("qvel")))
    next_q, next_velocity = model.coordinates.reduce(
        jnp.asarray(used.pop("next_qpos")), jnp.asarray(used.pop("next_qvel"))
    )
    motion = {"q": q, "velocity": velocity, "next_q": next_q, "next_velocity": next_velocity}
    flat = {**used, **{name: np.asarray(array) for name, array in motion.items()}}
    shaped = {name: array.reshape(nworld, rows, *array.shape[1:]).swapaxes(0, 1) for name, array in flat.items()}
    shaped["contiguous"] = shaped["contiguous"] & (np.arange(rows) < rows - 1)[:, None]
    return Transitions(**shaped, valid=np.ones((rows, nworld), bool))  # pyright: ignore[reportArgumentType]


def _flat_steps(episodes: Episodes, clips: Mapping[str, int], length: np.ndarray) -> dict[str, np.ndarray]:
    """Usable steps, one episode after another; arrays lead with the number of steps."""
    clip = np.array([clips.get(name, -1) for name in episodes.clip], np.int32)
    step = np.arange(len(episodes.ctrl))[:, None]
    in_clip = episodes.frame <= np.where(clip >= 0, length[clip] - 2, -1)  # the step after the last frame is a reset
    usable = (step < episodes.length) & in_clip
    continues = np.zeros_like(usable)
    continues[:-1] = usable[1:] & (episodes.frame[1:] == episodes.frame[:-1] + 1)
    is_last = step == episodes.length - 1
    previous = np.concatenate([episodes.act[:1], episodes.ctrl[:-1]])  # in a steady state they are the activations
    arrays = {
        "qpos": episodes.qpos[:-1], "qvel": episodes.qvel[:-1], "act": episodes.act[:-1], "ctrl": episodes.ctrl,
        "next_qpos": episodes.qpos[1:], "next_qvel": episodes.qvel[1:], "prev_excitation": previous,
        "clip": np.broadcast_to(clip, usable.shape), "frame": episodes.frame, "contiguous": continues,
        "terminated": is_last & episodes.terminated,
    }  # fmt: skip
    return {name: array.swapaxes(0, 1)[usable.T] for name, array in arrays.items()}
