"""What a policy's file has to hold, checked piece by piece before anything is computed with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from musclemap.errors import FileError, SettingsError
from musclemap.files import check_fields, shown
from musclemap.imitation.errors import PolicyError
from musclemap.imitation.physics.config import PhysicsConfig
from musclemap.imitation.task.task import TaskConfig
from musclemap.settings import from_dict

from .policy import Policy
from .training_clips import check_dataset

FORMAT, VERSION = "musclemap-policy", 1

NETWORK = {"activation": "silu", "norm": "layer"}
"""The one kind of network that there is."""

RANGES = {"norm_epsilon": (1e-12, 1.0), "farthest": (1e-3, 1e4), "least": (1e-9, 1e3)}
"""Smallest and largest values of the network's numbers; what is written here has 1e-6, 10 and 1e-4."""

LARGEST_WEIGHT, LARGEST_MEAN, LARGEST_VARIANCE = 1e9, 1e20, 1e30
"""Weights and offsets, means, and variances are within these, so that nothing in a layer exceeds single precision."""

WIDEST = 16384
"""Most values of an observation, a layer or the muscles."""

LONGEST_WORD = 200
"""Letters of a name, a version or a hash."""

_SECTIONS: dict[str, type] = {
    "body": dict, "physics": dict, "task": dict, "observation": list, "network": dict, "algorithm": str, "steps": int,
    "software": dict, "dataset": dict,
}  # fmt: skip


def make_policy(facts: Any, tensors: Mapping[str, np.ndarray], *, where: str) -> Policy:
    """Make a policy of what a file holds.

    Args:
        facts: Its JSON, as described in `policy_file`.
        tensors: Its tensors by name, float32.
        where: The file, for messages.

    Raises:
        PolicyError: Something is missing, of another type or shape, not finite, or not known to this version.
    """
    try:
        _check_facts(facts, where=where)
    except FileError as error:
        raise PolicyError(str(error)) from error
    count = sum(name.startswith("policy.w") for name in tensors)
    layers = [f"policy.{kind}{k}" for k in range(count) for kind in "wb"]
    ref = {"normaliser.mean", "normaliser.var", "normaliser.count", *layers}
    if set(tensors) != ref or not count:
        raise PolicyError(f"{where} has the tensors {shown(', '.join(sorted(tensors)))}; a policy has w0, b0 and so "
                          "on, and mean, var and count of the normaliser")  # fmt: skip
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
        farthest=network["farthest"],
        least=network["least"],
    )


def _check_facts(facts: Any, *, where: str) -> None:
    if not isinstance(facts, dict) or facts.get("format") != FORMAT:
        raise PolicyError(f"{where} is no policy: its metadata have no format {FORMAT!r}")
    if facts.get("version") != VERSION:
        raise PolicyError(f"{where} has version {shown(facts.get('version'))}; this reads version {VERSION}")
    check_fields(facts, _SECTIONS, where=where)
    if facts["steps"] < 0:
        raise PolicyError(f"{where}: steps is {facts['steps']}, below 0")
    if len(facts["algorithm"]) > LONGEST_WORD:
        raise PolicyError(f"{where}: algorithm is {shown(facts['algorithm'])}, of {len(facts['algorithm'])} letters")
    _check_body(facts["body"], where=f"{where}: body")
    _check_network(facts["network"], where=where)
    check_dataset(facts["dataset"], where=f"{where}: dataset")
    parts: list[Any] = facts["observation"]
    if not all(isinstance(p, list) and [type(x) for x in p] == [str, int] and 0 <= p[1] <= WIDEST for p in parts):
        raise PolicyError(f"{where}: observation does not list names and widths")


def _check_body(body: dict[str, Any], *, where: str) -> None:
    check_fields(body, {"name": str, "muscles": list}, where=where)
    for key in ("name", "sha256", "model_version", "hands"):
        value = body.get(key, "")
        if not isinstance(value, str) or len(value) > LONGEST_WORD:
            raise PolicyError(f"{where}: {key} is {shown(value)}, not a word")
    for key in ("muscles", "joints"):
        names = body.get(key, [])
        if not isinstance(names, list) or len(names) > WIDEST or not all(isinstance(name, str) for name in names):
            raise PolicyError(f"{where}: {key} is {shown(names)}, not a list of names")
    if not body["muscles"]:
        raise PolicyError(f"{where} has no muscles")


def _check_network(network: dict[str, Any], *, where: str) -> None:
    for key, value in NETWORK.items():
        if network.get(key) != value:
            known = f"this version knows {value!r}"
            raise PolicyError(f"{where}: {key} of the network is {shown(network.get(key))}; {known}")
    for key, (least, most) in RANGES.items():
        value: Any = network.get(key)
        if type(value) not in (int, float) or not least <= value <= most:
            rule = f"not a number from {least:g} to {most:g}"
            raise PolicyError(f"{where}: {key} of the network is {shown(value)}, {rule}")


def _check_tensors(facts: dict[str, Any], tensors: Mapping[str, np.ndarray], count: int, *, where: str) -> None:
    limits = {"normaliser.var": LARGEST_VARIANCE, "normaliser.count": LARGEST_VARIANCE, "normaliser.mean": LARGEST_MEAN}
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise PolicyError(f"{where}: {name} is not finite")
        most = limits.get(name, LARGEST_WEIGHT)
        if array.size and np.abs(array).max() > most:
            raise PolicyError(f"{where}: {name} has values beyond {most:g}")
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
            raise PolicyError(f"{where}: {name} has shape {tensors[name].shape}; it has to be {shape} for observations "
                              f"of {nobs} numbers and {nu} muscles")  # fmt: skip
        if 0 in shape or max(shape, default=1) > WIDEST:
            raise PolicyError(f"{where}: {name} has shape {shape}; widths are from 1 to {WIDEST}")
    if (tensors["normaliser.var"] < 0).any() or tensors["normaliser.count"] < 0:
        raise PolicyError(f"{where}: the normaliser has a negative variance or count")
