"""Worlds spread over the GPUs of a machine: an engine on each, together one engine whose arrays lie across all of them.

Networks and reference are copied to every device; arrays that lead with worlds are cut there. JAX then makes each
device compute on its own worlds and adds up what belongs together, gradients above all (data parallelism).
"""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import fields
from typing import Any, TypeVar

import jax
import numpy as np
from jax import Array
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from musclemap.errors import SettingsError

from .engine import Engine, PhysicsState, SensorData
from .randomisation import Variants

TreeT = TypeVar("TreeT")

WORLD = "world"
"""Name of the axis along which worlds are cut."""


class SplitEngine:
    """Several engines of one body as one.

    Args:
        engines: Engines of the same body and number of worlds.
        devices: JAX's device of each.

    Raises:
        SettingsError: They are not of one body and size, or not as many as devices.
    """

    def __init__(self, engines: Sequence[Engine], devices: Sequence[Any]) -> None:
        if len(engines) != len(devices) or len({(id(engine.body), engine.nworld) for engine in engines}) != 1:
            raise SettingsError("a split engine takes one engine a device, all of one body and one number of worlds")
        self.device = None  # several
        self.body, self.nworld = engines[0].body, sum(engine.nworld for engine in engines)
        self._engines, self._devices = tuple(engines), tuple(devices)
        mesh = Mesh(np.array(devices), (WORLD,))
        self._cut, self._copied = NamedSharding(mesh, PartitionSpec(WORLD)), NamedSharding(mesh, PartitionSpec())
        self._pool = ThreadPoolExecutor(len(engines))  # each waits for its own device

    def step(self, state: PhysicsState, ctrl: Array) -> tuple[PhysicsState, SensorData]:
        """See `musclemap.imitation.physics.engine.Engine`."""
        return self._each(lambda engine, part: engine.step(*part), (PhysicsState(*state), ctrl))

    def read(self, state: PhysicsState) -> SensorData:
        """See `musclemap.imitation.physics.engine.Engine`."""
        return self._each(lambda engine, part: engine.read(part), PhysicsState(*state))

    def cut(self, tree: TreeT) -> TreeT:
        """Lay arrays that lead with all worlds across the devices, and copy all others to each of them."""
        place = lambda a: self._cut if a.ndim and a.shape[0] == self.nworld else self._copied  # noqa: E731
        return jax.tree.map(lambda array: jax.device_put(array, place(array)), tree)

    def copied(self, tree: TreeT) -> TreeT:
        """Copy arrays to every device."""
        return jax.device_put(tree, self._copied)

    def _each(self, work: Callable[[Engine, Any], Any], tree: Any) -> Any:
        cut = jax.device_put(tree, self._cut)
        parts = [jax.tree.map(lambda array, d=device: _part(array, d), cut) for device in self._devices]
        result = list(self._pool.map(work, self._engines, parts))
        return jax.tree.map(self._join, *result)

    def _join(self, *parts: Array) -> Array:
        own = [jax.device_put(part, device) for part, device in zip(parts, self._devices, strict=True)]
        return jax.make_array_from_single_device_arrays((self.nworld, *own[0].shape[1:]), self._cut, own)


def _part(array: Array, device: Any) -> Array:
    return next(shard.data for shard in array.addressable_shards if shard.device == device)


def split_variants(variants: Variants | None, count: int) -> list[Variants | None]:
    """Factors of the worlds of each of so many engines, in order."""
    if variants is None:
        return [None] * count
    cut = {
        field.name: np.array_split(value, count) if (value := getattr(variants, field.name)) is not None else None
        for field in fields(variants)
    }
    return [
        Variants(**{name: None if parts is None else parts[k] for name, parts in cut.items()}) for k in range(count)
    ]
