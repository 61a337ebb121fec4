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

Excitations are sigmoid(x + log(r / (1 - r))), where x is the network's output and r is `task.resting`. There is no
pickle in it, so that nothing is run by reading one.
"""

import hashlib
import json
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
from musclemap.skeletons.errors import MusclemapError
from musclemap.skeletons.small_arm import ARM_NAME

from . import networks, observation
from . import normaliser as normalising
from .bodies import Body, load_body
from .config import PhysicsConfig
from .errors import PolicyError
from .policy import Policy
from .policy_format import FORMAT, NETWORK, VERSION, make_policy
from .task import Task

POLICY = "policy.safetensors"
"""Name of the file in a run's folder."""


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
        PolicyError: The network does not fit the task, or a number is not finite.
    """
    tensors = {f"policy.{name}": np.asarray(value, np.float32) for name, value in params.items()}
    tensors |= {f"normaliser.{name}": np.asarray(value, np.float32) for name, value in normaliser._asdict().items()}
    body = task.body
    facts = {
        "format": FORMAT, "version": VERSION, "body": body_facts(body, physics), "physics": asdict(physics),
        "task": asdict(task.config),
        "observation": list(map(list, observation.layout(body, task.config.ahead).items())),
        "network": NETWORK | {"norm_epsilon": networks.NORM_EPSILON, "farthest": normalising.FARTHEST,
                              "least": normalising.LEAST},
        "algorithm": algorithm, "steps": int(steps), "software": _software(), "dataset": dict(dataset),
    }  # fmt: skip
    text = strict_json(facts)
    make_policy(json.loads(text), tensors, where="the policy")
    data = safetensors.numpy.save(tensors, {FORMAT: text})
    write_atomically(path, data)
    return hashlib.sha256(data).hexdigest()


def load_policy(path: Path) -> Policy:
    """Read a policy and check all of it.

    Raises:
        PolicyError: The file is missing, damaged, no policy, or of a version that is not known here.
    """
    try:
        with safetensors.safe_open(path, framework="numpy") as file:
            text = (file.metadata() or {}).get(FORMAT)
            kinds = {name: file.get_slice(name).get_dtype() for name in file.keys()}  # noqa: SIM118 no mapping
            other = {name: kind for name, kind in kinds.items() if kind != "F32"}
            if text is None or other:
                what = f"its tensors are of other types than F32: {other}" if text else f"it has no metadata {FORMAT!r}"
                raise PolicyError(f"{path} is no policy: {what}")
            tensors = {name: file.get_tensor(name) for name in kinds}
    except (OSError, safetensors.SafetensorError) as error:
        raise PolicyError(f"{path} cannot be read as a policy: {error}") from error
    try:
        facts = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise PolicyError(f"{path}: its metadata are no JSON: {error}") from error
    return make_policy(facts, tensors, where=str(path))


def body_of(policy: Policy) -> Body:
    """The body that a policy moves, ready to be simulated as in training.

    Raises:
        PolicyError: The body here is another version than the policy learned on, on which it would fall.
    """
    told = policy.facts["body"]
    try:
        body = load_body(told["name"], policy.physics)
    except MusclemapError as error:
        raise PolicyError(f"the policy is of a body that is not here: {error}") from error
    here = body_facts(body, policy.physics)
    other = [name for name, value in here.items() if told.get(name) != value and name != "model_version"]
    if other:
        raise PolicyError(
            f"the policy was trained on another {body.name} (version {told.get('model_version')}; here "
            f"{here['model_version']}): {', '.join(other)} differ, and it would not move this one as it should"
        )
    layout = list(map(list, observation.layout(body, policy.task.ahead).items()))
    if policy.facts["observation"] != layout:
        raise PolicyError("the policy sees other things than this version shows: its observation is laid out otherwise")
    return body


def body_facts(body: Body, physics: PhysicsConfig) -> dict[str, Any]:
    """What a policy's file says about its body."""
    return {
        "name": body.name,
        "sha256": body.sha256,
        "model_version": __version__ if body.name == ARM_NAME else version("musclemimic-models"),
        "hands": physics.hands,
        "joints": list(body.joint_names),
        "muscles": list(body.muscle_names),
    }


def _software() -> dict[str, str]:
    packages = ("jax", "mujoco-warp", "musclemimic-models", "numpy", "optax", "warp-lang")
    found = {"musclemap": __version__, "python": platform.python_version(), "mujoco": mujoco.__version__}
    return found | {name: version(name) for name in packages}
