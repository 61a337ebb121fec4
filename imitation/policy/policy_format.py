"""Validation of the contents of a policy file, before anything is computed with them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from musclemap.errors import FileError, SettingsError
from musclemap.files import check_fields, shown
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.task.task_config import TaskConfig
from musclemap.settings import from_dict

from .policy import Policy
from .training_clips import check_dataset

FORMAT, VERSION = "musclemap-policy", 1

NETWORK = {"activation": "silu", "norm": "layer"}
"""The only supported kind of network."""

RANGES = {"norm_epsilon": (1e-12, 1.0), "farthest": (1e-3, 1e4), "least": (1e-9, 1e3)}
"""Smallest and largest values of the network's numbers; this package writes 1e-6, 10 and 1e-4."""

MAX_WEIGHT, MAX_MEAN, MAX_VARIANCE = 1e9, 1e20, 1e30
"""Largest absolute weights and biases, means, and variances, so that no layer overflows in single precision."""

MAX_SIZE = 16384
"""Largest width of an observation or a layer, and largest number of muscles."""

MAX_WORD = 200
"""Largest number of characters of a name, a version or a hash."""

_SECTIONS: dict[str, type] = {
    "body": dict, "physics": dict, "task": dict, "observation": list, "network": dict, "algorithm": str, "steps": int,
    "software": dict, "dataset": dict,
}  # fmt: skip


def make_policy(facts: Any, tensors: Mapping[str, np.ndarray], *, where: str) -> Policy:
    """Build a policy from the contents of a file.

    Args:
        facts: Its JSON, as described in `policy_file`.
        tensors: Its tensors by name, float32.
        where: Path of the file, for messages.

    Raises:
        PolicyError: If an entry is missing, unknown, not finite, or has the wrong type or shape.
    """
    try:
        _check_facts(facts, where=where)
    except FileError as error:
        raise PolicyError(str(error)) from error
    count = sum(name.startswith("policy.w") for name in tensors)
    layers = [f"policy.{kind}{k}" for k in range(count) for kind in "wb"]
    required = {"normaliser.mean", "normaliser.var", "normaliser.count", *layers}
    if set(tensors) != required or not count:
        raise PolicyError(f"{where} has the tensors {shown(', '.join(sorted(tensors)))}; a policy has "
                          "w0, b0, w1, b1, ... and the normaliser's mean, var and count")  # fmt: skip
    try:
        physics = from_dict(PhysicsConfig, facts["physics"], name="physics")
        task = from_dict(TaskConfig, facts["task"], name="task")
    except SettingsError as error:
        raise PolicyError(f"{where}: {error}") from error
    _check_tensors(facts, tensors, count, where=where)
    network = facts["network"]
    return Policy(
        facts=facts,
        physics=physics,
        task=task,
        mean=tensors["normaliser.mean"],
        var=tensors["normaliser.var"],
        count=float(tensors["normaliser.count"]),
        weights=tuple(tensors[f"policy.w{k}"] for k in range(count)),
        biases=tuple(tensors[f"policy.b{k}"] for k in range(count)),
        norm_epsilon=network["norm_epsilon"],
        max_abs_obs=network["farthest"],
        min_std=network["least"],
    )


def _check_facts(facts: Any, *, where: str) -> None:
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise PolicyError(f"{where} is not a policy: its metadata have no format {FORMAT!r}")
    if facts.get("version") != VERSION:
        raise PolicyError(f"{where} has version {shown(facts.get('version'))}; this release reads version {VERSION}")
    check_fields(facts, _SECTIONS, where=where)
    if facts["steps"] < 0:
        raise PolicyError(f"{where}: steps is {facts['steps']}; it must not be negative")
    if len(facts["algorithm"]) > MAX_WORD:
        text = shown(facts["algorithm"])
        raise PolicyError(f"{where}: algorithm is {text}, which has {len(facts['algorithm'])} characters")
    _check_body(facts["body"], where=f"{where}: body")
    _check_network(facts["network"], where=where)
    check_dataset(facts["dataset"], where=f"{where}: dataset")
    parts: list[Any] = facts["observation"]
    if not all(isinstance(p, list) and [type(x) for x in p] == [str, int] and 0 <= p[1] <= MAX_SIZE for p in parts):
        raise PolicyError(f"{where}: observation is not a list of names and widths")


def _check_body(body: dict[str, Any], *, where: str) -> None:
    check_fields(body, {"name": str, "muscles": list}, where=where)
    for key in ("name", "sha256", "model_version", "hands"):
        value = body.get(key, "")
        if not isinstance(value, str) or len(value) > MAX_WORD:
            raise PolicyError(f"{where}: {key} is {shown(value)}, not a short text")
    for key in ("muscles", "joints"):
        names = body.get(key, [])
        if not isinstance(names, list) or len(names) > MAX_SIZE or not all(isinstance(name, str) for name in names):
            raise PolicyError(f"{where}: {key} is {shown(names)}, not a list of names")
    if not body["muscles"]:
        raise PolicyError(f"{where} has no muscles")


def _check_network(network: dict[str, Any], *, where: str) -> None:
    for key, value in NETWORK.items():
        if network.get(key) != value:
            expected = f"only {value!r} is supported"
            raise PolicyError(f"{where}: {key} of the network is {shown(network.get(key))}; {expected}")
    for key, (lower, upper) in RANGES.items():
        value: Any = network.get(key)
        if type(value) not in (int, float) or not lower <= value <= upper:
            rule = f"not a number from {lower:g} to {upper:g}"
            raise PolicyError(f"{where}: {key} of the network is {shown(value)}, {rule}")


def _check_tensors(facts: dict[str, Any], tensors: Mapping[str, np.ndarray], count: int, *, where: str) -> None:
    limits = {"normaliser.var": MAX_VARIANCE, "normaliser.count": MAX_VARIANCE, "normaliser.mean": MAX_MEAN}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise PolicyError(f"{where}: {name} is not finite")
        upper = limits.get(name, MAX_WEIGHT)
        if array.size and np.abs(array).max() > upper:
            raise PolicyError(f"{where}: {name} has values beyond {upper:g}")
    nobs, nu = sum(width for _, width in facts["observation"]), len(facts["body"]["muscles"])
    shapes = {"normaliser.mean": (nobs,), "normaliser.var": (nobs,), "normaliser.count": ()}
    nin = nobs
    for k in range(count):
        bias = tensors[f"policy.b{k}"]
        nout = nu if k == count - 1 else bias.size
        shapes |= {f"policy.w{k}": (nin, nout), f"policy.b{k}": (nout,)}
        nin = nout
    for name, shape in shapes.items():
        if tensors[name].shape != shape:
            raise PolicyError(f"{where}: {name} has shape {tensors[name].shape}; it must be {shape} for observations "
                              f"of width {nobs} and {nu} muscles")  # fmt: skip
        if 0 in shape or max(shape, default=1) > MAX_SIZE:
            raise PolicyError(f"{where}: {name} has shape {shape}; widths must be from 1 to {MAX_SIZE}")
    if (tensors["normaliser.var"] < 0).any() or tensors["normaliser.count"] < 0:
        raise PolicyError(f"{where}: the normaliser has a negative variance or count")
