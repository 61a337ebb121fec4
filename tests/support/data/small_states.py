"""Minimal training states, their checkpoints, and random damage to these."""

import json
import random
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp


class State(NamedTuple):
    """A minimal training state."""

    learner: dict[str, jax.Array]
    worlds: jax.Array
    iterations: jax.Array


def state(number: int, *, width: int = 4, nworld: int = 3) -> State:
    learner = {"w0": jnp.full((width, 2), float(number)), "b0": jnp.arange(width, dtype=jnp.float32)}
    return State(learner, jnp.ones((nworld, 5)), jnp.asarray(number, jnp.int32))


def without_hashes(checkpoint: Path) -> None:
    """Convert a checkpoint to the format of version 0.1.0: facts in a folder of their own, and no hashes."""
    content = json.loads((checkpoint / "checkpoint.json").read_text())
    (checkpoint / "checkpoint.json").unlink()
    (checkpoint / "facts").mkdir()
    (checkpoint / "facts" / "metadata").write_text(json.dumps(content["facts"]))


def state_files(checkpoint: Path) -> list[Path]:
    """All files of a checkpoint."""
    return sorted(path for path in checkpoint.rglob("*") if path.is_file())


def damaged(checkpoint: Path, rng: random.Random) -> str:
    """Damage one file of a checkpoint at random; return a description."""
    path = rng.choice(state_files(checkpoint))
    data, how = path.read_bytes(), rng.choice(("cut", "noise", "flip", "remove", "flip", "zeros"))
    position = rng.randrange(max(len(data), 1))
    if how == "remove":
        path.unlink()
    elif how == "cut":
        path.write_bytes(data[:position])
    elif how == "noise":
        path.write_bytes(rng.randbytes(rng.choice((10, len(data)))))
    elif how == "zeros":
        path.write_bytes(data[:position] + bytes(len(data) - position))
    elif data:
        flipped = bytes([data[position] ^ 1 << rng.randrange(8)])
        path.write_bytes(data[:position] + flipped + data[position + 1 :])
    return f"{how} {path.relative_to(checkpoint)} at {position}"
