"""Policies on disk: one safetensors file that holds the network and, as JSON, everything needed to use it.

Tensors, all float32: `normaliser.mean` and `normaliser.var` (nobs,), `normaliser.count` (), and for layer k = 0, 1, ...
`policy.w{k}` (nin, nout) and `policy.b{k}` (nout,). The metadata has one key, `musclemap-policy`, with JSON:

    format, version   "musclemap-policy", 1
    body              name, sha256 of the whole model, model_version, hands, joints and muscles in order
    physics, task     settings
    observation       [name, width] of every part of an observation, in order
    network           activation "silu", norm "layer", norm_epsilon, and farthest and least of the normaliser
    algorithm, steps  how it was learned, and in how many control steps
    software          versions
    dataset           what it was learned from, see `training_clips`

Excitations are sigmoid(x + log(r / (1 - r))), where x is the network's output and r is `task.resting_excitation`. There
is no pickle in it, so that nothing is run by reading one.
"""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import mujoco
import numpy as np
import safetensors
import safetensors.numpy
from jax import Array

from musclemap import __version__
from musclemap.datasets.atomic_file import write_atomically
from musclemap.datasets.manifest import strict_json
from musclemap.errors import FileError, MusclemapError
from musclemap.failures import Failure, attempt
from musclemap.files import parse_json, read_bytes, shown
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.physics.bodies import SimulationBody, load_simulation_body
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.ppo import networks
from musclemap.imitation.ppo import normaliser as normalising
from musclemap.imitation.task import observation
from musclemap.imitation.task.task import Task

from .policy import Policy
from .policy_format import FORMAT, NETWORK, VERSION, make_policy

POLICY = "policy.safetensors"
"""Name of the file in a run's folder."""

MAX_BYTES = 5 * 2**27
"""Largest file [B]: 168 million weights, more than the widest networks that settings allow."""

MAX_FACTS = 2**24
"""Longest JSON [B]: 100,000 clips of 160 letters each."""

MAX_TENSORS = 100
"""Most tensors: of 48 layers, and three of the normaliser."""


def write_policy(
    path: Path, *, task: Task, physics: PhysicsConfig, params: Mapping[str, Array], normaliser: normalising.Normaliser,
    algorithm: str, steps: int, dataset: Mapping[str, Any],
) -> str:  # fmt: skip
    """Write a policy in one step: a reader finds the old file, the new one or none.

    Args:
        path: File to write; folders are made.
        task: What it was trained for; the body is the task's.
        physics: What it was trained in.
        params: The policy's network, as `make_mlp` gives it.
        normaliser: Mean and variance of the observations.
        algorithm: How it was learned.
        steps: Control steps that it was learned in.
        dataset: From `dataset_facts`.

    Returns:
        SHA-256 of the file.

    Raises:
        PolicyError: The network does not fit the task, a number is not finite, or there are too many clips.
    """
    tensors = {f"policy.{name}": np.asarray(value, np.float32) for name, value in params.items()}
    tensors |= {f"normaliser.{name}": np.asarray(value, np.float32) for name, value in normaliser._asdict().items()}
    body = task.body
    facts = {
        "format": FORMAT, "version": VERSION, "body": body_facts(body, physics), "physics": asdict(physics),
        "task": asdict(task.config),
        "observation": list(map(list, observation.layout(body, task.config.future_steps).items())),
        "network": NETWORK | {"norm_epsilon": networks.NORM_EPSILON, "farthest": normalising.FARTHEST,
                              "least": normalising.LEAST},
        "algorithm": algorithm, "steps": int(steps), "software": _software(), "dataset": dict(dataset),
    }  # fmt: skip
    data = safetensors.numpy.save(tensors, {FORMAT: strict_json(facts)})
    _read(data, where="the policy")  # whatever is written can be read
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_policy(path: Path) -> Policy:
    """Read a policy and check all of it.

    Raises:
        PolicyError: The file is missing, damaged, no policy, or of a version that is not known here.
    """
    try:
        data = read_bytes(path, limit=MAX_BYTES)
    except FileError as error:
        raise PolicyError(f"{path} cannot be read as a policy: {error}") from error
    return _read(data, where=str(path))


def _read(data: bytes, *, where: str) -> Policy:
    """A policy from the bytes of its file.

    The length of the header, which the file itself tells, is checked before the library reads it.
    """
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header > min(len(data) - 8, 2 * MAX_FACTS):  # in the header quotes are escaped
        raise PolicyError(f"{where} cannot be read as a policy: a header of {header:,} bytes in {len(data):,}")
    try:
        message = parse_json(data[8 : 8 + header], limit=2 * MAX_FACTS)
        text = message.get("__metadata__", {}).get(FORMAT) if isinstance(message, dict) else None
    except (FileError, AttributeError) as error:
        raise PolicyError(f"{where} cannot be read as a policy: {error}") from error
    tensors = attempt(lambda: dict(safetensors.deserialize(data)))
    if isinstance(tensors, Failure):
        raise PolicyError(f"{where} cannot be read as a policy: {tensors.message}")
    if not isinstance(text, str):
        raise PolicyError(f"{where} is no policy: it has no metadata {FORMAT!r}")
    other = {name: tensor["dtype"] for name, tensor in tensors.items() if tensor["dtype"] != "F32"}
    if other or len(tensors) > MAX_TENSORS:
        what = f"its tensors are of other types than F32: {shown(other)}" if other else f"it has {len(tensors)} tensors"
        raise PolicyError(f"{where} is no policy: {what}")
    try:
        facts = parse_json(text, limit=MAX_FACTS)
    except FileError as error:
        raise PolicyError(f"{where}: its metadata are no JSON: {error}") from error
    arrays = {name: np.frombuffer(t["data"], "<f4").reshape(t["shape"]) for name, t in tensors.items()}
    return make_policy(facts, arrays, where=where)


def body_of(policy: Policy) -> SimulationBody:
    """The body that a policy moves, ready to be simulated as in training.

    Raises:
        PolicyError: The body here is another version than the policy learned on, on which it would fall.
    """
    message = policy.facts["body"]
    try:
        body = load_simulation_body(message["name"], policy.physics)
    except MusclemapError as error:
        raise PolicyError(f"the policy is of a body that is not here: {error}") from error
    here = body_facts(body, policy.physics)
    other = [name for name, value in here.items() if message.get(name) != value and name != "model_version"]
    if other:
        raise PolicyError(
            f"the policy was trained on another {body.name} (version {message.get('model_version')}; here "
            f"{here['model_version']}): {', '.join(other)} differ, and it would not move this one as it should"
        )
    layout = list(map(list, observation.layout(body, policy.task.future_steps).items()))
    if policy.facts["observation"] != layout:
        raise PolicyError("the policy sees other things than this version shows: its observation is laid out otherwise")
    return body


def body_facts(body: SimulationBody, physics: PhysicsConfig) -> dict[str, Any]:
    """What a policy's file says about its body."""
    return {
        "name": body.name,
        "sha256": body.sha256,
        "model_version": body.target.version,
        "hands": physics.hands,
        "joints": list(body.joint_names),
        "muscles": list(body.muscle_names),
    }


def _software() -> dict[str, str]:
    packages = ("jax", "mujoco-warp", "musclemimic-models", "numpy", "optax", "warp-lang")
    result = {"musclemap": __version__, "python": platform.python_version(), "mujoco": mujoco.__version__}
    return result | {name: version(name) for name in packages}
