"""One engine made of several, one per GPU, whose arrays are sharded over the worlds.

Networks and the reference are replicated on every device; arrays with worlds on the first axis are sharded. JAX then
lets each device compute its own worlds and sums across devices where needed, above all gradients (data parallelism).
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
"""Name of the mesh axis along which worlds are sharded."""


class SplitEngine:
    """Several engines of one body that act as one.

    Args:
        engines: Engines of the same body and number of worlds.
        devices: JAX device of each engine.

    Raises:
        SettingsError: If bodies or numbers of worlds differ, or if there is not one device per engine.
    """

    def __init__(self, engines: Sequence[Engine], devices: Sequence[Any]) -> None:
        if len(engines) != len(devices) or len({(id(engine.body), engine.nworld) for engine in engines}) != 1:
            raise SettingsError("a split engine needs one engine per device, all of one body and number of worlds")
        self.device = None  # more than one
        self.body, self.nworld = engines[0].body, sum(engine.nworld for engine in engines)
        self._engines, self._devices = tuple(engines), tuple(devices)
        mesh = Mesh(np.array(devices), (WORLD,))
        self._sharded = NamedSharding(mesh, PartitionSpec(WORLD))
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._pool = ThreadPoolExecutor(len(engines))  # one thread per device, which waits for it

    def step(self, state: PhysicsState, ctrl: Array, base: Array | None = None) -> tuple[PhysicsState, SensorData]:
        """See `musclemap.imitation.physics.engine.Engine`."""
        operands = (PhysicsState(*state), ctrl) if base is None else (PhysicsState(*state), ctrl, base)
        return self._run_each(lambda engine, part: engine.step(*part), operands)

    def read(self, state: PhysicsState) -> SensorData:
        """See `musclemap.imitation.physics.engine.Engine`."""
        return self._run_each(lambda engine, part: engine.read(part), PhysicsState(*state))

    def shard(self, tree: TreeT) -> TreeT:
        """Shard arrays whose first axis has all worlds across the devices, and replicate all others."""
        sharding = lambda a: self._sharded if a.ndim and a.shape[0] == self.nworld else self._replicated  # noqa: E731
        return jax.tree.map(lambda array: jax.device_put(array, sharding(array)), tree)

    def replicate(self, tree: TreeT) -> TreeT:
        """Copy arrays to every device."""
        return jax.device_put(tree, self._replicated)

    def _run_each(self, work: Callable[[Engine, Any], Any], tree: Any) -> Any:
        sharded = jax.device_put(tree, self._sharded)
        parts = [jax.tree.map(lambda array, d=device: _local_shard(array, d), sharded) for device in self._devices]
        outputs = list(self._pool.map(work, self._engines, parts))
        return jax.tree.map(self._join, *outputs)

    def _join(self, *parts: Array) -> Array:
        shards = [jax.device_put(part, device) for part, device in zip(parts, self._devices, strict=True)]
        return jax.make_array_from_single_device_arrays((self.nworld, *shards[0].shape[1:]), self._sharded, shards)


def _local_shard(array: Array, device: Any) -> Array:
    return next(shard.data for shard in array.addressable_shards if shard.device == device)


def split_variants(variants: Variants | None, count: int) -> list[Variants | None]:
    """Split the factors of all worlds into `count` equal parts, in order."""
    if variants is None:
        return [None] * count
    parts_by_name = {
        field.name: np.array_split(value, count) if (value := getattr(variants, field.name)) is not None else None
        for field in fields(variants)
    }
    return [
        Variants(**{name: None if parts is None else parts[k] for name, parts in parts_by_name.items()})
        for k in range(count)
    ]
