"""What a policy's file has to hold, checked piece by piece before anything is computed with it."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from musclemap.skeletons.errors import SettingsError

from .config import PhysicsConfig
from .errors import PolicyError
from .plain_settings import LARGEST, from_plain
from .policy import Policy
from .task import TaskConfig

FORMAT, VERSION = "musclemap-policy", 1

NETWORK = {"activation": "silu", "norm": "layer"}
"""The one kind of network that there is."""

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
    _check_facts(facts, where=where)
    count = sum(name.startswith("policy.w") for name in tensors)
    layers = [f"policy.{kind}{k}" for k in range(count) for kind in "wb"]
    wanted = {"normaliser.mean", "normaliser.var", "normaliser.count", *layers}
    if set(tensors) != wanted or not count:
        raise PolicyError(f"{where} has the tensors {', '.join(sorted(tensors))}; a policy has w0, b0 and so on, and "
                          "mean, var and count of the normaliser")  # fmt: skip
    try:
        physics = from_plain(PhysicsConfig, facts["physics"], where="physics")
        task = from_plain(TaskConfig, facts["task"], where="task")
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
        raise PolicyError(f"{where} has version {facts.get('version')!r}; this reads version {VERSION}")
    for key, kind in _SECTIONS.items():
        if type(facts.get(key)) is not kind:
            raise PolicyError(f"{where}: {key} is {facts.get(key)!r}, not a {kind.__name__}")
    body, network = facts["body"], facts["network"]
    if not isinstance(body.get("name"), str) or not isinstance(body.get("muscles"), list):
        raise PolicyError(f"{where}: its body has no name or no muscles")
    for key, value in NETWORK.items():
        if network.get(key) != value:
            raise PolicyError(f"{where}: {key} of the network is {network.get(key)!r}; this version knows {value!r}")
    for key in ("norm_epsilon", "farthest", "least"):
        if type(network.get(key)) not in (int, float) or not 0 < network[key] < LARGEST:
            raise PolicyError(f"{where}: {key} of the network is {network.get(key)!r}, not a positive number")
    parts: list[Any] = facts["observation"]
    if not all(isinstance(p, list) and [type(x) for x in p] == [str, int] and p[1] >= 0 for p in parts):
        raise PolicyError(f"{where}: observation does not list names and widths")


def _check_tensors(facts: dict[str, Any], tensors: Mapping[str, np.ndarray], count: int, *, where: str) -> None:
    for name, array in tensors.items():
        if not np.isfinite(array).all():
            raise PolicyError(f"{where}: {name} is not finite")
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
    if (tensors["normaliser.var"] < 0).any() or tensors["normaliser.count"] < 0:
        raise PolicyError(f"{where}: the normaliser has a negative variance or count")
