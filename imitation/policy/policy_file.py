"""Policies on disk: one safetensors file with the network and, as JSON, everything needed to use it.

Tensors, all float32: `normaliser.mean` and `normaliser.var` (nobs,), `normaliser.count` (), and for layer k = 0, 1, ...
`policy.w{k}` (nin, nout) and `policy.b{k}` (nout,). The metadata contain one key, `musclemap-policy`, with JSON:

    format, version   "musclemap-policy", 1
    body              name, sha256 of the complete model, model_version, hands, joints and muscles in order; variant:
                      what differs from the body's table, if anything, which `physics` names too
    physics, task     settings
    observation       [name, width] of every part of an observation, in order
    network           activation "silu", norm "layer", norm_epsilon; farthest and least: the normaliser's clipping value
                      and minimum standard deviation
    algorithm, steps  training algorithm, and its number of control steps
    software          versions
    dataset           training clips, see `training_clips`

Excitations are sigmoid(x + log(r / (1 - r))), where x is the network's output and r is `task.resting_excitation`. The
file contains no pickle, so reading it cannot execute code.
"""

import hashlib
import platform
from collections.abc import Mapping
from dataclasses import replace
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
from musclemap.imitation.ppo.networks import NORM_EPSILON
from musclemap.imitation.ppo.normaliser import MAX_ABS, MIN_STD, Normaliser
from musclemap.imitation.task import observation
from musclemap.imitation.task.task import Task
from musclemap.settings import to_dict
from musclemap.skeletons.bodies import load_body_version
from musclemap.skeletons.variants.variant import facts_of

from .file_limits import MAX_BYTES
from .policy import Policy
from .policy_format import FORMAT, NETWORK, VERSION, make_policy

MAX_FACTS = 2**24
"""Longest JSON [B]: 100,000 clips with 160 characters each."""

MAX_TENSORS = 100
"""Largest number of tensors: two for each of 48 layers, and three of the normaliser."""


def write_policy(
    path: Path, *, task: Task, physics: PhysicsConfig, params: Mapping[str, Array], normaliser: Normaliser,
    algorithm: str, steps: int, dataset: Mapping[str, Any],
) -> str:  # fmt: skip
    """Write a policy atomically: a reader finds the old file, the new one or none.

    Args:
        path: File to write; missing folders are created.
        task: Task that it was trained for, which includes the body.
        physics: Settings of the physics that it was trained in.
        params: Network of the policy, from `make_mlp`.
        normaliser: Mean and variance of the observations.
        algorithm: Training algorithm.
        steps: Number of control steps of training.
        dataset: From `dataset_facts`.

    Returns:
        SHA-256 of the file.

    Raises:
        PolicyError: If the network does not fit the task, a number is not finite, or there are too many clips.
    """
    tensors = {f"policy.{name}": np.asarray(value, np.float32) for name, value in params.items()}
    tensors |= {f"normaliser.{name}": np.asarray(value, np.float32) for name, value in normaliser._asdict().items()}
    body = task.body
    facts = {
        "format": FORMAT, "version": VERSION, "body": body_facts(body, physics), "physics": to_dict(physics),
        "task": to_dict(task.config),
        "observation": list(map(list, observation.layout(body, task.config.future_steps).items())),
        "network": NETWORK | {"norm_epsilon": NORM_EPSILON, "farthest": MAX_ABS,
                              "least": MIN_STD},
        "algorithm": algorithm, "steps": int(steps), "software": _software(), "dataset": dict(dataset),
    }  # fmt: skip
    data = safetensors.numpy.save(tensors, {FORMAT: strict_json(facts)})
    _read(data, where="the policy")  # ensures that the file can be read
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_policy(path: Path) -> Policy:
    """Read and validate a policy.

    Raises:
        PolicyError: If the file is missing, damaged, not a policy, or of an unknown version.
    """
    try:
        data = read_bytes(path, limit=MAX_BYTES)
    except FileError as error:
        raise PolicyError(f"{path} cannot be read as a policy: {error}") from error
    return _read(data, where=str(path))


def _read(data: bytes, *, where: str) -> Policy:
    """Read a policy from the bytes of its file.

    The header length claimed by the file is checked before safetensors reads the header.
    """
    header = int.from_bytes(data[:8], "little")
    if len(data) < 8 or header > min(len(data) - 8, 2 * MAX_FACTS):  # quotes are escaped in the header
        raise PolicyError(f"{where} cannot be read as a policy: a header of {header:,} bytes in {len(data):,}")
    try:
        header_json = parse_json(data[8 : 8 + header], limit=2 * MAX_FACTS)
        text = header_json.get("__metadata__", {}).get(FORMAT) if isinstance(header_json, dict) else None
    except (FileError, AttributeError) as error:
        raise PolicyError(f"{where} cannot be read as a policy: {error}") from error
    tensors = attempt(lambda: dict(safetensors.deserialize(data)))
    if isinstance(tensors, Failure):
        raise PolicyError(f"{where} cannot be read as a policy: {tensors.message}")
    if not isinstance(text, str):
        raise PolicyError(f"{where} is not a policy: it has no metadata {FORMAT!r}")
    mismatches = {name: tensor["dtype"] for name, tensor in tensors.items() if tensor["dtype"] != "F32"}
    if mismatches or len(tensors) > MAX_TENSORS:
        types = f"its tensors are of other types than F32: {shown(mismatches)}"
        problem = types if mismatches else f"it has {len(tensors)} tensors"
        raise PolicyError(f"{where} is not a policy: {problem}")
    try:
        facts = parse_json(text, limit=MAX_FACTS)
    except FileError as error:
        raise PolicyError(f"{where}: its metadata are not JSON: {error}") from error
    arrays = {name: np.frombuffer(t["data"], "<f4").reshape(t["shape"]) for name, t in tensors.items()}
    return make_policy(facts, arrays, where=where)


def body_of(policy: Policy) -> SimulationBody:
    """Load the body that a policy controls, ready to be simulated as in training.

    Raises:
        PolicyError: If the installed body differs from the one that the policy was trained on.
    """
    trained_body = policy.facts["body"]
    try:
        version = load_body_version(
            trained_body["name"], str(trained_body.get("sha256")), variant=policy.physics.variant
        )  # fmt: skip
        published = policy.physics.published or not version.corrections  # older policies do not say that it is
        body = load_simulation_body(trained_body["name"], replace(policy.physics, published=published))
    except MusclemapError as error:
        raise PolicyError(f"the policy's body is not available: {error}") from error
    available = body_facts(body, policy.physics)
    mismatches = [key for key, value in available.items() if key != "model_version" and trained_body.get(key) != value]
    if mismatches:
        raise PolicyError(
            f"the policy was trained on another {body.name} (version {trained_body.get('model_version')}; installed: "
            f"{available['model_version']}): {', '.join(mismatches)} differ, so it cannot control this one"
        )
    layout = list(map(list, observation.layout(body, policy.task.future_steps).items()))
    if policy.facts["observation"] != layout:
        raise PolicyError("the policy was trained with another observation layout than this version has")
    return body


def body_facts(body: SimulationBody, physics: PhysicsConfig) -> dict[str, Any]:
    """Facts about a body that are stored in a policy file; `variant` only of an altered one."""
    variant = body.target.variant
    facts = {} if not variant else {"variant": facts_of(variant)}
    return facts | {
        "name": body.name,
        "sha256": body.sha256,
        "model_version": body.target.version,
        "hands": "free" if physics.hands == "free" else "locked",
        "joints": list(body.joint_names),
        "muscles": list(body.muscle_names),
    }


def _software() -> dict[str, str]:
    packages = ("jax", "mujoco-warp", "musclemimic-models", "numpy", "optax", "warp-lang")
    versions = {"musclemap": __version__, "python": platform.python_version(), "mujoco": mujoco.__version__}
    return versions | {name: version(name) for name in packages}
